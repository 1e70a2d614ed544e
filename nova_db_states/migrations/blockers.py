# SPDX-License-Identifier: Apache-2.0
"""Who holds the table, as far as this database user may see.

Three sources, from the exact to the vague: MariaDB's plugin
``metadata_lock_info`` and MySQL's ``performance_schema`` know who holds which
table; ``innodb_trx`` knows only who has a transaction open.
"""

from collections.abc import Mapping
import dataclasses
import textwrap
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_db_states import database
from nova_db_states.migrations import catalogue
from nova_db_states.migrations import index as index_

__all__ = ["Blockers", "find"]

_PROCESS: Final = (
    "p.USER AS user, p.HOST AS host, p.COMMAND AS command, p.TIME AS time_s,"
    " p.INFO AS statement, t.trx_started AS began"
)
_MARIADB_LOCKS: Final = (
    "SELECT m.THREAD_ID AS id, m.LOCK_MODE AS held, {columns}"
    " FROM information_schema.METADATA_LOCK_INFO AS m {joins}"
    " WHERE (m.TABLE_SCHEMA = DATABASE() AND m.TABLE_NAME = :name"
    # FLUSH TABLES WITH READ LOCK and BACKUP STAGE stop every change.
    " OR m.LOCK_MODE LIKE 'MDL_BACKUP_FTWRL_'"
    " OR m.LOCK_MODE LIKE 'MDL_BACKUP_%_DDL')"
    " AND m.THREAD_ID <> CONNECTION_ID()"
)
_MYSQL_LOCKS: Final = (
    "SELECT h.PROCESSLIST_ID AS id, m.LOCK_TYPE AS held, {columns}"
    " FROM performance_schema.metadata_locks AS m"
    " JOIN performance_schema.threads AS h"
    " ON h.THREAD_ID = m.OWNER_THREAD_ID {joins}"
    " WHERE m.OBJECT_SCHEMA = DATABASE() AND m.OBJECT_NAME = :name"
    " AND m.LOCK_STATUS = 'GRANTED' AND h.PROCESSLIST_ID <> CONNECTION_ID()"
)
_JOINS: Final = (
    "LEFT JOIN information_schema.PROCESSLIST AS p ON p.ID = {id}"
    " LEFT JOIN information_schema.INNODB_TRX AS t"
    " ON t.trx_mysql_thread_id = {id}"
)
_TRANSACTIONS: Final = sa.text(
    "SELECT t.trx_mysql_thread_id AS id, NULL AS held, " + _PROCESS + " FROM"
    " information_schema.INNODB_TRX AS t"
    " LEFT JOIN information_schema.PROCESSLIST AS p"
    " ON p.ID = t.trx_mysql_thread_id"
    " WHERE t.trx_mysql_thread_id <> CONNECTION_ID()"
    " AND (p.DB = DATABASE() OR p.DB IS NULL)"
    " ORDER BY t.trx_started"
)

_DBA_QUERY: Final = (
    "SELECT t.trx_mysql_thread_id, t.trx_started, p.user, p.host, p.db, "
    "p.time, p.info FROM information_schema.innodb_trx t JOIN "
    "information_schema.processlist p ON p.id = t.trx_mysql_thread_id "
    "ORDER BY t.trx_started;"
)
# A lock without a transaction, such as FLUSH TABLES WITH READ LOCK and LOCK
# TABLES take, is in none of InnoDB's tables.
_DBA_LOCKS: Final = {
    True: "information_schema.metadata_lock_info (after INSTALL SONAME "
    "'metadata_lock_info')",
    False: "performance_schema.metadata_locks",
}

_STATEMENT_WIDTH: Final = 80


@dataclasses.dataclass(frozen=True, slots=True)
class Blockers:
    """What could be seen.

    :ivar lines: a line for each transaction in the way
    :ivar explanation: what to tell the person who waits
    """

    lines: tuple[str, ...]
    explanation: str


