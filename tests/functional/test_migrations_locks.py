# SPDX-License-Identifier: Apache-2.0
"""Migrations on a live table: blocked, interrupted, killed.

On a MariaDB server of their own, because it is killed, and because what its
users may see is changed.
"""

from collections.abc import Callable, Iterator
import concurrent.futures
import contextlib
import dataclasses
import json
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc
from sqlalchemy import pool

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import migrations
from nova_db_states import retry
from tests.resources import builds
from tests.resources import mariadb
from tests.resources import rows
from tests.resources import schema

NAME = "nova_db_states_deleted_vm_state_task_state"

# Enough for a build to be caught in the middle of it.
_MANY = 250_000

_FILL = (
    "INSERT INTO instances"
    " (uuid, created_at, updated_at, vm_state, task_state, deleted, host)"
    " SELECT uuid(), now(), now(),"
    " elt(1 + mod(seq, 4), 'active', 'stopped', 'error', 'building'),"
    " if(mod(seq, 5) = 0, 'powering-off', NULL),"
    " if(mod(seq, 3) = 0, seq, 0), 'c1'"
    f" FROM seq_1_to_{_MANY}"
)

# Whatever it costs: the tests are about time-outs of one second.
ONCE = dataclasses.replace(migrations.PATIENT, max_attempts=1)


@pytest.fixture(scope="module")
def server() -> Iterator[mariadb.MariaDBServer]:
    """Start a server that no other module uses."""
    with mariadb.MariaDBServer() as started:
        yield started


@pytest.fixture(scope="module")
def database(
    server: mariadb.MariaDBServer, hold: Callable[..., schema.MariaDBSchema]
) -> str:
    """Make a cell with many instances; tests leave it without our index."""
    made = hold(schema.nova_mariadb(schema.NEWEST))
    shared = made.create()
    [(_, statement)] = made.server.execute(
        f"SHOW CREATE TABLE `{shared}`.instances"
    )
    made.server.drop_database(shared)
    name = server.create_database("live")
    with _connected(server.url(name)) as connection:
        connection.exec_driver_sql(str(statement))
        connection.exec_driver_sql(_FILL)
    return name


@pytest.fixture
def url(server: mariadb.MariaDBServer, database: str) -> Iterator[str]:
    """Give the live cell, and take away what the test put there."""
    yield server.url(database)
    server.disconnect(database)
    engine = _engine(server.url(database))
    migrations.downgrade(engine)


@pytest.fixture
def nova_user(server: mariadb.MariaDBServer, url: str) -> Iterator[sa.Engine]:
    """Give an engine of a user with the grant of Nova's install guide."""
    database = sa.make_url(url).database
    server.execute("CREATE USER 'nova'@'%' IDENTIFIED BY 'se-cr-et'")
    server.execute(f"GRANT ALL PRIVILEGES ON `{database}`.* TO 'nova'@'%'")
    yield _engine(sa.make_url(url).set(username="nova", password="se-cr-et"))
    server.execute("DROP USER 'nova'@'%'")


def _engine(url: str | sa.URL) -> sa.Engine:
    return sa.create_engine(url, poolclass=pool.NullPool)


@contextlib.contextmanager
def _connected(url: str) -> Iterator[sa.Connection]:
    with (
        _engine(url).connect() as connection,
        connection.begin(),
    ):
        yield connection


@contextlib.contextmanager
def _open_transaction(url: str) -> Iterator[int]:
    """Hold the table as a forgotten transaction does; yield its connection."""
    with _connected(url) as connection:
        connection.exec_driver_sql("SELECT id FROM instances LIMIT 1")
        yield int(
            connection.exec_driver_sql("SELECT CONNECTION_ID()").scalar_one()
        )


def _start_upgrade(url: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "nova_db_states.cmd.shell"),
            *("db", "upgrade", "-f", "json"),
        ],
        env={"NOVA_DB_STATES_DB_URL": url},
        cwd=pathlib.Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _states(url: str) -> list[str]:
    return [entry.state for entry in migrations.status(_engine(url))]


def test_blocked(nova_user: sa.Engine, url: str) -> None:
    """It gives up in time, changes nothing, and says what a DBA can do."""
    with _open_transaction(url):
        began = time.monotonic()
        with pytest.raises(exceptions.MigrationBlocked) as caught:
            migrations.upgrade(
                nova_user,
                lock_timeout_s=1,
                policy=retry.Policy(max_attempts=2, first_backoff_s=0.1),
            )
        assert 2 <= time.monotonic() - began < 4
    assert caught.value.blockers == ()
    message = str(caught.value)
    assert "information_schema.innodb_trx" in message
    assert "SHOW FULL PROCESSLIST" in message
    assert "GRANT PROCESS ON *.* TO 'nova'@'%';" in message
    assert _states(url) == ["missing"]
    assert [step.action for step in migrations.upgrade(nova_user)] == [
        "created"
    ]


