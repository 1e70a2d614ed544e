# SPDX-License-Identifier: Apache-2.0
"""The nodes that the other tests of this folder stand on."""

from collections.abc import Iterator
import contextlib
import os
import pathlib
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from typing import Final, NoReturn

import pymysql
import pytest
import sqlalchemy as sa

from tests.functional.cluster import conftest
from tests.resources import contention
from tests.resources import galera
from tests.resources import galera_process
from tests.resources import rows
from tests.resources import servers

_CHANGE: Final = "UPDATE {0}.claims SET owner = %s WHERE owner = %s"

_SOON: Final = ("repl.causal_read_timeout", "PT0.5S")

_STARTS_AND_WAITS: Final = """
import sys
from tests.resources import galera
cluster = galera.Cluster()
cluster.start()
for node in cluster.nodes:
    print(node.pid, node.folder)
sys.stdout.flush()
sys.stdin.read()
"""


@pytest.fixture
def table(cluster: galera.Cluster) -> str:
    """Give a database with one row to claim, whose owner is nobody yet."""
    database = cluster.create_database()
    cluster.execute(
        f"CREATE TABLE {database}.claims"
        " (id INTEGER PRIMARY KEY, owner INTEGER, note VARCHAR(999))"
    )
    cluster.execute(f"INSERT INTO {database}.claims VALUES (1, 0, '')")
    cluster.wait_synced()
    return database


def owner(node: servers.Server, database: str) -> object:
    """Read who owns the row, as the node has it at this moment."""
    [(found,)] = node.execute(f"SELECT owner FROM {database}.claims")
    return found


def claim(node: servers.Server, database: str, new: int, expected: int) -> int:
    """Change the owner if it is as expected; gives the rows that matched."""
    with (
        contextlib.closing(node.connect()) as connection,
        connection.cursor() as cursor,
    ):
        return cursor.execute(_CHANGE.format(database), (new, expected))


@contextlib.contextmanager
def refused(code: int) -> Iterator[None]:
    """Expect an error of the server's, or of the driver's, by number."""
    with pytest.raises(pymysql.err.MySQLError) as caught:
        yield
    assert caught.value.args[0] == code, caught.value


def test_nodes_are_one_cluster(cluster: galera.Cluster, table: str) -> None:
    """What is written on one node is on the others."""
    assert [node.view() for node in cluster.nodes] == [3, 3, 3]
    for number, node in enumerate(cluster.nodes):
        assert claim(node, table, number + 1, number) == 1
        cluster.wait_synced()
        assert [owner(each, table) for each in cluster.nodes] == [
            number + 1
        ] * 3


def test_a_killed_node_comes_back_with_what_it_missed(
    cluster: galera.Cluster, table: str
) -> None:
    """It needs no copy of all data for that."""
    first, second, _ = cluster.nodes
    pid = second.pid
    second.kill()
    with refused(2003):
        second.execute("SELECT 1")
    fill(first, table, 2000)
    seen = len(second.log.read_text(errors="replace"))
    second.restart()
    assert second.pid != pid
    cluster.wait_synced()
    assert owner(second, table) == 2000
    log = second.log.read_text(errors="replace")[seen:]
    assert re.search(r"Receiving IST: 20\d\d writesets", log)


def fill(node: servers.Server, database: str, claims: int) -> None:
    """Claim the row from 0 on, again and again."""
    with (
        contextlib.closing(node.connect()) as connection,
        connection.cursor() as cursor,
    ):
        for number in range(claims):
            cursor.execute(_CHANGE.format(database), (number + 1, number))


def test_a_node_without_data_gets_them(
    cluster: galera.Cluster, table: str
) -> None:
    """The server's own transfer of all data works here too."""
    third = cluster.nodes[2]
    third.lose_data()
    assert claim(cluster.nodes[0], table, 1, 0) == 1
    third.restart()
    cluster.wait_synced()
    assert owner(third, table) == 1


def test_nothing_is_lost_when_all_nodes_die(
    cluster: galera.Cluster, table: str
) -> None:
    """The node that has most begins the cluster anew."""
    first, second, third = cluster.nodes
    first.kill()
    assert claim(second, table, 1, 0) == 1
    # With two of three gone the last one may have missed something.
    with second.lag(third):
        assert claim(third, table, 2, 1) == 1
        third.kill()
        second.kill()
    cluster.restart()
    cluster.wait_synced()
    assert [owner(node, table) for node in cluster.nodes] == [2, 2, 2]


def test_a_node_alone_is_brought_back_in_order(
    cluster: galera.Cluster, table: str
) -> None:
    """Two deaths leave a node that takes nothing until the others return."""
    first, second, third = cluster.nodes
    first.kill()
    second.kill()
    contention.wait_for(lambda: not third.synced)
    with refused(1047):
        owner(third, table)
    cluster.mend()
    assert claim(third, table, 1, 0) == 1


def test_an_isolated_node_refuses_and_returns(
    cluster: galera.Cluster, table: str
) -> None:
    """Cut off, it says so; the others go on, and it catches up."""
    first, _, third = cluster.nodes
    third.isolate()
    with refused(1047):
        owner(third, table)
    with refused(1047):
        claim(third, table, 1, 0)
    assert claim(first, table, 1, 0) == 1
    third.rejoin()
    cluster.wait_synced()
    assert owner(third, table) == 1


