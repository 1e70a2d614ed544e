# SPDX-License-Identifier: Apache-2.0
"""Changes of a cluster that are cut short, and the same command again."""

from collections.abc import Callable
import concurrent.futures
import contextlib
import dataclasses
import json
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from nova_db_states import exceptions
from nova_db_states import migrations
from nova_db_states import retry
from tests import conftest as shared
from tests.functional.cluster import conftest
from tests.functional.cluster import live_cells
from tests.resources import builds
from tests.resources import faults
from tests.resources import galera
from tests.resources import schema

ONCE = dataclasses.replace(migrations.PATIENT, max_attempts=1)

_WAITING = "Waiting for table metadata lock"


@pytest.fixture
def cell(cluster: galera.Cluster, hold: shared.Hold) -> conftest.ClusterCell:
    """Give a cell with many instances, to be changed."""
    made = hold(schema.nova_mariadb(schema.NEWEST))
    return live_cells.without_index(cluster, made)


def _start(url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "nova_db_states.cmd.shell"),
            *("db", "upgrade", "--galera=toi", "-f", "json"),
        ],
        env={"NOVA_DB_STATES_DB_URL": url},
        cwd=pathlib.Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _again(url: str) -> str:
    """Run the command once more; give what it says that came of it."""
    stdout, stderr = (again := _start(url)).communicate(timeout=120)
    assert again.returncode == 0, stderr
    [answer] = json.loads(stdout)
    return str(answer["Result"])


def _check(cell: conftest.ClusterCell) -> None:
    """Make sure that all nodes have all of it."""
    assert live_cells.states(cell) == ["present"] * 3
    live_cells.check_tables(cell)


def test_client_killed(cell: conftest.ClusterCell) -> None:
    """The cluster finishes it; the same command waits and finds it done."""
    killed = _start(cell.url(0))
    builds.wait_for_build(cell.cluster.nodes[0], "altering table")
    killed.kill()
    killed.communicate()
    assert _again(cell.url(0)) == "present"
    _check(cell)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(
    cell: conftest.ClusterCell, number: signal.Signals
) -> None:
    """It ends, and says that the cluster does not."""
    here = signal.signal(number, signal.SIG_DFL)
    try:
        interrupted = _start(cell.url(0))
    finally:
        signal.signal(number, here)
    builds.wait_for_build(cell.cluster.nodes[0], "altering table")
    interrupted.send_signal(number)
    stdout, stderr = interrupted.communicate(timeout=30)
    assert interrupted.returncode == 128 + number
    assert "interrupted" in stdout
    assert "what the cluster has begun it also finishes" in stderr
    assert "Traceback" not in stderr
    assert _again(cell.url(1)) == "present"
    _check(cell)


@pytest.mark.parametrize(
    ("fault", "then"),
    [
        (faults.Proxy.cut_before, "created"),
        (faults.Proxy.cut_during, "present"),
        (faults.Proxy.cut_after, "present"),
    ],
)
def test_connection_lost(
    cell: conftest.ClusterCell,
    make_proxy: Callable[[int], faults.Proxy],
    fault: Callable[..., faults.Fault],
    then: str,
) -> None:
    """Before, during or after it: nothing is done twice, and nothing half."""
    proxy = make_proxy(0)
    url = proxy.url(cell.database)
    with (
        fault(proxy, faults.starting("ALTER")) as done,
        pytest.raises(
            exceptions.MigrationError, match="connection was lost while build"
        ),
    ):
        live_cells.upgrade(url)
    assert len(done.acts) == 1
    assert live_cells.upgrade(url).action == then
    _check(cell)


def test_node_killed(cell: conftest.ClusterCell) -> None:
    """Through another node it is completed, and the dead one gets it too."""
    first = cell.cluster.nodes[0]
    running = _start(cell.url(0))
    builds.wait_for_build(first, "altering table")
    first.kill()
    stdout, stderr = running.communicate(timeout=60)
    assert running.returncode == 2
    assert "failed" in stdout
    assert "for a Galera cluster on any node" in stderr
    # The others had it, or had nothing of it.
    assert _again(cell.url(1)) in {"present", "created"}
    first.restart()
    cell.cluster.wait_synced()
    _check(cell)