def test_blocker_by_transaction(
    server: mariadb.MariaDBServer, nova_user: sa.Engine, url: str
) -> None:
    """With PROCESS, the open transactions of this database are named."""
    server.execute("GRANT PROCESS ON *.* TO 'nova'@'%'")
    with (
        # It ends without its connection.
        contextlib.suppress(sa_exc.OperationalError),
        _open_transaction(url) as blocker,
    ):
        with pytest.raises(exceptions.MigrationBlocked) as caught:
            migrations.upgrade(nova_user, lock_timeout_s=1, policy=ONCE)
        # What the message advises, works.
        server.execute(f"KILL {blocker}")
        assert migrations.upgrade(nova_user)[0].action == "created"
    [line] = caught.value.blockers
    assert line.startswith(f"connection {blocker} of root@")
    assert "in a transaction since 2" in line
    assert _states(url) == ["present"]


@pytest.mark.parametrize("grant", [True, False])
def test_blocker_by_lock(
    server: mariadb.MariaDBServer,
    nova_user: sa.Engine,
    url: str,
    *,
    grant: bool,
) -> None:
    """With MariaDB's plugin, exactly those that hold the table are named."""
    server.execute("INSTALL SONAME 'metadata_lock_info'")
    if grant:
        server.execute("GRANT PROCESS ON *.* TO 'nova'@'%'")
    try:
        with (
            _connected(url) as elsewhere,
            _open_transaction(url) as blocker,
        ):
            elsewhere.exec_driver_sql("SELECT 1 FROM mysql.user")
            with pytest.raises(exceptions.MigrationBlocked) as caught:
                migrations.upgrade(nova_user, lock_timeout_s=1, policy=ONCE)
        [line] = caught.value.blockers
        assert line.startswith(f"connection {blocker}")
        assert "holds MDL_SHARED_READ" in line
        assert ("of root@" in line) is grant
        with _connected(url) as backup:
            backup.exec_driver_sql("FLUSH TABLES WITH READ LOCK")
            with pytest.raises(exceptions.MigrationBlocked) as caught:
                migrations.upgrade(nova_user, lock_timeout_s=1, policy=ONCE)
            backup.exec_driver_sql("UNLOCK TABLES")
        assert "holds MDL_BACKUP_FTWRL" in str(caught.value.blockers)
    finally:
        server.execute("UNINSTALL SONAME 'metadata_lock_info'")


def test_blocked_for_a_while(url: str) -> None:
    """Updates keep flowing while it waits, and it gets there in the end.

    A transaction holds the table for some attempts. No update waits longer
    than the lock time-out and half a second, none fails.
    """
    engine = _engine(url)
    instances = rows.insert_instances(engine, 4)
    stop, began = threading.Event(), time.monotonic()

    def update(uuid: str) -> list[float]:
        context = api.connect(url)
        took = []
        for state, other in _pairs():
            if stop.is_set():
                return took
            before = time.monotonic()
            api.instance_update(
                context,
                uuid,
                {"task_state": state},
                expected_task_state=other,
            )
            took.append(time.monotonic() - before)
            time.sleep(0.005)
        return took

    with concurrent.futures.ThreadPoolExecutor(len(instances)) as workers:
        running = [workers.submit(update, uuid) for uuid in instances]
        try:
            with _open_transaction(url):
                blocked = _upgrade_aside(engine)
                time.sleep(3.5)
            [step] = blocked.result(timeout=60)
        finally:
            stop.set()
        took = [seconds for one in running for seconds in one.result()]
    assert step.action == "created"
    assert step.attempts > 1
    # Some did wait behind it, so the bound was put to the test.
    assert 0.5 < max(took) < 1.5
    assert len(took) > 20 * (time.monotonic() - began)
    assert _states(url) == ["present"]


def _pairs() -> Iterator[tuple[str | None, str | None]]:
    while True:
        yield "powering-off", None
        yield None, "powering-off"


