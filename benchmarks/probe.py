# SPDX-License-Identifier: Apache-2.0
"""Asking the server what a statement costs it."""

import contextlib
import dataclasses
import statistics
import time
from typing import Any, Final

from benchmarks import cell as cell_

__all__ = ["Plan", "explain", "lock_count", "locked_by", "read_ms", "reads"]

# The server answers from innodb_trx with what it last collected, for up to a
# tenth of a second.
_STALE_S: Final = 0.15


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What the optimizer means to do, as EXPLAIN says it.

    :ivar key: the index used, ``-`` for none
    :ivar rows: its estimate of the rows to examine
    :ivar extra: the column of that name
    """

    key: str
    rows: int
    extra: str


def explain(connection: cell_.Connection, statement: str) -> Plan:
    """Ask for the plan of a statement without running it.

    :param connection: to the cell
    :param statement: on one table
    :returns: the plan
    """
    (row,) = cell_.query(connection, f"EXPLAIN {statement}")
    fields: tuple[Any, ...] = row
    return Plan(
        fields[5] or "-",
        int(fields[8] or 0),
        str(fields[9] or ""),
    )


def reads(connection: cell_.Connection, statement: str) -> int:
    """Count the index entries and rows that a statement reads.

    :param connection: to the cell
    :param statement: is run; a change stays if the connection commits
    :returns: the sum of the handler's read counters
    """
    before = _handler_reads(connection)
    cell_.query(connection, statement)
    return _handler_reads(connection) - before


def read_ms(
    connection: cell_.Connection, statement: str, times: int = 5
) -> float:
    """Time a query that changes nothing.

    :param connection: to the cell
    :param statement: the query
    :param times: how often; the median counts
    :returns: milliseconds, fetching included
    """
    seconds = []
    for _ in range(times):
        began = time.perf_counter()
        cell_.query(connection, statement)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds) * 1000


def locked_by(cell: cell_.Cell, statement: str) -> tuple[int, int]:
    """Count the locks that an UPDATE holds until its transaction ends.

    :param cell: where; the change is rolled back
    :param statement: the UPDATE
    :returns: rows locked, rows changed
    """
    with (
        contextlib.closing(cell_.connect(cell)) as connection,
        connection.cursor() as cursor,
    ):
        ((thread_id,),) = cell_.query(connection, "SELECT CONNECTION_ID()")
        connection.begin()
        changed = cursor.execute(statement)
        locked = lock_count(cell, int(str(thread_id)))
        connection.rollback()
    return locked, changed


def lock_count(cell: cell_.Cell, thread_id: int) -> int:
    """Count the row locks of an open transaction, from beside it.

    :param cell: where
    :param thread_id: of the connection that the transaction runs on
    :returns: ``trx_rows_locked``
    """
    time.sleep(_STALE_S)
    with contextlib.closing(cell_.connect(cell)) as connection:
        rows = cell_.query(
            connection,
            "SELECT trx_rows_locked FROM information_schema.innodb_trx"
            " WHERE trx_mysql_thread_id = %s",
            thread_id,
        )
    # A transaction that has locked nothing and changed nothing is not listed.
    return int(str(rows[0][0])) if rows else 0


def _handler_reads(connection: cell_.Connection) -> int:
    return sum(
        int(str(value))
        for name, value in cell_.query(
            connection, "SHOW SESSION STATUS LIKE 'Handler_read%'"
        )
        if name != "Handler_read_rnd_deleted"
    )
