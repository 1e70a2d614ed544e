# SPDX-License-Identifier: Apache-2.0
"""One node of a Galera cluster of our own, and what may befall it.

:mod:`tests.resources.galera` puts three of them together.
"""

from collections.abc import Callable, Iterator
import contextlib
import os
import pathlib
import re
import signal
import time
from typing import Final

from tests.resources import galera_process
from tests.resources import servers

TIMEOUT_S: Final = 60
"""How long anything may take that a node or the cluster is waited for."""

GATE: Final = "nds_gate"
"""A database with the one table that :meth:`Node.lag` locks."""


class Node(galera_process.NodeProcess):
    """One node; :class:`tests.resources.galera.Cluster` starts it.

    It can be killed, come back, be paused, be cut off from the others, and
    be made to lag behind them.
    """

    def __init__(self, number: int, **options: str) -> None:
        super().__init__(number, **options)
        self._isolated = False

    def launch(self, *flags: str) -> None:
        """Start the process and do not wait for it.

        :param flags: options of this start alone
        """
        self._isolated = False
        super().launch(*flags)

    def pause(self) -> None:
        """Stop the process in its tracks, connections left open."""
        os.kill(self.pid, signal.SIGSTOP)
        wait_for(lambda: self._process_state() == "T", f"{self.name} stopped")

    def resume(self) -> None:
        """Let a paused process go on; it may find itself expelled."""
        os.kill(self.pid, signal.SIGCONT)

    def isolate(self, *, wait: bool = True) -> None:
        """Cut it off from the other nodes, not from its clients.

        :param wait: until it knows; for some four seconds before that it
            answers reads, from what it has, and keeps writes waiting
        """
        self._isolated = True
        self.set_provider("gmcast.isolate", "1")
        if wait:
            wait_for(
                lambda: self.status("wsrep_cluster_status") != "Primary",
                f"{self.name} out of the cluster",
            )

    def rejoin(self) -> None:
        """Mend :meth:`isolate` and wait until it is synced again."""
        self.set_provider("gmcast.isolate", "0")
        self._isolated = False
        self.wait_synced()

    def mend(self) -> None:
        """Undo pauses, isolation and ``read_only``, and do not wait."""
        if not self.running:
            return
        self.resume()
        self.execute("SET GLOBAL read_only = OFF")
        if self._isolated:
            self.set_provider("gmcast.isolate", "0")
            self._isolated = False

    def get_provider(self, name: str) -> str:
        """Read an option of Galera's on the running node.

        :param name: for example ``repl.causal_read_timeout``
        """
        [(options,)] = self.execute("SELECT @@wsrep_provider_options")
        [value] = re.findall(rf"\b{re.escape(name)} = ([^;]*);", str(options))
        return str(value)

    def set_provider(self, name: str, value: str) -> None:
        """Set an option of Galera's on the running node.

        :param name: for example ``repl.causal_read_timeout``
        :param value: times as ``PT1.5S``
        """
        self.execute(
            "SET GLOBAL wsrep_provider_options = %s", f"{name}={value}"
        )

    @contextlib.contextmanager
    def provider(self, name: str, value: str) -> Iterator[None]:
        """Set an option of Galera's for the block.

        :param name: for example ``repl.causal_read_timeout``
        :param value: times as ``PT1.5S``
        """
        before = self.get_provider(name)
        self.set_provider(name, value)
        try:
            yield
        finally:
            if self.running:
                self.set_provider(name, before)

    @contextlib.contextmanager
    def lag(self, writer: "Node") -> Iterator[None]:
        """Let it apply nothing of what is written in the block elsewhere.

        Reads and updates on this node go on, with its old rows. A write set
        for a table that is locked here waits, and those behind it with it.

        :param writer: another node of the cluster
        """
        # Else this node would stop the writers when its queue is long.
        with (
            self.provider("gcs.fc_limit", "1000000"),
            contextlib.closing(self.connect()) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(f"LOCK TABLES {GATE}.gate READ")
            writer.execute(f"UPDATE {GATE}.gate SET passed = passed + 1")
            wait_for(self._applier_waits, f"{self.name} holding back")
            try:
                yield
            finally:
                if self.running:
                    cursor.execute("UNLOCK TABLES")

    def _applier_waits(self) -> bool:
        return any(
            "metadata lock" in str(state)
            for (state,) in self.execute(
                "SELECT state FROM information_schema.processlist"
                " WHERE user = 'system user'"
            )
        )

    def _process_state(self) -> str:
        stat = pathlib.Path(f"/proc/{self.pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0]


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until something has come about.

    :param condition: says whether it has
    :param what: its name, for the error
    :raises ServerUnavailable: not within a minute
    """
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise servers.ServerUnavailable(
                f"{what}: not within {TIMEOUT_S} s"
            )
        time.sleep(0.05)
