# SPDX-License-Identifier: Apache-2.0
"""Each fault of the proxy does what it says, in front of a real node."""

from collections.abc import Callable, Iterator
import contextlib
import time
from typing import Final

import pymysql
import pytest
import sqlalchemy as sa

from tests.functional.cluster import conftest
from tests.resources import contention
from tests.resources import fault_links
from tests.resources import faults
from tests.resources import rows
from tests.resources import servers

_CHANGE: Final = "UPDATE instances SET progress = progress + 1"
_UPDATE: Final = faults.starting("UPDATE")
_COMMIT: Final = faults.starting("COMMIT")

_REFUSED: Final = 2003
_LOST: Final = 2013
# What a client says of a dead connection depends on when it notices.
_GONE: Final = (2006, _LOST)


class Behind:
    """One instance on a node, and clients behind a proxy to that node.

    :ivar proxy: the proxy
    :ivar cell: the database
    """

    def __init__(
        self, cell: conftest.ClusterCell, proxy: faults.Proxy
    ) -> None:
        self.cell = cell
        self.proxy = proxy
        self._clients = contextlib.ExitStack()
        engine = sa.create_engine(cell.url(0))
        rows.insert_instance(engine, progress=0)
        engine.dispose()
        cell.cluster.wait_synced()

    def connect(
        self, *, autocommit: bool = True, read_timeout_s: float = 30
    ) -> servers.Connection:
        """Connect through the proxy."""
        connection = pymysql.connect(
            host="127.0.0.1",
            port=self.proxy.port,
            user="root",
            database=self.cell.database,
            autocommit=autocommit,
            read_timeout=read_timeout_s,
        )
        self._clients.callback(_close, connection)
        return connection

    def progress(self) -> object:
        """Read the column that is changed, beside the proxy."""
        [(found,)] = self.cell.cluster.nodes[0].execute(
            f"SELECT progress FROM {self.cell.database}.instances"
        )
        return found

    def close(self) -> None:
        """Close what the clients left open."""
        self._clients.close()


def _close(connection: servers.Connection) -> None:
    # One that was lost in a test is closed already.
    if connection.open:
        connection.close()


@pytest.fixture
def behind(
    cluster_cell: conftest.ClusterCell,
    make_proxy: Callable[[int], faults.Proxy],
) -> Iterator[Behind]:
    """Give one instance behind a proxy to the first node."""
    made = Behind(cluster_cell, make_proxy(0))
    yield made
    made.close()


@contextlib.contextmanager
def fails(*codes: int) -> Iterator[None]:
    """Expect one of these errors of the driver's."""
    with pytest.raises(pymysql.err.MySQLError) as caught:
        yield
    assert caught.value.args[0] in codes, caught.value


def test_nothing_is_changed_where_no_fault_is(
    behind: Behind, cluster_scheme: str
) -> None:
    """Statements and large answers pass through, under both schemes."""
    url = behind.proxy.url(behind.cell.database, cluster_scheme)
    engine = sa.create_engine(url)
    text = "x" * 300_000
    with engine.begin() as connection:
        assert connection.execute(sa.text(_CHANGE)).rowcount == 1
        found = connection.scalar(sa.text("SELECT :text"), {"text": text})
        assert found == text
    engine.dispose()
    assert behind.progress() == 1
    assert behind.proxy.connections == 1
    assert behind.proxy.statements >= 3
    assert not behind.proxy.counts.total()


def test_cut_before_a_commit(behind: Behind) -> None:
    """The client hears nothing, and nothing has been changed."""
    client = behind.connect(autocommit=False)
    with behind.proxy.cut_before(_COMMIT) as fault:
        client.query(_CHANGE)
        with fails(_LOST):
            client.commit()
    assert [act.statement for act in fault.acts] == ["COMMIT"]
    assert not fault.acts[0].answered
    # Waits for whoever still holds the row.
    behind.cell.cluster.nodes[0].execute(
        f"SELECT 1 FROM {behind.cell.database}.instances FOR UPDATE"
    )
    assert behind.progress() == 0


def test_cut_after_the_answer(behind: Behind) -> None:
    """The client hears nothing, and the row is changed."""
    client = behind.connect()
    with behind.proxy.cut_after(_UPDATE) as fault, fails(_LOST):
        client.query(_CHANGE)
    assert fault.acts == [fault_links.Act(_CHANGE, answered=True, rows=1)]
    assert behind.progress() == 1


def test_cut_after_the_answer_to_a_commit(behind: Behind) -> None:
    """The transaction is there, though its client cannot know."""
    client = behind.connect(autocommit=False)
    with behind.proxy.cut_after(_COMMIT) as fault:
        client.query(_CHANGE)
        with fails(_LOST):
            client.commit()
    assert [act.error for act in fault.acts] == [None]
    assert behind.progress() == 1


def test_what_the_server_refused_is_taken_down(behind: Behind) -> None:
    """A fault knows the error that the client did not hear of."""
    client = behind.connect()
    with behind.proxy.cut_after(_UPDATE) as fault, fails(_LOST):
        client.query("UPDATE instances SET nonsense = 1")
    assert [act.error for act in fault.acts] == [1054]


