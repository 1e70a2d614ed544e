# SPDX-License-Identifier: Apache-2.0
"""Run some of Nova's tests in a Nova virtualenv, in several processes.

Nova's fixtures look for ``etc/`` beside the package, where a wheel does not
put it: a tree of links stands in for a checkout of Nova.
"""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
from typing import Final

from tests.conformance import results
from tests.conformance import suites
from tools import nova_venvs

INSIDE: Final = pathlib.Path(__file__).parent / "inside"

REPORTS_VARIABLE: Final = "NOVA_DB_STATES_CONFORMANCE_REPORTS"
PLUGIN_VARIABLE: Final = "NOVA_DB_STATES_CONFORMANCE_PLUGIN"
MARIADB_VARIABLE: Final = "NOVA_DB_STATES_CONFORMANCE_MARIADB"
MODE_VARIABLE: Final = "NOVA_DB_STATES_MODE"

_LIST_TIMEOUT_S: Final = 600
_GRACE_S: Final = 90
_POLL_S: Final = 0.5
_MAX_STARTS: Final = 10


class RunError(Exception):
    """A suite could not be run to its end."""


@dataclasses.dataclass(frozen=True)
class Way:
    """In which way tests are run.

    :ivar mode: the plugin's mode, or nothing for Nova without it
    :ivar checkout: of this project, to take the plugin from
    :ivar mariadb_url: a server for the main database, without a database;
        nothing for SQLite
    """

    mode: str = ""
    mariadb_url: str = ""
    concurrency: int = 2
    checkout: pathlib.Path = nova_venvs.ROOT

    def environment(self, folder: pathlib.Path) -> dict[str, str]:
        """Give what the processes are told of it.

        :param folder: for what they are to find on their path
        """
        if not self.mode and not self.mariadb_url:
            return {}
        variables = {"PYTHONPATH": str(INSIDE)}
        if self.mode:
            # A link, as the rest of the checkout is not to be importable.
            folder.mkdir()
            package = "nova_db_states"
            (folder / package).symlink_to(self.checkout / package)
            variables = {
                "PYTHONPATH": f"{INSIDE}{os.pathsep}{folder}",
                PLUGIN_VARIABLE: "1",
                MODE_VARIABLE: self.mode,
            }
        if self.mariadb_url:
            variables[MARIADB_VARIABLE] = self.mariadb_url
        return variables


class Tree:
    """A folder with links to a Nova, in which its tests run."""

    def __init__(self, release: str, folder: pathlib.Path) -> None:
        self.release = release
        self.folder = folder
        self.source = folder / "src"
        self._python = nova_venvs.python(release)
        venv = self._python.parent.parent
        [nova] = venv.glob("lib/python*/site-packages/nova")
        self.source.mkdir()
        (self.source / "nova").symlink_to(nova)
        (self.source / "etc").symlink_to(venv / "etc")
        self._count = 0

    def list_ids(self, suite: suites.Suite) -> list[str]:
        """List the tests of a suite that this Nova has, sorted.

        :raises RunError: Nova's tests cannot be loaded
        """
        to = self.new("ids.json")
        selection = self.select(suite, suite.names(self.source))
        process = self.start("list", selection, to, Way(), self.folder)
        try:
            code = process.wait(_LIST_TIMEOUT_S)
        finally:
            _end(process)
        if code:
            raise RunError(f"listing {suite.name} failed:\n{_tail(to)}")
        ids = json.loads(to.read_text())
        assert isinstance(ids, list)
        return ids

    def run(
        self, suite: suites.Suite, ids: Sequence[str], way: Way
    ) -> results.Run:
        """Run tests, each in the same process and order every time.

        :param ids: which; the first goes to the first process and so on
        :raises RunError: the suite took too long, or a process cannot begin
        """
        began = time.monotonic()
        reports = self.new("reports")
        reports.mkdir()
        lines = [
            _Line(self, suite, ids[number :: way.concurrency], way, reports)
            for number in range(min(way.concurrency, len(ids)))
        ]
        with contextlib.ExitStack() as stack:
            for line in lines:
                stack.callback(line.end)
            left = lines
            while left:
                if time.monotonic() - began > suite.timeout_s:
                    raise RunError(
                        f"{suite.name} took over {suite.timeout_s} s"
                    )
                time.sleep(_POLL_S)
                left = [line for line in left if not line.is_done()]
        return results.Run(
            results={
                id_: result
                for line in lines
                for id_, result in line.done.items()
            },
            reports=results.read_reports(reports),
            seconds=time.monotonic() - began,
        )

    def new(self, name: str) -> pathlib.Path:
        """Give a path in the folder that nothing has yet."""
        self._count += 1
        return self.folder / f"{self._count}-{name}"

    def select(self, suite: suites.Suite, only: Sequence[str]) -> pathlib.Path:
        """Write down for a worker which tests it is about."""
        path = self.new("selection.json")
        modules = suite.modules(self.source)
        path.write_text(json.dumps({"modules": modules, "only": only}))
        return path

    def start(
        self,
        what: str,
        selection: pathlib.Path,
        to: pathlib.Path,
        way: Way,
        reports: pathlib.Path,
    ) -> subprocess.Popen[bytes]:
        """Start a worker.

        :param what: ``list`` or ``run``
        :param selection: the file with its tests
        :param to: the file for what it finds
        :param reports: the folder for what the plugin says
        """
        with _log(to).open("ab") as log:
            return subprocess.Popen(
                # -P: the folder of the program is on the path only for whom
                # the way of running says so.
                [
                    *(str(self._python), "-P", str(INSIDE / "worker.py")),
                    *(what, str(selection), str(to)),
                ],
                cwd=self.folder,
                env=self._environment(way, reports),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _environment(self, way: Way, reports: pathlib.Path) -> dict[str, str]:
        extra = way.environment(self.new("plugin"))
        path = [*filter(None, [extra.get("PYTHONPATH")]), str(self.source)]
        kept = ("PATH", "HOME", "LANG", "TMPDIR", "TZ")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            **extra,
            REPORTS_VARIABLE: str(reports),
            "PYTHONPATH": os.pathsep.join(path),
            "PYTHONWARNINGS": "ignore",
            "PYTHONDONTWRITEBYTECODE": "1",
            # What differs shall not do so by the order of a set.
            "PYTHONHASHSEED": "0",
            "OS_STDOUT_CAPTURE": "1",
            "OS_STDERR_CAPTURE": "1",
            "OS_TEST_TIMEOUT": "160",
            "OS_NOVA_DISABLE_EVENTLET_PATCHING": "False",
        }


