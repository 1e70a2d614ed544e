# SPDX-License-Identifier: Apache-2.0
"""A Galera cluster of our own: three nodes on this machine.

Each node is a ``mariadbd`` with its data in a temporary folder::

    with galera.Cluster() as cluster:
        first, second, third = cluster.nodes
        database = cluster.create_database()
        second.kill()
        second.restart()

A cluster is a server as well, that of its first node which is there.
"""

import atexit
from collections.abc import Mapping
import contextlib
import time
from typing import Final, Self
import uuid

import testresources

from tests.resources import galera_node
from tests.resources import galera_process
from tests.resources import servers

Node = galera_node.Node

_NODES: Final = 3
_START_ATTEMPTS: Final = 3

# After a pause or a partition they need some seconds to find each other.
_SETTLING_S: Final = 20


class Cluster(servers.Server):
    """Three nodes, started on entering the context.

    :ivar nodes: all of them, also those that do not run
    """

    def __init__(
        self, provider: Mapping[str, str] | None = None, **options: str
    ) -> None:
        """Say what all nodes are started with.

        :param provider: options of Galera's, ``{"evs.send_window": "8"}``;
            ``None`` for none beyond those that all clusters here have
        :param options: options of the server, with underscores
        """
        super().__init__()
        self.nodes = [Node(n + 1, **options) for n in range(_NODES)]
        self._provider = provider or {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def running(self) -> list[Node]:
        """The nodes whose process is there."""
        return [node for node in self.nodes if node.running]

    def url(
        self, database: str = "", scheme: str = servers.DEFAULT_SCHEME
    ) -> str:
        """Give the SQLAlchemy URL of a database on the first node."""
        return self._first().url(database, scheme)

    def urls(
        self, database: str = "", scheme: str = servers.DEFAULT_SCHEME
    ) -> list[str]:
        """Give the SQLAlchemy URL of a database on each node."""
        return [node.url(database, scheme) for node in self.nodes]

    def connect(self) -> servers.Connection:
        """Open a connection to the first node, in autocommit."""
        return self._first().connect()

    def disconnect(self, database: str) -> None:
        """End all connections to a database, on every node."""
        for node in self.running:
            node.disconnect(database)

    def create_cell(self, statements: Mapping[str, str]) -> str:
        """Make a database with tables in it, on every node.

        :param statements: what makes each table, as of ``MariaDBSchema``
        :returns: its name
        """
        database = self.create_database("cell")
        with (
            contextlib.closing(self.connect()) as connection,
            connection.cursor() as cursor,
        ):
            connection.select_db(database)
            # The tables come in no order that foreign keys would like.
            cursor.execute("SET foreign_key_checks = 0")
            for statement in statements.values():
                cursor.execute(statement)
        self.wait_synced()
        return database

    def start(self) -> None:
        """Make fresh nodes and wait until all are synced.

        :raises ServerUnavailable: a program is missing, or a node does not
            start; the message has the end of its log
        """
        atexit.register(self.stop)
        try:
            for attempt in range(_START_ATTEMPTS):
                try:
                    self._start()
                except servers.ServerUnavailable as error:
                    # Somebody else took a port between look and use.
                    taken = "Address already in use" in str(error)
                    if not taken or attempt == _START_ATTEMPTS - 1:
                        raise
                    self._remove()
                else:
                    return
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all nodes and remove their data; may be called again."""
        self._remove()
        atexit.unregister(self.stop)

    def restart(self) -> None:
        """Bring back every node that died, all of them if need be.

        Where no node is in the cluster any more, the one that has most goes
        first, so that nothing is lost that was committed.

        :raises ServerUnavailable: one did not come back; the message has the
            end of its log
        """
        if not self._has_primary():
            for node in self.running:
                node.kill()
            positions = {node: node.position() for node in self.nodes}
            max(self.nodes, key=lambda node: positions[node][1]).bootstrap()
        for node in self.nodes:
            if not node.running:
                node.restart()

    def mend(self) -> None:
        """Undo all that was done to the nodes, and wait until it is."""
        for node in self.nodes:
            node.mend()
        self.restart()
        self.wait_synced()

    def drop_databases(self) -> None:
        """Drop every database that was made here, or on one of the nodes."""
        for server in (self, *self.nodes):
            for database in list(server.created):
                self.drop_database(database)
            server.created.clear()

    def wait_synced(self) -> None:
        """Wait until all that run are in one cluster and have all writes.

        :raises ServerUnavailable: not within a minute
        """
        nodes = self.running
        galera_node.wait_for(
            lambda: all(
                node.view() == len(nodes) and node.catches_up()
                for node in nodes
            ),
            f"{len(nodes)} nodes in one cluster",
        )

    def _has_primary(self) -> bool:
        """Say whether the nodes that run are a cluster, once they know."""
        nodes = self.running
        if not nodes:
            return False
        deadline = time.monotonic() + _SETTLING_S
        while time.monotonic() < deadline:
            views = [node.view() for node in nodes]
            if len(nodes) in views:
                return True
            # One alone has lost the others for good, if it knows it already.
            if views == [None]:
                return False
            time.sleep(0.1)
        return False

    def _start(self) -> None:
        ports = [galera_process.Ports.choose() for _ in self.nodes]
        group = ",".join(f"127.0.0.1:{each.group}" for each in ports)
        shared = {
            # A node that gets a wrong address is turned away.
            "wsrep_cluster_name": f"nds-{uuid.uuid4().hex[:12]}",
            "wsrep_cluster_address": f"gcomm://{group}",
        }
        for node, its_ports in zip(self.nodes, ports, strict=True):
            node.prepare()
            node.configure(its_ports, shared, self._provider)
        first, *others = self.nodes
        first.install()
        first.bootstrap()
        first.execute(f"CREATE DATABASE {galera_node.GATE}")
        first.execute(
            f"CREATE TABLE {galera_node.GATE}.gate"
            " (id INTEGER PRIMARY KEY, passed INTEGER) ENGINE = InnoDB"
        )
        first.execute(f"INSERT INTO {galera_node.GATE}.gate VALUES (1, 0)")
        first.end()
        for node in others:
            node.copy_data(first)
        first.bootstrap()
        for node in others:
            node.launch()
        for node in others:
            node.wait_synced()
        self.wait_synced()

    def _remove(self) -> None:
        for node in self.nodes:
            node.stop()
            node.created.clear()
        self.created.clear()

    def _first(self) -> Node:
        for node in self.running:
            return node
        raise servers.ServerUnavailable("no node of this cluster runs")


class ClusterManager(testresources.TestResourceManager):
    """One cluster for all tests of a run."""

    def make(self, dependency_resources: object) -> Cluster:
        """Start the nodes."""
        del dependency_resources
        cluster = Cluster()
        cluster.start()
        return cluster

    def clean(self, resource: Cluster) -> None:
        """Stop them."""
        resource.stop()

    def _reset(
        self, resource: Cluster, dependency_resources: object
    ) -> Cluster:
        del dependency_resources
        try:
            resource.mend()
            resource.drop_databases()
        except BaseException:
            # The next test is not to blame.
            resource.stop()
            resource.start()
            raise
        return resource


CLUSTER: Final = ClusterManager()
