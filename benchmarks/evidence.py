# SPDX-License-Identifier: Apache-2.0
"""The evidence about indexes, as a part of the administration guide."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import dataclasses
import textwrap
from typing import Final

from benchmarks import candidates
from benchmarks import probe
from benchmarks import workload

__all__ = ["Candidate", "Evidence", "as_rst"]

_INTRODUCTION: Final = """\
.. SPDX-License-Identifier: Apache-2.0
.. Written by python -m benchmarks.indexes; run it again instead of editing.

Measured on a table of {rows:,} instances, three in ten of them deleted, nine
in ten of the others active with no task under way. The table fits in memory.

:Server: {server}
:Processor: {processor}

Rows read are the server's ``Handler_read`` counters. Rows locked are those of
the sweep written as one plain ``UPDATE``, with the rows it changes in
parentheses; ``instances_update`` locks only what it changes, whatever the
index. The update is that of one server by its uuid, guarded by both states,
made by turns on two copies of the table, one with the index; its redo log
includes what purging the old index entries writes. Only statements that come
to use an index are listed under it.
"""

_HEADINGS: Final = (
    "key",
    "rows (EXPLAIN)",
    "Extra",
    "rows read",
    "ms",
    "rows locked",
)

_REASONS: Final = {
    ("deleted", "vm_state", "task_state"): (
        "Made. Sweeps by states read and lock the rows of that state and no "
        "longer the whole table, and counts are answered from the index, in "
        "its order. It costs an update of ``task_state`` two entries: about a "
        "tenth more redo log and a tenth of the time of the bare statement."
    ),
    ("deleted", "vm_state", "task_state", "updated_at"): (
        "Reads no row less: the age of a server that was never updated is "
        "that of ``created_at``, so the row is looked up all the same. "
        "Larger, and changed by every update, not only by those of a state."
    ),
    ("deleted", "task_state", "vm_state"): (
        "Serves the same sweeps, but counts read twice as much and sort. What "
        "it adds, ``task_state`` alone, Nova's "
        "``instances_task_state_updated_at_idx`` reads as few rows for; and "
        "it draws the list of stuck servers to a slower plan."
    ),
    ("host", "deleted", "vm_state", "task_state"): (
        "Nova's ``instances_host_deleted_cleaned_idx`` leaves a few hundred "
        "rows to look at; less than a millisecond of that can be saved. "
        "Among the largest, and its pages split under updates."
    ),
    ("deleted", "task_state", "updated_at"): (
        "Nova's ``instances_task_state_updated_at_idx`` does the same work, "
        "because deleted rows have no ``task_state``; the list of stuck "
        "servers becomes slower."
    ),
    ("deleted", "vm_state"): (
        "The cheapest, as a change of ``task_state`` does not touch it (the "
        "difference in its times is the noise of this measurement), and "
        "sweeps lock as little. But counts still read the whole table, and "
        "sweeps look up every row."
    ),
    ("deleted", "vm_state", "task_state", "host"): (
        "Everything the first does at more than twice its size; what "
        "``host`` adds, an index of Nova's gives already."
    ),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """One index, measured.

    :ivar columns: in key order
    :ivar chosen: whether the migrations make it
    :ivar effects: with it, one for each of ``workload.OURS``
    :ivar single: the plan of the update of one server
    :ivar cost: what it costs
    """

    columns: tuple[str, ...]
    chosen: bool
    effects: tuple[candidates.Effect, ...]
    single: probe.Plan
    cost: candidates.Cost


@dataclasses.dataclass(frozen=True, slots=True)
class Evidence:
    """Everything measured.

    :ivar rows: of the table
    :ivar before: with Nova's own indexes
    :ivar found: of each candidate
    :ivar nova: of Nova's queries: without and with each index that is made
    """

    rows: int
    before: tuple[candidates.Effect, ...]
    found: tuple[Candidate, ...]
    nova: tuple[tuple[candidates.Effect, ...], ...]


def as_rst(evidence: Evidence, machine: Mapping[str, str]) -> str:
    """Write the evidence as reStructuredText without headings.

    :param evidence: what was measured
    :param machine: what it was measured on
    :returns: a text to be included in a page
    """
    lines = [
        *_INTRODUCTION.format(rows=evidence.rows, **machine).splitlines(),
        "",
        *_table(
            "The candidates",
            (
                "index",
                "made",
                "build, s",
                "size, MB",
                "update p50, ms: without",
                "with",
                "redo bytes: without",
                "with",
                "index of that update",
            ),
            (_summary(candidate) for candidate in evidence.found),
        ),
        *_reasons(evidence.found),
        *_table(
            "Nova's own indexes alone",
            ("statement", *_HEADINGS),
            (
                (effect.statement, *_cells(effect))
                for effect in evidence.before
            ),
        ),
    ]
    for candidate in evidence.found:
        lines += _details(evidence.before, candidate)
    lines += _table(
        "Nova's own queries, with and without the index that is made",
        ("query", "index", "ms: without", "with", "read: without", "with"),
        _novas(evidence.nova),
    )
    lines += _texts()
    return "\n".join(lines).rstrip() + "\n"


def _summary(candidate: Candidate) -> Sequence[str]:
    cost = candidate.cost
    return (
        _name(candidate.columns),
        "**yes**" if candidate.chosen else "no",
        f"{cost.build_s:.1f}",
        f"{cost.size_mb:.0f}",
        f"{cost.without_ms:.3f}",
        f"{cost.with_ms:.3f}",
        f"{cost.redo_without:.0f}",
        f"{cost.redo_with:.0f}",
        f"``{candidate.single.key}``",
    )


def _reasons(found: Iterable[Candidate]) -> list[str]:
    lines = []
    for candidate in found:
        reason = _REASONS.get(candidate.columns, "Not judged yet.")
        lines += [
            _name(candidate.columns),
            *textwrap.wrap(
                reason,
                width=79,
                initial_indent="    ",
                subsequent_indent="    ",
                break_on_hyphens=False,
            ),
            "",
        ]
    return lines


def _details(
    before: Sequence[candidates.Effect], candidate: Candidate
) -> list[str]:
    """Show the statements that use the index, before and after."""
    rows = []
    for old, new in zip(before, candidate.effects, strict=True):
        if new.plan.key == candidates.NAME:
            rows.append(
                (
                    new.statement,
                    *(
                        f"{was} → {now}" if was != now else now
                        for was, now in zip(
                            _cells(old), _cells(new), strict=True
                        )
                    ),
                )
            )
    return _table(
        f"Statements that use {_name(candidate.columns)}",
        ("statement", *_HEADINGS),
        rows,
    )


def _cells(effect: candidates.Effect) -> Sequence[str]:
    locked = "-"
    if effect.locked is not None:
        locked = f"{effect.locked:,} ({effect.changed:,})"
    return (
        f"``{effect.plan.key}``" if effect.plan.key != "-" else "none",
        f"{effect.plan.rows:,}",
        effect.plan.extra or "-",
        f"{effect.read:,}",
        f"{effect.query_ms:.1f}",
        locked,
    )


def _novas(
    nova: Sequence[Sequence[candidates.Effect]],
) -> Iterator[Sequence[str]]:
    # A pair for each index that is made.
    for before, after in zip(nova[::2], nova[1::2], strict=True):
        for old, new in zip(before, after, strict=True):
            was, now = f"``{old.plan.key}``", f"``{new.plan.key}``"
            yield (
                new.statement,
                was if was == now else f"{was} → {now}",
                f"{old.query_ms:.1f}",
                f"{new.query_ms:.1f}",
                f"{old.read:,}",
                f"{new.read:,}",
            )


def _texts() -> list[str]:
    lines = ["The statements:", ""]
    for statement in workload.OURS:
        lines += [statement.name, f"    ``{statement.query}``", ""]
    return lines


def _name(columns: Iterable[str]) -> str:
    return f"``({', '.join(columns)})``"


def _table(
    title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]
) -> list[str]:
    return [
        f".. csv-table:: {title}",
        "   :header-rows: 1",
        "",
        f"   {_line(headings)}",
        *(f"   {_line(row)}" for row in rows),
        "",
    ]


def _line(cells: Sequence[str]) -> str:
    return ", ".join('"' + cell.replace('"', '""') + '"' for cell in cells)
