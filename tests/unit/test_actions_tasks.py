# SPDX-License-Identifier: Apache-2.0
"""Tasks: how they are asked for, refused, and what they may be told."""

from collections.abc import Iterator
import pathlib
from typing import Any

import pytest
import sqlalchemy as sa

from nova_db_states import actions
from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import tables
from tests.resources import actors
from tests.resources import statements

Cell = tuple[api.CellContext, sa.Engine]


class Loud(Exception):
    """What only the tests raise."""


@pytest.fixture
def cell(tmp_path: pathlib.Path) -> Iterator[Cell]:
    """Give an empty cell on SQLite, and a context on it."""
    url = f"sqlite:///{tmp_path}/cell.db"
    engine = sa.create_engine(url)
    tables.metadata.create_all(engine)
    context = api.connect(url)
    yield context, engine
    context.close()
    engine.dispose()


@pytest.mark.parametrize(
    ("task_state", "action", "says"),
    [
        (
            "rebuilding",
            None,
            "several actions of the map: rebuild; evacuate",
        ),
        ("resize_confirming", None, "belongs to no action of the map"),
        (None, None, "belongs to no action"),
        ("spawning", "bot", "no action 'bot'. Did you mean one of boot"),
        ("pausing", "stop", "'pausing' is no step of 'stop'. .* powering-off"),
        ("pausing", "lock / unlock", "Its tasks are none"),
        ("pause", "pause", "did you mean|Did you mean"),
    ],
)
def test_tasks_that_cannot_be(
    cell: Cell, task_state: str | None, action: str | None, says: str
) -> None:
    """They are refused before anything is sent, with what there is."""
    context, engine = cell
    instance = actors.insert(engine)
    sent: list[str] = []
    with (
        statements.before_each(sent.append),
        pytest.raises(exceptions.InvalidRequest, match=says),
    ):
        actions.task(context, instance, task_state, action=action)
    assert sent == []


def test_a_task_is_used_in_a_with_statement(cell: Cell) -> None:
    """Before it, after it and a second time nothing can be done."""
    context, engine = cell
    instance = actors.insert(engine, task_state="pausing")
    work = actions.task(context, instance, "pausing")
    for use in (work.end, work.hand_over, work.watch, lambda: work.state):
        with pytest.raises(exceptions.InvalidRequest, match="not begun"):
            use()
    with work:
        work.end()
        for use in (work.end, work.hand_over, work.watch):
            with pytest.raises(exceptions.InvalidRequest, match="is over"):
                use()
    with pytest.raises(exceptions.InvalidRequest, match="entered once"):
        work.__enter__()
    assert work.state == ("paused", None)


def test_what_comes_after_the_end_is_no_failure(cell: Cell) -> None:
    """The state is nobody's any more, and is left alone."""
    context, engine = cell
    instance = actors.insert(engine, task_state="pausing")

    def fail_late() -> None:
        with actions.task(context, instance, "pausing") as work:
            work.end()
            raise Loud

    with pytest.raises(Loud) as caught:
        fail_late()
    assert not hasattr(caught.value, "__notes__")
    assert actors.state_of(engine, instance) == ("paused", None)


def test_a_failure_after_handing_over_is_one(cell: Cell) -> None:
    """The next worker was not reached: nobody has the server."""
    context, engine = cell
    instance = actors.insert(engine, task_state="rebooting")

    def fail_late() -> None:
        with actions.task(context, instance, "rebooting") as work:
            work.step("reboot_pending")
            work.hand_over()
            raise Loud

    with pytest.raises(Loud):
        fail_late()
    assert actors.state_of(engine, instance) == ("active", None)


def test_who_was_refused_is_refused_again(cell: Cell) -> None:
    """Also when the state comes back, because it is another's then."""
    context, engine = cell
    instance = actors.insert(engine, task_state="rebooting")

    def swallow() -> None:
        with actions.task(context, instance, "rebooting") as work:
            api.instance_update(context, instance, {"task_state": None})
            with pytest.raises(exceptions.UnexpectedTaskStateError) as first:
                work.step("reboot_pending")
            api.instance_update(context, instance, {"task_state": "rebooting"})
            for use in (
                lambda: work.step("reboot_pending"),
                work.end,
                work.watch,
                work.hand_over,
            ):
                with pytest.raises(
                    exceptions.UnexpectedTaskStateError
                ) as again:
                    use()
                assert again.value is first.value
            depth = len(first.traceback)
            with pytest.raises(exceptions.UnexpectedTaskStateError) as again:
                work.end()
            assert len(again.traceback) <= depth + 3

    with pytest.raises(exceptions.UnexpectedTaskStateError) as caught:
        swallow()
    assert caught.value.state == ("active", None)
    assert "stop" in caught.value.allowed_actions
    assert actors.state_of(engine, instance) == ("active", "rebooting")