def test_cut_during_a_statement(behind: Behind) -> None:
    """The client is gone when the server begins, which does it all."""
    client = behind.connect()
    with behind.proxy.cut_during(_UPDATE, late_s=2.0) as fault:
        with fails(_LOST):
            client.query(_CHANGE)
        assert behind.progress() == 0
        fault.wait()
    assert [act.rows for act in fault.acts] == [1]
    assert behind.progress() == 1


def test_a_fault_comes_about_as_often_as_asked_for(behind: Behind) -> None:
    """Once, twice, or until it is lifted."""
    for times, expected in ((1, 1), (2, 2), (None, 3)):
        with behind.proxy.cut_before(_UPDATE, times=times) as fault:
            for _ in range(3):
                client = behind.connect()
                with contextlib.suppress(pymysql.err.OperationalError):
                    client.query(_CHANGE)
        assert len(fault.acts) == expected
    assert behind.proxy.counts == {faults.Kind.CUT_BEFORE: 6}
    assert behind.progress() == 3
    behind.connect().query(_CHANGE)
    assert behind.progress() == 4


def test_delay(behind: Behind) -> None:
    """Chosen statements take so much longer, and others do not."""
    client = behind.connect()
    with behind.proxy.delay(2.0, _UPDATE):
        assert _seconds(client, "SELECT 1") < 2
        assert _seconds(client, _CHANGE) >= 2
    assert _seconds(client, _CHANGE) < 2


def _seconds(connection: servers.Connection, statement: str) -> float:
    began = time.monotonic()
    connection.query(statement)
    return time.monotonic() - began


def test_a_statement_is_held_until_it_is_let(behind: Behind) -> None:
    """A test can do something between two statements of a client."""
    client = behind.connect(autocommit=False)

    def change() -> None:
        client.query(_CHANGE)
        client.commit()

    held = behind.proxy.delay(None, _COMMIT)
    with contention.in_background(change), held:
        held.wait()
        assert behind.progress() == 0
    assert behind.progress() == 1


def test_black_hole_delivers_late(behind: Behind) -> None:
    """As after a partition, a statement arrives though its sender gave up."""
    client = behind.connect(read_timeout_s=1)
    with behind.proxy.black_hole() as fault:
        with fails(_LOST):
            client.query(_CHANGE)
        with fails(_LOST):
            behind.connect(read_timeout_s=1)
        assert behind.progress() == 0
    contention.wait_for(lambda: behind.progress() == 1)
    assert len(fault.acts) == 2


def test_black_hole_swallows(behind: Behind) -> None:
    """Or it never arrives, and the connection is gone for good."""
    client = behind.connect()

    def change() -> None:
        with fails(_LOST):
            client.query(_CHANGE)

    fault = behind.proxy.black_hole(deliver=False)
    with contention.in_background(change), fault:
        fault.wait()
    behind.connect().query("SELECT 1")
    assert behind.progress() == 0


def test_refuse(behind: Behind) -> None:
    """Connections end, none is taken, and the port is kept for later."""
    client = behind.connect()
    port = behind.proxy.port
    with behind.proxy.refuse() as fault:
        with fails(*_GONE):
            client.query("SELECT 1")
        with fails(_REFUSED):
            behind.connect()
    assert len(fault.acts) == 1
    behind.connect().query("SELECT 1")
    assert behind.proxy.port == port


def test_switch(behind: Behind) -> None:
    """Old connections end, and new ones lead to the other node."""
    first, second, _ = behind.cell.cluster.nodes
    client = behind.connect()
    assert _port(client) == first.port
    behind.proxy.switch(second.port)
    with fails(*_GONE):
        client.query("SELECT 1")
    assert _port(behind.connect()) == second.port


def _port(connection: servers.Connection) -> object:
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@port")
        [port] = cursor.fetchone() or ()
    return port


def test_cut_of_all_connections(behind: Behind) -> None:
    """A pool full of them finds each of them dead."""
    clients = [behind.connect() for _ in range(3)]
    assert behind.proxy.cut() == 3
    for client in clients:
        with fails(*_GONE):
            client.query("SELECT 1")


def test_a_dead_server_is_no_secret(behind: Behind) -> None:
    """Without a server behind it the proxy ends what it takes."""
    client = behind.connect()
    node = behind.cell.cluster.nodes[0]
    node.kill()
    with fails(*_GONE):
        client.query("SELECT 1")
    with fails(_LOST):
        behind.connect()
    node.restart()
    behind.connect().query("SELECT 1")


def test_a_fault_that_nothing_meets_is_an_error(
    behind: Behind, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test that waits for it in vain is told."""
    monkeypatch.setattr(fault_links, "TIMEOUT_S", 0.1)
    fault = behind.proxy.cut_before(_COMMIT)
    with pytest.raises(TimeoutError, match="passing a statement on"):
        fault.wait()


def test_a_stopped_proxy_gives_its_port_back(behind: Behind) -> None:
    """Also with clients in it, and in a black hole."""
    with faults.Proxy(behind.cell.cluster.nodes[0].port) as proxy:
        port = proxy.port
        client = pymysql.connect(host="127.0.0.1", port=port, user="root")
        proxy.black_hole()
    with fails(*_GONE):
        client.query("SELECT 1")
    with pytest.raises(pymysql.err.OperationalError, match="refused"):
        pymysql.connect(host="127.0.0.1", port=port, user="root")
    proxy.stop()
