# SPDX-License-Identifier: Apache-2.0
"""When a watch looks, what it writes, and what it makes of the answer."""

from collections.abc import Callable, Iterator
import logging
import pathlib
import threading
import traceback
from typing import Any

from oslo_db import exception as db_exc
import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import states
from tests.resources import contention
from tests.resources import statements
from tests.resources import watched


@pytest.fixture(name="cell")
def make_cell(tmp_path: pathlib.Path) -> Iterator[watched.Cell]:
    """Give a cell of the test's own."""
    with watched.cell(tmp_path) as made:
        yield made


def test_the_first_check_comes_before_any_work(cell: watched.Cell) -> None:
    """Nothing is begun on a server that is being deleted."""
    cell.write(task_state="deleting")
    with pytest.raises(exceptions.UnexpectedDeletingTaskStateError) as caught:
        cell.watch()
    assert caught.value.instance_uuid == cell.instance
    assert caught.value.actual == {"task_state": "deleting"}
    assert cell.clock.slept == []


def test_the_first_check_waits_for_the_database(
    cell: watched.Cell, caplog: pytest.LogCaptureFixture
) -> None:
    """A database that comes back in time has cost nothing but time."""
    api.instance_update(cell.context, cell.instance, {"launch_index": 1})
    cell.updates.clear()
    with cell.away() as come_back, caplog.at_level(logging.INFO):

        def sleep(seconds: float) -> None:
            cell.clock.sleep(seconds)
            if len(cell.clock.slept) == 3:
                come_back()

        cell.watch(sleep=sleep)
    assert len(cell.updates) == 4
    levels = [record.levelname for record in caplog.records]
    assert levels == ["WARNING"] * 3 + ["INFO"]


def test_the_first_check_does_not_wait_for_ever(cell: watched.Cell) -> None:
    """Then the error of the database is raised, and says for how long."""
    api.instance_update(cell.context, cell.instance, {"launch_index": 1})
    with cell.away(), pytest.raises(db_exc.DBError) as caught:
        cell.watch(max_away_s=20.0)
    assert 20.0 <= sum(cell.clock.slept) <= 25.0
    assert max(cell.clock.slept) <= 5.0
    assert cell.instance in caught.value.__notes__[0]
    assert "max_away_s=20" in caught.value.__notes__[0]


def test_an_error_that_waiting_does_not_mend(cell: watched.Cell) -> None:
    """Before any work begins such an error is raised at once."""
    api.instance_update(cell.context, cell.instance, {"launch_index": 1})
    with cell.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE instances RENAME TO gone"))
    with pytest.raises(db_exc.DBError, match="no such table"):
        cell.watch()
    assert cell.clock.slept == []


def test_one_update_when_the_interval_is_over(cell: watched.Cell) -> None:
    """In between nothing is sent, however often the watch is used."""
    checkpoint = cell.watch()
    assert len(cell.updates) == 1
    for now, sent in [(0.0, 1), (4.9, 1), (5.0, 2), (9.9, 2), (23.0, 3)]:
        cell.clock.now = 1000.0 + now
        for _ in range(3):
            checkpoint()
        assert len(cell.updates) == sent


def test_the_interval_counts_from_the_answer(cell: watched.Cell) -> None:
    """Between two slow answers data flows for an interval all the same."""
    made = cell.watch()
    cell.clock.now += watched.INTERVAL_S

    def slow(sql: str) -> None:
        if sql.startswith("UPDATE"):
            cell.clock.now += 30.0

    with statements.before_each(slow):
        made.checkpoint()
        assert cell.clock.now == 1035.0
        cell.clock.now += watched.INTERVAL_S - 0.1
        made.checkpoint()
        assert cell.clock.now == 1039.9


