# SPDX-License-Identifier: Apache-2.0
"""Connections and servers that go away, under both URL schemes."""

from collections.abc import Callable
import signal
from typing import Any

from oslo_db import exception as db_exc
import pymysql
import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states import tables
from tests.resources import contention
from tests.resources import rows

SCHEMES = pytest.mark.parametrize(
    "scheme", ["mysql+pymysql", "mariadb+pymysql"]
)


def test_dead_connections_are_noticed_before_anything_is_sent(
    mariadb_cell_url: str,
    mariadb_engine: sa.Engine,
    connect: Callable[..., api.CellContext],
) -> None:
    """A pool of connections that the server closed costs no attempt."""
    instance = rows.insert_instance(mariadb_engine)
    context = connect(mariadb_cell_url)
    api.instance_update(context, instance, {"progress": 1})
    for session in contention.sessions(mariadb_engine):
        contention.kill(mariadb_engine, session)
    contention.wait_for(lambda: not contention.sessions(mariadb_engine))
    api.instance_update(
        context,
        instance,
        {"progress": 2},
        expected={"progress": 1},
        retry_policy=retry.Policy(max_attempts=1),
    )
    assert rows.read_instance(mariadb_engine, instance)["progress"] == 2


def test_an_answer_that_never_came(
    mariadb_cell_url: str,
    mariadb_engine: sa.Engine,
    connect: Callable[..., api.CellContext],
) -> None:
    """A connection lost in the statement leaves the outcome unknown."""
    instance = rows.insert_instance(mariadb_engine, task_state="spawning")
    context = connect(mariadb_cell_url)
    api.instance_update(context, instance, {"progress": 1})
    with mariadb_engine.connect() as other:
        contention.update_row(other, instance, 2)

        def cut() -> None:
            contention.wait_for(
                lambda: bool(contention.lock_waits(mariadb_engine))
            )
            for session in contention.lock_waits(mariadb_engine):
                contention.kill(mariadb_engine, session)
            other.rollback()

        with (
            contention.in_background(cut),
            pytest.raises(exceptions.UnknownUpdateOutcome) as caught,
        ):
            api.instance_update(
                context,
                instance,
                {"task_state": None, "vm_state": "active"},
                expected_task_state="spawning",
            )
    assert caught.value.instance_uuid == instance
    assert caught.value.actual["task_state"] == "spawning"
    assert caught.value.expected == {"task_state": ("spawning",)}
    assert isinstance(
        retry.driver_error(caught.value.__cause__), pymysql.err.Error
    )


def test_a_batch_whose_answer_never_came(
    mariadb_cell_url: str,
    mariadb_engine: sa.Engine,
    connect: Callable[..., api.CellContext],
) -> None:
    """The rows in doubt are counted apart from those changed."""
    ids = rows.insert_instances(mariadb_engine, 130, vm_state="error")
    context = connect(mariadb_cell_url)
    with mariadb_engine.connect() as other:
        contention.update_row(other, ids[-1], 2)

        def cut() -> None:
            contention.wait_for(
                lambda: bool(contention.lock_waits(mariadb_engine))
            )
            for session in contention.lock_waits(mariadb_engine):
                contention.kill(mariadb_engine, session)

        with (
            contention.in_background(cut),
            pytest.raises(exceptions.PartialUpdate) as caught,
        ):
            api.instances_update(
                context, {"task_state": "rebooting"}, expected_vm_state="error"
            )
    assert caught.value.changed_so_far == 100
    assert caught.value.in_doubt == 30


class Interruption(BaseException):
    """What a signal handler raises, wherever the program is."""


def test_interrupted_while_it_waits(
    mariadb_cell_url: str,
    mariadb_engine: sa.Engine,
    connect: Callable[..., api.CellContext],
) -> None:
    """The answer to a call that was cut short is not taken for another's."""
    instance = rows.insert_instance(mariadb_engine, task_state="spawning")
    context = connect(mariadb_cell_url, max_connections=1)
    api.instance_update(context, instance, {"progress": 1})

    def interrupt(*_: object) -> None:
        raise Interruption

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with mariadb_engine.connect() as other:
            contention.update_row(other, instance, 2)
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            with pytest.raises(Interruption):
                api.instance_update(context, instance, {"launch_index": 7})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(exceptions.UnexpectedTaskStateError):
        api.instance_update(
            context, instance, {"progress": 3}, expected_task_state=None
        )
    api.instance_update(
        context, instance, {"progress": 4}, expected_task_state="spawning"
    )
    assert rows.read_instance(mariadb_engine, instance)["progress"] == 4


@SCHEMES
def test_a_server_that_is_away_at_the_first_call(scheme: str) -> None:
    """The first call of a context is tried as often as any other."""
    counted = contention.Counted(max_attempts=3)
    context = api.connect(
        # Nothing listens on the discard port of a test machine.
        f"{scheme}://root@127.0.0.1:9/cell",
        retry_policy=counted.policy,
    )
    with pytest.raises(db_exc.DBConnectionError):
        api.instance_update(
            context,
            "2fd0c1c8-5b5e-4c0b-9d3a-0f4f9a1d7e11",
            {"progress": 1},
        )
    with pytest.raises(db_exc.DBConnectionError):
        api.instances_update(
            context, {"progress": 1}, expected_vm_state="error"
        )
    assert counted.waits == 4


@SCHEMES
def test_a_server_that_goes_away_and_comes_back(
    scheme: str, make_mariadb: Callable[..., Any]
) -> None:
    """While it is away an update fails after all attempts; then it works."""
    server = make_mariadb()
    database = server.create_database("cell")
    engine = sa.create_engine(server.url(database, scheme))
    tables.metadata.create_all(engine)
    instance = rows.insert_instance(engine)
    engine.dispose()
    context = api.connect(server.url(database, scheme))
    api.instance_update(context, instance, {"progress": 1})
    server.kill()
    counted = contention.Counted(max_attempts=3)
    with pytest.raises(db_exc.DBConnectionError):
        api.instance_update(
            context, instance, {"progress": 2}, retry_policy=counted.policy
        )
    assert counted.waits == 2
    server.restart()
    api.instance_update(
        context, instance, {"progress": 3}, expected={"progress": 1}
    )
    assert rows.read_instance(engine, instance)["progress"] == 3
    context.close()
    engine.dispose()
