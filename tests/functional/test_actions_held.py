# SPDX-License-Identifier: Apache-2.0
"""What a claim or a task has, and what ends that."""

import contextlib
import datetime
from typing import Any

import pytest
import sqlalchemy as sa

from nova_db_states import actions
from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import retry
from tests.resources import actors
from tests.resources import rows
from tests.resources import statements

OTHER = datetime.datetime(2026, 2, 2)


class Loud(Exception):
    """What only the tests raise."""


def _raise() -> None:
    raise Loud


@pytest.mark.parametrize("leave", ["step", "end", "normally", "loud"])
def test_a_refused_heartbeat_refuses_the_task(
    context: api.CellContext, cell_engine: sa.Engine, leave: str
) -> None:
    """Also where the block has caught it, and the state has come back."""
    instance = actors.insert(cell_engine, task_state="rebooting")

    def work_on() -> None:
        with actions.task(context, instance, "rebooting") as work:
            watch = work.watch(interval_s=0)
            api.instance_update(context, instance, {"task_state": None})
            with contextlib.suppress(exceptions.InstanceUpdateConflict):
                watch.checkpoint()
            api.instance_update(context, instance, {"task_state": "rebooting"})
            with pytest.raises(exceptions.UnexpectedTaskStateError):
                assert work.state
            if leave == "step":
                work.step("reboot_pending")
            if leave == "end":
                work.end()
            if leave == "loud":
                raise Loud

    kind = Loud if leave == "loud" else exceptions.UnexpectedTaskStateError
    with pytest.raises(kind):
        work_on()
    state = ("active", "rebooting")
    assert actors.state_of(cell_engine, instance) == state


