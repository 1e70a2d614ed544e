# SPDX-License-Identifier: Apache-2.0
"""Cell databases with the schema that a Nova release's own migrations make.

Nova migrates once per run, release and kind of database; every further
database is a copy of the result, a file on SQLite and the ``CREATE TABLE``
statements on MariaDB.
"""

import contextlib
import functools
import pathlib
import shutil
import subprocess
import tempfile
from typing import Final

import testresources

from tests.resources import mariadb
from tests.resources import servers
from tools import nova_venvs

RELEASES: Final = nova_venvs.RELEASES
NEWEST: Final = RELEASES[-1]

_SYNC_SCRIPT: Final = pathlib.Path(__file__).parent / "nova_db_sync.py"


class MigrationFailed(Exception):
    """Nova's own migrations stopped; the message has what they said."""


def sync(release: str, url: str) -> None:
    """Bring an empty database to the newest schema of a Nova release.

    :raises MigrationFailed: Nova refused
    """
    nova_venvs.ensure(release)
    done = subprocess.run(
        [str(nova_venvs.python(release)), str(_SYNC_SCRIPT), url],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise MigrationFailed(
            f"nova {release} could not migrate its database:\n{done.stdout}"
        )


def sqlite_url(path: pathlib.Path) -> str:
    """Give the URL of an SQLite file."""
    return f"sqlite:///{path}"


class SQLiteSchema:
    """A migrated SQLite file to copy."""

    def __init__(self, release: str, folder: pathlib.Path) -> None:
        self.release = release
        self.folder = folder
        self._file = folder / "cell.sqlite"
        sync(release, sqlite_url(self._file))

    def create(self, path: pathlib.Path) -> str:
        """Make a cell database of the file, and give its URL."""
        shutil.copyfile(self._file, path)
        return sqlite_url(path)


class MariaDBSchema:
    """What Nova's migrations leave on a server, to make again at will."""

    def __init__(self, release: str, server: servers.Server) -> None:
        self.release = release
        self.server = server
        database = server.create_database("template")
        sync(release, server.url(database))
        self.statements = create_statements(server, database)
        server.drop_database(database)

    def create(self) -> str:
        """Make a fresh cell database, and give its name."""
        database = self.server.create_database("cell")
        with (
            contextlib.closing(self.server.connect()) as connection,
            connection.cursor() as cursor,
        ):
            connection.select_db(database)
            # The tables come in no order that foreign keys would like.
            cursor.execute("SET foreign_key_checks = 0")
            for statement in self.statements.values():
                cursor.execute(statement)
        return database


def create_statements(server: servers.Server, database: str) -> dict[str, str]:
    """Read the statement that makes each table of a database."""
    with (
        contextlib.closing(server.connect()) as connection,
        connection.cursor() as cursor,
    ):
        connection.select_db(database)
        cursor.execute("SHOW TABLES")
        statements = {}
        for (table,) in list(cursor.fetchall()):
            cursor.execute(f"SHOW CREATE TABLE `{table}`")
            statements[table] = cursor.fetchone()[1]
    return statements


class SharedCell:
    """One cell database for many tests, emptied between them."""

    def __init__(self, schema: MariaDBSchema) -> None:
        self._server = schema.server
        self._tables = tuple(schema.statements)
        self.database = schema.create()
        self._definition = self._read_definition()

    def url(self, scheme: str = servers.DEFAULT_SCHEME) -> str:
        """Give the SQLAlchemy URL of the database."""
        return self._server.url(self.database, scheme)

    def drop(self) -> None:
        """Give it back."""
        self._server.drop_database(self.database)

    def empty(self) -> None:
        """Take away all rows, and the connections that may lock some.

        :raises AssertionError: the test changed the schema, which it may
            only do in a database of its own
        """
        self._server.disconnect(self.database)
        if self._read_definition() != self._definition:
            raise AssertionError(
                "a test changed the schema of the shared cell database: "
                "take a database of its own for that, nova_mariadb_url"
            )
        with (
            contextlib.closing(self._server.connect()) as connection,
            connection.cursor() as cursor,
        ):
            connection.select_db(self.database)
            cursor.execute(
                " UNION ALL ".join(
                    f"(SELECT '{table}' FROM `{table}` LIMIT 1)"
                    for table in self._tables
                )
            )
            filled = [table for (table,) in cursor.fetchall()]
            cursor.execute("SET foreign_key_checks = 0")
            for table in filled:
                cursor.execute(f"TRUNCATE TABLE `{table}`")

    def _read_definition(self) -> list[tuple[object, ...]]:
        """Read what a change of the instances table would change."""
        return self._server.execute(
            "SELECT index_name, seq_in_index, column_name, non_unique"
            " FROM information_schema.statistics"
            " WHERE table_schema = %s AND table_name = 'instances'"
            " ORDER BY 1, 2",
            self.database,
        )


class SQLiteSchemaManager(testresources.TestResourceManager):
    """The SQLite schema of one Nova release, migrated once."""

    def __init__(self, release: str) -> None:
        super().__init__()
        self._release = release

    def make(self, dependency_resources: object) -> SQLiteSchema:
        """Let Nova migrate a file."""
        del dependency_resources
        folder = pathlib.Path(tempfile.mkdtemp(prefix="nds-schema-"))
        try:
            return SQLiteSchema(self._release, folder)
        except BaseException:
            shutil.rmtree(folder)
            raise

    def clean(self, resource: SQLiteSchema) -> None:
        """Remove the file."""
        shutil.rmtree(resource.folder)


class MariaDBSchemaManager(testresources.TestResourceManager):
    """The MariaDB schema of one Nova release, migrated once."""

    resources: Final = [("server", mariadb.SERVER)]

    def __init__(self, release: str) -> None:
        super().__init__()
        self._release = release

    def make(
        self, dependency_resources: dict[str, servers.Server]
    ) -> MariaDBSchema:
        """Let Nova migrate a database, and write down what it made."""
        return MariaDBSchema(self._release, dependency_resources["server"])


class SharedCellManager(testresources.TestResourceManager):
    """The shared cell database of one Nova release."""

    def __init__(self, release: str) -> None:
        super().__init__()
        self.resources = [("schema", nova_mariadb(release))]

    def make(
        self, dependency_resources: dict[str, MariaDBSchema]
    ) -> SharedCell:
        """Make the database."""
        return SharedCell(dependency_resources["schema"])

    def clean(self, resource: SharedCell) -> None:
        """Drop the database."""
        resource.drop()

    def _reset(
        self, resource: SharedCell, dependency_resources: object
    ) -> SharedCell:
        del dependency_resources
        resource.empty()
        return resource


@functools.cache
def nova_sqlite(release: str) -> SQLiteSchemaManager:
    """Give the one manager of a release's SQLite schema."""
    return SQLiteSchemaManager(release)


@functools.cache
def nova_mariadb(release: str) -> MariaDBSchemaManager:
    """Give the one manager of a release's MariaDB schema."""
    return MariaDBSchemaManager(release)


@functools.cache
def shared_cell(release: str) -> SharedCellManager:
    """Give the one manager of a release's shared cell on MariaDB."""
    return SharedCellManager(release)
