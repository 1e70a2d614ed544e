# SPDX-License-Identifier: Apache-2.0
"""Contexts and engines on the cells that the tests share."""

from collections.abc import Callable, Iterator
import contextlib
import pathlib
from typing import Any

import pytest
import sqlalchemy as sa

from nova_db_states import api
from tests.functional import nova_races
from tests.resources import clouds
from tests.resources import rows
from tests.resources import schema
from tools import nova_venvs


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give the tests of races the ways in which they are run."""
    everything = metafunc.config.getoption("--every-way")
    for name, some, every in (
        ("nova_way", nova_races.WAYS, nova_races.EVERY),
        ("control_way", nova_races.CONTROLS, nova_races.EVERY),
        ("played_release", nova_races.RELEASES, schema.RELEASES),
    ):
        if name in metafunc.fixturenames:
            chosen = every if everything else some
            metafunc.parametrize(name, chosen, ids=str)


@pytest.fixture
def context(cell_url: str) -> Iterator[api.CellContext]:
    """Give a context on the cell."""
    made = api.connect(cell_url)
    yield made
    made.close()


@pytest.fixture(params=["mysql+pymysql", "mariadb+pymysql"])
def mariadb_cell_url(
    request: pytest.FixtureRequest, shared_mariadb_cell: schema.SharedCell
) -> str:
    """Give an empty cell on MariaDB: the test runs once for each scheme."""
    return shared_mariadb_cell.url(request.param)


@pytest.fixture
def mariadb_engine(mariadb_cell_url: str) -> Iterator[sa.Engine]:
    """Give a plain engine on that cell, to be the other writer."""
    made = sa.create_engine(mariadb_cell_url)
    yield made
    made.dispose()


@pytest.fixture
def mariadb_context(mariadb_cell_url: str) -> Iterator[api.CellContext]:
    """Give a context on that cell."""
    made = api.connect(mariadb_cell_url)
    yield made
    made.close()


@pytest.fixture
def connect() -> Iterator[Callable[..., api.CellContext]]:
    """Make contexts that are closed when the test ends."""
    with contextlib.ExitStack() as stack:

        def make(url: str, *settings: str, **options: Any) -> api.CellContext:
            parsed = sa.make_url(url)
            if settings:
                parsed = parsed.update_query_dict(
                    {"init_command": f"SET SESSION {', '.join(settings)}"}
                )
            context = api.connect(parsed, **options)
            stack.callback(context.close)
            return context

        yield make


@pytest.fixture
def make_cloud(tmp_path: pathlib.Path) -> Callable[..., clouds.Cloud]:
    """Put a server that is being deleted into a cell."""

    def make(release: str, url: str, **columns: Any) -> clouds.Cloud:
        nova_venvs.ensure(release)
        engine = sa.create_engine(url)
        values = {"task_state": "deleting", **columns}
        server = rows.insert_instance(engine, **values)
        engine.dispose()
        return clouds.Cloud(release, url, tmp_path, server)

    return make


@pytest.fixture
def cloud(
    make_cloud: Callable[..., clouds.Cloud],
    make_nova_sqlite: Callable[..., str],
) -> clouds.Cloud:
    """Make one of the newest release on SQLite."""
    return make_cloud(schema.NEWEST, make_nova_sqlite(schema.NEWEST))


@pytest.fixture
def each_cloud(
    make_cloud: Callable[..., clouds.Cloud],
    make_nova_sqlite: Callable[..., str],
    nova_release: str,
) -> clouds.Cloud:
    """Make one of each release on SQLite."""
    return make_cloud(nova_release, make_nova_sqlite(nova_release))


@pytest.fixture
def nova_99(tmp_path: pathlib.Path) -> str:
    """Let Nova say that it is of a release that is not known."""
    folder = tmp_path / "path"
    info = folder / "nova-99.0.0.dist-info"
    info.mkdir(parents=True)
    info.joinpath("METADATA").write_text(
        "Metadata-Version: 2.1\nName: nova\nVersion: 99.0.0\n"
    )
    return str(folder)
