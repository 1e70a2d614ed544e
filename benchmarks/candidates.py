# SPDX-License-Identifier: Apache-2.0
"""The indexes that could serve, what each gives, and what it costs."""

from collections.abc import Iterator, Sequence
import contextlib
import dataclasses
import functools
import statistics
import time
from typing import Final

from benchmarks import cell as cell_
from benchmarks import probe
from benchmarks import raw
from benchmarks import sampling
from benchmarks import workload

__all__ = [
    "CANDIDATES",
    "Cost",
    "Effect",
    "by_turns",
    "cost",
    "effects",
    "index",
]

NAME: Final = "candidate"

CANDIDATES: Final = (
    ("deleted", "vm_state", "task_state"),
    ("deleted", "vm_state", "task_state", "updated_at"),
    ("deleted", "task_state", "vm_state"),
    ("host", "deleted", "vm_state", "task_state"),
    ("deleted", "task_state", "updated_at"),
    ("deleted", "vm_state"),
    ("deleted", "vm_state", "task_state", "host"),
)
"""Columns of each candidate, in key order."""

_UPDATE_ROUNDS: Final = 80
_UPDATE_CALLS: Final = 20
_UPDATE_LIMIT_S: Final = 30.0
_QUERY_ROUNDS: Final = 15
_QUERY_LIMIT_S: Final = 20.0
_REDO_CALLS: Final = 1_000
_REDO_ROUNDS: Final = 3
_PURGE_LIMIT_S: Final = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Effect:
    """What one statement costs with the indexes there are.

    :ivar statement: its name
    :ivar plan: of its query
    :ivar read: index entries and rows read by its query
    :ivar query_ms: of its query, median
    :ivar locked: rows locked by its plain UPDATE; ``None`` if it has none
    :ivar changed: rows changed by that
    """

    statement: str
    plan: probe.Plan
    read: int
    query_ms: float
    locked: int | None = None
    changed: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """What one index costs.

    :ivar build_s: seconds to build it online on an idle server
    :ivar size_mb: its pages, in MB of 10**6 bytes
    :ivar with_ms: p50 of a guarded UPDATE of one server, with it
    :ivar without_ms: the same without it, measured by turns
    :ivar redo_with: redo log bytes of such an UPDATE, with it
    :ivar redo_without: the same without it
    """

    build_s: float
    size_mb: float
    with_ms: float
    without_ms: float
    redo_with: float
    redo_without: float


def effects(
    cell: cell_.Cell, statements: Sequence[workload.Statement]
) -> tuple[Effect, ...]:
    """Measure statements with the indexes the cell has now.

    :param cell: where
    :param statements: which
    :returns: one entry for each
    """
    found = []
    with contextlib.closing(cell_.connect(cell)) as connection:
        for statement in statements:
            locks: tuple[int, int] | tuple[None, None] = (None, None)
            if statement.update:
                locks = probe.locked_by(cell, statement.update)
            found.append(
                Effect(
                    statement.name,
                    probe.explain(connection, statement.query),
                    probe.reads(connection, statement.query),
                    probe.read_ms(connection, statement.query),
                    *locks,
                )
            )
    return tuple(found)


def by_turns(
    without: cell_.Cell,
    with_it: cell_.Cell,
    statements: Sequence[workload.Statement],
) -> tuple[tuple[Effect, ...], tuple[Effect, ...]]:
    """Measure queries on two cells, timing them by turns.

    :param without: the cell without an index
    :param with_it: a copy of it inside :func:`index`
    :param statements: which
    :returns: the effects without and with the index
    """
    both = []
    for cell in (without, with_it):
        with contextlib.closing(cell_.connect(cell)) as connection:
            both.append(
                [
                    (
                        probe.explain(connection, statement.query),
                        probe.reads(connection, statement.query),
                    )
                    for statement in statements
                ]
            )
    times = [_times(without, with_it, statement) for statement in statements]
    first, second = (
        tuple(
            Effect(statement.name, plan, read, pair[side])
            for statement, (plan, read), pair in zip(
                statements, measured, times, strict=True
            )
        )
        for side, measured in enumerate(both)
    )
    return first, second


