# SPDX-License-Identifier: Apache-2.0
"""Nodes that die, stop, and lose the others, by both schemes.

What is asserted is in the table of ``doc/source/reference/faults.csv``, which
names these tests.
"""

from collections.abc import Iterator
import threading
from typing import Any

from oslo_db import exception as db_exc
import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import retry
from tests.functional.cluster import conftest
from tests.resources import contention
from tests.resources import faults
from tests.resources import galera
from tests.resources import rows

BOTH_WAYS = pytest.mark.parametrize(
    "returning", [(), ("host",)], ids=["autocommit", "transaction"]
)

_LONG_S = 30


class Place:
    """An instance, and a way to one of the nodes.

    :ivar node: that node
    """

    def __init__(self, cell: conftest.ClusterCell, scheme: str) -> None:
        self.cluster: galera.Cluster = cell.cluster
        self.other, self.node = cell.cluster.nodes[:2]
        self.proxy = faults.Proxy(self.node.port)
        self.elsewhere = sa.create_engine(cell.url(0))
        self.instance = rows.insert_instance(self.elsewhere, progress=0)
        cell.cluster.wait_synced()
        self.proxy.__enter__()
        url = sa.make_url(self.proxy.url(cell.database, scheme))
        self.context = api.connect(url)
        self.hasty = api.connect(
            url.update_query_dict(
                {"read_timeout": "2", "connect_timeout": "2"}
            )
        )
        for context in (self.context, self.hasty):
            for returning in ((), ("host",)):
                self.write(context, 1, returning=returning)
        cell.cluster.wait_synced()

    def write(self, context: api.CellContext, value: int, **how: Any) -> None:
        """Make a change through the proxy."""
        api.instance_update(context, self.instance, {"progress": value}, **how)

    def value(self) -> object:
        """Read what the cluster has, all nodes being there."""
        self.cluster.wait_synced()
        return rows.read_instance(self.elsewhere, self.instance)["progress"]

    def close(self) -> None:
        """Give everything back."""
        self.context.close()
        self.hasty.close()
        self.elsewhere.dispose()
        self.proxy.stop()


@pytest.fixture
def place(
    cluster_cell: conftest.ClusterCell, cluster_scheme: str
) -> Iterator[Place]:
    """Give an instance that can be changed on a node."""
    made = Place(cluster_cell, cluster_scheme)
    yield made
    made.close()


@BOTH_WAYS
def test_a_node_without_its_cluster(
    place: Place, returning: tuple[str, ...]
) -> None:
    """It refuses (1047) and is said to be away; another one is found."""
    place.node.isolate()
    with pytest.raises(db_exc.DBConnectionError) as caught:
        place.write(place.context, 2, returning=returning)
    assert retry.error_code(caught.value) == 1047
    # The connections that are open go on leading to the node.
    place.proxy.target = place.other.port
    place.write(place.context, 3, returning=returning)
    place.node.rejoin()
    assert place.value() == 3


@BOTH_WAYS
def test_a_node_that_loses_its_cluster_while_it_commits(
    place: Place, returning: tuple[str, ...]
) -> None:
    """What was sent to the others may have come (1180): that is not known."""
    place.node.isolate(wait=False)
    with pytest.raises(exceptions.UnknownUpdateOutcome) as caught:
        place.write(place.context, 2, returning=returning)
    cause = caught.value.__cause__
    assert cause is not None
    assert retry.error_code(cause) == 1180
    place.node.rejoin()
    assert place.value() in {1, 2}


def test_a_node_that_stands_still(place: Place) -> None:
    """With a time-out in the URL it is an unknown outcome."""
    place.node.pause()
    with pytest.raises(exceptions.UnknownUpdateOutcome):
        place.write(place.hasty, 2)
    place.node.resume()
    place.cluster.wait_synced()
    assert place.value() in {1, 2}


def test_a_node_that_stands_still_before_the_commit(place: Place) -> None:
    """In a transaction it is away until the commit is sent."""
    place.node.pause()
    with pytest.raises(db_exc.DBConnectionError):
        place.write(
            place.hasty,
            2,
            returning=("host",),
            retry_policy=retry.Policy(max_attempts=1),
        )
    place.node.resume()
    place.cluster.wait_synced()
    assert place.value() == 1


@BOTH_WAYS
def test_a_dead_node(place: Place, returning: tuple[str, ...]) -> None:
    """It is away; through a proxy the next one is used at once."""
    kill(place)
    with pytest.raises(db_exc.DBConnectionError):
        place.write(place.context, 2, returning=returning)
    place.proxy.target = place.other.port
    place.write(
        place.context,
        3,
        returning=returning,
        retry_policy=retry.Policy(max_attempts=1),
    )
    place.node.restart()
    assert place.value() == 3


def test_a_node_that_dies_at_work(place: Place) -> None:
    """What it was doing is not known; what it committed is on the others."""
    came: list[BaseException] = []

    def write() -> None:
        try:
            place.write(place.context, 2)
        except Exception as error:  # noqa: BLE001 - is looked at
            came.append(error)

    here = sa.create_engine(place.node.url(place.elsewhere.url.database or ""))
    with here.connect() as holder:
        contention.update_row(holder, place.instance, 7)
        thread = threading.Thread(target=write)
        thread.start()
        contention.wait_for(lambda: bool(contention.lock_waits(here)))
        place.node.kill()
        thread.join(_LONG_S)
        holder.invalidate()
    here.dispose()
    assert isinstance(came[0], exceptions.UnknownUpdateOutcome)
    assert came[0].actual == {}
    place.node.restart()
    assert place.value() == 1


def test_a_node_that_comes_back(place: Place) -> None:
    """Who is patient does not notice that a node was restarted."""
    kill(place)
    back = threading.Thread(target=place.node.restart)
    back.start()
    try:
        until_it_is_there(place)
    finally:
        back.join(_LONG_S)
    assert place.value() == 2


def kill(place: Place) -> None:
    """Kill the node, so that the proxy in front of it knows."""
    place.node.kill()
    # As the proxy does by itself, a moment later: what it takes until then
    # was sent, and its outcome is unknown.
    contention.wait_for(lambda: place.proxy.cut() == 0)


def until_it_is_there(place: Place) -> None:
    """Write with a patience of a minute."""
    place.write(
        place.context,
        2,
        retry_policy=retry.Policy(
            max_attempts=200,
            first_backoff_s=0.3,
            max_backoff_s=0.5,
            max_elapsed_s=60,
        ),
    )
