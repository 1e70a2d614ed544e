# SPDX-License-Identifier: Apache-2.0
"""A watch and its server: what is sent, and what it outlives.

Each runs under both URL schemes, because oslo.db's error filters see only one
of them.
"""

from collections.abc import Callable, Iterator
import logging
import re
from typing import Any

from oslo_db import exception as db_exc
import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import tables
from nova_db_states._actions import watch
from tests.resources import contention
from tests.resources import rows
from tests.resources import watched

Log = Callable[[], list[str]]

SCHEMES = pytest.mark.parametrize(
    "scheme", ["mysql+pymysql", "mariadb+pymysql"]
)


@pytest.fixture
def log(mariadb_engine: sa.Engine) -> Iterator[Log]:
    """Give what others have sent since the last look, by the server's log."""
    with mariadb_engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        for setting in ("log_output = 'TABLE'", "general_log = ON"):
            connection.execute(sa.text(f"SET GLOBAL {setting}"))

        def look() -> list[str]:
            found = connection.execute(
                sa.text(
                    "SELECT argument FROM mysql.general_log "
                    "WHERE thread_id != CONNECTION_ID() "
                    "AND command_type NOT IN ('Connect', 'Quit') "
                    "ORDER BY event_time"
                )
            )
            sent = [" ".join(text.split()) for text in found.scalars()]
            connection.execute(sa.text("TRUNCATE mysql.general_log"))
            return sent

        yield look
        for setting in ("general_log = OFF", "log_output = 'FILE'"):
            connection.execute(sa.text(f"SET GLOBAL {setting}"))


def rows_updated(engine: sa.Engine) -> int:
    """Give how many rows the server has written so far."""
    with engine.connect() as connection:
        found = connection.execute(
            sa.text("SHOW GLOBAL STATUS LIKE 'Handler_update'")
        )
        return int(found.one()[1])


def test_a_heartbeat_is_one_statement(
    mariadb_context: api.CellContext, mariadb_engine: sa.Engine, log: Log
) -> None:
    """Guards, progress and sign of life go to the server in one UPDATE."""
    instance = rows.insert_instance(mariadb_engine, task_state="spawning")
    clock = watched.Clock()
    made = watch.watch(
        mariadb_context,
        instance,
        expected_vm_state=["building", "active"],
        total=1000,
        clock=clock,
    )
    log()
    for _ in made.iterate([b"x" * 100] * 10):
        clock.now += 2.0
    sent = log()
    assert len(sent) == 3
    for text, percent in zip(sent, [30, 60, 90], strict=True):
        assert re.match(
            rf"UPDATE instances SET updated_at='20[^']+', "
            rf"progress={percent} WHERE ",
            text,
        )
        assert text.endswith(
            f"WHERE instances.uuid = '{instance}' AND instances.deleted = 0 "
            f"AND instances.vm_state IN ('building', 'active') "
            f"AND instances.task_state = 'spawning'"
        )
    # The refusal costs one read more, and then nothing; the first on a
    # connection also asks whether the server is a node of a cluster.
    with mariadb_engine.begin() as connection:
        connection.execute(sa.update(tables.instances).values(vm_state=None))
    log()
    clock.now += watched.INTERVAL_S
    for _ in range(3):
        with pytest.raises(exceptions.UnexpectedVMStateError):
            made.checkpoint()
    assert [text.split()[0] for text in log()] == ["UPDATE", "SHOW", "SELECT"]


def test_a_check_with_nothing_to_write(
    mariadb_context: api.CellContext, mariadb_engine: sa.Engine, log: Log
) -> None:
    """It is one UPDATE too, for which the server writes no row."""
    instance = rows.insert_instance(mariadb_engine, task_state="rebooting")
    clock = watched.Clock()
    made = watch.watch(mariadb_context, instance, "rebooting", clock=clock)
    before = rows.read_instance(mariadb_engine, instance)
    written = rows_updated(mariadb_engine)
    log()
    for _ in range(3):
        clock.now += watched.INTERVAL_S
        made.checkpoint()
    sent = log()
    assert len(sent) == 3
    assert sent[0] == (
        f"UPDATE instances SET progress=instances.progress "
        f"WHERE instances.uuid = '{instance}' AND instances.deleted = 0 "
        f"AND instances.task_state = 'rebooting'"
    )
    assert sent[1:] == sent[:2]
    assert rows_updated(mariadb_engine) == written
    assert rows.read_instance(mariadb_engine, instance) == before
    clock.now += watched.INTERVAL_S
    made.checkpoint(progress=1)
    assert rows_updated(mariadb_engine) == written + 1