@pytest.mark.parametrize(
    ("options", "row", "kind"),
    [
        ({}, {"task_state": None}, exceptions.UnexpectedTaskStateError),
        (
            {"expected_vm_state": ["building", "active"]},
            {"vm_state": "error"},
            exceptions.UnexpectedVMStateError,
        ),
        (
            {
                "expected_task_state": states.Not("deleting"),
                "expected_vm_state": (state for state in ["active", "error"]),
            },
            {"task_state": "deleting"},
            exceptions.UnexpectedDeletingTaskStateError,
        ),
        ({}, {"deleted": 7}, exceptions.InstanceNotFound),
    ],
)
def test_the_work_stops_within_an_interval(
    cell: watched.Cell,
    options: dict[str, Any],
    row: dict[str, Any],
    kind: type[exceptions.InstanceError],
) -> None:
    """No chunk is handed over once the check has found another state."""
    made = cell.watch(**options)
    done = []

    def chunks() -> Iterator[int]:
        for number in range(100):
            cell.clock.now += 1.0
            yield number

    stream = made.iterate(chunks())

    def work() -> None:
        for number in stream:
            done.append(number)
            if number == 20:
                cell.write(**row)

    with pytest.raises(exceptions.InstanceError) as caught:
        work()
    assert type(caught.value) is kind
    assert 20 < len(done) <= 20 + 1 + watched.INTERVAL_S
    assert done == list(range(len(done)))


def test_a_refusal_stays(cell: watched.Cell, tmp_path: pathlib.Path) -> None:
    """Every further use raises the same at once, and sends nothing."""
    made = cell.watch()
    other = made.iterate([b"x"])
    stream = made.iterate(iter([b"a", b"b", b"c"]))
    assert next(stream) == b"a"
    file = (tmp_path / "image").open("w+b")
    copy = made.file(file)
    cell.write(task_state="deleting")
    cell.clock.now += watched.INTERVAL_S
    with pytest.raises(exceptions.UnexpectedTaskStateError) as caught:
        next(stream)
    cell.write(task_state="spawning")
    cell.updates.clear()
    uses: list[Callable[[], object]] = [
        lambda: next(stream),
        lambda: list(stream),
        lambda: next(other),
        lambda: copy.write(b"x"),
        copy.read,
        lambda: made.checkpoint(progress=50),
        made,
        lambda: made.iterate([]),
        lambda: made.file(file),
    ]
    for use in uses * 2:
        with pytest.raises(exceptions.UnexpectedTaskStateError) as again:
            use()
        assert type(again.value) is type(caught.value)
        assert str(again.value) == str(caught.value)
        assert again.value.actual == {"task_state": "deleting"}
        assert len(traceback.extract_tb(again.value.__traceback__)) < 20
    assert cell.updates == []
    assert (tmp_path / "image").read_bytes() == b""
    file.close()


def test_a_database_that_is_away_for_a_while(
    cell: watched.Cell, caplog: pytest.LogCaptureFixture
) -> None:
    """The work goes on, and each missed heartbeat is a warning."""
    checkpoint = cell.watch()
    for _ in range(30):
        cell.clock.now += watched.INTERVAL_S
        checkpoint()
    with cell.away():
        for step in range(11):
            cell.clock.now += watched.INTERVAL_S
            checkpoint(progress=step)
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 11
    assert all(cell.instance in each for each in warnings)
    assert "for 0.0 s, which is borne for 60.0 s more" in warnings[0]
    assert "for 50.0 s, which is borne for 10.0 s more" in warnings[-1]
    assert "database is locked" in warnings[0]
    cell.clock.now += watched.INTERVAL_S
    checkpoint()
    assert cell.row()["progress"] == 10


def test_a_database_that_is_away_too_long(cell: watched.Cell) -> None:
    """At the bound, and not an interval later, its error is raised."""
    checkpoint = cell.watch(interval_s=7.0, max_away_s=60.0)
    began = cell.clock.now

    def work() -> None:
        while True:
            cell.clock.now += 0.5
            checkpoint()

    with cell.away():
        with pytest.raises(db_exc.DBError) as caught:
            work()
        # The first check that fails is the one after 7 seconds.
        assert cell.clock.now - began == 67.0
        assert "for 60.0 s" in caught.value.__notes__[0]
    cell.updates.clear()
    with pytest.raises(db_exc.DBError) as again:
        checkpoint()
    assert type(again.value) is type(caught.value)
    assert again.value.__notes__ == caught.value.__notes__
    assert cell.updates == []


