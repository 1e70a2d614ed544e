# SPDX-License-Identifier: Apache-2.0
"""Puts MariaDB where Nova's test fixtures put SQLite in memory.

The fixtures migrate the first cell database of a process, keep what
``iterdump`` of :mod:`sqlite3` says of it, and run that with ``executescript``
on each later one, which is new and empty as any database in memory. Here both
methods are given to PyMySQL's connections, and a "new" database is one of a
few of this process, which has its tables from last time and is emptied.

Only the main database moves; that of the API stays where it was.
"""

import atexit
from collections.abc import Callable, Iterator
import contextlib
import os
from typing import Any, Final

import wrapt

_IN_MEMORY: Final = frozenset({"sqlite://", "sqlite:///"})

# A test that hangs on what the last one left locked shall say so.
_LOCK_WAIT_S: Final = 20

_FIRST_ID: Final = 1


class _Server:
    """The server, and which of its databases the running test has."""

    def __init__(self) -> None:
        self.url = ""
        self.version = ""
        self.taken = 0
        self.made: set[str] = set()

    def take(self) -> str:
        """Give the URL of a database that this test has not had yet."""
        name = f"conformance_{os.getpid()}_{self.taken}"
        self.taken += 1
        if name not in self.made:
            self._make(name)
            self.made.add(name)
        return f"{self.url}{name}"

    def drop(self) -> None:
        """Leave nothing on a server that others use too."""
        if not self.made:
            return
        with self._connect() as connection, connection.cursor() as cursor:
            for name in self.made:
                _end_others(cursor, name)
                cursor.execute(f"DROP DATABASE `{name}`")

    def _make(self, name: str) -> None:
        with self._connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb3")
            cursor.execute("SELECT VERSION()")
            [self.version] = cursor.fetchone() or [""]

    def _connect(self) -> Any:
        import pymysql
        import sqlalchemy

        url = sqlalchemy.make_url(self.url)
        return pymysql.connect(
            host=url.host or "",
            port=url.port or 3306,
            user=url.username,
            password=url.password or "",
            autocommit=True,
        )


_SERVER: Final = _Server()


def begin(url: str) -> None:
    """Prepare for Nova's import.

    :param url: of the server, ending in a slash
    """
    _SERVER.url = url
    atexit.register(_SERVER.drop)
    wrapt.register_post_import_hook(_patch_nova, "nova.db.main.api")
    wrapt.register_post_import_hook(_patch_pymysql, "pymysql.connections")


def begin_test() -> None:
    """Let the next test have all databases."""
    _SERVER.taken = 0


def version() -> str:
    """Give what ``SELECT VERSION()`` said, empty before it was asked."""
    return _SERVER.version


def _patch_nova(module: Any) -> None:
    wrapt.wrap_function_wrapper(module, "_get_db_conf", _get_db_conf)


def _get_db_conf(
    original: Callable[..., dict[str, Any]],
    instance: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> dict[str, Any]:
    del instance
    settings = original(*args, **kwargs)
    if settings["connection"] in _IN_MEMORY:
        settings["connection"] = _SERVER.take()
    return settings


def _patch_pymysql(module: Any) -> None:
    module.Connection.iterdump = _iterdump
    module.Connection.executescript = _executescript


def _iterdump(connection: Any) -> Iterator[str]:
    """Say how to make the tables, as a script of one statement a line."""
    with connection.cursor() as cursor:
        for table in _tables(cursor):
            cursor.execute(f"SHOW CREATE TABLE `{table}`")
            [(_, statement)] = cursor.fetchall()
            yield " ".join(statement.split("\n")) + ";\n"
        cursor.execute("SELECT version_num FROM alembic_version")
        [(number,)] = cursor.fetchall()
    yield f"INSERT INTO alembic_version VALUES ('{number}');\n"


def _executescript(connection: Any, script: str) -> None:
    """Make the tables, or empty them if they are there."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_wait_timeout = {_LOCK_WAIT_S}")
        cursor.execute("SET foreign_key_checks = 0")
        tables = _tables(cursor)
        if tables:
            cursor.execute("SELECT DATABASE()")
            [(name,)] = cursor.fetchall()
            _end_others(cursor, name)
            for table in _used(cursor, tables):
                cursor.execute(f"TRUNCATE TABLE `{table}`")
        else:
            for statement in script.split(";\n"):
                if statement:
                    cursor.execute(statement)
        cursor.execute("SET foreign_key_checks = 1")
        cursor.execute("SET lock_wait_timeout = DEFAULT")
    connection.commit()


def _tables(cursor: Any) -> list[str]:
    cursor.execute("SHOW TABLES")
    return [name for (name,) in cursor.fetchall()]


def _used(cursor: Any, tables: list[str]) -> list[str]:
    """List the tables that have or had rows.

    A rolled back INSERT moves the next id on too; tests write down ids.
    """
    data = [table for table in tables if table != "alembic_version"]
    cursor.execute(
        " UNION ALL ".join(
            f"(SELECT '{table}' FROM `{table}` LIMIT 1)" for table in data
        )
    )
    used = {name for (name,) in cursor.fetchall()}
    cursor.execute(
        "SELECT table_name FROM information_schema.tables WHERE "
        "table_schema = DATABASE() AND auto_increment > %s",
        [_FIRST_ID],
    )
    used.update(name for (name,) in cursor.fetchall())
    return sorted(used & set(data))


def _end_others(cursor: Any, name: str) -> None:
    """End connections that an earlier test left open, with their locks.

    :param name: of the database that they are to
    """
    import pymysql

    cursor.execute(
        "SELECT id FROM information_schema.processlist WHERE "
        "db = %s AND id <> CONNECTION_ID()",
        [name],
    )
    for (number,) in cursor.fetchall():
        # It may have gone by itself.
        with contextlib.suppress(pymysql.err.OperationalError):
            cursor.execute(f"KILL {number}")
