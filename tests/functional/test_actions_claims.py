# SPDX-License-Identifier: Apache-2.0
"""Methods that claim their action: one body, and nothing left behind."""

import datetime
import multiprocessing
import types
from typing import Any

from oslo_utils import timeutils
import pytest
import sqlalchemy as sa

from nova_db_states import actions
from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import machine
from tests.resources import actors
from tests.resources import rows

ROUNDS = 20
WORKERS = 4
AGO = timeutils.utcnow() - datetime.timedelta(days=2)


def test_one_body_runs(cell_url: str, cell_engine: sa.Engine) -> None:
    """Of several callers one runs; the others know what is there and next."""
    contexts = [api.connect(cell_url) for _ in range(WORKERS)]
    state = ("active", "powering-off")
    for _ in range(ROUNDS):
        server = actors.API()
        instance = actors.insert(cell_engine)

        def stop(
            number: int, server: actors.API = server, instance: str = instance
        ) -> str:
            return server.stop(contexts[number], instance)

        results = actors.race(WORKERS, stop)
        assert server.ran == ["stop"]
        assert results.count("stop") == 1
        losers = [one for one in results if one != "stop"]
        assert len(losers) == WORKERS - 1
        for loser in losers:
            assert type(loser) is exceptions.UnexpectedTaskStateError
            assert loser.actual == {"task_state": "powering-off"}
            assert loser.state == state
            assert "delete" in loser.allowed_actions
            assert "stop" not in loser.allowed_actions
            assert "Allowed in this state: delete; " in str(loser)
        assert actors.state_of(cell_engine, instance) == state
    for context in contexts:
        context.close()


def stop_many(
    url: str, instances: list[str], barrier: Any, ran: Any, lost: Any
) -> None:
    """Stop every instance, in a process of its own."""
    context = api.connect(url)
    server = actors.API()
    barrier.wait()
    for instance in instances:
        try:
            server.stop(context, instance, lambda one=instance: ran.put(one))
        except exceptions.UnexpectedTaskStateError as conflict:
            lost.put(conflict)
    context.close()


