# SPDX-License-Identifier: Apache-2.0
"""Database URLs: which are accepted, and how they are shown.

A URL holds a password. Nothing of this project prints or logs one except
through :func:`masked`.
"""

from typing import Final

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_db_states import exceptions

__all__ = ["MYSQL_DIALECTS", "is_mysql", "masked", "parse_url"]

MYSQL_DIALECTS: Final = frozenset({"mysql", "mariadb"})
"""What SQLAlchemy calls the dialect, by the scheme of the URL and not by the
server behind it."""

_SUPPORTED: Final = MYSQL_DIALECTS | {"sqlite"}


def parse_url(url: str | sa.URL) -> sa.URL:
    """Parse the URL of a cell database and refuse what is not supported.

    :param url: an SQLAlchemy URL, for example
        ``mysql+pymysql://nova@127.0.0.1/nova_cell1``
    :returns: the parsed URL
    :raises UnsupportedDatabase: not a URL, or of another database than
        MySQL, MariaDB and SQLite
    """
    try:
        parsed = sa.make_url(url)
    except sa_exc.ArgumentError as error:
        # The text is not shown: what does not parse may hold a password.
        raise exceptions.UnsupportedDatabase(
            "The database URL cannot be parsed. Give one like "
            "mysql+pymysql://user:password@host/nova_cell1 or "
            "sqlite:///path/to/cell1.db; special characters in the password "
            "must be percent-encoded."
        ) from error
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
    return parsed


def masked(url: sa.URL) -> str:
    """Show a URL without its password.

    :param url: a parsed URL
    :returns: the URL as text with ``***`` for the password
    """
    return url.render_as_string(hide_password=True)


def is_mysql(dialect: sa.Dialect) -> bool:
    """Say whether a dialect speaks to MySQL or MariaDB.

    :param dialect: the dialect of an engine or connection
    :returns: true for both, whichever of the two schemes the URL has
    """
    return dialect.name in MYSQL_DIALECTS
