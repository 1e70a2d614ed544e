# SPDX-License-Identifier: Apache-2.0
"""A run: workers, faults among them, and the history of both.

Everything that starts or strikes a process happens in the thread that called,
one thing after the other: at most one fault is there at a time.
"""

import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
import dataclasses
import pathlib
import time
from typing import Final

from tests.torture import fleet as fleet_
from tests.torture import history
from tests.torture import schedule
from tests.torture import targets
from tests.torture import worker

INSTANCES: Final = 4

# Between two faults, so that the second meets operations that succeed.
_CALM_S: Final = 0.2

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Settings:
    """How a run is made.

    :ivar operations: at least so many
    :ivar seed: of the faults and of the workers' choices
    :ivar kinds: the faults to use; ``None`` for all there are
    :ivar times: how often a kind strikes that takes long
    :ivar workers: processes
    :ivar threads: in each of them
    :ivar mutant: what to break in the workers, or empty
    """

    operations: int
    seed: int
    kinds: tuple[str, ...] | None = None
    times: int = 4
    workers: int = 6
    threads: int = 6
    mutant: str = ""


def run(
    target: targets.Target,
    settings: Settings,
    folder: pathlib.Path,
    say: Say,
) -> history.History:
    """Torture a target, and put down what happened.

    :param target: what
    :param settings: how
    :param folder: for the history; nothing else may be in it
    :param say: is told what is under way
    :returns: the history, also left in the folder
    :raises RunError: a worker failed by itself or did not end, or nothing
        went on any more
    :raises ServerUnavailable: a server did not come back after a fault
    """
    began = time.monotonic()
    instances = target.insert(INSTANCES)

    def task(number: int) -> worker.Task:
        scheme = targets.SCHEMES[number % len(targets.SCHEMES)]
        return worker.Task(
            number,
            settings.seed,
            folder,
            target.urls(scheme),
            settings.threads,
            instances,
            settings.mutant,
        )

    with fleet_.Fleet(settings.workers, settings.threads, task, say) as fleet:
        faults = list(_strike(target, settings, fleet, say))
        fleet.work_until(settings.operations)
        fleet.finish()
    target.settle()
    recorded = history.History(
        [],
        target.finals(instances),
        faults,
        {
            "target": type(target).__name__,
            **dataclasses.asdict(settings),
            "seconds": round(time.monotonic() - began, 1),
        },
    )
    history.write_run(folder, recorded)
    recorded.operations = history.read_operations(folder)
    return recorded


def _strike(
    target: targets.Target,
    settings: Settings,
    fleet: fleet_.Fleet,
    say: Say,
) -> Iterator[history.Fault]:
    """Let the faults of a run happen; give each when it is over."""
    kinds = {**target.kinds(), **fleet.kinds()}
    chosen = kinds if settings.kinds is None else settings.kinds
    plan = schedule.plan(
        settings.seed,
        settings.operations,
        {
            name: schedule.Quota(
                settings.times * kinds[name].often, kinds[name].lasts_s
            )
            for name in chosen
        },
    )
    for strike in plan:
        fleet.work_until(strike.due)
        time.sleep(_CALM_S)
        struck: Sequence[int] = range(target.nodes)
        if strike.kind in fleet.kinds():
            struck = fleet.numbers
        place = int(strike.dice * len(struck))
        begin = time.monotonic_ns()
        with kinds[strike.kind].strikes(place):
            time.sleep(strike.seconds)
        fault = history.Fault(
            strike.kind, struck[place], begin, time.monotonic_ns()
        )
        say(
            f"{fleet.made:,} operations; {fault.kind} at {fault.node} for "
            f"{(fault.end - fault.begin) / 1e9:.1f} s"
        )
        yield fault


def in_flight(
    faults: Iterable[history.Fault], operations: Iterable[history.Operation]
) -> list[list[history.Operation]]:
    """Find the operations that were under way when faults struck.

    :param faults: in the order in which they struck
    :param operations: in any order
    :returns: for each fault its operations, on all nodes
    """
    begins = [fault.begin for fault in faults]
    found: list[list[history.Operation]] = [[] for _ in begins]
    for operation in operations:
        first = bisect.bisect_left(begins, operation.start)
        # What never returned was ended by the first fault it met.
        last = (
            first + 1
            if operation.end is None
            else bisect.bisect_right(begins, operation.end)
        )
        for fault in found[first:last]:
            fault.append(operation)
    return found
