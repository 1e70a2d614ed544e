# SPDX-License-Identifier: Apache-2.0
"""Which races are played, and when in each the second side begins.

All of it follows from the seed; only the scheduling of the processes does not.
"""

import dataclasses
import enum
import random
from typing import Final
import uuid

from nova_db_states import exceptions

__all__ = ["Pair", "Race", "draw", "server_uuid"]


class Pair(enum.StrEnum):
    """What races against what."""

    BUILD_DELETE = "build against delete"
    STOP_DELETE = "stop against delete"
    RESIZE_DELETE = "resize against delete"
    RESCUE_RESCUE = "two rescues at once"
    EVACUATE_EVACUATE = "two evacuations at once"


# A round: the first pair is the story, the others show that it is no
# special case. The window, in seconds, is how much later the second side may
# begin: as long as the first one takes, or as two clicks are apart.
_ROUND: Final = (
    (Pair.BUILD_DELETE, 4, 0.280),
    (Pair.STOP_DELETE, 1, 0.030),
    (Pair.RESIZE_DELETE, 1, 0.100),
    (Pair.RESCUE_RESCUE, 1, 0.010),
    (Pair.EVACUATE_EVACUATE, 1, 0.010),
)
_RESTART_SHARE: Final = 1 / 3
# Where the delete waits for the lock of the instance; a resize holds none.
_WAITING: Final = frozenset({Pair.BUILD_DELETE, Pair.STOP_DELETE})


@dataclasses.dataclass(frozen=True, slots=True)
class Race:
    """One race, the same in both modes.

    :ivar number: 0 for the first
    :ivar pair: what races against what
    :ivar second_begins_s: seconds after the first side
    :ivar restart: whether nova-compute is restarted while the delete waits
        for the first side, so that the request is lost with its process and
        only the row says that there was one
    """

    number: int
    pair: Pair
    second_begins_s: float
    restart: bool


def draw(seed: int, count: int) -> tuple[Race, ...]:
    """Draw the races of a run.

    :param seed: the same seed gives the same races
    :param count: number of races, at least 1
    :returns: the races in the order they are started
    :raises InvalidRequest: ``count`` is below 1
    """
    if count < 1:
        raise exceptions.InvalidRequest(
            f"races={count}: at least 1 race must be played. 8 is the "
            f"smallest number that has every pair in it."
        )
    chance = random.Random(seed)
    pairs = [
        (pair, window_s)
        for pair, share, window_s in _ROUND
        for _ in range(share)
    ]
    races = []
    for number in range(count):
        pair, window_s = pairs[number % len(pairs)]
        races.append(
            Race(
                number,
                pair,
                chance.uniform(0, window_s),
                chance.random() < _RESTART_SHARE and pair in _WAITING,
            )
        )
    return tuple(races)


def server_uuid(seed: int, part: int, race: Race) -> str:
    """Give the UUID of the server that a race is about.

    :param seed: that of the run
    :param part: which mode of the run; two modes share no server
    :param race: the race
    """
    name = f"{seed}/{part}/{race.number}"
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))