def test_a_paused_node_is_silent_and_returns(
    cluster: galera.Cluster, table: str
) -> None:
    """The others do without it, and it finds its way back."""
    first, second, _ = cluster.nodes
    with contextlib.closing(second._connect(1)) as connection:
        second.pause()
        with refused(2013):
            connection.query("SELECT 1")
    contention.wait_for(lambda: first.view() == 2)
    assert claim(first, table, 1, 0) == 1
    second.resume()
    cluster.wait_synced()
    assert owner(second, table) == 1


def test_a_node_that_lags_reads_the_past(
    cluster: galera.Cluster, table: str
) -> None:
    """It reads and judges by its old rows, and without waiting."""
    first, _, third = cluster.nodes
    with third.lag(first):
        # By default no writer may be so far ahead of a node.
        fill(first, table, 500)
        assert owner(third, table) == 0
        began = time.monotonic()
        assert claim(third, table, 501, 500) == 0
        assert time.monotonic() - began < 5
        assert third.synced
    cluster.wait_synced()
    assert claim(third, table, 501, 500) == 1


@pytest.mark.parametrize(
    "statement",
    ["SELECT owner FROM {0}.claims", "UPDATE {0}.claims SET note = 'seen'"],
)
def test_a_causal_statement_waits_or_is_refused(
    cluster: galera.Cluster, table: str, statement: str
) -> None:
    """The error is that of a lock wait; nothing tells the two apart."""
    first, _, third = cluster.nodes
    with contextlib.closing(third.connect()) as connection:
        connection.query("SET SESSION wsrep_sync_wait = 3")
        with third.lag(first), third.provider(*_SOON), refused(1205):
            connection.query(statement.format(table))
        # Once nothing is missing it goes through as any other.
        connection.query(statement.format(table))


def test_a_causal_read_waits_the_lag_out(
    cluster: galera.Cluster, table: str
) -> None:
    """It answers when the node has caught up, with what is true then."""
    first, _, third = cluster.nodes
    found: list[object] = []

    def read() -> None:
        with (
            contextlib.closing(third.connect()) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SET SESSION wsrep_sync_wait = 3")
            cursor.execute(f"SELECT owner FROM {table}.claims")
            found.extend(cursor.fetchone() or ())

    # Released before the reader is waited for.
    with contextlib.ExitStack() as reading, third.lag(first):
        assert claim(first, table, 1, 0) == 1
        reading.enter_context(contention.in_background(read))
        time.sleep(1)
        assert not found
    assert found == [1]


def test_options_of_galera_last_for_their_block(
    cluster: galera.Cluster,
) -> None:
    """What the block set is as before when it ends."""
    node = cluster.nodes[0]
    name = "repl.causal_read_timeout"
    with node.provider(name, "PT7S"):
        assert node.get_provider(name) == "PT7S"
    assert node.get_provider(name) == "PT30S"


def test_a_cell_is_on_every_node(
    cluster_cell: conftest.ClusterCell, cluster_scheme: str
) -> None:
    """Nova's tables are there under both schemes, and empty."""
    for url in cluster_cell.urls(cluster_scheme):
        engine = sa.create_engine(url)
        instance = rows.insert_instance(engine)
        assert rows.read_instance(engine, instance)["vm_state"] == "active"
        engine.dispose()
    cluster_cell.cluster.wait_synced()
    for node in cluster_cell.cluster.nodes:
        [(count,)] = node.execute(
            f"SELECT COUNT(*) FROM {cluster_cell.database}.instances"
        )
        assert count == 3


class _OnPurposeError(Exception):
    pass


def test_a_cluster_starts_in_a_minute_and_leaves_nothing() -> None:
    """Not even with a node paused and a failure in the block."""
    began = time.monotonic()
    found: list[tuple[int, pathlib.Path]] = []

    def fail() -> NoReturn:
        with galera.Cluster() as cluster:
            assert time.monotonic() - began < 60
            found.extend((node.pid, node.folder) for node in cluster.nodes)
            assert all(_runs(pid) and at.exists() for pid, at in found)
            cluster.nodes[1].pause()
            cluster.nodes[2].kill()
            raise _OnPurposeError

    with pytest.raises(_OnPurposeError):
        fail()
    assert len(found) == 3
    assert not any(_runs(pid) or at.exists() for pid, at in found)


def _runs(pid: int) -> bool:
    return pathlib.Path(f"/proc/{pid}").exists()


def test_nodes_die_with_a_killed_test_run() -> None:
    """Neither a cluster is left behind by a run that cannot tidy up."""
    runner = subprocess.Popen(
        [sys.executable, "-c", _STARTS_AND_WAITS],
        cwd=pathlib.Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert runner.stdin is not None
    assert runner.stdout is not None
    found = [runner.stdout.readline().split() for _ in range(3)]
    nodes = [os.pidfd_open(int(pid)) for pid, _ in found]
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    for node in nodes:
        ready, _, _ = select.select([node], [], [], 20)
        assert ready
        os.close(node)
    runner.stdin.close()
    runner.stdout.close()
    # Nobody was left to remove them.
    for _, folder in found:
        shutil.rmtree(folder)


def test_a_missing_library_is_an_error_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without Galera the run fails and says what to install."""
    monkeypatch.setattr(galera_process, "_PROVIDERS", ("/nowhere/galera.so",))
    with pytest.raises(servers.ServerUnavailable, match="galera-4"):
        galera_process.provider_library()


def test_what_cannot_start_says_why() -> None:
    """An option that the server does not know is in the message."""
    cluster = galera.Cluster(innodb_of_another_world="1")
    with pytest.raises(servers.ServerUnavailable, match="another"):
        cluster.start()
    assert not cluster.running
