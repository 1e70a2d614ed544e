# SPDX-License-Identifier: Apache-2.0
"""Timing several contenders so that noise hits all of them alike.

A machine that does other work is slower in one second than in the next. So
each contender runs a block of a few calls, then the next one, in an order
drawn anew for each round; medians are compared, and no contender ever has
the quiet minute for itself.
"""

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import random
import statistics
import time
from typing import Final

__all__ = [
    "Block",
    "Summary",
    "interleave",
    "percentile_ms",
    "summarise",
    "timed",
]

Block = Callable[[int], Sequence[float]]
"""Makes that many calls and gives the seconds that each one took."""

_WARM_UP_ROUNDS: Final = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Summary:
    """What became of the calls of one contender.

    :ivar count: number of calls timed
    :ivar p50_ms: median, in milliseconds
    :ivar p95_ms: 95th percentile, in milliseconds
    :ivar max_ms: the slowest, in milliseconds
    """

    count: int
    p50_ms: float
    p95_ms: float
    max_ms: float


def timed(call: Callable[[int], object]) -> Block:
    """Turn one call into a block of timed calls.

    :param call: is given the number of the call, counting on from block to
        block
    :returns: the block
    """
    done = 0
    clock = time.perf_counter

    def block(count: int) -> Sequence[float]:
        nonlocal done
        seconds = []
        for number in range(done, done + count):
            began = clock()
            call(number)
            seconds.append(clock() - began)
        done += count
        return seconds

    return block


def interleave(
    contenders: Mapping[str, Block],
    *,
    rounds: int,
    calls: int,
    limit_s: float,
) -> dict[str, list[float]]:
    """Run every contender by turns.

    :param contenders: by name
    :param rounds: at most so many blocks of each that count
    :param calls: calls in a block
    :param limit_s: no further round begins after so many seconds
    :returns: the seconds of every call that counts, by contender
    """
    order = random.Random(len(contenders))
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    deadline = time.monotonic() + limit_s
    for number in range(rounds + _WARM_UP_ROUNDS):
        if number > _WARM_UP_ROUNDS and time.monotonic() > deadline:
            break
        for name in order.sample(list(contenders), len(contenders)):
            seconds = contenders[name](calls)
            if number >= _WARM_UP_ROUNDS:
                samples[name].extend(seconds)
    return samples


def summarise(seconds: Sequence[float]) -> Summary:
    """Reduce the times of many calls.

    :param seconds: of each call
    :returns: what a table shows
    """
    ordered = sorted(seconds)
    return Summary(
        count=len(ordered),
        p50_ms=statistics.median(ordered) * 1000,
        p95_ms=_at(ordered, 0.95) * 1000,
        max_ms=ordered[-1] * 1000,
    )


def percentile_ms(seconds: Sequence[float], share: float) -> float:
    """Find the time that a share of many calls did not exceed.

    :param seconds: of each call
    :param share: between 0 and 1
    :returns: that time, in milliseconds
    """
    return _at(sorted(seconds), share) * 1000


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]