def _times(
    without: cell_.Cell, with_it: cell_.Cell, statement: workload.Statement
) -> tuple[float, float]:
    with (
        contextlib.closing(cell_.connect(without)) as one,
        contextlib.closing(cell_.connect(with_it)) as other,
    ):
        samples = sampling.interleave(
            {
                name: sampling.timed(
                    functools.partial(_query, connection, statement.query)
                )
                for name, connection in (("without", one), ("with", other))
            },
            rounds=_QUERY_ROUNDS,
            calls=1,
            limit_s=_QUERY_LIMIT_S,
        )
    return (
        sampling.summarise(samples["without"]).p50_ms,
        sampling.summarise(samples["with"]).p50_ms,
    )


def _query(connection: cell_.Connection, query: str, number: int) -> None:
    del number
    cell_.query(connection, query)


@contextlib.contextmanager
def index(cell: cell_.Cell, columns: Sequence[str]) -> Iterator[float]:
    """Give a cell one more index for as long as the block runs.

    :param cell: where
    :param columns: in key order
    :returns: yields the seconds the build took
    """
    with contextlib.closing(cell_.connect(cell)) as connection:
        began = time.perf_counter()
        cell_.query(
            connection,
            f"ALTER TABLE instances ADD INDEX {NAME} ({', '.join(columns)}),"
            " ALGORITHM=NOCOPY, LOCK=NONE",
        )
        elapsed_s = time.perf_counter() - began
        try:
            # No ANALYZE: what follows an upgrade is what is measured.
            yield elapsed_s
        finally:
            cell_.query(connection, f"ALTER TABLE instances DROP INDEX {NAME}")


def cost(with_it: cell_.Cell, without: cell_.Cell, build_s: float) -> Cost:
    """Measure what the index of one cell costs against the cell without.

    :param with_it: the cell inside :func:`index`
    :param without: a copy of it without the index
    :param build_s: what the build took, in seconds
    :returns: the cost
    """
    with (
        contextlib.closing(cell_.connect(with_it)) as one,
        contextlib.closing(cell_.connect(without)) as other,
    ):
        servers = without.quiet_servers(1_000)
        blocks = {
            "with": sampling.timed(raw.Flip(one, servers)),
            "without": sampling.timed(raw.Flip(other, servers)),
        }
        samples = sampling.interleave(
            blocks,
            rounds=_UPDATE_ROUNDS,
            calls=_UPDATE_CALLS,
            limit_s=_UPDATE_LIMIT_S,
        )
        redo = {
            name: statistics.median(
                _redo(one, block) for _ in range(_REDO_ROUNDS)
            )
            for name, block in blocks.items()
        }
        return Cost(
            build_s,
            _size_mb(one, with_it.database),
            sampling.summarise(samples["with"]).p50_ms,
            sampling.summarise(samples["without"]).p50_ms,
            redo["with"],
            redo["without"],
        )


def _redo(connection: cell_.Connection, block: sampling.Block) -> float:
    """Count the redo log bytes of one call.

    What purging leaves to be written belongs to the update that caused it,
    so each count begins and ends with nothing left to purge.
    """
    _await_purge(connection)
    before = _lsn(connection)
    block(_REDO_CALLS)
    _await_purge(connection)
    return (_lsn(connection) - before) / _REDO_CALLS


def _await_purge(connection: cell_.Connection) -> None:
    deadline = time.monotonic() + _PURGE_LIMIT_S
    while time.monotonic() < deadline:
        if _status(connection, "Innodb_history_list_length") == 0:
            return
        time.sleep(0.05)


def _lsn(connection: cell_.Connection) -> int:
    return _status(connection, "Innodb_lsn_current")


def _status(connection: cell_.Connection, name: str) -> int:
    ((_, value),) = cell_.query(connection, "SHOW GLOBAL STATUS LIKE %s", name)
    return int(str(value))


def _size_mb(connection: cell_.Connection, database: str) -> float:
    ((size,),) = cell_.query(
        connection,
        "SELECT stat_value * @@innodb_page_size / 1e6"
        " FROM mysql.innodb_index_stats WHERE database_name = %s"
        " AND table_name = 'instances' AND index_name = %s"
        " AND stat_name = 'size'",
        database,
        NAME,
    )
    return float(str(size))
