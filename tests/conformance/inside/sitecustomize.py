# SPDX-License-Identifier: Apache-2.0
"""Switches the plugin on in every process of a run of Nova's tests.

Python imports this by itself when the folder is on PYTHONPATH. It also
counts the tests that the process runs, and writes what the plugin says of
itself to a file of the process: after each test, so that it is known of a
process that is killed, and at the end.
"""

import atexit
from collections.abc import Callable
import importlib
import json
import os
import pathlib
import sys
from typing import Any, Final

import wrapt

_REPORTS: Final = os.environ.get("NOVA_DB_STATES_CONFORMANCE_REPORTS", "")
_PLUGIN: Final = os.environ.get("NOVA_DB_STATES_CONFORMANCE_PLUGIN", "")
_MARIADB: Final = os.environ.get("NOVA_DB_STATES_CONFORMANCE_MARIADB", "")
_MODE: Final = os.environ.get("NOVA_DB_STATES_MODE", "")


class _Process:
    """What is to be told of this process."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._tests = 0
        self._running = 0

    def run_test(
        self,
        run: Callable[..., Any],
        test: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """Run a test and count it; a scenario runs inside of its test."""
        del test
        if not self._running and _MARIADB:
            _mariadb().begin_test()
        self._running += 1
        try:
            return run(*args, **kwargs)
        finally:
            self._running -= 1
            if not self._running:
                self._tests += 1
                self.write()

    def write(self) -> None:
        """Write the report, in one step."""
        if os.getpid() != self._pid:
            # A fork of a process that ran tests ran none itself yet.
            self._pid = os.getpid()
            self._tests = 0
        path = pathlib.Path(_REPORTS) / f"{self._pid}.json"
        report = {
            "pid": self._pid,
            "tests": self._tests,
            "counters": _counters(),
            "mode": _mode(),
            "database": _mariadb().version() if _MARIADB else "",
        }
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(report))
        beside.rename(path)


def _counters() -> dict[str, int]:
    """Ask the plugin, if it got into this process."""
    counters = sys.modules.get("nova_db_states.nova.counters")
    return dict(counters.snapshot()) if counters else {}


def _mode() -> str:
    """Say in which mode the plugin is now."""
    conf = sys.modules.get("nova_db_states.conf")
    if conf is None:
        return ""
    [default] = [o.default for o in conf.OPTIONS if o.name == "mode"]
    return str(default)


def _mariadb() -> Any:
    return importlib.import_module("mariadb_database")


def _set_mode(conf: Any) -> None:
    """Change the default: Nova's tests reset every setting to that."""
    for option in conf.OPTIONS:
        if option.name == "mode":
            option.default = _MODE


def _count_tests(module: Any) -> None:
    wrapt.wrap_function_wrapper(module, "TestCase.run", _PROCESS.run_test)


def _begin() -> None:
    atexit.register(_PROCESS.write)
    wrapt.register_post_import_hook(_count_tests, "testtools.testcase")
    if _MARIADB:
        _mariadb().begin(_MARIADB)
    if _PLUGIN:
        if _MODE:
            wrapt.register_post_import_hook(_set_mode, "nova_db_states.conf")
        from nova_db_states.nova import activation

        activation.activate()


_PROCESS: Final = _Process()
if _REPORTS:
    _begin()
