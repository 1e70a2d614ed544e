# SPDX-License-Identifier: Apache-2.0
"""What a run did and what was wrong with it, as tables."""

import collections
from collections.abc import Sequence
import dataclasses
import pathlib
from typing import Final

from rich import box
from rich import console as rich_console
from rich import table as rich_table

from tests.torture import check
from tests.torture import history
from tests.torture import run
from tests.torture import timeline

_SHOWN: Final = 10
_DRAWN: Final = 3


@dataclasses.dataclass
class Faults:
    """What was struck by one kind of fault.

    :ivar strikes: how often it struck
    :ivar in_flight: operations under way at these moments, on all nodes
    :ivar there: those of them on the node, or of the worker, that was struck
    :ivar seconds: how long all of them lasted, mending included
    """

    strikes: int = 0
    in_flight: int = 0
    there: int = 0
    seconds: float = 0.0


def by_kind(recorded: history.History) -> dict[str, Faults]:
    """Add up the faults of a history by kind."""
    found: dict[str, Faults] = collections.defaultdict(Faults)
    struck = run.in_flight(recorded.faults, recorded.operations)
    for fault, operations in zip(recorded.faults, struck, strict=True):
        faults = found[fault.kind]
        faults.strikes += 1
        faults.in_flight += len(operations)
        faults.there += sum(
            fault.node == (each.process if fault.of_worker else each.node)
            for each in operations
        )
        faults.seconds += (fault.end - fault.begin) / 1e9
    return dict(sorted(found.items()))


def draw(
    recorded: history.History,
    violations: Sequence[check.Violation],
    folder: pathlib.Path,
) -> list[pathlib.Path]:
    """Draw the first violations into the folder of their history."""
    drawn = []
    for number, violation in enumerate(violations[:_DRAWN], 1):
        path = folder / f"violation-{number}.svg"
        path.write_text(timeline.draw(recorded, violation))
        drawn.append(path)
    return drawn


def show(
    recorded: history.History, violations: Sequence[check.Violation]
) -> None:
    """Print what a run did, and what was wrong.

    :param recorded: its history
    :param violations: found in it
    """
    console = rich_console.Console(width=100)
    facts = recorded.facts
    table = rich_table.Table(box=box.SIMPLE_HEAD)
    for name in ("operations", *history.Outcome, "violations", "seconds"):
        table.add_column(name, justify="right")
    counted = check.outcomes(recorded.operations)
    table.add_row(
        f"{len(recorded.operations):,}",
        *(f"{count:,}" for count in counted.values()),
        f"{len(violations):,}",
        f"{facts['seconds']:,}",
    )
    console.print(f"{facts['target']}, seed {facts['seed']}")
    console.print(table)
    console.print(_errors(recorded))
    if recorded.faults:
        console.print(_faults(recorded))
    for violation in violations[:_SHOWN]:
        console.print(str(violation), style="red", highlight=False)
    if len(violations) > _SHOWN:
        console.print(f"and {len(violations) - _SHOWN:,} more")


def require(
    recorded: history.History, folder: pathlib.Path, in_flight: int = 0
) -> None:
    """Make sure that nothing was wrong, and that something was at stake.

    :param recorded: the history of a run; what it did is printed
    :param folder: where it is kept, and what is wrong with it drawn
    :param in_flight: operations that each kind of fault has to have met
    :raises AssertionError: with what is wrong, and where the pictures are
    """
    violations = check.check(recorded)
    show(recorded, violations)
    assert not violations, "\n".join(
        [
            f"seed {recorded.facts['seed']}, history in {folder}",
            *map(str, violations[:_SHOWN]),
            *map(str, draw(recorded, violations, folder)),
        ]
    )
    few = {
        kind: faults.in_flight
        for kind, faults in by_kind(recorded).items()
        if faults.in_flight < in_flight
    }
    assert not few, f"operations in flight, of each kind: {few}"


def _errors(recorded: history.History) -> rich_table.Table:
    """Count what was neither done nor refused, by what was raised."""
    counted = collections.Counter(
        (each.outcome, each.error or "(its worker was killed)")
        for each in recorded.operations
        if each.outcome not in {history.Outcome.OK, history.Outcome.CONFLICT}
    )
    table = rich_table.Table(box=box.SIMPLE_HEAD)
    table.add_column("outcome")
    table.add_column("raised")
    table.add_column("operations", justify="right")
    for (outcome, error), count in sorted(counted.items()):
        table.add_row(outcome, error, f"{count:,}")
    return table


def _faults(recorded: history.History) -> rich_table.Table:
    table = rich_table.Table(box=box.SIMPLE_HEAD)
    table.add_column("fault")
    for name in ("strikes", "in flight", "on the struck", "seconds"):
        table.add_column(name, justify="right")
    for kind, faults in by_kind(recorded).items():
        table.add_row(
            kind,
            f"{faults.strikes:,}",
            f"{faults.in_flight:,}",
            f"{faults.there:,}",
            f"{faults.seconds:,.1f}",
        )
    return table
