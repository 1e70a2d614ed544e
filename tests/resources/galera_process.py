# SPDX-License-Identifier: Apache-2.0
"""The process of one Galera node: its data, ports, starts and ends.

:mod:`tests.resources.galera_node` adds what may befall it meanwhile.
"""

from collections.abc import Mapping
import concurrent.futures
import contextlib
import dataclasses
import getpass
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from typing import Final

import pymysql

from tests.resources import mariadb
from tests.resources import servers

# Longer than whatever a node may be asked to wait for.
_READ_TIMEOUT_S: Final = 120

_PROVIDERS: Final = (
    "/usr/lib/galera/libgalera_smm.so",
    "/usr/lib64/galera-4/libgalera_smm.so",
    "/usr/lib64/galera/libgalera_smm.so",
)

# A dead node is out after some three seconds, which with Galera's own
# settings takes five to fifteen.
_PROVIDER_OPTIONS: Final = {
    "evs.keepalive_period": "PT0.5S",
    "evs.inactive_check_period": "PT0.25S",
    "evs.suspect_timeout": "PT3S",
    "evs.inactive_timeout": "PT6S",
    "evs.install_timeout": "PT6S",
    # Some 250,000 small updates, for a node that comes back.
    "gcache.size": "256M",
    # Which node goes first after all have died is decided here.
    "pc.recovery": "false",
}

_OPTIONS: Final = {
    "wsrep_on": "ON",
    "binlog_format": "ROW",
    "innodb_autoinc_lock_mode": "2",
    "innodb_doublewrite": mariadb.KILLED["innodb_doublewrite"],
    "wsrep_sst_method": "rsync",
    # One: then a write set that waits keeps those behind it from locking
    # anything, which galera_node makes use of.
    "wsrep_slave_threads": "1",
}

# What a node without data has of any history.
_NOTHING: Final = ("00000000-0000-0000-0000-000000000000", -1)

