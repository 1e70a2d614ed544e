# SPDX-License-Identifier: Apache-2.0
"""A private MariaDB server, and databases on it.

Each process that asks has a server of its own, on a free port and with its
data in a temporary folder, so several test runs on one machine never meet::

    with mariadb.MariaDBServer(innodb_snapshot_isolation="ON") as server:
        engine = sqlalchemy.create_engine(server.url(server.create_database()))

``NOVA_DB_STATES_TEST_DB_URL`` names a server to use instead; the user in it
may create and drop databases.
"""

import atexit
import collections
from collections.abc import Iterator
import contextlib
import ctypes
import getpass
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from typing import ClassVar, Final, Self, TypeAlias

import pymysql
import testresources

from tests.resources import servers

# Who starts a server names its types without a second import.
Connection: TypeAlias = servers.Connection
Server: TypeAlias = servers.Server

_START_ATTEMPTS: Final = 3
_PORT_ATTEMPTS: Final = 100
_STOP_TIMEOUT_S: Final = 30
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None, use_errno=True)

# What a test machine may relax. Nothing here changes what a statement sees
# or locks: isolation stays REPEATABLE READ, and with 2 a commit survives the
# death of the server, only not that of the machine.
_FAST: Final = {
    "innodb_flush_log_at_trx_commit": "2",
    "innodb_doublewrite": "0",
    "innodb_log_file_size": "64M",
    "innodb_buffer_pool_size": "256M",
    "character_set_server": "utf8mb4",
    "collation_server": "utf8mb4_general_ci",
    "max_connections": "300",
}

KILLED: Final = {
    # InnoDB shows others a commit before it has written its log. With a
    # binary log both logs are written first, so that a server that dies takes
    # back nothing that anybody has seen.
    "log_bin": "binlog",
    # A page that was being written when the server was killed is put right.
    "innodb_doublewrite": "1",
}
"""Options of a server that is killed while many are at work."""


