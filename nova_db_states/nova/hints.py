# SPDX-License-Identifier: Apache-2.0
"""What the object that is being saved tells the database seam.

It travels beside the arguments of Nova's functions and not among them, so
that these stay what they are for everybody who looks at them.
"""

from collections.abc import Callable, Iterator
import contextlib
import contextvars
import dataclasses
from typing import Any, Final

from nova_db_states.nova import belief

__all__ = ["Hint", "current", "given"]


@dataclasses.dataclass(slots=True)
class Hint:
    """Who saves what he believes to be what.

    :ivar instance_uuid: the instance
    :ivar seen: what the object last saw
    :ivar writer: the function that saves, ``file:function``; may be empty
    :ivar resets: whether this is the administrator's reset-state
    :ivar host: where the object last saw the server
    :ivar wants: ``task_state`` that the caller wants to find without saying so
        in a way that Nova would understand; ``None`` for any
    :ivar later: writes to other tables, to be made in the same transaction
        once the row has accepted the new state
    :ivar after: writes to other tables that have a transaction of their own
    """

    instance_uuid: str
    seen: belief.Belief
    writer: str = ""
    resets: bool = False
    host: Any = belief.UNKNOWN
    wants: Any = None
    later: list[Callable[[], Any]] | None = None
    after: list[Callable[[], Any]] = dataclasses.field(default_factory=list)


_current: Final[contextvars.ContextVar[Hint | None]] = contextvars.ContextVar(
    "nova_db_states_hint", default=None
)


def current(instance_uuid: str) -> Hint | None:
    """Give the hint for an instance.

    :param instance_uuid: the instance that is written
    :returns: the hint; ``None`` where no object of it is being saved
    """
    hint = _current.get()
    if hint is not None and hint.instance_uuid == instance_uuid:
        return hint
    return None


@contextlib.contextmanager
def given(hint: Hint) -> Iterator[Hint]:
    """Let the database seam know a hint for the time of a block.

    :param hint: the hint
    :returns: yields it
    """
    token = _current.set(hint)
    try:
        yield hint
    finally:
        _current.reset(token)