def test_one_body_runs_among_processes(
    cell_url: str, cell_engine: sa.Engine
) -> None:
    """Processes share nothing but the database, and losers can be sent."""
    instances = rows.insert_instances(
        cell_engine, 30, launched_at=actors.LAUNCHED
    )
    spawn = multiprocessing.get_context("spawn")
    barrier, ran, lost = spawn.Barrier(3), spawn.Queue(), spawn.Queue()
    workers = [
        spawn.Process(
            target=stop_many, args=(cell_url, instances, barrier, ran, lost)
        )
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    bodies = sorted(ran.get(timeout=60) for _ in instances)
    losers = [lost.get(timeout=60) for _ in range(2 * len(instances))]
    for worker in workers:
        worker.join(timeout=60)
        assert worker.exitcode == 0
    assert bodies == sorted(instances)
    assert ran.empty()
    for loser in losers:
        assert loser.state == ("active", "powering-off")
        assert "delete" in loser.allowed_actions


def test_the_database_judges_and_not_the_copy(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """A copy that looks fine does not help, and one that does not is fine."""
    instance = actors.insert(cell_engine, vm_state="paused")
    server = actors.API()
    copy = {"uuid": instance, "vm_state": "active", "task_state": None}
    with pytest.raises(exceptions.UnexpectedVMStateError):
        server.stop(context, copy)
    assert copy["task_state"] is None
    copy["task_state"] = "deleting"
    assert server.delete(context, copy) == "delete"
    assert actors.state_of(cell_engine, instance) == ("paused", "deleting")


def test_never_launched(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """What never ran cannot be stopped, by the same update; but deleted."""
    instance = rows.insert_instance(cell_engine, vm_state="error")
    server = actors.API()
    with pytest.raises(exceptions.InstanceUpdateConflict) as caught:
        server.stop(context, instance)
    assert type(caught.value) is exceptions.InstanceUpdateConflict
    assert caught.value.actual == {"launched_at": None}
    assert server.delete(context, instance) == "delete"
    assert server.ran == ["delete"]


def test_values_are_written_with_the_claim(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Fixed ones, and such as depend on the call."""

    @actions.instance_action(
        "soft_delete",
        values=lambda _context, _instance, name: {
            "deleted_at": actors.LAUNCHED,
            "display_name": name,
        },
    )
    def soft_delete(context: object, instance: object, name: str) -> str:
        del context, instance
        return name

    instance = actors.insert(cell_engine, progress=40)
    actors.API().reboot(context, instance)
    assert rows.read_instance(cell_engine, instance)["progress"] == 0
    copy = types.SimpleNamespace(uuid=instance)
    assert soft_delete(context, instance=copy, name="gone") == "gone"
    row = rows.read_instance(cell_engine, instance)
    assert row["task_state"] == "soft-deleting"
    assert row["deleted_at"] == actors.LAUNCHED
    assert row["display_name"] == "gone"
    assert vars(copy) == {
        "uuid": instance,
        "task_state": "soft-deleting",
        "deleted_at": actors.LAUNCHED,
        "display_name": "gone",
    }


class Loud(Exception):
    """What only the tests raise."""


@pytest.mark.parametrize("kind", [Loud, KeyboardInterrupt, SystemExit])
def test_a_claim_is_given_back(
    context: api.CellContext,
    cell_engine: sa.Engine,
    kind: type[BaseException],
) -> None:
    """Whatever the body raises comes out, and the server is idle again."""
    instance = actors.insert(cell_engine, vm_state="error")
    copy = types.SimpleNamespace(uuid=instance, task_state=None)
    error = kind("the message bus is down")
    seen = []

    def body() -> None:
        seen.append((copy.task_state, actors.state_of(cell_engine, instance)))
        raise error

    with pytest.raises(kind) as caught:
        actors.API().stop(context, copy, body)
    assert caught.value is error
    assert not hasattr(error, "__notes__")
    assert seen == [("powering-off", ("error", "powering-off"))]
    assert actors.state_of(cell_engine, instance) == ("error", None)
    assert copy.task_state is None


def test_giving_back_keeps_the_vm_state_where_that_is_declared(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """A worker that cannot suspend leaves error; here nobody touched it."""
    instance = actors.insert(cell_engine)
    with pytest.raises(Loud):
        actors.API().suspend(context, instance, _raise)
    assert actors.state_of(cell_engine, instance) == ("active", None)


@pytest.mark.parametrize("vm_state", ["active", "error", "resized", None])
def test_a_delete_is_given_back_by_itself_alone(
    context: api.CellContext, cell_engine: sa.Engine, vm_state: str | None
) -> None:
    """Whatever the server was, it is that again; the map reserves it."""
    instance = actors.insert(cell_engine, vm_state=vm_state)
    with pytest.raises(Loud) as caught:
        actors.API().delete(context, instance, _raise)
    assert not hasattr(caught.value, "__notes__")
    assert actors.state_of(cell_engine, instance) == (vm_state, None)
    assert not machine.is_allowed((vm_state, "deleting"), (vm_state, None))


def _raise() -> None:
    raise Loud


def test_giving_back_overwrites_nobody(
    context: api.CellContext,
    cell_engine: sa.Engine,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A delete that was accepted during the body stays."""
    instance = actors.insert(cell_engine)
    server = actors.API()
    error = Loud("late")

    def body() -> None:
        server.delete(context, instance)
        raise error

    with pytest.raises(Loud) as caught:
        server.stop(context, instance, body)
    assert caught.value is error
    [note] = error.__notes__
    assert "is active / deleting by now, and was active|error" in note
    assert note in caplog.text
    assert server.ran == ["stop", "delete"]
    assert actors.state_of(cell_engine, instance) == ("active", "deleting")


def test_giving_back_hides_no_error_of_the_body(
    context: api.CellContext,
    cell_engine: sa.Engine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where there is no way to the database any more, it gets a note."""
    instance = actors.insert(cell_engine)
    row = {"uuid": instance}

    def body() -> None:
        monkeypatch.setattr(context, "db_connection", None)
        raise Loud

    with pytest.raises(Loud) as caught:
        actors.API().stop(context, row, body)
    monkeypatch.undo()
    [note] = caught.value.__notes__
    assert "may stay in active|error / powering-off: InvalidContext" in note
    assert row["task_state"] == "powering-off"


def test_a_refused_body_does_not_try_again(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """The state may have come back as somebody else's: it is left alone."""
    instance = actors.insert(cell_engine)
    server = actors.API()

    def body() -> None:
        api.instance_update(context, instance, {"task_state": None})
        try:
            api.instance_update(
                context,
                instance,
                {"power_state": 4},
                expected_task_state="powering-off",
            )
        finally:
            server.stop(context, instance)

    with pytest.raises(exceptions.UnexpectedTaskStateError):
        server.stop(context, instance, body)
    assert server.ran == ["stop", "stop"]
    state = ("active", "powering-off")
    assert actors.state_of(cell_engine, instance) == state


def test_an_open_transaction_is_joined(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Nothing is claimed, in the row or in memory, before its commit."""
    instance = actors.insert(cell_engine)
    copy = {"uuid": instance, "task_state": None}
    server = actors.API()

    def undone() -> None:
        with context.begin():
            server.stop(context, copy)
            raise Loud

    with pytest.raises(Loud):
        undone()
    assert actors.state_of(cell_engine, instance) == ("active", None)
    with context.begin():
        with pytest.raises(Loud):
            server.stop(context, copy, _raise)
        server.stop(context, copy)
    assert copy == {"uuid": instance, "task_state": None}
    state = ("active", "powering-off")
    assert actors.state_of(cell_engine, instance) == state


@pytest.mark.parametrize(
    ("method", "state"),
    [
        ("delete", ("stopped", "deleting")),
        ("reboot", ("active", "rebooting_hard")),
    ],
)
def test_a_stuck_claim_is_taken_over_by_one(
    cell_url: str,
    cell_engine: sa.Engine,
    method: str,
    state: tuple[str, str],
) -> None:
    """The map lets ask for it again, and once it is too old one may."""
    vm_state, task_state = state
    contexts = [api.connect(cell_url) for _ in range(WORKERS)]
    max_age_s = machine.max_age_s(state)
    for _ in range(5):
        server = actors.API()
        instance = actors.insert(
            cell_engine,
            vm_state=vm_state,
            task_state=task_state,
            updated_at=AGO,
            progress=7,
        )
        copy = {"uuid": instance}

        def ask(
            number: int,
            server: actors.API = server,
            copy: dict[str, str] = copy,
        ) -> str:
            claimed: str = getattr(server, method)(contexts[number], copy)
            return claimed

        results = actors.race(WORKERS, ask)
        assert server.ran == [method]
        assert results.count(method) == 1
        for loser in results:
            if loser != method:
                assert loser.state == state
                assert f"again {max_age_s} s after" in str(loser)
        assert copy["task_state"] == task_state
        row = rows.read_instance(cell_engine, instance)
        assert row["progress"] == 0
        age = timeutils.utcnow() - row["updated_at"]  # type: ignore[operator]
        assert age < datetime.timedelta(minutes=1)
    for context in contexts:
        context.close()
