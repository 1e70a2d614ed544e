# SPDX-License-Identifier: Apache-2.0
"""Servers as targets: one MariaDB, or a cluster, each node behind a proxy."""

import abc
from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import functools
import os
import signal
import time
from typing import Final, Self

import pymysql
import sqlalchemy as sa

from tests.resources import faults
from tests.resources import galera
from tests.resources import mariadb
from tests.resources import servers
from tests.torture import targets

# Without these a client would wait for ever for what is thrown away.
_CLIENT_TIMEOUTS: Final = {"connect_timeout": "3", "read_timeout": "4"}
# Longer than those.
_HOLE_S: Final = (4.5, 5.5)
_LATE_S: Final = 0.3
_DELAY_S: Final = 0.2

_QUIET_TIMEOUT_S: Final = 120

# What may have been applied when its answer is lost.
_WRITES: Final = faults.starting("UPDATE", "COMMIT")

Proxied = Callable[[faults.Proxy], contextlib.AbstractContextManager[object]]


class Served(targets.Target):
    """Servers; the block it is used in has the proxies."""

    def __init__(self, nodes: Sequence[mariadb.MariaDBServer]) -> None:
        """Put a proxy before each node.

        :param nodes: the servers, all of which run
        """
        self.nodes = len(nodes)
        self._servers = nodes
        self._database = nodes[0].create_database("torture")
        self._proxies = [faults.Proxy(node.port) for node in nodes]
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            for proxy in self._proxies:
                stack.enter_context(proxy)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: object, *exc_info: object) -> None:
        self._stack.close()
        if kind is None:
            # After an error the server may not be there.
            self._servers[0].drop_database(self._database)

    def urls(self, scheme: str) -> Sequence[str]:
        """Give the URL that workers use, for each node."""
        return [
            sa.make_url(proxy.url(self._database, scheme))
            .update_query_dict(_CLIENT_TIMEOUTS)
            .render_as_string(hide_password=False)
            for proxy in self._proxies
        ]

    def engines(self) -> Sequence[sa.Engine]:
        """Make a plain engine for each node, past all faults."""
        return [
            sa.create_engine(node.url(self._database))
            for node in self._servers
        ]

    def kinds(self) -> Mapping[str, targets.Kind]:
        """Say what can be done to a server, and to the way to it."""
        kind = targets.Kind
        hole = faults.Proxy.black_hole
        return {
            "kill -9": kind((0.1, 1.0), self._killed),
            "SIGSTOP": kind((0.5, 5.0), self._paused),
            "restart": kind((0.0, 0.5), self._restarted),
            "cut before": self._network(
                lambda proxy: proxy.cut_before(_WRITES, times=None)
            ),
            "cut after": self._network(
                lambda proxy: proxy.cut_after(_WRITES, times=None)
            ),
            "cut, applied late": self._network(
                lambda proxy: proxy.cut_during(
                    _WRITES, times=None, late_s=_LATE_S
                )
            ),
            "delay": self._network(lambda proxy: proxy.delay(_DELAY_S)),
            "refuse": self._network(faults.Proxy.refuse),
            "black hole": kind(_HOLE_S, self._proxied(hole)),
            "black hole, lost": kind(
                _HOLE_S, self._proxied(functools.partial(hole, deliver=False))
            ),
        }

    def settle(self) -> None:
        """Wait until the last session is gone and all is applied."""
        for proxy in self._proxies:
            proxy.cut()
        self.mend()
        for node in self._servers:
            _wait_until_quiet(node, self._database)
        self.mend()

    @abc.abstractmethod
    def mend(self) -> None:
        """Bring back what is down, and wait until it is there."""

    def _network(self, does: Proxied) -> targets.Kind:
        """Make a kind of fault that strikes many statements in no time."""
        return targets.Kind((0.2, 0.8), self._proxied(does), often=2)

    def _proxied(self, does: Proxied) -> targets.Blow:
        return lambda node: does(self._proxies[node])

    @contextlib.contextmanager
    def _killed(self, node: int) -> Iterator[None]:
        self._servers[node].kill()
        try:
            yield
        finally:
            self.mend()

    @contextlib.contextmanager
    def _paused(self, node: int) -> Iterator[None]:
        pid = self._servers[node].pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)
            self.mend()

    @contextlib.contextmanager
    def _restarted(self, node: int) -> Iterator[None]:
        self._servers[node].restart()
        yield
        self.mend()


class MariaDB(Served):
    """One server."""

    def __init__(self, server: mariadb.MariaDBServer) -> None:
        """Put a proxy before it.

        :param server: a private one, which runs
        """
        super().__init__([server])
        self._server = server

    def mend(self) -> None:
        """Start the server again if it was killed."""
        try:
            self._server.pid  # noqa: B018 - raises where there is none
        except servers.ServerUnavailable:
            self._server.restart()


class Cluster(Served):
    """The nodes of Galera."""

    def __init__(self, cluster: galera.Cluster) -> None:
        """Put a proxy before each node.

        :param cluster: a private one, all of which runs
        """
        super().__init__(cluster.nodes)
        self._cluster = cluster

    def kinds(self) -> Mapping[str, targets.Kind]:
        """Add what can be done to nodes only."""
        return {
            **super().kinds(),
            "lag": targets.Kind((0.5, 1.5), self._lagging),
            "partition": targets.Kind((0.5, 5.0), self._isolated),
            "switch": targets.Kind((0.2, 0.8), self._switched, often=2),
        }

    def mend(self) -> None:
        """Undo everything, and wait until all nodes are there again.

        While the cluster takes one back, others may refuse to be asked.
        """
        deadline = time.monotonic() + _QUIET_TIMEOUT_S
        while True:
            try:
                self._cluster.mend()
            except (pymysql.err.MySQLError, servers.ServerUnavailable):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    @contextlib.contextmanager
    def _isolated(self, node: int) -> Iterator[None]:
        self._cluster.nodes[node].isolate(wait=False)
        try:
            yield
        finally:
            self.mend()

    def _lagging(self, node: int) -> contextlib.AbstractContextManager[None]:
        """Let a node apply nothing that is written on others."""
        nodes = self._cluster.nodes
        return nodes[node].lag(nodes[(node + 1) % self.nodes])

    @contextlib.contextmanager
    def _switched(self, node: int) -> Iterator[None]:
        """Lead the clients of one node to the next, and back."""
        proxy, home = self._proxies[node], self._servers[node].port
        proxy.switch(self._servers[(node + 1) % self.nodes].port)
        try:
            yield
        finally:
            proxy.switch(home)


def _wait_until_quiet(server: servers.Server, database: str) -> None:
    """End what is left of the workers' sessions on a server."""
    deadline = time.monotonic() + _QUIET_TIMEOUT_S
    while server.execute(
        "SELECT id FROM information_schema.processlist WHERE db = %s", database
    ):
        if time.monotonic() > deadline:
            raise servers.ServerUnavailable(
                f"sessions on {database} do not end"
            )
        server.disconnect(database)
        time.sleep(0.05)
