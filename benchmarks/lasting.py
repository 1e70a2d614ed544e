# SPDX-License-Identifier: Apache-2.0
"""One process that makes many updates, and what it keeps of them.

Run as a script it reads lines of a name and a count, and answers each with a
line of JSON; see the methods of :class:`Lasting`.
"""

from collections.abc import Callable, Mapping, Sequence
import gc
import json
import os
import pathlib
import sys
import time
import tracemalloc
from typing import Any, Final

from benchmarks import peer

__all__ = ["SHAPES", "expectations"]

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_REFUSED_EACH: Final = 10
_TRACE_WARM_UP: Final = 2_000

_GUARDED: Final = (
    "host",
    "node",
    "hostname",
    "display_name",
    "image_ref",
    "availability_zone",
    "root_device_name",
)
_ABSENT: Final = ("absent-1", "absent-2", "absent-3")

SHAPES: Final = (len(_ABSENT) + 1) ** len(_GUARDED)
"""How many different :func:`expectations` there are."""

# Odd, and their count a power of two, so that none comes twice.
_STRIDE: Final = 5_081


def expectations(number: int) -> dict[str, tuple[str, ...]]:
    """Make expectations of a shape that no other number has.

    Each column is guarded against up to three values that no row has. With
    two or with three of them the statement is the same and its text is not.
    Numbers that follow each other have nothing in common, so that the first
    thousand guard as many columns as any other.

    :param number: from 0 to :data:`SHAPES`
    :returns: the values that each column must not have
    """
    excluded = {}
    number = number * _STRIDE % SHAPES
    for name in _GUARDED:
        number, count = divmod(number, len(_ABSENT) + 1)
        if count:
            excluded[name] = _ABSENT[:count]
    return excluded


class Lasting:
    """The updates, and what the process is afterwards."""

    def __init__(self, url: str, servers: Sequence[str]) -> None:
        """Connect.

        :param url: of the cell
        :param servers: that are active with no task
        """
        from nova_db_states import api
        from nova_db_states import exceptions
        from nova_db_states import states

        update, conflict = peer.our_update(url)
        half = len(servers) // 2
        self._hold = peer.calls(update, conflict, servers[:half])["hold"]
        self._refuse = peer.calls(update, conflict, servers[half:])["refuse"]
        self._update = api.instance_update
        self._context = api.connect(url)
        self._conflict = exceptions.UnexpectedTaskStateError
        self._not = states.Not
        self._shaped = servers[half:]
        self._done = dict.fromkeys(("hold", "refuse", "shape"), 0)
        self._collected = 0
        gc.callbacks.append(self._count)

    @property
    def answers(self) -> Mapping[str, Callable[[int], Any]]:
        """What can be asked for."""
        return {
            "updates": self.updates,
            "traced": self.traced,
            "shapes": self.shapes,
            "common": self.common,
        }

    def updates(self, count: int) -> dict[str, int]:
        """Make updates, one in ten of them refused.

        :returns: the state of the process
        """
        self._make(count)
        return self._state()

    def traced(self, count: int) -> float:
        """Make such updates while every allocation is traced.

        :returns: bytes still allocated, for each of them
        """
        tracemalloc.start()
        try:
            self._make(_TRACE_WARM_UP)
            gc.collect()
            before, _ = tracemalloc.get_traced_memory()
            self._make(count)
            gc.collect()
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        return (after - before) / count

    def shapes(self, count: int) -> dict[str, int]:
        """Make updates whose guards have shapes not seen yet.

        Every second is refused, and explained by a statement of its own.

        :returns: the state of the process
        """
        for _ in range(count):
            number = self._next("shape")
            shape = 1 + number % (SHAPES - 1)
            guards = {
                name: self._not(*values)
                for name, values in expectations(shape).items()
            }
            task_state = peer.NEW_STATE if number % 2 else None
            refused = False
            try:
                self._update(
                    self._context,
                    self._shaped[number % len(self._shaped)],
                    {"progress": number % 100},
                    expected_task_state=task_state,
                    expected=guards,
                )
            except self._conflict:
                refused = True
            if refused != bool(number % 2):
                raise RuntimeError(f"shape {shape} was judged wrongly")
        return self._state()

    def common(self, count: int) -> list[float]:
        """Make updates as everybody does.

        :returns: the seconds of each
        """
        clock = time.perf_counter
        seconds = []
        for _ in range(count):
            number = self._next("hold")
            began = clock()
            self._hold(number)
            seconds.append(clock() - began)
        return seconds

    def _make(self, count: int) -> None:
        for number in range(count):
            if number % _REFUSED_EACH == _REFUSED_EACH - 1:
                self._refuse(self._next("refuse"))
            else:
                self._hold(self._next("hold"))

    def _next(self, kind: str) -> int:
        number = self._done[kind]
        self._done[kind] += 1
        return number

    def _count(self, phase: str, info: Mapping[str, int]) -> None:
        if phase == "stop":
            self._collected += info["collected"]

    def _state(self) -> dict[str, int]:
        statm = pathlib.Path("/proc/self/statm").read_text()
        return {
            "resident": int(statm.split()[1]) * _PAGE,
            "blocks": sys.getallocatedblocks(),
            "collected": self._collected,
        }


def main(url: str, *servers: str) -> None:
    """Serve until standard input ends."""
    answers = Lasting(url, servers).answers
    for line in sys.stdin:
        name, count = line.split()
        print(json.dumps(answers[name](int(count))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
