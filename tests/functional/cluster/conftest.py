# SPDX-License-Identifier: Apache-2.0
"""A Galera cluster, and cells on it, for the tests of this folder."""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
from typing import Final

import pytest

from tests import conftest
from tests.resources import faults
from tests.resources import galera
from tests.resources import schema
from tests.resources import servers

SCHEMES: Final = ("mysql+pymysql", "mariadb+pymysql")


@dataclasses.dataclass(frozen=True, slots=True)
class ClusterCell:
    """A database with the tables of the newest Nova, on every node.

    :ivar cluster: its nodes
    :ivar database: its name
    """

    cluster: galera.Cluster
    database: str

    def url(self, node: int, scheme: str = servers.DEFAULT_SCHEME) -> str:
        """Give the SQLAlchemy URL on a node.

        :param node: 0 for the first
        """
        return self.cluster.nodes[node].url(self.database, scheme)

    def urls(self, scheme: str = servers.DEFAULT_SCHEME) -> list[str]:
        """Give the SQLAlchemy URL on each node."""
        return self.cluster.urls(self.database, scheme)


@pytest.fixture
def cluster(hold: conftest.Hold) -> Iterator[galera.Cluster]:
    """Share three nodes; what a test does to them, or makes, is undone."""
    shared: galera.Cluster = hold(galera.CLUSTER)
    yield shared
    galera.CLUSTER.dirtied(shared)
    galera.CLUSTER.reset(shared)


@pytest.fixture
def cluster_cell(cluster: galera.Cluster, hold: conftest.Hold) -> ClusterCell:
    """Give a fresh cell on the cluster, the test's own."""
    made: schema.MariaDBSchema = hold(schema.nova_mariadb(schema.NEWEST))
    database = cluster.create_cell(made.statements)
    return ClusterCell(cluster, database)


@pytest.fixture
def make_proxy(
    cluster: galera.Cluster,
) -> Iterator[Callable[[int], faults.Proxy]]:
    """Put a fault proxy in front of a node, 0 for the first."""
    with contextlib.ExitStack() as stack:
        yield lambda node: stack.enter_context(
            faults.Proxy(cluster.nodes[node].port)
        )


@pytest.fixture(params=SCHEMES)
def cluster_scheme(request: pytest.FixtureRequest) -> str:
    """Run the test once for each URL scheme."""
    scheme: str = request.param
    return scheme
