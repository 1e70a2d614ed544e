# SPDX-License-Identifier: Apache-2.0
"""What is in a picture, whatever draws it: boxes and arrows."""

import dataclasses
import enum
from typing import Final

__all__ = ["FRAME", "Arrow", "Box", "Look", "Picture"]

FRAME: Final = "frame"


class Look(enum.StrEnum):
    """What a box stands for."""

    SETTLED = "settled"
    PASSING = "passing"
    NO_ROW = "no row"
    NOTE = "note"


@dataclasses.dataclass(frozen=True, slots=True)
class Box:
    """One state, or several that are treated alike.

    :ivar key: letters and digits, its own in the picture
    :ivar lines: what it is called
    :ivar small: what stands below, in small letters
    :ivar look: what it stands for
    :ivar begins: whether this is where somebody may ask for the action
    """

    key: str
    lines: tuple[str, ...]
    small: tuple[str, ...] = ()
    look: Look = Look.PASSING
    begins: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Arrow:
    """What leads from one box to another.

    :ivar tail: the key of the box it leaves; ``FRAME`` for any of those that
        stand in the frame
    :ivar head: the key of the box it leads to
    :ivar lines: who makes it
    :ivar gives_up: whether it is no step forward
    """

    tail: str
    head: str
    lines: tuple[str, ...]
    gives_up: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """A picture.

    :ivar title: what it shows, in one line
    :ivar boxes: in the order in which they are best drawn
    :ivar arrows: in the same
    :ivar framed: the keys of boxes that stand in a frame of their own
    :ivar sideways: whether it reads from left to right
    """

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]
    framed: tuple[str, ...] = ()
    sideways: bool = False
