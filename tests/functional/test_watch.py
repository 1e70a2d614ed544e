# SPDX-License-Identifier: Apache-2.0
"""A watch on a real database: the contract, on every backend."""

from collections.abc import Iterator
import itertools
import threading
import time
from typing import Any

import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import tables
from nova_db_states._actions import watch
from tests.resources import contention
from tests.resources import rows
from tests.resources import statements
from tests.resources import watched


def write(engine: sa.Engine, instance: str, **columns: object) -> None:
    """Write a row as another service would."""
    with engine.begin() as connection:
        connection.execute(
            sa.update(tables.instances)
            .where(tables.instances.c.uuid == instance)
            .values(**columns)
        )


def chunks(count: int, clock: watched.Clock) -> Iterator[bytes]:
    """Give chunks of 10 bytes, one in a second."""
    for number in range(count):
        clock.now += 1.0
        yield b"%010d" % number


def test_progress_is_seen_by_others(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Another connection sees how far the work is, an interval late."""
    instance = rows.insert_instance(cell_engine, task_state="spawning")
    clock = watched.Clock()
    made = watch.watch(context, instance, total=1000, clock=clock)
    seen = []
    for _ in made.iterate(chunks(100, clock)):
        row = rows.read_instance(cell_engine, instance)
        seen.append(row["progress"])
    # Chunk n comes at second n, and n - 1 chunks are worked off then.
    assert seen == [max(n // 5 * 5 - 1, 0) for n in range(1, 101)]
    clock.now += watched.INTERVAL_S
    made.checkpoint()
    assert rows.read_instance(cell_engine, instance)["progress"] == 100


def test_a_heartbeat_is_a_sign_of_life(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """updated_at moves on while the work does, and else nothing changes."""
    instance = rows.insert_instance(cell_engine, task_state="spawning")
    before = rows.read_instance(cell_engine, instance)
    made = watch.watch(context, instance, interval_s=0)
    first = rows.read_instance(cell_engine, instance)["updated_at"]
    # Older servers keep whole seconds.
    time.sleep(1.1)
    made.checkpoint()
    after = rows.read_instance(cell_engine, instance)
    assert after["updated_at"] > first  # type: ignore[operator]
    assert {**after, "updated_at": None} == before


@pytest.mark.parametrize(
    ("expectations", "change", "kind", "actual"),
    [
        (
            {},
            {"task_state": "deleting"},
            exceptions.UnexpectedDeletingTaskStateError,
            {"task_state": "deleting"},
        ),
        (
            {"expected_task_state": ["spawning", "networking"]},
            {"task_state": None},
            exceptions.UnexpectedTaskStateError,
            {"task_state": None},
        ),
        (
            {"expected_vm_state": "building"},
            {"vm_state": "error"},
            exceptions.UnexpectedVMStateError,
            {"vm_state": "error"},
        ),
        ({}, {"deleted": 7}, exceptions.InstanceNotFound, {}),
    ],
)
def test_the_work_stops(
    context: api.CellContext,
    cell_engine: sa.Engine,
    expectations: dict[str, Any],
    change: dict[str, Any],
    kind: type[exceptions.InstanceError],
    actual: dict[str, Any],
) -> None:
    """Within one interval of the change, before a chunk is handed over."""
    instance = rows.insert_instance(
        cell_engine, vm_state="building", task_state="spawning"
    )
    clock = watched.Clock()
    made = watch.watch(
        context, instance, clock=clock, total=1000, **expectations
    )
    stream = made.iterate(chunks(100, clock))
    for _ in range(42):
        next(stream)
    write(cell_engine, instance, **change)
    done: list[bytes] = []
    with pytest.raises(exceptions.InstanceError) as caught:
        done.extend(stream)
    assert type(caught.value) is kind
    assert caught.value.actual == actual
    # It was checked at 40, so that two chunks pass before 45.
    assert len(done) == 2
    assert clock.now == 1045.0
    assert rows.read_instance(cell_engine, instance)["progress"] == 39


def test_the_row_is_gone(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """An archived server is not found."""
    instance = rows.insert_instance(cell_engine, task_state="spawning")
    made = watch.watch(context, instance, interval_s=0)
    with cell_engine.begin() as connection:
        connection.execute(
            sa.delete(tables.instances).where(
                tables.instances.c.uuid == instance
            )
        )
    with pytest.raises(exceptions.InstanceNotFound):
        next(made.iterate([b"x"]))


def test_a_refusal_sends_nothing_more(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """It is raised again, by every use, without asking the database."""
    instance = rows.insert_instance(cell_engine, task_state="spawning")
    made = watch.watch(context, instance, interval_s=0)
    stream = made.iterate(itertools.repeat(b"x"))
    next(stream)
    write(cell_engine, instance, task_state="deleting")
    with pytest.raises(exceptions.UnexpectedTaskStateError) as caught:
        next(stream)
    write(cell_engine, instance, task_state="spawning")
    sent: list[str] = []
    with statements.before_each(sent.append):
        for use in (lambda: next(stream), made, made.checkpoint):
            with pytest.raises(exceptions.UnexpectedTaskStateError) as again:
                use()
            assert str(again.value) == str(caught.value)
    assert sent == []


def test_in_real_time(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """A delete by somebody else stops two streams within an interval."""
    interval_s = 1.0
    instance = rows.insert_instance(cell_engine, task_state="spawning")
    made = watch.watch(context, instance, interval_s=interval_s)
    stopped: list[float] = []
    refusals: list[Exception] = []

    def slowly() -> Iterator[bytes]:
        while True:
            time.sleep(0.01)
            yield b"x"

    def work() -> None:
        try:
            for _ in made.iterate(slowly()):
                pass
        except exceptions.UnexpectedDeletingTaskStateError as error:
            stopped.append(time.monotonic())
            refusals.append(error)

    with contention.in_background(work), contention.in_background(work):
        time.sleep(0.3 * interval_s)
        write(cell_engine, instance, task_state="deleting")
        deleted = time.monotonic()
    assert len(stopped) == 2
    assert str(refusals[0]) == str(refusals[1])
    # The second one is for a machine that has more to do than this.
    assert max(stopped) - deleted <= interval_s + 1.0


def test_threads_beat_by_turns(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Four of them make no more heartbeats than one would."""
    interval_s = 0.05
    instance = rows.insert_instance(cell_engine, task_state="spawning")
    updates: list[str] = []

    def note(sql: str) -> None:
        if sql.startswith("UPDATE"):
            updates.append(sql)

    passed = itertools.count()

    def work() -> None:
        for chunk in made.iterate(range(150)):
            time.sleep(0.002)
            next(passed)
            assert chunk < 150

    with statements.before_each(note):
        began = time.monotonic()
        made = watch.watch(context, instance, interval_s=interval_s)
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        elapsed_s = time.monotonic() - began
    assert next(passed) == 600
    assert 3 <= len(updates) <= elapsed_s / interval_s + 1
