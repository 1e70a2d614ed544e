# SPDX-License-Identifier: Apache-2.0
"""Which cell databases a command is about.

One by its URL, or all that a ``nova.conf`` leads to: ``[api_database]
connection`` names the database with ``cell_mappings``, and a URL there may be
a template that ``[database] connection`` fills in, as Nova does it in
``nova/objects/cell_mapping.py``.
"""

from collections.abc import Iterable, Mapping, Sequence
import dataclasses
import logging
from typing import Any, Final
from urllib import parse

from oslo_config import cfg
from oslo_utils import netutils
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc
from sqlalchemy import pool

from nova_db_states import database
from nova_db_states import exceptions

__all__ = [
    "DB_URL_VARIABLE",
    "Target",
    "TargetError",
    "cells",
    "engine",
    "option",
    "read_config",
    "resolve",
]

LOG: Final = logging.getLogger(__name__)

DB_URL_VARIABLE: Final = "NOVA_DB_STATES_DB_URL"

# Options of Nova that a URL may sensibly refer to.
_REFERABLE: Final = frozenset(
    {"my_ip", "my_block_storage_ip", "host", "state_path", "pybasedir"}
)

_CELL_MAPPINGS: Final = sa.text(
    "SELECT uuid, name, database_connection FROM cell_mappings ORDER BY id"
)


class TargetError(exceptions.InvalidRequest):
    """The options do not lead to any cell database."""


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """One cell database.

    :ivar cell: the cell's name, its UUID if it has none, ``-`` for a URL
        given by hand
    :ivar url: its URL, password included; ``None`` if it has none of use
    :ivar error: why not
    """

    cell: str
    url: sa.URL | None
    error: Exception | None = None

    @property
    def shown(self) -> str:
        """The URL as it may be shown."""
        return "-" if self.url is None else database.masked(self.url)

    def engine(self) -> sa.Engine:
        """Make an engine for it.

        :returns: the engine; nothing is connected yet
        :raises NovaDBStatesError: the URL cannot be used
        """
        if self.url is None:
            raise self.error or TargetError(f"Cell {self.cell} has no URL.")
        return engine(self.url)


def resolve(
    db: str | None,
    config_files: Sequence[str],
    config_dirs: Sequence[str],
    environ: Mapping[str, str],
) -> tuple[Target, ...]:
    """Find the databases that the options of a command mean.

    :param db: a URL, ``None`` if not given
    :param config_files: files as ``nova.conf``, later ones over earlier ones
    :param config_dirs: folders of such files
    :param environ: the environment; its variable counts when no option is
        given
    :returns: the cells in the order of ``cell_mappings``, at least one; one
        whose URL cannot be used has an error in its place
    :raises TargetError: nothing or too much is given, or a file is missing,
        or no cell is mapped
    :raises UnsupportedDatabase: ``db`` or the URL of the API database cannot
        be used
    """
    configured = bool(config_files or config_dirs)
    if db and configured:
        raise TargetError(
            "--db and --config-file were both given. Give --db for one "
            "database, or --config-file for every cell."
        )
    if not configured:
        url = db or environ.get(DB_URL_VARIABLE)
        if not url:
            raise TargetError(
                f"No database given. Give --config-file nova.conf for every "
                f"cell, --db URL for one, or the URL in the environment "
                f"variable {DB_URL_VARIABLE}, which keeps the password off "
                f"the command line."
            )
        return (Target("-", database.parse_url(url)),)
    return cells(read_config(config_files, config_dirs))


def engine(url: sa.URL) -> sa.Engine:
    """Make an engine that keeps no connection.

    :param url: a parsed URL
    :returns: the engine; nothing is connected yet
    """
    return sa.create_engine(
        # A plugin of Nova's engines has no business in a migration.
        url.difference_update_query(["plugin"]),
        poolclass=pool.NullPool,
        hide_parameters=True,
    )


def read_config(
    config_files: Sequence[str], config_dirs: Sequence[str]
) -> cfg.ConfigOpts:
    """Read configuration files of Nova's.

    :param config_files: files as ``nova.conf``, later ones over earlier ones
    :param config_dirs: folders of such files
    :returns: with the options that lead to databases, and no others
    :raises TargetError: a file is missing, or is none
    """
    conf = cfg.ConfigOpts()
    for group in ("database", "api_database"):
        conf.register_opts(
            [
                cfg.StrOpt("connection", secret=True),
                cfg.StrOpt("connection_parameters", default="", secret=True),
            ],
            group=group,
        )
    arguments = [
        *(f"--config-file={name}" for name in config_files),
        *(f"--config-dir={name}" for name in config_dirs),
    ]
    try:
        conf(arguments, project="nova", default_config_files=[])
    except cfg.ConfigFileParseError as error:
        # Its text has the line, and that may be one with a password: neither
        # it nor what it came from is shown.
        raise TargetError(_unparsed(error)) from None
    except cfg.Error as error:
        raise TargetError(
            f"The configuration cannot be read: {error} Give Nova's own "
            f"files, usually --config-file /etc/nova/nova.conf."
        ) from error
    return conf


def _unparsed(error: cfg.ConfigFileParseError) -> str:
    cause = error.__context__
    reason = getattr(cause, "msg", "not parsed")
    return (
        f"{error.config_file}, line {getattr(cause, 'lineno', 'unknown')}: "
        f"{reason}. Give Nova's own files as Nova reads them."
    )


