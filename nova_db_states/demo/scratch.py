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
import traceback

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc
from sqlalchemy import pool

from nova_db_states import database
from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states import tables

__all__ = ["opened", "said"]

_SHOWN_NAMES = 3
_TABLE_EXISTS = 1050
_UNKNOWN_DATABASE = 1049
_ACCEPTED = (
    "Accepted are an empty database on a server "
    "(mysql+pymysql://nova@db1/scratch; it is made if it is "
    "missing) and an SQLite file that does not exist yet "
    "(sqlite:////path/to/scratch.db). Without --db a temporary file is used."
)
_GRANTS = (
    "The demo needs CREATE, DROP, INDEX, SELECT, INSERT and UPDATE on its "
    "database"
)


def _where(error: BaseException) -> str:
    """Say where something was raised that nobody expects to be raised."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""


def said(error: BaseException) -> str:
    """Say in one line what went wrong.

    :param error: of a database, or any other
    :returns: for a database what its driver said, without SQLAlchemy's
        statement and link
    """
    origin = retry.driver_error(error)
    text = str(origin)
    if isinstance(origin, sa_exc.SQLAlchemyError):
        text = text.partition("(Background on this error")[0]
    elif origin.args and isinstance(origin.args[0], int):
        text = f"{origin.args[-1]} (error {origin.args[0]})"
    elif origin is error:
        text = f"{type(error).__name__}: {error}{_where(error)}"
    return " ".join(text.split()).rstrip(".")


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
    names = _names_in(url)
    if names:
        raise exceptions.UnsupportedDatabase(
            f"{database.masked(url)} is not empty: it has "
            f"{', '.join(sorted(names)[:_SHOWN_NAMES])}"
            f"{' and more' if len(names) > _SHOWN_NAMES else ''}"
            f"{_looks_like(set(names))}. The demo never touches what it did "
            f"not make. {_ACCEPTED}"
        )
    # A signal may come while the server makes it: from here on it is ours.
    made = names is None
    try:
        if made:
            try:
                _run(url, "CREATE DATABASE {}")
            except sa_exc.DBAPIError as error:
                made = False
                raise _failed(url, "cannot be made", error) from error
        yield
    finally:
        if made:
            _drop_database(url)


def _names_in(url: sa.URL) -> list[str] | None:
    """List tables and views; ``None`` if there is no such database."""
    try:
        found = sa.inspect(_engine(url))
        return found.get_table_names() + found.get_view_names()
    except sa_exc.OperationalError as error:
        if retry.error_code(error) == _UNKNOWN_DATABASE:
            return None
        raise exceptions.UnsupportedDatabase(
            f"{database.masked(url)} cannot be opened: {said(error)}. "
            f"{_ACCEPTED}"
        ) from error


def _drop_database(url: sa.URL) -> None:
    """Drop what the demo made, unless somebody moved in."""
    if _names_in(url) != []:
        return
    try:
        _run(url, "DROP DATABASE {}")
    except sa_exc.DBAPIError as error:
        raise _failed(
            url, "is left behind, drop it by hand: it cannot be dropped", error
        ) from error


def _failed(
    url: sa.URL, what: str, error: sa_exc.DBAPIError
) -> exceptions.UnsupportedDatabase:
    return exceptions.UnsupportedDatabase(
        f"{database.masked(url)} {what}: {said(error)}. {_GRANTS}."
    )


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
    # The database was empty a moment ago. The table's indexes come after it,
    # so what fails or is interrupted halfway leaves a table of ours.
    ours = True
    try:
        try:
            tables.metadata.create_all(engine, checkfirst=False)
        except sa_exc.DBAPIError as error:
            ours = retry.error_code(error) != _TABLE_EXISTS
            raise _failed(
                url, "cannot have the table instances", error
            ) from error
        if engine.dialect.name == "sqlite":
            # Readers and the one writer then do not stop each other.
            with engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        yield
    finally:
        if ours:
            _drop_table(url, engine)


def _drop_table(url: sa.URL, engine: sa.Engine) -> None:
    try:
        tables.metadata.drop_all(engine, checkfirst=True)
    except sa_exc.DBAPIError as error:
        raise _failed(
            url,
            "is left with the table instances, drop it by hand: it cannot be "
            "dropped",
            error,
        ) from error


def _run(url: sa.URL, statement: str) -> None:
    engine = _engine(url.set(database=""))
    assert url.database is not None
    quoted = engine.dialect.identifier_preparer.quote_identifier(url.database)
    with engine.connect() as connection:
        connection.exec_driver_sql(statement.format(quoted))


def _engine(url: sa.URL) -> sa.Engine:
    return sa.create_engine(url, poolclass=pool.NullPool, hide_parameters=True)
