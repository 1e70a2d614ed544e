# SPDX-License-Identifier: Apache-2.0
"""Many at work on the same servers: nobody leaves the declared map."""

from typing import Any, Final

import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st
import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import machine
from nova_db_states import states
from tests.functional import state_model

_BOOT: Final = machine.action("boot")
_RESTART: Final = machine.action("init_host (nova-compute start)")
_RESET: Final = machine.action("reset-state")
_ASKED: Final = [
    action
    for action in machine.MAP.actions.values()
    if action.kind in {machine.Kind.USER, machine.Kind.ADMIN}
    and action not in {_BOOT, _RESET}
    and any(write.path is machine.Path.SUCCESS for write in action.writes)
]
_LATE: Final = [
    (action, write)
    for action in machine.MAP.actions.values()
    for write in action.writes
    if not (write.guarded or write.defect)
    and write.event is machine.Event.UPDATE
    and action is not _RESET
]
_MAX_SERVERS: Final = 4

SETTINGS: Final = hypothesis.settings(
    max_examples=20,
    stateful_step_count=50,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)

#: To see that something is found, nothing need be made small or remembered.
UNSHRUNK: Final = hypothesis.settings(
    SETTINGS, phases=[hypothesis.Phase.generate], database=None
)


class Actors(stateful.RuleBasedStateMachine):
    """Users, workers, restarts, late writers and an administrator."""

    #: Where they are at work; each test puts its own here.
    cell: tuple[api.CellContext, sa.Engine]

    def __init__(self) -> None:
        super().__init__()
        self.fleet = state_model.Fleet(*self.cell)
        self.workers: list[state_model.Worker] = []
        self.fleet.boot(machine.State("active", None))
        self.boot()

    def _server(self, data: st.DataObject) -> state_model.Server:
        return data.draw(st.sampled_from(self.fleet.servers), "server")

    def _wish(
        self,
        data: st.DataObject,
        server: state_model.Server,
        wanted: list[machine.Action],
    ) -> machine.Action:
        """Choose an action; mostly one that may be asked for."""
        allowed = machine.allowed_actions(server.state)
        fitting = [action for action in wanted if action.name in allowed]
        chance = data.draw(st.integers(0, 4), "chance")
        if chance and fitting:
            wanted = fitting
        # By name, so that a report of a failure can be read.
        names = [action.name for action in wanted]
        return machine.action(data.draw(st.sampled_from(names), "action"))

    def _worker(self, data: st.DataObject) -> state_model.Worker:
        return data.draw(st.sampled_from(self.workers), "worker")

    def _begin(
        self, server: state_model.Server, action: machine.Action
    ) -> None:
        self.workers.append(state_model.Worker(server, action, server.state))

    def _target(
        self,
        data: st.DataObject,
        server: state_model.Server,
        write: machine.Write,
    ) -> machine.State:
        found = list(write.change.targets(server.state))
        return data.draw(st.sampled_from(found), "target")

    @stateful.rule()
    def boot(self) -> None:
        """Boot one more server."""
        if len(self.fleet.servers) < _MAX_SERVERS:
            server = self.fleet.boot(machine.State("building", "scheduling"))
            self._begin(server, _BOOT)

    @stateful.rule(data=st.data(), contenders=st.integers(1, 3))
    def ask(self, data: st.DataObject, contenders: int) -> None:
        """Ask for an action; of those who want the same, one wins.

        What may be asked for again, like a delete, everybody gets.
        """
        server = self._server(data)
        action = self._wish(data, server, _ASKED)
        write = data.draw(st.sampled_from(state_model.claims(action)))
        target = self._target(data, server, write)
        admitted = not server.deleted and write.change.starts_from(
            server.state
        )
        again = write.change.starts_from(target)
        wins = [
            self.fleet.attempt(server, action.name, write, target)
            for _ in range(contenders)
        ]
        assert sum(wins) == (contenders if again else 1) * admitted
        if admitted:
            self._begin(server, action)

    @stateful.precondition(lambda self: self.workers)
    @stateful.rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        """Go on or give up, as the worker who believes to have the server."""
        worker = self._worker(data)
        possible = state_model.steps(worker)
        if possible:
            write, target = data.draw(st.sampled_from(possible), "step")
            applied = self.fleet.attempt(
                worker.server, worker.action.name, write, target, worker.belief
            )
            if applied:
                worker.belief = target
                return
        self.workers.remove(worker)

    @stateful.precondition(lambda self: self.workers)
    @stateful.rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        """End a worker in the middle; it leaves the state behind."""
        self.workers.remove(self._worker(data))

    @stateful.rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        """Start nova-compute; it goes on from what it finds."""
        self._begin(self._server(data), _RESTART)

    @stateful.rule(data=st.data())
    def reset(self, data: st.DataObject) -> None:
        """Reset the state as an administrator, whatever goes on."""
        server = self._server(data)
        (write,) = _RESET.writes
        target = self._target(data, server, write)
        was_deleted = server.deleted
        applied = self.fleet.attempt(server, _RESET.name, write, target)
        assert applied is not was_deleted

    @stateful.rule(data=st.data())
    def come_late(self, data: st.DataObject) -> None:
        """Write what Nova writes without a guard, with the map's as guard."""
        server = self._server(data)
        action, write = data.draw(st.sampled_from(_LATE), "write")
        target = self._target(data, server, write)
        self.fleet.attempt(server, action.name, write, target)

    @stateful.invariant()
    def rows_are_as_in_the_model(self) -> None:
        """Hold the rows to what the accepted writes add up to."""
        self.fleet.agree()


def run(
    actors: type[Actors],
    context: api.CellContext,
    engine: sa.Engine,
    settings: hypothesis.settings = SETTINGS,
) -> None:
    """Let actors play in a cell."""
    here = type(actors.__name__, (actors,), {"cell": (context, engine)})
    stateful.run_state_machine_as_test(here, settings=settings)


def test_many_actors(context: api.CellContext, cell_engine: sa.Engine) -> None:
    """Whoever does whatever: every row is as the accepted writes left it."""
    run(Actors, context, cell_engine)


@pytest.mark.parametrize(
    "forgotten", ["expected_vm_state", "expected_task_state"]
)
def test_a_forgotten_guard_is_noticed(
    monkeypatch: pytest.MonkeyPatch, nova_sqlite_url: str, forgotten: str
) -> None:
    """If updates lost a guard on their way, the actors would find out."""
    run_carelessly(Actors, monkeypatch, nova_sqlite_url, forgotten)


def run_carelessly(
    actors: type[Actors],
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    forgotten: str,
) -> None:
    """Let actors play where every update forgets a guard, and find out."""
    update = api.instance_update

    def careless(*args: Any, **kwargs: Any) -> Any:
        return update(*args, **{**kwargs, forgotten: states.ANY})

    monkeypatch.setattr(api, "instance_update", careless)
    context = api.connect(url)
    engine = sa.create_engine(url)
    # What it stumbles on depends on the turn that it took.
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run(actors, context, engine, UNSHRUNK)
    context.close()
    engine.dispose()
