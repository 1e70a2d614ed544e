# SPDX-License-Identifier: Apache-2.0
"""The worker's part: step by step, and nothing of anybody's overwritten."""

from collections.abc import Callable

import greenlet
import pytest
import sqlalchemy as sa

from nova_db_states import actions
from nova_db_states import api
from nova_db_states import exceptions
from tests.resources import actors
from tests.resources import rows
from tests.resources import statements


class Loud(Exception):
    """What only the tests raise."""


@pytest.mark.parametrize("vm_state", ["active", "error"])
def test_the_way_of_a_stop(
    context: api.CellContext, cell_engine: sa.Engine, vm_state: str
) -> None:
    """Claimed by the API, verified by the worker, ended as declared."""
    instance = actors.insert(cell_engine, vm_state=vm_state)
    actors.API().stop(context, instance)
    work = actions.task(context, instance, "powering-off", action="stop")
    with work as entered:
        assert entered is work
        assert work.action == "stop"
        assert work.state == (vm_state, "powering-off")
        state = actors.state_of(cell_engine, instance)
        assert state == (vm_state, "powering-off")
    assert work.state == ("stopped", None)
    assert actors.state_of(cell_engine, instance) == ("stopped", None)


def test_the_way_of_a_boot(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """From step to step, also to one without a task, with other columns."""
    instance = rows.insert_instance(
        cell_engine, vm_state="building", task_state="scheduling", host=None
    )
    with actions.task(context, instance, "scheduling") as work:
        work.step(None, host="compute2")
        assert work.state == ("building", None)
        work.hand_over()
    assert actors.state_of(cell_engine, instance) == ("building", None)
    seen = []
    with actions.task(context, instance, "networking") as work:
        for task_state in ("block_device_mapping", "spawning"):
            seen.append(actors.state_of(cell_engine, instance))
            work.step(task_state)
        seen.append(actors.state_of(cell_engine, instance))
        work.end(launched_at=actors.LAUNCHED, power_state=1)
        seen.append(actors.state_of(cell_engine, instance))
    assert seen == [
        ("building", "networking"),
        ("building", "block_device_mapping"),
        ("building", "spawning"),
        ("active", None),
    ]
    row = rows.read_instance(cell_engine, instance)
    assert (row["host"], row["power_state"]) == ("compute2", 1)
    assert row["launched_at"] == actors.LAUNCHED


def test_the_way_of_a_rebuild_that_is_stopped_again(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """It goes on from a state in which others would rest."""
    instance = actors.insert(
        cell_engine, vm_state="stopped", task_state="rebuilding"
    )
    with actions.task(
        context, instance, "rebuilding", action="rebuild"
    ) as work:
        work.step("rebuild_block_device_mapping")
        work.step("rebuild_spawning")
        work.step(None, vm_state="active")
        assert actors.state_of(cell_engine, instance) == ("active", None)
        work.step("powering-off")
    assert actors.state_of(cell_engine, instance) == ("stopped", None)


def test_entering_verifies(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """In another state the block does not begin, and nothing is written."""
    instance = actors.insert(cell_engine, task_state="pausing")
    before = rows.read_instance(cell_engine, instance)
    for task_state in ("powering-off", "rebuild_spawning"):
        name = "stop" if task_state == "powering-off" else "rebuild"
        with pytest.raises(exceptions.UnexpectedTaskStateError) as caught:
            actions.task(
                context, instance, task_state, action=name
            ).__enter__()
        assert caught.value.state == ("active", "pausing")
        assert "delete" in caught.value.allowed_actions
    assert rows.read_instance(cell_engine, instance) == before


def test_one_worker_enters_a_later_step(
    cell_url: str, cell_engine: sa.Engine
) -> None:
    """The step there is a claim among workers."""
    contexts = [api.connect(cell_url) for _ in range(4)]
    for _ in range(20):
        instance = actors.insert(
            cell_engine, task_state="image_snapshot_pending"
        )

        def enter(number: int, instance: str = instance) -> str:
            with actions.task(
                contexts[number], instance, "image_snapshot"
            ) as work:
                work.hand_over()
            return "entered"

        results = actors.race(4, enter)
        assert results.count("entered") == 1
        losers = [one for one in results if one != "entered"]
        assert {type(one) for one in losers} == {
            exceptions.UnexpectedTaskStateError
        }
    for context in contexts:
        context.close()


def test_a_step_that_is_not_declared(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """It is refused before anything is sent, and may be caught."""
    instance = actors.insert(cell_engine, task_state="rebooting")
    with actions.task(context, instance, "rebooting") as work:
        sent: list[str] = []
        with (
            statements.before_each(sent.append),
            pytest.raises(exceptions.TransitionNotAllowed) as caught,
        ):
            work.step("reboot_started")
        assert sent == []
        error = caught.value
        assert error.action == "reboot soft"
        assert error.states == (("active", "rebooting"),)
        assert ("active", "reboot_pending") in error.declared
        assert "from active / rebooting the action 'reboot soft' " in str(
            error
        )
        assert "Declared are: active / reboot_pending" in str(error)
        with pytest.raises(exceptions.TransitionNotAllowed):
            work.end(vm_state="stopped")
        work.step("reboot_pending")
        work.step("reboot_started")
    assert actors.state_of(cell_engine, instance) == ("active", None)


def test_several_ends(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """The worker says which; not saying it is a failure that names them."""
    choices = (("shelved", None), ("shelved_offloaded", None))
    instance = actors.insert(cell_engine, task_state="shelving")

    def leave() -> None:
        with actions.task(context, instance, "shelving"):
            pass

    with pytest.raises(exceptions.TransitionNotAllowed) as caught:
        leave()
    assert caught.value.declared == choices
    assert "shelved / NULL or shelved_offloaded / NULL" in str(caught.value)
    assert actors.state_of(cell_engine, instance) == ("active", None)
    for end in choices:
        instance = actors.insert(cell_engine, task_state="shelving")
        with actions.task(context, instance, "shelving") as work:
            work.end(vm_state=end[0])
        assert actors.state_of(cell_engine, instance) == end


def test_no_end_is_declared(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """In the middle of its way an action does not end; it is handed over."""
    instance = actors.insert(cell_engine, task_state="rebooting")

    def leave() -> None:
        with actions.task(context, instance, "rebooting"):
            pass

    with pytest.raises(exceptions.TransitionNotAllowed, match="hand_over"):
        leave()
    assert actors.state_of(cell_engine, instance) == ("active", None)


@pytest.mark.parametrize(
    "error", [Loud(), KeyboardInterrupt(), greenlet.GreenletExit()]
)
@pytest.mark.parametrize(
    ("vm_state", "task_state", "action", "left"),
    [
        ("error", "powering-off", "stop", ("error", None)),
        # By way of error / suspending.
        ("active", "suspending", "suspend", ("error", None)),
        ("building", "scheduling", "boot", ("error", None)),
    ],
)
def test_a_failure_leaves_what_is_declared(
    context: api.CellContext,
    cell_engine: sa.Engine,
    error: BaseException,
    vm_state: str,
    task_state: str,
    action: str,
    left: tuple[str, None],
) -> None:
    """Whatever ends the block comes out of it as it was."""
    instance = actors.insert(
        cell_engine, vm_state=vm_state, task_state=task_state
    )

    def fail() -> None:
        with actions.task(context, instance, task_state, action=action):
            raise error

    with pytest.raises(type(error)) as caught:
        fail()
    assert caught.value is error
    assert not hasattr(error, "__notes__")
    assert actors.state_of(cell_engine, instance) == left


def _end(work: actions.Task) -> None:
    work.end()


def _leave(_: actions.Task) -> None:
    """Leave the block normally."""


def _fail(_: actions.Task) -> None:
    raise Loud


def _step(work: actions.Task) -> None:
    work.step("reboot_pending_hard")


def _watch(work: actions.Task) -> None:
    work.watch(interval_s=0).checkpoint()


@pytest.mark.parametrize("act", [_end, _leave, _fail, _step, _watch])
def test_a_delete_is_never_overwritten(
    context: api.CellContext,
    cell_engine: sa.Engine,
    act: Callable[[actions.Task], None],
) -> None:
    """Accepted in the block, it stays, however the block goes on."""
    instance = actors.insert(cell_engine)
    server = actors.API()
    server.reboot(context, instance)

    def work_on() -> None:
        with actions.task(
            context, instance, "rebooting_hard", action="reboot hard"
        ) as work:
            if act is not _step:
                work.step("reboot_pending_hard")
                work.step("reboot_started_hard")
            server.delete(context, instance)
            act(work)

    with pytest.raises(Exception) as caught:  # noqa: PT011 - either of two
        work_on()
    if act is _fail:
        assert type(caught.value) is Loud
        [note] = caught.value.__notes__
        assert "it is active / deleting by now" in note
    else:
        deleting = exceptions.UnexpectedDeletingTaskStateError
        assert type(caught.value) is deleting
        assert caught.value.state == ("active", "deleting")
        allowed = caught.value.allowed_actions
        assert "delete" in allowed
        # What Nova lets pass there is a defect of Nova's.
        assert not {"soft_delete", "evacuate"} & {*allowed}
    assert actors.state_of(cell_engine, instance) == ("active", "deleting")


@pytest.mark.parametrize("act", [_end, _leave, _fail, _step])
def test_a_vm_state_is_not_overwritten_either(
    context: api.CellContext,
    cell_engine: sa.Engine,
    act: Callable[[actions.Task], None],
) -> None:
    """Somebody has judged the server meanwhile; the task is still there."""
    instance = actors.insert(
        cell_engine, vm_state="paused", task_state="rebooting_hard"
    )

    def work_on() -> None:
        with actions.task(
            context, instance, "rebooting_hard", action="reboot hard"
        ) as work:
            if act is not _step:
                work.step("reboot_pending_hard")
                work.step("reboot_started_hard")
            api.instance_update(
                context,
                instance,
                {"vm_state": "rescued", "task_state": work.state.task_state},
            )
            act(work)

    kind = Loud if act is _fail else exceptions.UnexpectedVMStateError
    with pytest.raises(kind):
        work_on()
    vm_state, task_state = actors.state_of(cell_engine, instance)
    assert vm_state == "rescued"
    assert str(task_state).endswith("_hard")