def test_a_watch_for_the_step_before(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """It says so, and the task goes on."""
    instance = actors.insert(cell_engine, task_state="rebooting")
    with actions.task(context, instance, "rebooting") as work:
        watch = work.watch(interval_s=0)
        watch.checkpoint()
        work.step("reboot_pending")
        with pytest.raises(
            exceptions.InvalidRequest, match="step before, in active / reboot"
        ):
            watch.checkpoint()
        work.watch(interval_s=0).checkpoint()
        work.step("reboot_started")
    assert actors.state_of(cell_engine, instance) == ("active", None)


def test_a_heartbeat_that_a_step_overtakes(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """It is refused by this worker's own step, and that is no refusal."""
    instance = actors.insert(cell_engine, task_state="rebooting")
    with actions.task(context, instance, "rebooting") as work:
        watch = work.watch(interval_s=0)

        def step(sql: str) -> None:
            if sql.startswith("UPDATE") and work.state.task_state:
                with contextlib.suppress(exceptions.TransitionNotAllowed):
                    work.step("reboot_pending")

        with (
            statements.before_each(step),
            pytest.raises(exceptions.InvalidRequest, match="step before"),
        ):
            watch.checkpoint()
        assert work.state == ("active", "reboot_pending")
        work.step("reboot_started")


@pytest.mark.parametrize("vm_state", ["building", "active", "shelved", None])
def test_what_was_taken_from_a_task_stays_claimed(
    context: api.CellContext, cell_engine: sa.Engine, vm_state: str | None
) -> None:
    """Nobody would go on with that task; the note says what to do."""
    instance = actors.insert(
        cell_engine, vm_state=vm_state, task_state="spawning"
    )
    with pytest.raises(Loud) as caught:
        actors.API().delete(context, instance, _raise)
    [note] = caught.value.__notes__
    assert f"overruled {vm_state or 'NULL'} / spawning" in note
    assert "After 3600 s without a sign of life it may be asked for" in note
    state = (vm_state, "deleting")
    assert actors.state_of(cell_engine, instance) == state


def test_a_delete_is_not_refused_by_a_task_that_ends_meanwhile(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """It may be asked for in any case."""
    instance = actors.insert(cell_engine, task_state="spawning")
    other = actors.API()
    sent: list[str] = []

    def end(sql: str) -> None:
        sent.append(sql)
        updates = [one for one in sent if one.startswith("UPDATE")]
        if len(updates) == 2 and sql.startswith("UPDATE"):
            api.instance_update(context, instance, {"task_state": None})

    with statements.before_each(end):
        assert other.delete(context, instance) == "delete"
    state = ("active", "deleting")
    assert actors.state_of(cell_engine, instance) == state


@pytest.mark.parametrize("name", ["stop", "unshelve (shelved)"])
def test_undoing_needs_no_declared_failure(
    context: api.CellContext, cell_engine: sa.Engine, name: str
) -> None:
    """Nothing was done yet, so it is what it was."""
    vm_state = "error" if name == "stop" else "shelved"
    instance = actors.insert(cell_engine, vm_state=vm_state)

    @actions.instance_action(name)
    def begin(context: object, instance: object) -> None:
        del context, instance
        raise Loud

    with pytest.raises(Loud) as caught:
        begin(context, instance)
    assert not hasattr(caught.value, "__notes__")
    assert actors.state_of(cell_engine, instance) == (vm_state, None)


def test_undoing_a_claim_on_a_vm_state_that_nova_lacks(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """The guard admits it; and a task on it fails as the others do."""
    instance = actors.insert(cell_engine, vm_state="dreaming")
    server = actors.API()
    with pytest.raises(Loud):
        server.delete(context, instance, _raise)
    assert actors.state_of(cell_engine, instance) == ("dreaming", None)
    server.delete(context, instance)

    def fail() -> None:
        with actions.task(context, instance, "deleting"):
            raise Loud

    with pytest.raises(Loud) as caught:
        fail()
    assert not hasattr(caught.value, "__notes__")
    assert actors.state_of(cell_engine, instance) == ("error", None)


def test_anything_written_since_stops_the_undoing(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """The states may have come back as another's."""
    instance = actors.insert(cell_engine)

    def body() -> None:
        api.instance_update(
            context, instance, {"progress": 5, "updated_at": OTHER}
        )
        raise Loud

    with pytest.raises(Loud) as caught:
        actors.API().stop(context, instance, body)
    assert "was left as it is" in caught.value.__notes__[0]
    state = ("active", "powering-off")
    assert actors.state_of(cell_engine, instance) == state


@pytest.mark.parametrize("half", ["claim", "task"])
def test_a_note_has_what_the_driver_said(
    context: api.CellContext,
    cell_engine: sa.Engine,
    caplog: pytest.LogCaptureFixture,
    half: str,
) -> None:
    """In one line, without the statement."""
    instance = actors.insert(cell_engine, task_state="pausing")
    idle = actors.insert(cell_engine)

    def fail() -> None:
        with cell_engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE instances RENAME TO gone")
        raise Loud

    def work_on() -> None:
        with actions.task(context, instance, "pausing"):
            fail()

    def claim() -> None:
        actors.API().stop(context, idle, fail)

    try:
        with pytest.raises(Loud) as caught:
            (claim if half == "claim" else work_on)()
    finally:
        with cell_engine.begin() as connection:
            connection.exec_driver_sql("ALTER TABLE gone RENAME TO instances")
    [note] = caught.value.__notes__
    assert "may stay in active" in note
    assert "Error: " in note
    assert "\n" not in note
    assert "UPDATE" not in note
    assert note in caplog.text


def test_a_claim_writes_whole_seconds(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """MySQL has no others, and would not find them again."""
    instance = actors.insert(cell_engine)
    actors.API().stop(context, instance)
    found: Any = rows.read_instance(cell_engine, instance)["updated_at"]
    assert found.microsecond == 0


def test_a_task_refuses_a_transaction(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """At entering, at each step and at the end."""
    refused = pytest.raises(exceptions.InvalidContext, match="seen by nobody")
    instance = actors.insert(cell_engine, task_state="rebooting")
    with context.begin(), refused:
        actions.task(context, instance, "rebooting").__enter__()
    with actions.task(context, instance, "rebooting") as work:
        with context.begin():
            for ask in (lambda: work.step("reboot_pending"), work.end):
                with pytest.raises(exceptions.NovaDBStatesError):
                    ask()
            with refused:
                work.step("reboot_pending")
        work.step("reboot_pending")
        work.step("reboot_started")
    assert actors.state_of(cell_engine, instance) == ("active", None)


def test_a_step_may_guard_other_columns(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Where one differs another worker has it, and the state is its."""
    values = {"vm_state": "building", "task_state": "scheduling"}
    free = actors.insert(cell_engine, **values, host=None)
    taken = actors.insert(cell_engine, **values, host="c2")

    def claim(instance: str) -> None:
        with actions.task(context, instance, "scheduling") as work:
            work.step(None, expected={"host": None}, host="c1")
            work.hand_over()

    claim(free)
    assert rows.read_instance(cell_engine, free)["host"] == "c1"
    with pytest.raises(exceptions.InstanceUpdateConflict) as caught:
        claim(taken)
    assert caught.value.actual == {"host": "c2"}
    state = ("building", "scheduling")
    assert actors.state_of(cell_engine, taken) == state


def test_a_row_that_the_block_did_not_find(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """There is nothing to write, so nothing is sent."""
    instance = actors.insert(cell_engine, task_state="rebooting")
    sent: list[str] = []

    def fail() -> None:
        with actions.task(context, instance, "rebooting"):
            sent.clear()
            raise exceptions.InstanceNotFound("m", instance_uuid=instance)

    with (
        statements.before_each(sent.append),
        pytest.raises(exceptions.InstanceNotFound),
    ):
        fail()
    assert sent == []


@pytest.mark.parametrize(
    ("task_state", "action"),
    [
        ("powering-off", "stop"),
        ("rebooting_hard", "reboot hard"),
        ("shelving_offloading", "shelve offload"),
        ("spawning", None),
        ("resize_prep", None),
    ],
)
def test_the_action_that_a_task_means(
    context: api.CellContext, task_state: str, action: str | None
) -> None:
    """It is the one whose claim leads there, where that is only one."""
    name = "2fd0c1c8-5b5e-4c0b-9d3a-0f4f9a1d7e11"
    if action is None:
        with pytest.raises(exceptions.InvalidRequest, match="several act"):
            actions.task(context, name, task_state)
    else:
        assert actions.task(context, name, task_state).action == action


def test_what_is_allowed_to_who_never_ran(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Nothing that needs a launch, and not what was refused."""
    instance = rows.insert_instance(cell_engine)
    with pytest.raises(exceptions.InstanceUpdateConflict) as caught:
        actors.API().stop(context, instance)
    allowed = caught.value.allowed_actions
    assert "delete" in allowed
    assert not {"stop", "pause", "reboot hard"} & {*allowed}
    assert "It has never run, as this needs." in str(caught.value)
    assert "Another writer was first" not in str(caught.value)
    actors.API().delete(context, instance)
    with pytest.raises(exceptions.InstanceUpdateConflict) as caught:
        actors.API().delete(context, instance)
    assert "delete" not in caught.value.allowed_actions


@pytest.mark.parametrize("given", [None, retry.Policy(max_attempts=1)])
def test_who_is_patient(
    context: api.CellContext, cell_engine: sa.Engine, given: retry.Policy
) -> None:
    """The end and the failure, unless the caller says otherwise."""
    instance = actors.insert(cell_engine, task_state="pausing")
    seen = []
    real = api.instance_update

    def update(*args: Any, **kwargs: Any) -> Any:
        seen.append(kwargs["retry_policy"])
        return real(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "instance_update", update)
        with actions.task(context, instance, "pausing", retry_policy=given):
            pass
    [policy] = seen
    if given is None:
        assert 50 <= policy.max_elapsed_s <= 70
    else:
        assert policy is given