def chunks(count: int, clock: watched.Clock) -> Iterator[bytes]:
    """Give chunks, one in a second."""
    for _ in range(count):
        clock.now += 1.0
        yield b"x"


@SCHEMES
def test_a_server_that_is_killed(
    scheme: str,
    make_mariadb: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The work outlives it within the bound, and beyond it is stopped."""
    server = make_mariadb()
    url = server.url(server.create_database("cell"), scheme)
    engine = sa.create_engine(url)
    tables.metadata.create_all(engine)
    instance = rows.insert_instance(engine, task_state="spawning")
    engine.dispose()
    context = api.connect(url)
    clock = watched.Clock()
    made = watch.watch(context, instance, total=40, clock=clock)
    server.kill()
    done = 0
    for _ in made.iterate([b"123456789 "] * 3):
        done += 1
        clock.now += watched.INTERVAL_S
    assert done == 3
    assert len(caplog.records) == 2
    assert all(instance in one.getMessage() for one in caplog.records)
    server.restart()
    made.checkpoint()
    assert rows.read_instance(engine, instance)["progress"] == 75
    engine.dispose()
    server.kill()
    began = clock.now
    stream = made.iterate(chunks(100, clock))
    with pytest.raises(db_exc.DBConnectionError) as caught:
        list(stream)
    # From the first check without an answer, which came when it was due.
    assert clock.now - began == watched.INTERVAL_S + 60.0
    server.restart()
    with pytest.raises(db_exc.DBConnectionError) as again:
        next(stream)
    assert str(again.value) == str(caught.value)
    context.close()
    engine.dispose()


@SCHEMES
def test_a_server_that_is_away_at_the_start(
    scheme: str, make_mariadb: Callable[..., Any]
) -> None:
    """No work begins before it has answered."""
    server = make_mariadb()
    url = server.url(server.create_database("cell"), scheme)
    engine = sa.create_engine(url)
    tables.metadata.create_all(engine)
    instance = rows.insert_instance(engine, task_state="deleting")
    engine.dispose()
    server.kill()
    context = api.connect(url)
    clock = watched.Clock()

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if len(clock.slept) == 5:
            server.restart()

    with pytest.raises(exceptions.UnexpectedDeletingTaskStateError):
        watch.watch(context, instance, clock=clock, sleep=sleep)
    assert len(clock.slept) == 5
    context.close()


def test_a_row_that_stays_locked(
    mariadb_cell_url: str,
    mariadb_engine: sa.Engine,
    connect: Callable[..., api.CellContext],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Error 1205 is a missed heartbeat; it is not tried again at once."""
    instance = rows.insert_instance(mariadb_engine, task_state="spawning")
    context = connect(mariadb_cell_url, "innodb_lock_wait_timeout=1")
    clock = watched.Clock()
    made = watch.watch(context, instance, clock=clock)
    clock.now += watched.INTERVAL_S
    with (
        mariadb_engine.connect() as other,
        caplog.at_level(logging.INFO, watch.__name__.rpartition(".")[0]),
    ):
        contention.update_row(other, instance, 1)
        assert list(made.iterate(range(100))) == list(range(100))
        [missed] = caplog.records
        assert "DBDeadlock" in missed.getMessage()
        other.rollback()
        clock.now += watched.INTERVAL_S
        made.checkpoint(progress=50)
    assert "checked again, after 5.0 s" in caplog.records[-1].getMessage()
    assert rows.read_instance(mariadb_engine, instance)["progress"] == 50


def test_a_heartbeat_whose_answer_never_came(
    mariadb_cell_url: str,
    mariadb_engine: sa.Engine,
    connect: Callable[..., api.CellContext],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It may have been written or not: the next one says the same again."""
    instance = rows.insert_instance(mariadb_engine, task_state="spawning")
    context = connect(mariadb_cell_url)
    clock = watched.Clock()
    made = watch.watch(context, instance, clock=clock)
    clock.now += watched.INTERVAL_S
    with mariadb_engine.connect() as other:
        contention.update_row(other, instance, 1)

        def cut() -> None:
            contention.wait_for(
                lambda: bool(contention.lock_waits(mariadb_engine))
            )
            for session in contention.lock_waits(mariadb_engine):
                contention.kill(mariadb_engine, session)
            other.rollback()

        with contention.in_background(cut):
            made.checkpoint(progress=50)
    [missed] = caplog.records
    assert "UnknownUpdateOutcome" in missed.getMessage()
    clock.now += watched.INTERVAL_S
    made.checkpoint()
    assert rows.read_instance(mariadb_engine, instance)["progress"] == 50
