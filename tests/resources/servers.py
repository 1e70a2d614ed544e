# SPDX-License-Identifier: Apache-2.0
"""What a test asks of a database server, and a server that is given."""

import abc
import contextlib
import itertools
import os
from typing import Final, TypeAlias

import pymysql
import sqlalchemy as sa

DB_URL_VARIABLE: Final = "NOVA_DB_STATES_TEST_DB_URL"
DEFAULT_SCHEME: Final = "mysql+pymysql"

Connection: TypeAlias = "pymysql.Connection[pymysql.cursors.Cursor]"


class ServerUnavailable(Exception):
    """There is no server to test with; the message says what to do."""


class Server(abc.ABC):
    """What a test may ask of a database server, private or given."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.created: list[str] = []

    @abc.abstractmethod
    def url(self, database: str = "", scheme: str = DEFAULT_SCHEME) -> str:
        """Give the SQLAlchemy URL of a database, password included."""

    @abc.abstractmethod
    def connect(self) -> Connection:
        """Open a connection without a database, in autocommit."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Give back everything; may be called again."""

    def create_database(self, prefix: str = "nds") -> str:
        """Make an empty database with a name nobody else uses.

        The character set is that of Nova's install guide.
        """
        name = f"{prefix}_{os.getpid()}_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb3")
        self.created.append(name)
        return name

    def drop_database(self, database: str) -> None:
        """Drop a database, whoever is connected to it."""
        self.disconnect(database)
        self.execute(f"DROP DATABASE IF EXISTS `{database}`")
        if database in self.created:
            self.created.remove(database)

    def disconnect(self, database: str) -> None:
        """End all connections to a database, and with them their locks."""
        rows = self.execute(
            "SELECT id FROM information_schema.processlist WHERE db = %s",
            database,
        )
        for (connection_id,) in rows:
            # It may be gone by itself meanwhile.
            with contextlib.suppress(pymysql.err.OperationalError):
                self.execute(f"KILL {connection_id}")

    def execute(self, statement: str, *args: object) -> list[tuple[object]]:
        """Run one statement as administrator, for set-up and diagnosis."""
        with (
            contextlib.closing(self.connect()) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, args or None)
            return list(cursor.fetchall())


class GivenServer(Server):
    """The server that the environment names."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = sa.make_url(url)

    def url(self, database: str = "", scheme: str = DEFAULT_SCHEME) -> str:
        """Give the SQLAlchemy URL of a database, password included."""
        url = self._url.set(drivername=scheme, database=database or None)
        return url.render_as_string(hide_password=False)

    def connect(self) -> Connection:
        """Open a connection without a database, in autocommit."""
        return pymysql.connect(
            host=self._url.host,
            port=self._url.port or 3306,
            user=self._url.username,
            password=self._url.password or "",
            autocommit=True,
        )

    def stop(self) -> None:
        """Drop what was created here; the server is not ours to stop."""
        for database in list(self.created):
            self.drop_database(database)