class _Line:
    """The tests of one process, and of the next when that one is lost."""

    def __init__(
        self,
        tree: Tree,
        suite: suites.Suite,
        ids: Sequence[str],
        way: Way,
        reports: pathlib.Path,
    ) -> None:
        self.done: dict[str, results.Result] = {}
        self._tree = tree
        self._suite = suite
        self._left = list(ids)
        self._way = way
        self._reports = reports
        self._starts = 0
        self._begin()

    def is_done(self) -> bool:
        """Look after the process.

        :raises RunError: it does not get to any test
        """
        if not self._left:
            return True
        code = self._process.poll()
        if code is None:
            self._watch()
            return False
        self._collect("died")
        if self._left:
            self._begin()
        return not self._left

    def end(self) -> None:
        """End the process if it still runs."""
        _end(self._process)

    def _begin(self) -> None:
        self._starts += 1
        if self._starts > _MAX_STARTS:
            raise RunError(f"{self._suite.name}: too many processes died")
        self._to = self._tree.new("results.jsonl")
        self._process = self._tree.start(
            "run",
            self._tree.select(self._suite, self._left),
            self._to,
            self._way,
            self._reports,
        )
        self._size = 0
        self._seen = time.monotonic()

    def _watch(self) -> None:
        size = self._to.stat().st_size if self._to.exists() else 0
        if size != self._size:
            self._size = size
            self._seen = time.monotonic()
        quiet_s = time.monotonic() - self._seen
        # Nova's own time limit comes first, and says more.
        if quiet_s > self._suite.test_timeout_s + _GRACE_S:
            # So that the log has the stacks of all threads.
            self._process.send_signal(signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            _end(self._process)
            self._collect("killed")
            if self._left:
                self._begin()

    def _collect(self, lost: str) -> None:
        done, running = results.read_lines(self._to)
        if running:
            done[running] = results.Result(running, lost, log=_tail(self._to))
        if not done:
            raise RunError(
                f"{self._suite.name}: no test was begun:\n{_tail(self._to)}"
            )
        self.done |= done
        plain = {id_.split("(")[0] for id_ in done} | set(done)
        self._left = [id_ for id_ in self._left if id_ not in plain]


@contextlib.contextmanager
def tree(release: str, keep: pathlib.Path | None = None) -> Iterator[Tree]:
    """Make a tree of links in a temporary folder.

    :param keep: a folder to make it in instead, and to leave it there
    """
    if keep:
        keep.mkdir(parents=True)
        yield Tree(release, keep)
        return
    with tempfile.TemporaryDirectory(prefix="nds-conformance-") as name:
        yield Tree(release, pathlib.Path(name))


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    # It leads a group: what it started goes with it.
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _log(to: pathlib.Path) -> pathlib.Path:
    return to.with_suffix(".log")


def _tail(to: pathlib.Path, lines: int = 40) -> str:
    log = _log(to)
    if not log.exists():
        return "(no log)"
    text = log.read_text(errors="replace")
    return "\n".join(text.splitlines()[-lines:])


def packages(release: str) -> Mapping[str, str]:
    """Give the versions of what is installed beside Nova.

    This project is left out: a run without it does not depend on it.
    """
    listed = subprocess.run(
        [
            str(nova_venvs.python(release)),
            *("-m", "pip", "list", "--format=json"),
            "--disable-pip-version-check",
        ],
        capture_output=True,
        check=True,
    )
    return {
        each["name"]: each["version"]
        for each in json.loads(listed.stdout)
        if each["name"] not in ("nova_db_states", "pip", "setuptools")
    }
