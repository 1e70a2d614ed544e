# SPDX-License-Identifier: Apache-2.0
"""Cell databases of any size on a private server, with Nova's own schema."""

from collections.abc import Iterator
import contextlib
import dataclasses
import pathlib
import random
import tempfile
from typing import Any, Final

import pymysql
from pymysql import constants
import sqlalchemy as sa

from benchmarks import fleet
from tests.resources import mariadb
from tests.resources import schema
from tests.resources import servers

__all__ = [
    "Cell",
    "Connection",
    "connect",
    "connect_to",
    "copy",
    "load",
    "query",
    "server",
]

Connection = servers.Connection

# The largest cell has to fit in memory: what is measured is the statements,
# not the disk of the machine that happens to run this.
_SERVER_OPTIONS: Final = {
    "innodb_buffer_pool_size": "3G",
    "innodb_log_file_size": "1G",
    "innodb_online_alter_log_max_size": "512M",
    "local_infile": "ON",
}
_SEED: Final = 20261001


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """One cell database that has been filled.

    :ivar server: where it is
    :ivar database: its name
    :ivar rows: number of its instances
    """

    server: servers.Server
    database: str
    rows: int

    @property
    def url(self) -> str:
        """The SQLAlchemy URL."""
        return self.server.url(self.database)

    def quiet_servers(self, count: int) -> list[str]:
        """Choose servers that are active, nothing being done to them.

        :param count: at most this many
        :returns: their uuids, from all over the table, always the same
        """
        with contextlib.closing(connect(self)) as connection:
            found = query(
                connection,
                "SELECT uuid FROM instances WHERE deleted = 0"
                " AND vm_state = 'active' AND task_state IS NULL"
                " AND id %% %s = 0 ORDER BY id",
                max(self.rows // (count * 4), 1),
            )
        names = [str(row[0]) for row in found]
        random.Random(_SEED).shuffle(names)
        return names[:count]


def server() -> mariadb.MariaDBServer:
    """Give a private server, large enough; enter its context to start it."""
    return mariadb.MariaDBServer(**_SERVER_OPTIONS)


def connect(cell: Cell, **options: Any) -> Connection:
    """Open a plain PyMySQL connection in autocommit.

    It counts matched rows, as SQLAlchemy has it do.

    :param cell: where to
    :param options: further arguments of ``pymysql.connect``
    :returns: the connection, to be closed by the caller
    """
    return connect_to(cell.url, **options)


def connect_to(url: str, **options: Any) -> Connection:
    """Open such a connection where only the URL is known.

    :param url: SQLAlchemy's, of a cell
    :param options: further arguments of ``pymysql.connect``
    :returns: the connection, to be closed by the caller
    """
    parsed = sa.make_url(url)
    return pymysql.connect(
        host=parsed.host,
        port=parsed.port or 3306,
        user=parsed.username,
        password=parsed.password or "",
        database=parsed.database,
        client_flag=constants.CLIENT.FOUND_ROWS,
        autocommit=True,
        **options,
    )


def query(
    connection: Connection, statement: str, *args: object
) -> list[tuple[object, ...]]:
    """Run one statement and fetch everything.

    :param connection: where
    :param statement: with ``%s`` for each argument
    :param args: what to bind
    :returns: the rows
    """
    with connection.cursor() as cursor:
        cursor.execute(statement, args or None)
        return list(cursor.fetchall())


def load(template: schema.MariaDBSchema, rows: int) -> Cell:
    """Make a cell database and fill it.

    :param template: the schema
    :param rows: number of instances
    :returns: the cell
    """
    cell = Cell(template.server, template.create(), rows)
    with tempfile.NamedTemporaryFile(
        "w", prefix="nds-fleet-", suffix=".tsv"
    ) as file:
        file.writelines(_lines(rows))
        file.flush()
        _load_file(cell, pathlib.Path(file.name))
    _settle(cell)
    return cell


def copy(cell: Cell, template: schema.MariaDBSchema) -> Cell:
    """Make a second cell with the same rows.

    :param cell: the first
    :param template: the schema
    :returns: the copy
    """
    twin = Cell(cell.server, template.create(), cell.rows)
    with contextlib.closing(_bulk(twin)) as connection:
        query(
            connection,
            f"INSERT INTO instances SELECT * FROM `{cell.database}`.instances",
        )
    _settle(twin)
    return twin


def _lines(rows: int) -> Iterator[str]:
    for row in fleet.rows(rows, _SEED):
        yield (
            "\t".join("\\N" if value is None else str(value) for value in row)
            + "\n"
        )


def _load_file(cell: Cell, path: pathlib.Path) -> None:
    with contextlib.closing(_bulk(cell)) as connection:
        query(
            connection,
            "LOAD DATA LOCAL INFILE %s INTO TABLE instances"
            f" CHARACTER SET utf8mb4 ({', '.join(fleet.COLUMNS)})",
            str(path),
        )


def _bulk(cell: Cell) -> Connection:
    """Open a connection that fills an empty table by sorting each index."""
    connection = connect(cell, local_infile=True)
    query(connection, "SET unique_checks = 0")
    query(connection, "SET foreign_key_checks = 0")
    return connection


def _settle(cell: Cell) -> None:
    """Give the optimizer statistics of the filled table."""
    with contextlib.closing(connect(cell)) as connection:
        query(connection, "ANALYZE TABLE instances")
