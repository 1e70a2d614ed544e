# SPDX-License-Identifier: Apache-2.0
"""Contexts and engines on the cells that the tests share."""

from collections.abc import Callable, Iterator
import contextlib
from typing import Any

import pytest
import sqlalchemy as sa

from nova_db_states import api
from tests.resources import schema


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