def test_no_patience_at_all(cell: watched.Cell) -> None:
    """With a bound of 0 the first error is raised."""
    checkpoint = cell.watch(max_away_s=0)
    cell.clock.now += watched.INTERVAL_S
    checkpoint()
    with cell.away():
        checkpoint()
        cell.clock.now += watched.INTERVAL_S
        with pytest.raises(db_exc.DBError, match="locked"):
            checkpoint()


class Interruption(BaseException):
    """What a signal handler raises, wherever the program is."""


def test_an_interrupted_heartbeat(cell: watched.Cell) -> None:
    """It says nothing about the state: the next use beats anew."""
    checkpoint = cell.watch()
    cell.clock.now += watched.INTERVAL_S

    def interrupt(_: str) -> None:
        raise Interruption

    with statements.before_each(interrupt), pytest.raises(Interruption):
        checkpoint()
    cell.updates.clear()
    checkpoint()
    checkpoint()
    assert len(cell.updates) == 1


def test_only_one_thread_beats(cell: watched.Cell) -> None:
    """Meanwhile the data of the other threads flows."""
    made = cell.watch()
    cell.clock.now += watched.INTERVAL_S
    cell.updates.clear()
    begun = threading.Event()
    go_on = threading.Event()

    def hold(_: str) -> None:
        begun.set()
        assert go_on.wait(20)

    with (
        statements.before_each(hold),
        contention.in_background(made.checkpoint),
    ):
        assert begun.wait(20)
        try:
            assert list(made.iterate(range(1000))) == list(range(1000))
        finally:
            go_on.set()
    made.checkpoint()
    assert len(cell.updates) == 1


def test_another_thread_was_a_moment_earlier(cell: watched.Cell) -> None:
    """Whoever comes to the lock after a beat does not beat again."""
    made = cell.watch()
    cell.clock.now += watched.INTERVAL_S
    cell.updates.clear()
    lock = made._heart._lock

    class Late:
        release = lock.release

        def acquire(self, **options: Any) -> bool:
            """Let another thread through first."""
            made._heart._lock = lock
            with contention.in_background(made.checkpoint):
                pass
            assert len(cell.updates) == 1
            return lock.acquire(**options)

    made._heart._lock = Late()  # type: ignore[assignment]
    made.checkpoint()
    assert len(cell.updates) == 1


def test_a_transaction_that_is_open(cell: watched.Cell) -> None:
    """A heartbeat that nobody sees before the end is none."""
    with (
        cell.context.begin(),
        pytest.raises(exceptions.InvalidContext, match="transaction open"),
    ):
        cell.watch()
    checkpoint = cell.watch()
    cell.clock.now += watched.INTERVAL_S
    cell.updates.clear()
    with cell.context.begin():
        for _ in range(3):
            with pytest.raises(exceptions.InvalidContext) as caught:
                checkpoint()
            assert cell.instance in str(caught.value)
    assert cell.updates == []
    checkpoint()
    assert len(cell.updates) == 1


def test_somebody_else_asks(cell: watched.Cell) -> None:
    """A task that has a watch sees every check, and may refuse it."""
    asked: list[Callable[[], None]] = []
    refusals: list[Exception] = []

    def ask(question: Callable[[], None]) -> None:
        asked.append(question)
        if refusals:
            raise refusals[0]
        question()

    checkpoint = cell.watch(_ask=ask)
    assert len(asked) == len(cell.updates) == 1
    cell.clock.now += watched.INTERVAL_S
    checkpoint()
    assert len(asked) == len(cell.updates) == 2
    refusals.append(
        exceptions.InstanceNotFound(
            "It was lost elsewhere.", instance_uuid=cell.instance
        )
    )
    cell.clock.now += watched.INTERVAL_S
    for _ in range(2):
        with pytest.raises(exceptions.InstanceNotFound, match="elsewhere"):
            checkpoint()
    assert len(asked) == 3
    assert len(cell.updates) == 2