def test_other_node_killed(cell: conftest.ClusterCell) -> None:
    """The change does not notice, and the dead node gets it too."""
    first, second, _ = cell.cluster.nodes
    running = _start(cell.url(0))
    builds.wait_for_build(first, "altering table")
    second.kill()
    _, stderr = running.communicate(timeout=60)
    assert running.returncode == 0, stderr
    second.restart()
    cell.cluster.wait_synced()
    _check(cell)


def test_two_at_once(cell: conftest.ClusterCell) -> None:
    """Of two on two nodes one makes the index, and both succeed."""
    both = [_start(cell.url(number)) for number in (0, 1)]
    outputs = [one.communicate(timeout=60) for one in both]
    assert [one.returncode for one in both] == [0, 0], outputs
    answers = [json.loads(stdout)[0]["Result"] for stdout, _ in outputs]
    assert sorted(answers) == ["created", "present"]
    _check(cell)


def test_locked_tables_are_waited_for(cell: conftest.ClusterCell) -> None:
    """No time-out bounds that, nor does the end of the command.

    Nothing of it is withdrawn: once the lock is gone, all nodes have it.
    """
    first = cell.cluster.nodes[0]
    with contextlib.closing(first.connect()) as holder:
        holder.select_db(cell.database)
        holder.query("LOCK TABLES instances READ")
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            running = thread.submit(
                live_cells.upgrade, cell.url(0), lock_timeout_s=1, policy=ONCE
            )
            builds.wait_for_build(first, _WAITING)
            with pytest.raises(TimeoutError):
                running.result(timeout=3)
            holder.query("UNLOCK TABLES")
            step = running.result(timeout=60)
    assert (step.action, step.attempts) == ("created", 1)
    _check(cell)


def test_a_backup_that_begins_meanwhile(cell: conftest.ClusterCell) -> None:
    """The node then takes no change; it is tried again until it does."""
    backup = cell.cluster.nodes[0].connect()
    doings: list[str] = []

    def lock(event: migrations.Event) -> None:
        doings.append(event.doing)
        if doings == ["building"]:
            backup.query("FLUSH TABLES WITH READ LOCK")
        elif event.doing == "blocked":
            backup.query("UNLOCK TABLES")
            time.sleep(0.5)

    quick = retry.Policy(max_attempts=5, first_backoff_s=0.5)
    with contextlib.closing(backup):
        with pytest.raises(
            exceptions.MigrationBlocked, match="took no change"
        ):
            live_cells.upgrade(
                cell.url(0),
                policy=ONCE,
                progress=lambda event: (
                    lock(event) if event.doing == "building" else None
                ),
            )
        backup.query("UNLOCK TABLES")
        cell.cluster.wait_synced()
        assert live_cells.states(cell) == ["missing"] * 3
        doings.clear()
        step = live_cells.upgrade(cell.url(0), policy=quick, progress=lock)
    assert step.action == "created"
    assert doings[:3] == ["building", "blocked", "building"]
    _check(cell)


def test_a_cluster_lost_before_it_began(cell: conftest.ClusterCell) -> None:
    """A node that cannot pass the change on has not made it either."""
    first = cell.cluster.nodes[0]
    doings: list[str] = []

    def cut_off(event: migrations.Event) -> None:
        doings.append(event.doing)
        if doings == ["building"]:
            first.isolate(wait=False)
        elif event.doing == "blocked":
            first.rejoin()

    step = live_cells.upgrade(
        cell.url(0), policy=retry.Policy(max_attempts=5), progress=cut_off
    )
    assert (step.action, step.attempts > 1) == ("created", True)
    _check(cell)
