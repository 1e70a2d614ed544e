# SPDX-License-Identifier: Apache-2.0
"""Database URLs: which are accepted, and how they are shown.

A URL holds a password. Nothing of this project prints or logs one except
through :func:`masked`.
"""

import pathlib
from typing import Final
from urllib import parse

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_db_states import exceptions

__all__ = [
    "MYSQL_DIALECTS",
    "is_mysql",
    "masked",
    "parse_url",
    "require_file",
    "require_name",
]

MYSQL_DIALECTS: Final = frozenset({"mysql", "mariadb"})
"""What SQLAlchemy calls the dialect, by the scheme of the URL and not by the
server behind it."""

_NOT_A_URL: Final = (
    "The database URL cannot be parsed. Give one like "
    "mysql+pymysql://nova@db1/nova_cell1 (a password follows the user, after "
    "a colon) or sqlite:///path/to/cell1.db; special characters in user and "
    "password must be percent-encoded (@ is %40, / is %2F)."
)

_SUPPORTED: Final = MYSQL_DIALECTS | {"sqlite"}


def parse_url(url: str | sa.URL) -> sa.URL:
    """Parse the URL of a cell database and refuse what is not supported.

    :param url: an SQLAlchemy URL, for example
        ``mysql+pymysql://nova@127.0.0.1/nova_cell1``
    :returns: the parsed URL
    :raises UnsupportedDatabase: not a URL, or of another database than
        MySQL, MariaDB and SQLite, or its driver is missing or asynchronous
    """
    try:
        parsed = sa.make_url(url)
    except (sa_exc.ArgumentError, ValueError):
        # Neither the text nor the error is shown: what does not parse may
        # hold a password, and what looks like the port may be its end.
        raise exceptions.UnsupportedDatabase(_NOT_A_URL) from None
    if "@" in (parsed.host or ""):
        # An "@" in the password that is not encoded: SQLAlchemy takes what
        # follows the first one for the host, and would show it.
        raise exceptions.UnsupportedDatabase(_NOT_A_URL)
    backend = parsed.get_backend_name()
    if backend not in _SUPPORTED:
        hint = (
            " Nova itself has not supported PostgreSQL for years."
            if backend.startswith("postgres")
            else ""
        )
        raise exceptions.UnsupportedDatabase(
            f"{masked(parsed)}: {backend} is not supported; Nova cells on "
            f"MySQL, MariaDB (mysql+pymysql://, mariadb+pymysql://) and "
            f"SQLite (sqlite:///) are.{hint}"
        )
    _refuse_parameters(parsed)
    _require_driver(parsed)
    return parsed


def require_file(url: sa.URL) -> None:
    """Refuse an SQLite file that is not there; opening would create it.

    :param url: any parsed URL
    :raises UnsupportedDatabase: SQLite, and no such file
    """
    name = url.database
    if url.get_backend_name() != "sqlite" or not name or name == ":memory:":
        return
    if name.startswith("file:") and "uri" in url.query:
        # SQLite's own kind of URL; the driver is given the rest of it too.
        name = parse.unquote(parse.urlsplit(name).path)
        if url.query.get("mode") == "memory" or name == ":memory:":
            return
    if pathlib.Path(name).is_file():
        return
    raise exceptions.UnsupportedDatabase(
        f"{masked(url)}: there is no such file. Give the path of a Nova cell "
        f"database; an absolute one has four slashes, "
        f"sqlite:////path/to/cell1.db."
    )


def require_name(url: sa.URL) -> None:
    """Refuse a URL of a server that does not say which database.

    :param url: any parsed URL
    :raises UnsupportedDatabase: MySQL or MariaDB, and no name
    """
    if url.get_backend_name() in MYSQL_DIALECTS and not url.database:
        raise exceptions.UnsupportedDatabase(
            f"{masked(url)}: this URL names no database. Add the name of the "
            f"cell's, as in mysql+pymysql://nova@db1/nova_cell1."
        )


def _refuse_parameters(url: sa.URL) -> None:
    if "autocommit" in url.query:
        raise exceptions.UnsupportedDatabase(
            f"{masked(url)}: with autocommit in the URL no transaction could "
            f"be rolled back. Leave it out."
        )
    charset = str(url.query.get("charset", "utf8"))
    if not charset.lower().startswith("utf8"):
        raise exceptions.UnsupportedDatabase(
            f"{masked(url)}: charset={charset} cannot carry every name that "
            f"Nova stores. Leave it out, or use utf8mb4."
        )


def _require_driver(url: sa.URL) -> None:
    try:
        dialect = url.get_dialect()
        dialect.import_dbapi()
    except (ImportError, sa_exc.NoSuchModuleError):
        problem = "is not installed here"
    else:
        if not dialect.is_async:
            return
        problem = "is asynchronous, and this is not"
    raise exceptions.UnsupportedDatabase(
        f"{masked(url)}: the driver of {url.drivername} {problem}. Use "
        f"mysql+pymysql:// or mariadb+pymysql://."
    )


def masked(url: sa.URL) -> str:
    """Show a URL without its password.

    :param url: a parsed URL
    :returns: the URL as text with ``***`` for the password, also where it is
        given among the driver's parameters
    """
    secret = {key: "***" for key in url.query if "pass" in key.lower()}
    shown = url.update_query_dict(secret)
    return shown.render_as_string(hide_password=True).replace("%2A", "*")


def is_mysql(dialect: sa.Dialect) -> bool:
    """Say whether a dialect speaks to MySQL or MariaDB.

    :param dialect: the dialect of an engine or connection
    :returns: true for both, whichever of the two schemes the URL has
    """
    return dialect.name in MYSQL_DIALECTS