def _upgrade_aside(
    engine: sa.Engine, *, max_attempts: int = 20
) -> concurrent.futures.Future[tuple[migrations.Step, ...]]:
    """Upgrade in a thread of its own, with a lock time-out of a second."""
    future: concurrent.futures.Future[tuple[migrations.Step, ...]] = (
        concurrent.futures.Future()
    )

    def run() -> None:
        try:
            steps = migrations.upgrade(
                engine,
                lock_timeout_s=1,
                policy=retry.Policy(
                    max_attempts=max_attempts,
                    first_backoff_s=0.2,
                    max_backoff_s=0.5,
                ),
            )
        except BaseException as error:  # noqa: BLE001 - handed to the test
            future.set_exception(error)
        else:
            future.set_result(steps)

    threading.Thread(target=run, daemon=True).start()
    return future


def test_blocked_at_the_end(server: mariadb.MariaDBServer, url: str) -> None:
    """A transaction that begins during the build stops its last step.

    The server rolls the build back; the next attempt does it again.
    """
    engine = _engine(url)
    upgrade = _upgrade_aside(engine, max_attempts=1)
    builds.wait_for_build(server, "altering table")
    with _open_transaction(url):
        builds.wait_for_build(server, "Waiting for table metadata lock")
        with pytest.raises(exceptions.MigrationBlocked, match="not changed"):
            upgrade.result(timeout=30)
        assert _states(url) == ["missing"]
    upgrade = _upgrade_aside(engine)
    builds.wait_for_build(server, "altering table")
    with _open_transaction(url):
        builds.wait_for_build(server, "Waiting for table metadata lock")
        time.sleep(1)
    [step] = upgrade.result(timeout=30)
    assert (step.action, step.attempts > 1) == ("created", True)
    assert _states(url) == ["present"]


def test_client_killed(server: mariadb.MariaDBServer, url: str) -> None:
    """The same command again ends with the index, whatever came of it."""
    killed = _start_upgrade(url)
    builds.wait_for_build(server, "altering table")
    killed.kill()
    killed.communicate()
    again = _start_upgrade(url)
    stdout, stderr = again.communicate(timeout=60)
    assert (again.returncode, stderr) == (0, "")
    assert "created" in stdout or "present" in stdout
    assert _states(url) == ["present"]
    _check_table(url)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
)
def test_interrupted(
    server: mariadb.MariaDBServer, url: str, number: signal.Signals
) -> None:
    """It stops the server's part too: no index turns up afterwards."""
    # Under nohup, or in the background of a script, the tests ignore such a
    # signal, and what they start inherits that.
    here = signal.signal(number, signal.SIG_DFL)
    try:
        interrupted = _start_upgrade(url)
    finally:
        signal.signal(number, here)
    builds.wait_for_build(server, "altering table")
    interrupted.send_signal(number)
    stdout, stderr = interrupted.communicate(timeout=30)
    assert interrupted.returncode == 128 + number
    assert "interrupted" in stdout
    assert "interrupted: run it again" in stderr
    assert "Traceback" not in stderr
    builds.wait_until_quiet(server)
    assert _states(url) == ["missing"]


def test_server_killed(server: mariadb.MariaDBServer, url: str) -> None:
    """A crash in the middle leaves nothing half made, and that is said."""
    running = _start_upgrade(url)
    builds.wait_for_build(server, "altering table")
    server.kill()
    stdout, stderr = running.communicate(timeout=60)
    server.restart()
    assert running.returncode == 2
    assert "failed" in stdout
    assert "Run the same command again" in stderr
    assert _states(url) == ["missing"]
    _check_table(url)
    assert migrations.upgrade(_engine(url))[0].action == "created"
    _check_table(url)


def test_two_at_once(server: mariadb.MariaDBServer, url: str) -> None:
    """Of two upgrades one makes the index, and both succeed."""
    first, second = _start_upgrade(url), _start_upgrade(url)
    outputs = [one.communicate(timeout=60) for one in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    answers = [json.loads(stdout)[0]["Result"] for stdout, _ in outputs]
    assert sorted(answers) == ["created", "present"]
    assert _states(url) == ["present"]
    builds.wait_until_quiet(server)


def _check_table(url: str) -> None:
    with _connected(url) as connection:
        answer = connection.exec_driver_sql("CHECK TABLE instances").all()
        assert [row[3] for row in answer] == ["OK"]
        count = connection.exec_driver_sql(
            f"SELECT count(*) FROM instances FORCE INDEX ({NAME})"
            " WHERE deleted >= 0"
            if _states(url) == ["present"]
            else "SELECT count(*) FROM instances"
        ).scalar_one()
        assert count >= _MANY