def test_another_error_after_a_refusal_gets_a_note(cell: Cell) -> None:
    """It says why no failure was written."""
    context, engine = cell
    instance = actors.insert(engine, task_state="rebooting")

    def fail() -> None:
        with actions.task(context, instance, "rebooting") as work:
            with engine.begin() as connection:
                connection.execute(sa.delete(tables.instances))
            with pytest.raises(exceptions.InstanceNotFound):
                work.step("reboot_pending")
            raise Loud

    with pytest.raises(Loud) as caught:
        fail()
    [note] = caught.value.__notes__
    assert "had been refused it: Instance" in note
    assert "was not found" in note


def test_the_row_is_gone(cell: Cell) -> None:
    """A failure says so, and the error of the block comes out."""
    context, engine = cell
    instance = actors.insert(engine, task_state="rebooting")

    def fail() -> None:
        with actions.task(context, instance, "rebooting"):
            with engine.begin() as connection:
                connection.execute(sa.delete(tables.instances))
            raise Loud

    with pytest.raises(Loud) as caught:
        fail()
    [note] = caught.value.__notes__
    assert "'reboot soft' not written: the row is gone" in note


def test_a_conflict_of_the_works_own_is_a_failure(cell: Cell) -> None:
    """Another column differs; the state is still this worker's."""
    context, engine = cell
    instance = actors.insert(engine, task_state="rebooting")

    def fail() -> None:
        with actions.task(context, instance, "rebooting"):
            api.instance_update(
                context, instance, {"progress": 1}, expected={"host": "c2"}
            )

    with pytest.raises(exceptions.InstanceUpdateConflict) as caught:
        fail()
    assert caught.value.actual == {"host": "compute1"}
    assert not hasattr(caught.value, "__notes__")
    assert actors.state_of(engine, instance) == ("active", None)


@pytest.mark.parametrize("vm_state", ["active", "paused"])
def test_what_depends_on_the_state_is_read_first(
    cell: Cell, vm_state: str
) -> None:
    """A worker that says where it ends, and errs, has still failed."""
    context, engine = cell
    instance = actors.insert(
        engine, vm_state=vm_state, task_state="image_snapshot_pending"
    )

    def end_as_paused() -> None:
        with actions.task(context, instance, "image_snapshot") as work:
            work.step("image_uploading")
            work.end(vm_state="paused")

    if vm_state == "paused":
        end_as_paused()
    else:
        with pytest.raises(
            exceptions.TransitionNotAllowed,
            match=r"from active / image_uploading .* lead to that end",
        ) as caught:
            end_as_paused()
        assert caught.value.states == (("active", "image_uploading"),)
    assert actors.state_of(engine, instance) == (vm_state, None)


def test_what_cannot_be_written_is_a_failure(cell: Cell) -> None:
    """Values are checked as everywhere."""
    context, engine = cell
    for wrong in ({"progres": 1}, {"task_state": "stopped"}):
        instance = actors.insert(engine, task_state="pausing")

        def fail(
            wrong: dict[str, Any] = wrong, instance: str = instance
        ) -> None:
            with actions.task(context, instance, "pausing") as work:
                work.end(**wrong)

        with pytest.raises(exceptions.InvalidUpdate):
            fail()
        assert actors.state_of(engine, instance) == ("active", None)


def test_a_watch_in_a_task(cell: Cell) -> None:
    """It watches for the state of the task, and writes how far it is."""
    context, engine = cell
    instance = actors.insert(
        engine, vm_state="building", task_state="block_device_mapping"
    )
    with actions.task(context, instance, "spawning", action="boot") as work:
        watched = work.watch(interval_s=0, total=100)
        done = list(watched.iterate([b"x" * 50]))
        watched.checkpoint()
    assert done == [b"x" * 50]
    with engine.connect() as connection:
        progress = connection.execute(
            sa.select(tables.instances.c.progress)
        ).scalar_one()
    assert progress == 50
