# SPDX-License-Identifier: Apache-2.0
"""Database URLs: what is refused, and that no password is ever shown."""

import pathlib
from typing import Any

import pytest

from nova_db_states import api
from nova_db_states import database
from nova_db_states import exceptions


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "cannot be parsed"),
        ("nova_cell1", "cannot be parsed"),
        ("mysql+pymysql://nova:SECRET@db:port/cell", "cannot be parsed"),
        ("mysql+pymysql://nova:SECRET@SECRET@db/cell", "percent-encoded"),
        ("postgresql://nova:SECRET@db/cell", "postgresql is not supported"),
        ("oracle://nova:SECRET@db/cell", "oracle is not supported"),
        ("mysql+pymysql://u:SECRET@db/cell?autocommit=true", "rolled back"),
        ("mysql+pymysql://u:SECRET@db/cell?charset=latin1", "utf8mb4"),
        ("mysql+pymysql://nova:SECRET@db", "names no database"),
        ("mariadb+pymysql://nova:SECRET@db/", "names no database"),
        ("mysql+nosuch://nova:SECRET@db/cell", "not installed"),
        ("mysql+mysqldb://nova:SECRET@db/cell", "not installed"),
        ("mysql+asyncmy://nova:SECRET@db/cell", "driver of mysql"),
    ],
)
def test_refused(url: str, says: str) -> None:
    """A URL that cannot work is refused at once, and keeps its secret."""
    with pytest.raises(exceptions.UnsupportedDatabase, match=says) as caught:
        api.connect(url)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("scheme", ["mysql+pymysql", "mariadb+pymysql"])
def test_masked(scheme: str) -> None:
    """What is shown of a context has no password."""
    context = api.connect(f"{scheme}://nova:SECRET@db/cell")
    assert repr(context) == f"<CellContext {scheme}://nova:***@db/cell>"


def test_a_password_among_the_parameters_is_masked_too() -> None:
    """PyMySQL takes one there as well."""
    context = api.connect("mysql+pymysql://db/cell?password=SECRET")
    assert "SECRET" not in repr(context)
    assert "***" in repr(context)


def test_no_file_is_made(tmp_path: pathlib.Path) -> None:
    """A misspelt path is an error and not a new, empty database."""
    missing = tmp_path / "cell1.db"
    with pytest.raises(exceptions.UnsupportedDatabase, match="no such file"):
        api.connect(f"sqlite:///{missing}")
    assert not missing.exists()


def test_in_memory_needs_no_file() -> None:
    """A database in memory is there as soon as it is asked for."""
    database.require_file(database.parse_url("sqlite://"))


@pytest.mark.parametrize(
    "options",
    [
        {"max_connections": 0},
        {"max_connections": -1},
        {"max_connections": "5"},
        {"retry_policy": 3},
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any]) -> None:
    """An option is refused by its name and value."""
    (name, value) = next(iter(options.items()))
    with pytest.raises(exceptions.InvalidUpdate, match=f"{name}={value!r}"):
        api.connect("mysql+pymysql://nova@db/cell", **options)
