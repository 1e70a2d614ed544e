# SPDX-License-Identifier: Apache-2.0
"""The checks behind ``nova-db-states status``."""

from collections.abc import Iterator, Sequence
import importlib.metadata
from typing import Any, Final
from urllib import parse

from oslo_config import cfg
from oslo_upgradecheck import upgradecheck

from nova_db_states import conf
from nova_db_states import database
from nova_db_states import exceptions
from nova_db_states.cmd import cells
from nova_db_states.cmd import targets
from nova_db_states.machine import instance

__all__ = ["Checks"]

PLUGIN: Final = "nova_db_states"
_LINE: Final = f"[database] connection_parameters = plugin={PLUGIN}"

_SYNC_READS_AND_UPDATES: Final = 3
_SHOWN: Final = 20

_Result = upgradecheck.Result
_SUCCESS: Final = upgradecheck.Code.SUCCESS
_WARNING: Final = upgradecheck.Code.WARNING
_FAILURE: Final = upgradecheck.Code.FAILURE


class Checks(upgradecheck.UpgradeCommands):  # type: ignore[misc,unused-ignore]
    """What must be so for the plugin to guard every cell."""

    display_title = "nova_db_states"

    def __init__(
        self, config_files: Sequence[str], config_dirs: Sequence[str]
    ) -> None:
        """Read the configuration, and look at the cells.

        :param config_files: files as ``nova.conf``
        :param config_dirs: folders of such files
        :raises TargetError: the files cannot be read
        """
        self._conf = targets.read_config(config_files, config_dirs)
        self._conf.register_opts(conf.OPTIONS, group=conf.GROUP)
        self._conf.register_opts(
            [
                cfg.StrOpt("slave_connection", secret=True),
                cfg.IntOpt("mysql_wsrep_sync_wait"),
            ],
            group="database",
        )
        self._parameters = self._option("connection_parameters") or ""
        self._unmapped: Exception | None = None
        self._cells: tuple[cells.Cell, ...] = ()
        try:
            found = targets.cells(self._conf)
        except exceptions.NovaDBStatesError as error:
            self._unmapped = error
        else:
            self._cells = tuple(cells.look(target) for target in found)

    def results(self) -> Iterator[tuple[str, Any]]:
        """Do the checks.

        :returns: yields the name of each and its ``upgradecheck.Result``
        """
        for name, check in self._upgrade_checks:
            yield name, check(self)

    def _option(self, name: str) -> str | None:
        return targets.option(self._conf, "database", name)

    @property
    def _reached(self) -> list[cells.Cell]:
        return [cell for cell in self._cells if cell.error is None]

    def _package(self) -> Any:
        if not importlib.metadata.entry_points(
            group="sqlalchemy.plugins", name=PLUGIN
        ):
            return _Result(
                _FAILURE,
                "This package is not installed, only found: SQLAlchemy does "
                "not know the plugin, and a service whose configuration names "
                "it stops at its first use of the database. Install it with "
                "pip or as a package of your system.",
            )
        try:
            version = importlib.metadata.version("nova")
        except importlib.metadata.PackageNotFoundError:
            return _Result(
                _WARNING,
                "Nova is not installed for this Python, so this says nothing "
                "about the one that Nova has. Run this with Nova's.",
            )
        known = ", ".join(map(str, instance.RELEASES))
        if int(version.split(".", maxsplit=1)[0]) not in instance.RELEASES:
            return _Result(
                _FAILURE,
                f"Nova {version} is none of the releases known, {known}: it "
                f"runs as without the plugin, and not at all if the file "
                f"itself has mode = enforce.",
            )
        return _Result(_SUCCESS, f"Nova {version}")

    def _mode(self) -> Any:
        try:
            mode = self._conf[conf.GROUP].mode
        except (cfg.Error, ValueError) as error:
            return _Result(_FAILURE, f"{error} It counts as {conf.ENFORCE}.")
        if mode == conf.ENFORCE:
            return _Result(_SUCCESS, f"mode = {mode}")
        what = {
            conf.OFF: "nothing is guarded",
            conf.OBSERVE: "conflicts are logged and nothing is refused",
        }
        return _Result(_WARNING, f"mode = {mode}: {what[mode]}.")

    def _plugin(self) -> Any:
        if PLUGIN in _plugins(self._parameters):
            return _Result(_SUCCESS, _LINE)
        where = ""
        connection = self._option("connection")
        if PLUGIN in _plugins(parse.urlsplit(connection or "").query):
            where = (
                " It is in [database] connection, which does not reach the "
                "cells: their URLs stand in the API database."
            )
        return _Result(
            _FAILURE, f"The plugin is not switched on.{where} Set {_LINE}."
        )

    def _cell_urls(self) -> Any:
        if self._unmapped is not None:
            return _Result(_FAILURE, str(self._unmapped))
        lost = [
            f"{cell.name}: {cell.error}" for cell in self._cells if cell.error
        ]
        if lost:
            return _Result(_FAILURE, f"Cannot be used: {_listed(lost)}")
        own = [
            f"{cell.name} (plugin={name})"
            for cell in self._cells
            for name in _own_plugins(cell, self._parameters)
        ]
        if own:
            return _Result(
                _WARNING,
                f"The URLs of cells in the API database name plugins of their "
                f"own: {_listed(own)}. They stay when the line in the file is "
                f"taken out; nova-manage cell_v2 update_cell changes them.",
            )
        return _Result(_SUCCESS, _listed([cell.name for cell in self._cells]))

    def _schemes(self) -> Any:
        urls = [(cell.name, cell.url) for cell in self._cells if cell.url]
        for name in ("connection", "slave_connection"):
            place, value = f"[database] {name}", self._option(name)
            try:
                urls += [(place, database.parse_url(value))] if value else []
            except exceptions.UnsupportedDatabase as error:
                return _Result(_FAILURE, f"{place}: {error}")
        wrong = [
            name for name, url in urls if url.get_backend_name() == "mariadb"
        ]
        if not wrong:
            return _Result(_SUCCESS)
        return _Result(
            _WARNING,
            f"mariadb:// in {_listed(wrong)}: oslo.db knows mysql:// only. "
            f"Nova's own statements (not those of the plugin) are not tried "
            f"again after a deadlock there, and mysql_wsrep_sync_wait is "
            f"ignored. Write mysql+pymysql://.",
        )

    def _indexes(self) -> Any:
        lacking = [
            f"{cell.name}: {name}"
            for cell in self._reached
            for name in cell.lacking
        ]
        if lacking:
            return _Result(
                _WARNING,
                f"{_listed(lacking)}. Run nova-db-states db upgrade.",
            )
        return self._of_all(None)

    def _isolation(self) -> Any:
        on = self._where_on("innodb_snapshot_isolation")
        bad = [
            cell.name
            for cell in on
            if cell.url and cell.url.get_backend_name() == "mariadb"
        ]
        if bad:
            return _Result(
                _WARNING,
                f"innodb_snapshot_isolation is ON in {_listed(bad)}, and "
                f"under mariadb:// oslo.db does not know the error that says "
                f"so (1020): Nova's own transactions fail where they would be "
                f"tried again. Write mysql+pymysql://.",
            )
        names = _listed([cell.name for cell in on])
        return self._of_all(f"ON in {names}" if on else None)

    def _where_on(self, variable: str) -> list[Any]:
        """List the cells whose server has a variable on."""
        return [
            cell
            for cell in self._reached
            if cell.variables.get(variable) == "ON"
        ]

    def _galera(self) -> Any:
        cluster = self._where_on("wsrep_on")
        configured = self._conf.database.mysql_wsrep_sync_wait
        stale = [
            cell.name
            for cell in cluster
            if not _waits_enough(cell, configured)
        ]
        if stale:
            return _Result(
                _WARNING,
                f"{_listed(stale)}: a Galera cluster without wsrep_sync_wait "
                f"= 3. Where services write to more than one node, a write "
                f"may be refused although its state was set on another. Set "
                f"[database] mysql_wsrep_sync_wait = 3, or send all writes to "
                f"one node.",
            )
        names = _listed([cell.name for cell in cluster])
        return self._of_all(f"Galera in {names}" if cluster else None)

    def _states(self) -> Any:
        strange = [
            f"{cell.name}: {state} ({count})"
            for cell in self._reached
            for state, count in cell.strange
        ]
        if strange:
            return _Result(
                _WARNING,
                f"Servers are in states that no action of Nova's leads to, "
                f"and that are not guarded: {_listed(strange)}. See "
                f"nova-db-states stuck.",
            )
        return self._of_all(None)

    def _of_all(self, details: str | None) -> Any:
        """Answer for all cells, if they could be looked at."""
        if len(self._reached) < max(len(self._cells), 1):
            return _Result(_WARNING, "Not all cells could be looked at.")
        return _Result(_SUCCESS, details)

    _upgrade_checks = (
        ("Package", _package),
        ("Mode", _mode),
        ("Plugin", _plugin),
        ("Cells", _cell_urls),
        ("URL schemes", _schemes),
        ("Indexes", _indexes),
        ("Snapshot isolation", _isolation),
        ("Galera", _galera),
        ("States", _states),
    )


def _plugins(query: str) -> list[str]:
    """List the plugins that the query of a URL names."""
    return parse.parse_qs(query).get("plugin", [])


def _own_plugins(cell: cells.Cell, parameters: str) -> list[str]:
    """List the plugins of a cell's own URL."""
    if cell.url is None:
        return []
    found = list(cell.url.normalized_query.get("plugin", ()))
    # What oslo.db adds comes last.
    return found[: len(found) - len(_plugins(parameters))]


def _waits_enough(cell: cells.Cell, configured: int | None) -> bool:
    """Say whether Nova's sessions wait for their node before an update."""
    url = cell.url
    if configured is not None and url and url.get_backend_name() == "mysql":
        bits = configured
    else:
        bits = int(cell.variables.get("wsrep_sync_wait", "0"))
    wanted = _SYNC_READS_AND_UPDATES
    return bits & wanted == wanted


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    more = len(names) - _SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
