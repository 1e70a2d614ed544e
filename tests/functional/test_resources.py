# SPDX-License-Identifier: Apache-2.0
"""The servers and schemas that the other functional tests stand on."""

from collections.abc import Callable
import os
import pathlib
import select
import signal
import subprocess
import sys

import pymysql
import pytest
import sqlalchemy as sa

from tests import conftest
from tests.resources import mariadb
from tests.resources import rows
from tests.resources import schema
from tests.resources import servers

_STARTS_AND_WAITS = """
import sys
from tests.resources import mariadb
server = mariadb.MariaDBServer()
server.start()
print(server.pid, server.folder, flush=True)
sys.stdin.read()
"""


def test_cell_is_empty_and_takes_instances(cell_engine: sa.Engine) -> None:
    """A test finds no instance but those that it inserts itself."""
    with cell_engine.connect() as connection:
        found = connection.scalar(sa.text("SELECT COUNT(*) FROM instances"))
    assert found == 0
    uuid = rows.insert_instance(cell_engine, vm_state="error")
    assert rows.read_instance(cell_engine, uuid)["vm_state"] == "error"


def test_shared_cell_forgives_a_held_lock(
    shared_mariadb_cell: schema.SharedCell,
) -> None:
    """A transaction that a test left open does not stop the next test."""
    engine = sa.create_engine(shared_mariadb_cell.url())
    rows.insert_instance(engine)
    left_open = engine.connect()
    left_open.execute(sa.text("SELECT id FROM instances FOR UPDATE"))
    shared_mariadb_cell.empty()
    with engine.connect() as connection:
        assert not connection.execute(sa.text("SELECT 1 FROM instances")).all()
    left_open.invalidate()
    left_open.close()
    engine.dispose()


def test_shared_cell_refuses_a_changed_schema(
    hold: conftest.Hold, mariadb_server: servers.Server
) -> None:
    """An index that a test left in the shared cell is noticed at once."""
    cell = schema.SharedCell(hold(schema.nova_mariadb(schema.NEWEST)))
    mariadb_server.execute(
        f"CREATE INDEX left_behind ON `{cell.database}`.instances (host)"
    )
    with pytest.raises(AssertionError, match="a database of its own"):
        cell.empty()
    cell.drop()


def test_mariadb_copy_equals_what_nova_made(
    nova_release: str,
    hold: conftest.Hold,
    mariadb_server: servers.Server,
    make_nova_mariadb: conftest.MakeCell,
) -> None:
    """The copied schema is Nova's, to the letter, in every release."""
    migrated: schema.MariaDBSchema = hold(schema.nova_mariadb(nova_release))
    copied = sa.make_url(make_nova_mariadb(nova_release)).database
    assert copied is not None
    assert "instances" in migrated.statements
    statements = schema.create_statements(mariadb_server, copied)
    assert statements == migrated.statements


def test_private_server_is_as_asked_after_restart_and_kill(
    make_mariadb: Callable[..., mariadb.MariaDBServer],
) -> None:
    """Options take effect, and what was committed survives a crash."""
    server = make_mariadb(innodb_snapshot_isolation="ON")
    url = server.url(server.create_database())
    assert server.execute("SELECT @@innodb_snapshot_isolation") == [(1,)]
    assert server.execute("SELECT @@tx_isolation") == [("REPEATABLE-READ",)]
    server.restart(innodb_snapshot_isolation="OFF")
    assert server.execute("SELECT @@innodb_snapshot_isolation") == [(0,)]
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE kept (id INTEGER)"))
        connection.execute(sa.text("INSERT INTO kept VALUES (7)"))
    engine.dispose()
    server.kill()
    with pytest.raises(pymysql.err.OperationalError):
        server.execute("SELECT 1")
    server.restart()
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT id FROM kept")) == 7
    engine.dispose()


def test_server_dies_with_a_killed_test_run() -> None:
    """Not even a killed run leaves a server behind."""
    runner = subprocess.Popen(
        [sys.executable, "-c", _STARTS_AND_WAITS],
        cwd=pathlib.Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert runner.stdin is not None
    assert runner.stdout is not None
    pid, folder = runner.stdout.readline().split()
    server = os.pidfd_open(int(pid))
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    assert _ended(server, within_s=20)
    os.close(server)
    runner.stdin.close()
    runner.stdout.close()
    # Nobody was left to remove it.
    subprocess.run(["rm", "-r", folder], check=True)


def _ended(pidfd: int, within_s: float) -> bool:
    """Wait until the process behind a pidfd has ended."""
    ready, _, _ = select.select([pidfd], [], [], within_s)
    return bool(ready)


def test_missing_server_is_an_error_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a server program the run fails and says what to install."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(servers.ServerUnavailable, match="mariadb-server"):
        mariadb.program("mariadbd-of-another-world")


def test_given_server_is_used_and_left_clean(
    make_mariadb: Callable[..., mariadb.MariaDBServer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server named in the environment loses only what was made on it."""
    private = make_mariadb()
    kept = private.create_database("kept")
    monkeypatch.setenv(servers.DB_URL_VARIABLE, private.url())
    with mariadb.any_server() as server:
        made = server.create_database()
        assert f":{private.port}/{made}" in server.url(made)
        assert server.url(made, "mariadb+pymysql").startswith("mariadb+pymy")
    found = {name for (name,) in private.execute("SHOW DATABASES")}
    assert kept in found
    assert made not in found