# A server dies with the thread that started it, and tests restart nodes from
# any thread. This one ends with the process.
_SPAWNER: Final = concurrent.futures.ThreadPoolExecutor(
    max_workers=1, thread_name_prefix="galera-spawner"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Ports:
    """What one node listens on, all of it on 127.0.0.1.

    :ivar sql: for clients
    :ivar group: for the other nodes
    :ivar ist: for write sets that it missed, while it joins
    :ivar sst: for all data, while it joins
    """

    sql: int
    group: int
    ist: int
    sst: int

    @classmethod
    def choose(cls) -> "Ports":
        """Choose four that nobody listens on at this moment."""
        return cls(*(mariadb.free_port() for _ in range(4)))


class NodeProcess(mariadb.MariaDBServer):
    """A server that is a node; a cluster starts it with the others.

    :ivar number: 1 for the first
    :ivar name: as the server reports it, ``node1``
    """

    start_timeout_s = 120

    def __init__(self, number: int, **options: str) -> None:
        super().__init__(**{**_OPTIONS, **options})
        self.number = number
        self.name = f"node{number}"
        self.ports = Ports(0, 0, 0, 0)

    @property
    def running(self) -> bool:
        """Whether the process is there, be it paused or isolated."""
        return self._process is not None and self._process.poll() is None

    @property
    def synced(self) -> bool:
        """Whether it takes statements as a member of the cluster."""
        return self.view() is not None

    def view(self) -> int | None:
        """Give the size of the cluster as it sees it.

        :returns: nodes, itself included; ``None`` if it is in none, is not
            ready, or does not answer within a second
        """
        try:
            with contextlib.closing(self._connect(1)) as connection:
                status = _status(connection)
        except pymysql.err.MySQLError:
            return None
        ready = (
            status["wsrep_ready"] == "ON"
            and status["wsrep_cluster_status"] == "Primary"
            and status["wsrep_local_state_comment"] == "Synced"
        )
        return int(status["wsrep_cluster_size"]) if ready else None

    def connect(self) -> servers.Connection:
        """Open a connection without a database, in autocommit."""
        return self._connect(_READ_TIMEOUT_S)

    def _connect(self, read_timeout_s: float) -> servers.Connection:
        return pymysql.connect(
            host="127.0.0.1",
            port=self.port,
            user="root",
            autocommit=True,
            read_timeout=read_timeout_s,
        )

    def create_database(self, prefix: str = "nds") -> str:
        """Make an empty database on every node, with a name of its own."""
        return super().create_database(f"{prefix}_{self.name}")

    def status(self, name: str) -> str:
        """Read a status variable.

        :param name: for example ``wsrep_cluster_status``
        """
        with contextlib.closing(self.connect()) as connection:
            return _status(connection)[name]

    def prepare(self) -> None:
        """Make the folder of this node, without data."""
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="nds-galera-"))
        self._give_to_user(self._folder)

    def install(self) -> None:
        """Make the data of a server that has never been in a cluster."""
        self._install()

    def copy_data(self, other: "NodeProcess") -> None:
        """Begin with the data of a node that ended in good order."""
        data = self.folder / "data"
        shutil.copytree(
            other.folder / "data",
            data,
            ignore=shutil.ignore_patterns("galera.cache", "gvwstate.dat"),
        )
        self._give_to_user(data)

    def configure(
        self,
        ports: Ports,
        cluster: Mapping[str, str],
        provider: Mapping[str, str],
    ) -> None:
        """Say where it listens and which cluster it belongs to.

        :param ports: what it listens on
        :param cluster: server options that all nodes share
        :param provider: options of Galera's
        """
        self.ports = ports
        self.port = ports.sql
        settings = {
            **_PROVIDER_OPTIONS,
            "gmcast.listen_addr": f"tcp://127.0.0.1:{ports.group}",
            "ist.recv_addr": f"127.0.0.1:{ports.ist}",
            **provider,
        }
        self.options |= {
            **cluster,
            "wsrep_provider": provider_library(),
            "wsrep_node_name": self.name,
            "wsrep_node_address": f"127.0.0.1:{ports.group}",
            "wsrep_node_incoming_address": f"127.0.0.1:{ports.sql}",
            "wsrep_sst_receive_address": f"127.0.0.1:{ports.sst}",
            "wsrep_provider_options": ";".join(
                f"{name}={value}" for name, value in settings.items()
            ),
        }

    def bootstrap(self) -> None:
        """Make a cluster of this node alone, with the data that it has.

        :raises ServerUnavailable: it does not start; the message has the end
            of its log
        """
        state = self.folder / "data" / "grastate.dat"
        if state.exists():
            text = state.read_text()
            state.write_text(text.replace("bootstrap: 0", "bootstrap: 1"))
        self.launch("--wsrep-new-cluster")
        self.wait_synced()

    def launch(self, *flags: str) -> None:
        """Start the process and do not wait for it.

        :param flags: ``--wsrep-new-cluster`` for the first of all
        """
        self._launch(*flags)

    def wait_synced(self) -> None:
        """Wait until this node takes part in the cluster.

        :raises ServerUnavailable: it ended, or is not there in two minutes;
            the message has the end of its log
        """
        self._wait_until_it_answers()

    def catch_up(self) -> None:
        """Wait until it has applied all that any node has committed."""
        with (
            contextlib.closing(self.connect()) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SET SESSION wsrep_sync_wait = 1")
            cursor.execute("SELECT 1")

    def catches_up(self) -> bool:
        """Say whether it could do so.

        One that the others have expelled while it was paused takes itself
        for a member until it hears from them, and then gives up waiting.
        """
        try:
            self.catch_up()
        except pymysql.err.MySQLError:
            return False
        return True

    def end(self) -> None:
        """Stop in good order and keep the data."""
        self._terminate()

    def position(self) -> tuple[str, int]:
        """Find out how far the data of a node that does not run go.

        :returns: the history, and the number of its last write set in it
        :raises ServerUnavailable: the server does not say
        """
        if not (self.folder / "data" / "ibdata1").exists():
            return _NOTHING
        log = self.folder / "recovery.log"
        log.unlink(missing_ok=True)
        command = [*self._command("--wsrep-recover"), f"--log-error={log}"]
        with contextlib.ExitStack() as stack:
            process = self._spawn(command)
            stack.callback(process.wait)
            stack.callback(process.kill)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self.start_timeout_s)
        text = log.read_text(errors="replace") if log.exists() else ""
        found = re.findall(r"Recovered position: ([-0-9a-f]+):(-?\d+)", text)
        if not found:
            raise servers.ServerUnavailable(
                f"{self.name} does not say how far its data go:\n{text}"
            )
        history, last = found[-1]
        return history, int(last)

    def kill(self) -> None:
        """Kill it as a crash would, and whatever it has started."""
        if self.running:
            # A state transfer is a script beside the server.
            os.killpg(self.pid, signal.SIGKILL)
        super().kill()

    def lose_data(self) -> None:
        """Kill it and take its data away; it comes back with another's."""
        self.kill()
        data = self.folder / "data"
        shutil.rmtree(data)
        data.mkdir()
        self._give_to_user(data)

    def stop(self) -> None:
        """End it for good and remove its data; may be called again."""
        # In good order it would take leave of the others, for nothing.
        self.kill()
        super().stop()

    def restart(self, **options: str) -> None:
        """Start it again, after its death too, and wait until it is synced.

        At least one other node has to be in the cluster; if none is,
        ``Cluster.restart`` brings all of them back.

        :param options: server options to change from now on
        :raises ServerUnavailable: it did not come back in two minutes; the
            message has the end of its log
        """
        self._terminate()
        self.options |= options
        history, last = self.position()
        self.launch(f"--wsrep-start-position={history}:{last}")
        self.wait_synced()

    @property
    def _user(self) -> str:
        """Who the server runs as: as root, the account of the package.

        A state transfer by rsync needs that; its daemon leaves root.
        """
        if os.geteuid() != 0:
            return getpass.getuser()
        try:
            return pwd.getpwnam("mysql").pw_name
        except KeyError:
            raise servers.ServerUnavailable(
                "There is no account mysql for the nodes to run as. It comes "
                "with the server (Debian: apt-get install mariadb-server)."
            ) from None

    def _give_to_user(self, folder: pathlib.Path) -> None:
        if os.geteuid() != 0:
            return
        owner = pwd.getpwnam(self._user)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, owner.pw_uid, owner.pw_gid)

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        return _SPAWNER.submit(self._spawn_here, command).result()

    def _spawn_here(self, command: list[str]) -> subprocess.Popen[bytes]:
        account = pwd.getpwnam(self._user)
        root = os.geteuid() == 0
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # Changed before the death signal is asked for, which a later
            # change would take away.
            user=account.pw_uid if root else None,
            group=account.pw_gid if root else None,
            extra_groups=[] if root else None,
            # Its scripts stay in the group, to be ended with it.
            process_group=0,
            preexec_fn=mariadb.die_with_parent,  # noqa: PLW1509 - as there
        )

    def _answers_as_itself(self) -> bool:
        # A node that is not ready refuses even to say where its data are.
        return super()._answers_as_itself() and self.synced


def provider_library() -> str:
    """Find Galera.

    :raises ServerUnavailable: it is not installed
    """
    for path in _PROVIDERS:
        if pathlib.Path(path).exists():
            return path
    raise servers.ServerUnavailable(
        "There is no libgalera_smm.so in any of "
        f"{', '.join(str(pathlib.Path(p).parent) for p in _PROVIDERS)}. "
        "Install Galera (Debian: apt-get install galera-4 rsync)."
    )


def _status(connection: servers.Connection) -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'wsrep%'")
        return dict(cursor.fetchall())
