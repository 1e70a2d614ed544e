# SPDX-License-Identifier: Apache-2.0
"""Run scenarios in a Nova virtualenv, with the plugin or without it.

This file is on our side; all others of the folder run in Nova's.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
import json
import os
import pathlib
import signal
import subprocess
import tempfile
from typing import Any, Final

from tests.conformance import results
from tests.conformance import running
from tests.resources import mariadb
from tools import nova_venvs

OK: Final = "ok"

_ROOT: Final = pathlib.Path(__file__).resolve().parents[2]
_TEST_TIMEOUT_S: Final = 180
_KEPT: Final = ("PATH", "HOME", "LANG", "TMPDIR", "TZ")
_FOLDER: Final = "tests.nova_side"
_FIRST: Final = "nova.tests.functional"
"""Lets eventlet patch the standard library before anything uses it."""
_JUDGED: Final = ("guarded", "refused", "checked")


class RunError(Exception):
    """The run proves nothing; the message says why."""


def run(
    release: str, module: str | Sequence[str], **how: Any
) -> dict[str, str]:
    """Run the tests of modules of this folder inside Nova.

    :param release: of Nova, as ``34.0.0``
    :param module: ``build_cases`` and the like, or several of them
    :param how: as :func:`run_modules` takes it
    :returns: name of each test below its module to ``ok`` or ``FAIL: why``
    :raises RunError: as :func:`run_modules` raises it
    """
    names = [module] if isinstance(module, str) else [*module]
    found = run_modules(release, names, **how)
    return {
        name: said for each in found.values() for name, said in each.items()
    }


def run_modules(
    release: str,
    names: Sequence[str],
    *,
    plugin: bool,
    database: str = "sqlite",
    mariadb_url: str | None = None,
    timeout_s: float = 900,
    mode: str = "enforce",
    only: Sequence[str] = (),
    concurrency: int = 0,
) -> dict[str, dict[str, str]]:
    """Run the tests of modules of this folder inside Nova, all in one go.

    :param release: of Nova, as ``34.0.0``
    :param names: ``build_cases`` and the like
    :param plugin: whether it is to be active
    :param database: ``sqlite`` or ``mariadb``
    :param mariadb_url: of the server, without a database and ending in a
        slash; needed for ``mariadb``
    :param timeout_s: after which the processes are ended
    :param mode: of the plugin
    :param only: classes or tests below a module, as ``Build.test_boot``; all
        where none is named
    :param concurrency: in how many processes; 0 for one where only some tests
        are run, since each has to have something to guard, and two otherwise
    :returns: module to name of each test below it to ``ok`` or ``FAIL: why``
    :raises RunError: tests did not run to their end, the plugin was not
        there and guarding although it should be, or was although not
    """
    if (database == "mariadb") != bool(mariadb_url):
        raise RunError("a URL of a server goes with mariadb, and only that")
    nova_venvs.ensure(release)
    modules = [_FIRST, *(f"{_FOLDER}.{name}" for name in names)]
    wanted = [
        f"{one}.{name}" for one in modules[1:] for name in only
    ] or modules
    with tempfile.TemporaryDirectory(prefix="nds-races-") as folder:
        work = _Work(
            running.Tree(release, pathlib.Path(folder)),
            _environment(plugin, mode, mariadb_url),
            timeout_s,
        )
        at_once = concurrency or (1 if only else 2)
        found = work.run(modules, wanted, at_once)
        if not found:
            raise RunError(f"nothing matches {wanted}")
        reports = results.read_reports(work.reports)
    for problem in _problems(reports, plugin, database):
        raise RunError(f"{release} {names} {database}: {problem}")
    made: dict[str, dict[str, str]] = {}
    for id_, each in found.items():
        module, name = _parts(id_, names)
        made.setdefault(module, {})[name] = _verdict(each)
    return made


def versions(reports: Iterable[results.Report]) -> set[str]:
    """Say on which databases tests ran, empty text for SQLite."""
    return {each.database for each in reports if each.tests}


def _environment(
    plugin: bool,  # noqa: FBT001
    mode: str,
    mariadb_url: str | None,
) -> dict[str, str]:
    made = {name: os.environ[name] for name in _KEPT if name in os.environ}
    if plugin:
        made[running.PLUGIN_VARIABLE] = "1"
        made[running.MODE_VARIABLE] = mode
    if mariadb_url:
        made[running.MARIADB_VARIABLE] = mariadb_url
    return made | {
        "PYTHONWARNINGS": "ignore",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "OS_STDOUT_CAPTURE": "1",
        "OS_STDERR_CAPTURE": "1",
        "OS_TEST_TIMEOUT": str(_TEST_TIMEOUT_S),
        "OS_NOVA_DISABLE_EVENTLET_PATCHING": "False",
    }


class _Work:
    """The processes of one run."""

    def __init__(
        self,
        tree: running.Tree,
        environment: Mapping[str, str],
        timeout_s: float,
    ) -> None:
        self._tree = tree
        self._timeout_s = timeout_s
        self.reports = tree.folder / "reports"
        self.reports.mkdir()
        path = (running.INSIDE, tree.source, _ROOT)
        self._environment = {
            **environment,
            running.REPORTS_VARIABLE: str(self.reports),
            "PYTHONPATH": os.pathsep.join(map(str, path)),
        }

    def run(
        self, modules: list[str], wanted: list[str], concurrency: int
    ) -> dict[str, results.Result]:
        lines: list[tuple[subprocess.Popen[bytes], pathlib.Path]] = []
        try:
            for number in range(concurrency):
                to = self._tree.new("results.jsonl")
                selection = {
                    "modules": modules,
                    "only": wanted,
                    "from": number,
                    "of": concurrency,
                }
                lines.append((self._start(selection, to), to))
        finally:
            self._wait(lines)
        ids = json.loads(_list_of(lines[0][1]).read_text())
        found: dict[str, results.Result] = {}
        for _, to in lines:
            found |= results.read_lines(to)[0]
        missing = sorted(set(ids) - set(found))
        if missing:
            raise RunError(
                f"no result of {missing}:\n"
                + "\n".join(_tail(to) for _, to in lines)
            )
        return found

    def _start(
        self, wanted: Mapping[str, object], to: pathlib.Path
    ) -> subprocess.Popen[bytes]:
        selection = self._tree.new("selection.json")
        selection.write_text(json.dumps(wanted))
        with _log(to).open("wb") as log:
            return subprocess.Popen(
                [
                    str(nova_venvs.python(self._tree.release)),
                    *("-P", str(running.INSIDE / "worker.py")),
                    *("part", str(selection), str(to)),
                ],
                cwd=self._tree.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # Whoever is killed himself cannot end it any more.
                preexec_fn=mariadb.die_with_parent,  # noqa: PLW1509 - as there
            )

    def _wait(
        self, lines: Sequence[tuple[subprocess.Popen[bytes], pathlib.Path]]
    ) -> None:
        """Wait for all of them, and leave none behind."""
        try:
            for process, to in lines:
                try:
                    code = process.wait(self._timeout_s)
                except subprocess.TimeoutExpired:
                    raise RunError(
                        f"took over {self._timeout_s} s:\n{_tail(to)}"
                    ) from None
                if code:
                    raise RunError(f"exit status {code}:\n{_tail(to)}")
        finally:
            for process, _ in lines:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()


def _problems(
    reports: Iterable[results.Report],
    plugin: bool,  # noqa: FBT001
    database: str,
) -> Iterator[str]:
    workers = [each for each in reports if each.tests]
    if not workers:
        yield "no process reported"
    for each in workers:
        if bool(each.database) != (database == "mariadb"):
            yield f"ran on {each.database or 'SQLite'}"
        if not plugin and each.counters:
            yield f"Nova alone had the plugin in it: {dict(each.counters)}"
        if not plugin:
            continue
        if not (each.counters.get("lower") and each.counters.get("upper")):
            yield f"a seam was off: {dict(each.counters)}"
        if not any(each.counters.get(name) for name in _JUDGED):
            yield f"no write was guarded: {dict(each.counters)}"


def _parts(id_: str, modules: Iterable[str]) -> tuple[str, str]:
    """Take the id of a test apart into its module and the rest."""
    rest = id_.removeprefix(f"{_FOLDER}.")
    for module in modules:
        if rest.startswith(f"{module}."):
            return module, rest.removeprefix(f"{module}.")
    raise RunError(f"{id_} is in none of the modules")


def _verdict(result: results.Result) -> str:
    if result.outcome == "pass":
        return OK
    lines = [line for line in result.traceback.splitlines() if line.strip()]
    said = lines[-1] if lines else result.reason
    return f"FAIL: {result.outcome}: {said}\n{result.traceback}"


def _list_of(to: pathlib.Path) -> pathlib.Path:
    return to.with_name(f"{to.name}.ids")


def _log(to: pathlib.Path) -> pathlib.Path:
    return to.with_suffix(".log")


def _tail(to: pathlib.Path, lines: int = 40) -> str:
    text = _log(to).read_text(errors="replace")
    return "\n".join(text.splitlines()[-lines:])
