# SPDX-License-Identifier: Apache-2.0
"""Fixtures in front of the testresources managers.

A manager makes its resource when the first test needs it, and the fixtures
here hold it until the run ends, so that all tests share it.
"""

from collections.abc import Callable, Iterator
import contextlib
import itertools
import pathlib
from typing import Any, Final, TypeAlias

import hypothesis
import pytest
import sqlalchemy as sa
import testresources

from tests.resources import mariadb
from tests.resources import schema
from tests.resources import servers

# How long an example takes says something of the machine alone.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")

BACKENDS: Final = ("sqlite", "mysql+pymysql", "mariadb+pymysql")

Hold: TypeAlias = Callable[[testresources.TestResourceManager], Any]
MakeCell: TypeAlias = Callable[..., str]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let more be run than fits into a run of all tests."""
    parser.addoption(
        "--every-way",
        action="store_true",
        help="run what is run inside Nova in every release, on every database",
    )


@pytest.fixture(scope="session")
def hold() -> Iterator[Hold]:
    """Get the resource of a manager, and keep it until the run ends."""
    held: dict[testresources.TestResourceManager, Any] = {}

    def get(manager: testresources.TestResourceManager) -> Any:
        if manager not in held:
            held[manager] = manager.getResource()
        return held[manager]

    yield get
    with contextlib.ExitStack() as stack:
        for manager, resource in held.items():
            stack.callback(manager.finishedWith, resource)


@pytest.fixture(scope="session")
def mariadb_server(hold: Hold) -> servers.Server:
    """Share one MariaDB server, to make databases on."""
    server: servers.Server = hold(mariadb.SERVER)
    return server


@pytest.fixture
def make_mariadb() -> Iterator[Callable[..., mariadb.MariaDBServer]]:
    """Start a server of the test's own: options, restarts and kills.

    ``make_mariadb(innodb_snapshot_isolation="ON")``
    """
    with contextlib.ExitStack() as stack:
        yield lambda **options: stack.enter_context(
            mariadb.MariaDBServer(**options)
        )


@pytest.fixture
def make_nova_sqlite(hold: Hold, tmp_path: pathlib.Path) -> MakeCell:
    """Make a cell database of a Nova release on SQLite, and give its URL.

    ``make_nova_sqlite("31.3.1")``; without a release, of the newest.
    """
    numbers = itertools.count(1)

    def make(release: str = schema.NEWEST) -> str:
        made: schema.SQLiteSchema = hold(schema.nova_sqlite(release))
        return made.create(tmp_path / f"cell{next(numbers)}.sqlite")

    return make


@pytest.fixture
def make_nova_mariadb(
    hold: Hold, mariadb_server: servers.Server
) -> Iterator[MakeCell]:
    """Make a cell database of a Nova release on MariaDB, and give its URL.

    ``make_nova_mariadb("31.3.1", scheme="mariadb+pymysql")``; without a
    release, of the newest. It is the test's own: anything may be done to it.
    """
    with contextlib.ExitStack() as stack:

        def make(
            release: str = schema.NEWEST,
            scheme: str = servers.DEFAULT_SCHEME,
        ) -> str:
            made: schema.MariaDBSchema = hold(schema.nova_mariadb(release))
            database = made.create()
            stack.callback(mariadb_server.drop_database, database)
            return mariadb_server.url(database, scheme)

        yield make


@pytest.fixture
def nova_sqlite_url(make_nova_sqlite: MakeCell) -> str:
    """Give a cell database of the newest Nova on SQLite."""
    return make_nova_sqlite()


@pytest.fixture
def nova_mariadb_url(make_nova_mariadb: MakeCell) -> str:
    """Give a cell database of the newest Nova on MariaDB, the test's own."""
    return make_nova_mariadb()


@pytest.fixture
def shared_mariadb_cell(hold: Hold) -> Iterator[schema.SharedCell]:
    """Share an empty cell database on MariaDB; rows may change, tables not."""
    manager = schema.shared_cell(schema.NEWEST)
    cell: schema.SharedCell = hold(manager)
    yield cell
    manager.dirtied(cell)
    manager.reset(cell)


@pytest.fixture(params=BACKENDS)
def cell_url(request: pytest.FixtureRequest) -> str:
    """Give an empty cell database: the test runs once for every backend."""
    if request.param == "sqlite":
        url: str = request.getfixturevalue("nova_sqlite_url")
        return url
    cell: schema.SharedCell = request.getfixturevalue("shared_mariadb_cell")
    return cell.url(request.param)


@pytest.fixture
def cell_engine(cell_url: str) -> Iterator[sa.Engine]:
    """Give a plain engine on ``cell_url``, to arrange and to look."""
    engine = sa.create_engine(cell_url)
    yield engine
    engine.dispose()


@pytest.fixture(params=schema.RELEASES)
def nova_release(request: pytest.FixtureRequest) -> str:
    """Give a supported Nova release: the test runs once for each."""
    release: str = request.param
    return release
