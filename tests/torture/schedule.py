# SPDX-License-Identifier: Apache-2.0
"""Which faults strike when: decided by a seed before anything begins.

A fault is due when so many operations have been made, not at a time, so that
the same seed gives the same faults in the same places on any machine.
"""

from collections.abc import Mapping
import dataclasses
import random
from typing import Final

_FIRST: Final = 0.04
_LAST: Final = 0.96


@dataclasses.dataclass(frozen=True, slots=True)
class Strike:
    """One fault to come.

    :ivar due: the number of operations made by then
    :ivar kind: one of those that the target knows
    :ivar dice: from 0 to below 1; chooses what is struck of all there is
    :ivar seconds: how long it lasts
    """

    due: int
    kind: str
    dice: float
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class Quota:
    """How much of one kind there is to be.

    :ivar times: how often it strikes
    :ivar lasts_s: the shortest and longest time of one
    """

    times: int
    lasts_s: tuple[float, float]


def plan(
    seed: int, operations: int, quotas: Mapping[str, Quota]
) -> list[Strike]:
    """Spread faults evenly over a run, in an order drawn by lot.

    :param seed: decides everything
    :param operations: of the whole run
    :param quotas: by the name of the kind
    :returns: in the order in which they are due
    """
    dice = random.Random(f"{seed}/schedule")
    names = [
        name for name in sorted(quotas) for _ in range(quotas[name].times)
    ]
    dice.shuffle(names)
    step = (_LAST - _FIRST) / max(1, len(names))
    return [
        Strike(
            round(operations * (_FIRST + place * step)),
            name,
            dice.random(),
            dice.uniform(*quotas[name].lasts_s),
        )
        for place, name in enumerate(names)
    ]
