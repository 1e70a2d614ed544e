# SPDX-License-Identifier: Apache-2.0
"""The evidence about indexes, as a page of the administration guide."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import dataclasses
from typing import Final

from benchmarks import candidates
from benchmarks import probe
from benchmarks import workload

__all__ = ["Candidate", "Evidence", "as_rst"]

_INTRODUCTION: Final = """\
.. SPDX-License-Identifier: Apache-2.0
.. Written by python -m benchmarks.indexes; run it again instead of editing.

========================
Evidence for the indexes
========================

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
    """Write the evidence as a page of reStructuredText.

    :param evidence: what was measured
    :param machine: what it was measured on
    :returns: the page
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