class MariaDBServer(Server):
    """A ``mariadbd`` of our own, started on entering the context.

    Options are those of the server with underscores,
    ``innodb_snapshot_isolation="ON"``.

    The server dies with the thread that started it, even if that is killed:
    start it from the main thread.
    """

    start_timeout_s: ClassVar = 60

    def __init__(self, **options: str) -> None:
        super().__init__()
        self.options = {**_FAST, **options}
        self.port = 0
        self._folder: pathlib.Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise servers.ServerUnavailable(
                "this MariaDB server is not running"
            )
        return self._process.pid

    @property
    def folder(self) -> pathlib.Path:
        """Where data, socket and log are, until the server is stopped."""
        if self._folder is None:
            raise servers.ServerUnavailable(
                "this MariaDB server was not started"
            )
        return self._folder

    @property
    def log(self) -> pathlib.Path:
        """The server's error log."""
        return self.folder / "error.log"

    def url(
        self, database: str = "", scheme: str = servers.DEFAULT_SCHEME
    ) -> str:
        """Give the SQLAlchemy URL of a database."""
        return f"{scheme}://root@127.0.0.1:{self.port}/{database}"

    def connect(self) -> servers.Connection:
        """Open a connection without a database, in autocommit."""
        return pymysql.connect(
            host="127.0.0.1", port=self.port, user="root", autocommit=True
        )

    def start(self) -> None:
        """Make a fresh data folder and serve it.

        :raises ServerUnavailable: there is no server program, or it does not
            start; the message has the end of its log
        """
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="nds-mariadb-"))
        atexit.register(self.stop)
        try:
            self._install()
            self._start_on_a_free_port()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server and remove its data; may be called again."""
        self._terminate()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        atexit.unregister(self.stop)

    def restart(self, **options: str) -> None:
        """Stop in good order and start on the same port and data.

        :param options: server options to change from now on
        """
        self._terminate()
        self.options |= options
        self._launch()
        self._wait_until_it_answers()

    def kill(self) -> None:
        """Kill the server as a crash would; :meth:`restart` recovers it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _terminate(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _install(self) -> None:
        done = subprocess.run(
            [
                program("mariadb-install-db"),
                "--no-defaults",
                f"--datadir={self.folder / 'data'}",
                f"--tmpdir={self.folder}",
                f"--user={self._user}",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
                "--skip-name-resolve",
                # A bare container cannot look up its own name.
                "--force",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise servers.ServerUnavailable(
                f"mariadb-install-db failed:\n{done.stdout}"
            )

    def _start_on_a_free_port(self) -> None:
        """Start, on another port if one is taken between look and use."""
        for attempt in range(_START_ATTEMPTS):
            self.port = free_port()
            self._launch()
            try:
                self._wait_until_it_answers()
            except servers.ServerUnavailable:
                taken = "Address already in use" in self._log_end()
                if not taken or attempt == _START_ATTEMPTS - 1:
                    raise
            else:
                return

    @property
    def _user(self) -> str:
        """Who the server runs as.

        As root this keeps root: a server that changes its user by itself
        takes the death signal off its process.
        """
        return getpass.getuser()

    def _launch(self, *flags: str) -> None:
        self._process = self._spawn(self._command(*flags))

    def _command(self, *flags: str) -> list[str]:
        options = {
            "datadir": str(self.folder / "data"),
            # Each server that starts takes away the temporary tables that it
            # finds there, whosever they are.
            "tmpdir": str(self.folder),
            "socket": str(self.folder / "socket"),
            "pid_file": str(self.folder / "pid"),
            "log_error": str(self.log),
            "bind_address": "127.0.0.1",
            "port": str(self.port),
            "user": self._user,
            **self.options,
        }
        return [
            program("mariadbd"),
            "--no-defaults",
            "--skip-name-resolve",
            *flags,
            *(
                f"--{name.replace('_', '-')}={value}"
                for name, value in options.items()
            ),
        ]

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - only a system call
        )

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + self.start_timeout_s
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                self._process = None
                raise servers.ServerUnavailable(
                    f"mariadbd ended while starting:\n{self._log_end()}"
                )
            try:
                # Another server could answer on this port if ours lost it.
                if self._answers_as_itself():
                    return
            except pymysql.err.OperationalError:
                pass
            time.sleep(0.05)
        self.kill()
        raise servers.ServerUnavailable(
            f"mariadbd did not answer in {self.start_timeout_s} s:\n"
            f"{self._log_end()}"
        )

    def _answers_as_itself(self) -> bool:
        [(datadir,)] = self.execute("SELECT @@datadir")
        return pathlib.Path(str(datadir)) == self.folder / "data"

    def _log_end(self) -> str:
        if not self.log.exists():
            return "(no log)"
        with self.log.open(errors="replace") as lines:
            return "".join(collections.deque(lines, maxlen=15))


def program(name: str) -> str:
    """Find a program of the server, in /usr/sbin too.

    :raises ServerUnavailable: it is not installed
    """
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise servers.ServerUnavailable(
            f"No {name} on PATH or in /usr/sbin. Install it (Debian: "
            "apt-get install mariadb-server), or name a server to use in "
            f"{servers.DB_URL_VARIABLE}, as mysql+pymysql://user:password@host:port"
        )
    return found


def free_port() -> int:
    """Give a port on 127.0.0.1 that nobody listens on at this moment.

    It is none that outgoing connections or other tests' listeners are given
    by the system: a server that was killed needs the same one again.

    :raises ServerUnavailable: none was found
    """
    numbers = pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(numbers.read_text().split()[0])
    for _ in range(_PORT_ATTEMPTS):
        port = random.randrange(min(10000, first // 2), first)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise servers.ServerUnavailable(f"no free port below {first}")


def die_with_parent() -> None:
    """Have this process killed when the thread that forked it ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def any_server(**options: str) -> Iterator[Server]:
    """Give the server that the environment names, else a private one."""
    given = os.environ.get(servers.DB_URL_VARIABLE)
    server = servers.GivenServer(given) if given else MariaDBServer(**options)
    if isinstance(server, MariaDBServer):
        server.start()
    try:
        yield server
    finally:
        server.stop()


class ServerManager(testresources.TestResourceManager):
    """One server for all tests of a run."""

    def make(self, dependency_resources: object) -> Server:
        """Start the server, or take the one that the environment names."""
        del dependency_resources
        self._context = any_server()
        return self._context.__enter__()

    def clean(self, resource: servers.Server) -> None:
        """Stop the server."""
        del resource
        self._context.__exit__(None, None, None)


SERVER: Final = ServerManager()