def find(connection: sa.Connection) -> Blockers:
    """Look for the transactions that hold the table.

    :param connection: in autocommit; whatever its user may not read is left
        out
    :returns: what could be seen, and what a DBA can do about the rest
    """
    if not database.is_mysql(connection.dialect):
        return Blockers(
            (),
            "SQLite does not tell who holds the file. End the other "
            "processes that have it open (fuser shows them) and run this "
            "again.",
        )
    is_mariadb = getattr(connection.dialect, "is_mariadb", False)
    exact = _first_readable(
        connection, _mariadb_locks() if is_mariadb else _mysql_locks()
    )
    if exact:
        return Blockers(
            tuple(_line(row) for row in exact),
            "Let them end, or end them with KILL, and run this again. In "
            "the way:",
        )
    open_ones = _first_readable(connection, [_TRANSACTIONS])
    if open_ones:
        return Blockers(
            tuple(_line(row) for row in open_ones),
            "Let the oldest of these end, or end it with KILL, and run this "
            "again. This server does not tell which of them hold the table; "
            "open transactions:",
        )
    if exact is not None or open_ones is not None:
        return Blockers(
            (),
            "None of them is to be seen now: run this again, with more "
            "--attempts or in a quieter hour. If that does not help, look "
            "for a backup or a FLUSH TABLES WITH READ LOCK.",
        )
    user = connection.exec_driver_sql("SELECT CURRENT_USER()").scalar_one()
    return Blockers(
        (),
        f"The grants of {_account(str(user))} do not show who they are. A "
        f"DBA sees open transactions with: {_DBA_QUERY} and those that hold "
        f"a lock without one (LOCK TABLES, FLUSH TABLES WITH READ LOCK) with "
        f"SHOW FULL PROCESSLIST and in {_DBA_LOCKS[is_mariadb]}; or lets "
        f"this command name them with: GRANT PROCESS ON *.* TO "
        f"{_account(str(user))};",
    )


def _account(user: str) -> str:
    name, _, host = user.rpartition("@")
    return f"'{name}'@'{host}'"


def _mariadb_locks() -> list[sa.TextClause]:
    joins = _JOINS.format(id="m.THREAD_ID")
    return [
        sa.text(_MARIADB_LOCKS.format(columns=_PROCESS, joins=joins)),
        # Without PROCESS the locks are visible, and of the holders only the
        # connections of this very user.
        sa.text(
            _MARIADB_LOCKS.format(
                columns=_PROCESS.replace("t.trx_started", "NULL"),
                joins=joins.partition(" LEFT JOIN information_schema.INN")[0],
            )
        ),
    ]


def _mysql_locks() -> list[sa.TextClause]:
    joins = _JOINS.format(id="h.PROCESSLIST_ID")
    return [sa.text(_MYSQL_LOCKS.format(columns=_PROCESS, joins=joins))]


def _first_readable(
    connection: sa.Connection, statements: list[sa.TextClause]
) -> list[dict[str, Any]] | None:
    """Answer the first statement that this user may run.

    :returns: its rows, or ``None`` if the user may run none of them
    """
    for statement in statements:
        parameters = (
            {"name": index_.TABLE} if ":name" in str(statement) else {}
        )
        try:
            rows = connection.execute(statement, parameters).mappings().all()
        except sa_exc.DBAPIError as error:
            if error.connection_invalidated:
                return None
            continue
        return catalogue.same_everywhere(rows)
    return None


def _line(row: Mapping[str, Any]) -> str:
    """Describe one transaction in a line."""
    who = f"connection {row['id']}"
    if row["user"] is not None:
        who += f" of {row['user']}@{row['host']}"
    parts = [who]
    if row["began"] is not None:
        parts.append(f"in a transaction since {row['began']}")
    if row["command"] is not None:
        parts.append(f"{str(row['command']).lower()} for {row['time_s']} s")
    if row["held"] is not None:
        parts.append(f"holds {row['held']}")
    if row["statement"]:
        text = str(row["statement"])
        parts.append("runs " + textwrap.shorten(text, _STATEMENT_WIDTH))
    return ", ".join(parts)