def option(conf: cfg.ConfigOpts, group: str, name: str) -> str | None:
    """Read an option.

    :param conf: the configuration
    :param group: of the option
    :param name: of the option
    :returns: its value
    :raises TargetError: it refers to an option that is not known here
    """
    try:
        value: str | None = getattr(conf[group], name)
    except cfg.Error as error:
        # A "$" in a password looks just like a reference, so only what is
        # certainly none of one is shown.
        found = getattr(error, "opt_name", None)
        what = f"${found}" if found in _REFERABLE else "something"
        raise TargetError(
            f"[{group}] {name} refers to {what} with a $, and of Nova's "
            f"options only those of the database are known here. Put the "
            f"value in its place; a $ that is meant as such is written $$."
        ) from None
    return value


def cells(conf: cfg.ConfigOpts) -> tuple[Target, ...]:
    """Read the cells, the disabled ones too: their rows are Nova's as well.

    :param conf: the configuration
    :returns: as :func:`resolve` does
    :raises TargetError: as :func:`resolve` does
    :raises UnsupportedDatabase: as :func:`resolve` does
    """
    api_connection = option(conf, "api_database", "connection")
    if not api_connection:
        raise TargetError(
            "[api_database] connection is not set in these files. Add the "
            "file that has it (Nova reads several), or give --db URL for "
            "one cell."
        )
    api_url = _with_parameters(
        database.parse_url(api_connection),
        option(conf, "api_database", "connection_parameters"),
    )
    rows = _read_mappings(api_url)
    if not rows:
        raise TargetError(
            f"{database.masked(api_url)}: no cell is mapped. Run "
            f"nova-manage cell_v2 list_cells to see the cells, or give --db "
            f"URL for one database."
        )
    default = option(conf, "database", "connection")
    parameters = option(conf, "database", "connection_parameters")
    return tuple(_target(row, default, parameters) for row in rows)


def _target(
    row: Mapping[Any, Any], default: str | None, parameters: str | None
) -> Target:
    """Make the target of one cell; that a URL is of no use is its own."""
    cell = row["name"] or row["uuid"]
    try:
        return Target(
            cell, _with_parameters(_cell_url(row, default), parameters)
        )
    except (exceptions.NovaDBStatesError, sa_exc.ArgumentError) as error:
        return Target(cell, None, error)


def _read_mappings(api_url: sa.URL) -> Sequence[Mapping[Any, Any]]:
    try:
        database.require_file(api_url)
    except exceptions.UnsupportedDatabase as error:
        raise TargetError(f"[api_database] connection: {error}") from error
    api = engine(api_url)
    try:
        with api.connect() as connection:
            return connection.execute(_CELL_MAPPINGS).mappings().all()
    except (sa_exc.ProgrammingError, sa_exc.OperationalError) as error:
        raise TargetError(
            f"{database.masked(api_url)}, from [api_database] connection: "
            f"the table cell_mappings cannot be read ({error.orig}). Check "
            f"that this is Nova's API database and reachable from here."
        ) from error


def _with_parameters(url: sa.URL, parameters: str | None) -> sa.URL:
    """Add what oslo.db adds to every URL that it connects to."""
    if not parameters:
        return url
    return url.update_query_string(parameters, append=True)


def _cell_url(row: Mapping[Any, Any], default: str | None) -> sa.URL:
    url: str = row["database_connection"]
    if default is None:
        if "{" in url:
            raise TargetError(
                "Its database_connection is a template, and [database] "
                "connection, which fills it in, is not set in these files. "
                "Add the file that has it."
            )
    else:
        filled = fill_in(url, default)
        if filled is None:
            LOG.warning(
                "Cell %s: its database_connection cannot be filled in from "
                "[database] connection and is used as it stands, as Nova "
                "does.",
                row["name"] or row["uuid"],
            )
        else:
            url = filled
    return database.parse_url(url)


def fill_in(template: str, default: str) -> str | None:
    """Fill in a template as Nova does, or say that Nova could not.

    :param template: ``database_connection`` of a cell, template or not
    :param default: ``[database] connection``
    :returns: the URL; ``None`` if a field is unknown, or a brace is part of
        a password: Nova then takes the template for the URL
    """
    try:
        return template.format(**_substitutes(default))
    except (KeyError, IndexError, ValueError, AttributeError):
        return None


def _substitutes(default: str) -> dict[str, object]:
    """Take a URL apart into the fields that a template may name.

    Parts stay percent-encoded, as they are put into another URL.
    """
    parts = parse.urlparse(default)
    fields: dict[str, object] = {
        "scheme": parts.scheme,
        "username": parts.username,
        "password": parts.password,
        "hostname": parts.hostname,
        "port": parts.port,
        "path": parts.path.lstrip("/"),
        "query": parts.query,
        "fragment": parts.fragment,
    }
    if "," in parts.netloc:
        fields |= _numbered(parts.netloc.split(","))
    return fields


def _numbered(netlocs: Iterable[str]) -> dict[str, object]:
    """Give each of several servers in one URL fields of its own."""
    fields: dict[str, object] = {}
    for number, netloc in enumerate(netlocs, start=1):
        before, at, after = netloc.partition("@")
        credentials, server = (before, after) if at else ("", before)
        username, colon, password = credentials.partition(":")
        host, port = netutils.parse_host_port(server)
        fields |= {
            f"username{number}": username,
            f"password{number}": password if colon else None,
            f"hostname{number}": host,
            f"port{number}": port,
        }
    return fields
