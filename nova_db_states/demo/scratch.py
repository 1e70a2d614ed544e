# SPDX-License-Identifier: Apache-2.0
"""A database that nobody else uses, and that is left as it was found.

The demo writes wildly, so it takes only what cannot be a Nova cell: a file or
a database without any table. What it makes there it makes without ``IF NOT
EXISTS``, so that it fails where somebody else was quicker, and in the end it
drops only what it made.
"""

from collections.abc import Iterator
import contextlib
import pathlib
import tempfile

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc
from sqlalchemy import pool

from nova_db_states import database
from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states import tables

__all__ = ["opened"]

_UNKNOWN_DATABASE = 1049
_ACCEPTED = (
    "Accepted are an empty database on a server "
    "(mysql+pymysql://user:password@host/scratch; it is made if it is "
    "missing) and an SQLite file that does not exist yet "
    "(sqlite:////tmp/scratch.db). Without --db a temporary file is used."
)


@contextlib.contextmanager
def opened(url: str | None) -> Iterator[str]:
    """Make Nova's table ``instances`` in a scratch database.

    :param url: the database; ``None`` for a temporary SQLite file
    :returns: yields the URL, password included; afterwards everything that
        was made is gone
    :raises UnsupportedDatabase: the URL cannot be used, or something is there
    """
    if url is None:
        with tempfile.TemporaryDirectory(prefix="nova-db-states-") as folder:
            path = pathlib.Path(folder) / "demo.sqlite"
            with _table_made(sa.URL.create("sqlite", database=str(path))):
                yield f"sqlite:///{path}"
        return
    parsed = database.parse_url(url)
    place = _file if parsed.get_backend_name() == "sqlite" else _on_server
    with place(parsed), _table_made(parsed):
        yield parsed.render_as_string(hide_password=False)


@contextlib.contextmanager
def _file(url: sa.URL) -> Iterator[None]:
    name = url.database or ":memory:"
    if name == ":memory:" or name.startswith("file:"):
        raise exceptions.UnsupportedDatabase(
            f"{database.masked(url)}: give the path of a file. A "
            f"database in memory belongs to one process, and the demo has "
            f"several. {_ACCEPTED}"
        )
    path = pathlib.Path(name)
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        raise exceptions.UnsupportedDatabase(
            f"The file {path} exists. The demo never touches what it did not "
            f"make. {_ACCEPTED}"
        ) from None
    except OSError as error:
        raise exceptions.UnsupportedDatabase(
            f"The file {path} cannot be made: {error.strerror}. {_ACCEPTED}"
        ) from error
    try:
        yield
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextlib.contextmanager
def _on_server(url: sa.URL) -> Iterator[None]:
    if not url.database:
        raise exceptions.UnsupportedDatabase(
            f"{database.masked(url)} names no database. {_ACCEPTED}"
        )
    made = False
    engine = _engine(url)
    try:
        found = sa.inspect(engine)
        names = found.get_table_names() + found.get_view_names()
    except sa_exc.OperationalError as error:
        if retry.error_code(error) != _UNKNOWN_DATABASE:
            raise exceptions.UnsupportedDatabase(
                f"{database.masked(url)} cannot be opened: "
                f"{retry.driver_error(error)}. {_ACCEPTED}"
            ) from error
        _run(url, "CREATE DATABASE {}")
        made = True
        names = []
    if names:
        raise exceptions.UnsupportedDatabase(
            f"{database.masked(url)} is not empty: it has "
            f"{', '.join(sorted(names)[:3])}"
            f"{' and more' if len(names) > 3 else ''}"  # noqa: PLR2004
            f"{_looks_like(set(names))}. The demo never touches what it did "
            f"not make. {_ACCEPTED}"
        )
    try:
        yield
    finally:
        if made and not sa.inspect(_engine(url)).get_table_names():
            _run(url, "DROP DATABASE {}")


def _looks_like(names: set[str]) -> str:
    if {"instances", "instance_extra", "compute_nodes"} <= names:
        return ", a Nova cell"
    if names == {tables.instances.name}:
        return (
            ", perhaps left by a demo that was killed: look into it, and "
            "drop it by hand"
        )
    return ""


@contextlib.contextmanager
def _table_made(url: sa.URL) -> Iterator[None]:
    engine = _engine(url)
    tables.metadata.create_all(engine, checkfirst=False)
    try:
        if engine.dialect.name == "sqlite":
            # Readers and the one writer then do not stop each other.
            with engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        yield
    finally:
        tables.metadata.drop_all(engine, checkfirst=False)


def _run(url: sa.URL, statement: str) -> None:
    engine = _engine(url.set(database=""))
    assert url.database is not None
    quoted = engine.dialect.identifier_preparer.quote_identifier(url.database)
    with engine.connect() as connection:
        connection.exec_driver_sql(statement.format(quoted))


def _engine(url: sa.URL) -> sa.Engine:
    return sa.create_engine(url, poolclass=pool.NullPool, hide_parameters=True)
