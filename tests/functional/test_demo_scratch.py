# SPDX-License-Identifier: Apache-2.0
"""The database of the demo: only what is empty, and left as it was found."""

from collections.abc import Iterator
import contextlib
import re
from typing import Any

import pytest
import sqlalchemy as sa

from nova_db_states import exceptions
from nova_db_states.demo import scratch
from tests.resources import mariadb


def test_cell_database_is_refused_and_untouched(
    cell_url: str, cell_engine: sa.Engine
) -> None:
    """A Nova cell, empty or not, is never played on."""
    before = sa.inspect(cell_engine).get_table_names()
    with (
        pytest.raises(exceptions.UnsupportedDatabase, match="Accepted are"),
        scratch.opened(cell_url),
    ):
        pytest.fail("it was opened")
    assert sa.inspect(cell_engine).get_table_names() == before


def test_any_table_is_reason_to_refuse(
    mariadb_server: mariadb.Server,
) -> None:
    """Not only Nova's tables: what the demo did not make it does not touch."""
    name = mariadb_server.create_database("demo")
    mariadb_server.execute(f"CREATE TABLE `{name}`.mine (id INTEGER)")
    with (
        pytest.raises(exceptions.UnsupportedDatabase, match="it has mine"),
        scratch.opened(mariadb_server.url(name)),
    ):
        pytest.fail("it was opened")
    assert mariadb_server.execute(f"SHOW TABLES FROM `{name}`") == [("mine",)]
    mariadb_server.drop_database(name)


@pytest.mark.parametrize("busy", [False, True])
def test_missing_database_is_made_and_dropped(
    mariadb_server: mariadb.Server, *, busy: bool
) -> None:
    """A database of the demo's own goes, unless somebody moved in."""
    name = mariadb_server.create_database("demo")
    mariadb_server.drop_database(name)
    with scratch.opened(mariadb_server.url(name)):
        assert mariadb_server.execute(f"SHOW TABLES FROM `{name}`") == [
            ("instances",)
        ]
        if busy:
            mariadb_server.execute(f"CREATE TABLE `{name}`.mine (id INTEGER)")
    left = mariadb_server.execute("SHOW DATABASES")
    assert ((name,) in left) is busy
    if busy:
        mariadb_server.drop_database(name)


@contextlib.contextmanager
def _user(server: mariadb.Server, name: str, grants: str) -> Iterator[str]:
    """Give the URL of a database, for a user who may do no more than this."""
    user = f"{name}_user"
    server.execute(f"CREATE USER {user} IDENTIFIED BY 'geheim'")
    server.execute(f"GRANT {grants} ON `{name}`.* TO {user}")
    url = sa.make_url(server.url(name)).set(username=user, password="geheim")
    try:
        yield url.render_as_string(hide_password=False)
    finally:
        server.execute(f"DROP USER {user}")


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    ("grants", "denied"),
    [
        ("CREATE, DROP, SELECT, INSERT, UPDATE", "INDEX command denied"),
        ("DROP, INDEX, SELECT, INSERT, UPDATE", "denied"),
    ],
)
def test_missing_grant_leaves_nothing(
    mariadb_server: mariadb.Server, grants: str, denied: str, *, there: bool
) -> None:
    """Who may not make all of it is told what is needed; nothing stays."""
    name = mariadb_server.create_database("demo")
    if not there:
        mariadb_server.drop_database(name)
    with (
        _user(mariadb_server, name, grants) as url,
        pytest.raises(exceptions.UnsupportedDatabase, match=denied) as caught,
        scratch.opened(url),
    ):
        pytest.fail("it was opened")
    assert re.search(r"\*\*\*@.* needs CREATE, DROP, INDEX", str(caught.value))
    assert "geheim" not in str(caught.value)
    if there:
        assert mariadb_server.execute(f"SHOW TABLES FROM `{name}`") == []
        mariadb_server.drop_database(name)
    assert (name,) not in mariadb_server.execute("SHOW DATABASES")


def test_what_cannot_be_dropped_is_named(
    mariadb_server: mariadb.Server,
) -> None:
    """Without DROP the table stays, and the message says so."""
    name = mariadb_server.create_database("demo")
    grants = "CREATE, INDEX, SELECT, INSERT, UPDATE"
    with (
        _user(mariadb_server, name, grants) as url,
        pytest.raises(exceptions.UnsupportedDatabase, match="drop it by hand"),
        scratch.opened(url),
    ):
        pass
    mariadb_server.drop_database(name)


@pytest.mark.parametrize("first", ["CREATE DATABASE", "CREATE TABLE"])
def test_signal_while_it_is_made_leaves_nothing(
    mariadb_server: mariadb.Server, first: str
) -> None:
    """Ctrl-C halfway through the making takes back what was made."""
    name = mariadb_server.create_database("demo")
    mariadb_server.drop_database(name)

    def interrupt(*given: Any) -> None:
        if given[2].lstrip().startswith(first):
            raise KeyboardInterrupt

    sa.event.listen(sa.Engine, "after_cursor_execute", interrupt)
    try:
        with (
            pytest.raises(KeyboardInterrupt),
            scratch.opened(mariadb_server.url(name)),
        ):
            pytest.fail("it was opened")
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", interrupt)
    assert (name,) not in mariadb_server.execute("SHOW DATABASES")


def test_table_of_somebody_quicker_stays(
    mariadb_server: mariadb.Server,
) -> None:
    """A table that came between look and making is not the demo's to drop."""
    name = mariadb_server.create_database("demo")

    def be_quicker(*given: Any) -> None:
        if given[2].lstrip().startswith("CREATE TABLE"):
            mariadb_server.execute(f"CREATE TABLE `{name}`.instances (a INT)")

    sa.event.listen(sa.Engine, "before_cursor_execute", be_quicker)
    try:
        with (
            pytest.raises(exceptions.UnsupportedDatabase, match="exists"),
            scratch.opened(mariadb_server.url(name)),
        ):
            pytest.fail("it was opened")
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", be_quicker)
    assert mariadb_server.execute(f"SHOW TABLES FROM `{name}`") == [
        ("instances",)
    ]
    mariadb_server.drop_database(name)
