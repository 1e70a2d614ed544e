# SPDX-License-Identifier: Apache-2.0
"""Locks of others on a real server: what is tried again, and what is not.

Each runs under both URL schemes, because oslo.db's error filters see only one
of them.
"""

from collections.abc import Callable
import threading

from oslo_db import exception as db_exc
import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states import tables
from tests.resources import contention
from tests.resources import rows

_T = tables.instances


def test_a_lock_wait_is_tried_again(
    mariadb_cell_url: str,
    mariadb_engine: sa.Engine,
    connect: Callable[..., api.CellContext],
) -> None:
    """Error 1205 is met, waited out, and the update applied once."""
    instance = rows.insert_instance(mariadb_engine)
    counted = contention.Counted(max_attempts=10)
    context = connect(mariadb_cell_url, "innodb_lock_wait_timeout=1")
    with mariadb_engine.connect() as other:
        contention.update_row(other, instance, 1)

        def release() -> None:
            contention.wait_for(lambda: counted.waits >= 1)
            other.commit()

        with contention.in_background(release):
            api.instance_update(
                context,
                instance,
                {"task_state": "rebooting"},
                expected={"progress": 1},
                retry_policy=counted.policy,
            )
    assert counted.waits >= 1
    assert (
        rows.read_instance(mariadb_engine, instance)["task_state"]
        == "rebooting"
    )


def test_a_lock_wait_that_does_not_end(
    mariadb_cell_url: str,
    mariadb_engine: sa.Engine,
    connect: Callable[..., api.CellContext],
) -> None:
    """After the last attempt it is the error that oslo.db's users know."""
    instance = rows.insert_instance(mariadb_engine)
    context = connect(mariadb_cell_url, "innodb_lock_wait_timeout=1")
    with mariadb_engine.connect() as other:
        contention.update_row(other, instance, 1)
        with pytest.raises(db_exc.DBDeadlock, match="1205"):
            api.instance_update(
                context,
                instance,
                {"progress": 2},
                retry_policy=retry.Policy(max_attempts=1),
            )
    assert rows.read_instance(mariadb_engine, instance)["progress"] is None


def test_a_deadlock_is_tried_again(
    mariadb_cell_url: str,
    mariadb_engine: sa.Engine,
    connect: Callable[..., api.CellContext],
) -> None:
    """A batch chosen as the victim (1213) is run again as a whole."""
    first, second, *heavy = rows.insert_instances(
        mariadb_engine, 60, vm_state="error"
    )
    context = connect(mariadb_cell_url)
    counted = contention.Counted(max_attempts=5)
    with mariadb_engine.connect() as other:
        # The server rolls back the transaction that changed fewer rows.
        for instance in (*heavy, second):
            contention.update_row(other, instance, 1)

        def sweep() -> None:
            assert (
                api.instances_update(
                    context,
                    {"task_state": "rebooting"},
                    expected={"uuid": [first, second]},
                    retry_policy=counted.policy,
                )
                == 2
            )

        with contention.in_background(sweep):
            contention.wait_for(
                lambda: bool(contention.lock_waits(mariadb_engine))
            )
            contention.update_row(other, first, 1)
            other.commit()
    assert counted.waits == 1
    for instance in (first, second):
        row = rows.read_instance(mariadb_engine, instance)
        assert (row["task_state"], row["progress"]) == ("rebooting", 1)


def test_a_deadlock_inside_the_callers_transaction(
    mariadb_cell_url: str,
    mariadb_engine: sa.Engine,
    connect: Callable[..., api.CellContext],
) -> None:
    """Nothing is tried again there; the caller is told to begin anew."""
    mine, theirs, *heavy = rows.insert_instances(mariadb_engine, 60)
    context = connect(mariadb_cell_url)
    with mariadb_engine.connect() as other:
        for instance in (*heavy, theirs):
            contention.update_row(other, instance, 1)

        def collide() -> None:
            with (  # noqa: PT012 - begun anew as a whole
                pytest.raises(db_exc.DBDeadlock),
                context.begin(),
            ):
                api.instance_update(context, mine, {"progress": 2})
                held.set()
                api.instance_update(context, theirs, {"progress": 2})

        held = threading.Event()
        with contention.in_background(collide):
            assert held.wait(20)
            contention.wait_for(
                lambda: bool(contention.lock_waits(mariadb_engine))
            )
            contention.update_row(other, mine, 1)
            other.commit()
    assert rows.read_instance(mariadb_engine, mine)["progress"] == 1
    assert rows.read_instance(mariadb_engine, theirs)["progress"] == 1


def test_a_changed_record_inside_the_callers_transaction(
    mariadb_cell_url: str,
    mariadb_engine: sa.Engine,
    connect: Callable[..., api.CellContext],
) -> None:
    """Error 1020 tells the caller to begin anew under either scheme."""
    instance = rows.insert_instance(mariadb_engine)
    context = connect(mariadb_cell_url, "innodb_snapshot_isolation=ON")
    with (  # noqa: PT012 - begun anew as a whole
        pytest.raises(db_exc.DBDeadlock),
        context.begin() as connection,
    ):
        connection.execute(sa.select(_T.c.id))
        with mariadb_engine.begin() as other:
            contention.update_row(other, instance, 1)
        api.instance_update(context, instance, {"task_state": "rebooting"})
    assert rows.read_instance(mariadb_engine, instance)["task_state"] is None


def test_snapshot_isolation_does_not_disturb_a_single_update(
    mariadb_cell_url: str,
    mariadb_engine: sa.Engine,
    connect: Callable[..., api.CellContext],
) -> None:
    """The same race outside of a transaction has the same outcome."""
    instance = rows.insert_instance(mariadb_engine, task_state="deleting")
    context = connect(mariadb_cell_url, "innodb_snapshot_isolation=ON")
    with pytest.raises(exceptions.UnexpectedDeletingTaskStateError):
        api.instance_update(
            context, instance, {"progress": 1}, expected_task_state=None
        )
    api.instance_update(
        context, instance, {"progress": 1}, expected_task_state="deleting"
    )
