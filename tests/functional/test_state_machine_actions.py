# SPDX-License-Identifier: Apache-2.0
"""The same crowd, with claims and tasks as actions are to be written."""

import contextlib
import dataclasses
from typing import Any, Final

import hypothesis
from hypothesis import stateful
from hypothesis import strategies as st
import pytest
import sqlalchemy as sa

from nova_db_states import actions
from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import machine
from nova_db_states.machine import notation
from tests.functional import state_model
from tests.functional import test_state_machine

_REFUSALS: Final = (
    exceptions.InstanceUpdateConflict,
    exceptions.InstanceNotFound,
)


class _BrokenError(Exception):
    """What goes wrong in the body of an action."""


def _claimable() -> list[machine.Action]:
    """List the actions that one update can claim."""
    found = []
    for action in machine.MAP.actions.values():
        with contextlib.suppress(exceptions.InvalidRequest):
            actions.instance_action(action.name)
            found.append(action)
    return found


_CLAIMABLE: Final = _claimable()


def _first_writes(action: machine.Action) -> list[machine.Write]:
    writes = state_model.claims(action)
    return [
        write
        for write in writes
        if (write.change.to_vm, write.change.to_task)
        == (writes[0].change.to_vm, writes[0].change.to_task)
    ]


def _targets(
    action: machine.Action, at: machine.State, path: machine.Path
) -> list[tuple[machine.Write, machine.State]]:
    """List what a worker may make of a state, by one kind of writes."""
    return [
        (write, target)
        for write in action.writes
        if write.path is path
        and write.event is machine.Event.UPDATE
        and not write.defect
        and write.change.starts_from(at)
        for target in write.change.targets(at)
    ]


def _rests(state: machine.State) -> bool:
    return state.task_state is None and state.vm_state != "building"


def _ends(
    action: machine.Action, at: machine.State, *, usual: bool
) -> list[machine.State]:
    """List where success may end; in the usual course, if there is one."""
    found = [
        (write, target)
        for write, target in _targets(action, at, machine.Path.SUCCESS)
        if _rests(target)
    ]
    plain = [pair for pair in found if not pair[0].when]
    return list(
        dict.fromkeys(
            target for _, target in (plain if usual and plain else found)
        )
    )


def _fall(action: machine.Action, at: machine.State) -> list[machine.State]:
    """Say what a failure leaves behind, step by step, by the declaration."""
    once = [to for _, to in _targets(action, at, machine.Path.FAILURE)]
    for goal in filter(None, (action.on_failure, "= / NULL")):
        wanted = set(notation.parse(f"* / * -> {goal}").targets(at))
        if at in wanted:
            return []
        for to in once:
            if to in wanted:
                return [to]
        for middle in once:
            for _, to in _targets(action, middle, machine.Path.FAILURE):
                if to in wanted:
                    return [middle, to]
    return []


@dataclasses.dataclass
class _Hand:
    """A worker in the block of its task.

    :ivar server: the server
    :ivar action: what is being done to it
    :ivar held: the state that it set or found last
    :ivar task: the task
    :ivar block: leaves the block when it is closed
    """

    server: state_model.Server
    action: machine.Action
    held: machine.State
    task: actions.Task
    block: contextlib.ExitStack

    @property
    def has_it(self) -> bool:
        """Whether the row is as this worker believes."""
        return not self.server.deleted and self.server.state == self.held


class Deciders(test_state_machine.Actors):
    """The actors of the map, and others who claim and do it as tasks."""

    def __init__(self) -> None:
        super().__init__()
        self.hands: list[_Hand] = []
        self.claimed: list[tuple[state_model.Server, machine.Action]] = []

    @property
    def context(self) -> api.CellContext:
        """The context of whoever claims and works."""
        return self.cell[0]

    def _hand(self, data: st.DataObject) -> _Hand:
        return data.draw(st.sampled_from(self.hands), "hand")

    def _leave(self, hand: _Hand, error: Exception | None) -> None:
        """Leave the block of a task, normally or by an exception."""
        self.hands.remove(hand)
        if error is None:
            hand.block.close()
            return
        with pytest.raises(type(error)), hand.block:
            raise error

    def _give_up(self, hand: _Hand) -> None:
        if hand.has_it:
            for to in _fall(hand.action, hand.held):
                self.fleet.note(hand.server, hand.action.name, to)

    @stateful.rule(
        data=st.data(), contenders=st.integers(1, 3), broken=st.booleans()
    )
    def claim(
        self, data: st.DataObject, contenders: int, *, broken: bool
    ) -> None:
        """Claim an action; of those who do, exactly one runs the body."""
        server = self._server(data)
        action = self._wish(data, server, _CLAIMABLE)
        ran = []

        @actions.instance_action(action.name)
        def body(context: Any, instance: str) -> None:
            ran.append(api.instance_check(context, instance))
            if broken:
                raise _BrokenError

        found = [
            target
            for write in _first_writes(action)
            if write.change.starts_from(server.state)
            for target in write.change.targets(server.state)
            if target.task_state != server.state.task_state
        ]
        admitted = bool(found) and not server.deleted
        refused = 0
        for _ in range(1 if broken else contenders):
            with contextlib.suppress(_BrokenError):
                try:
                    body(self.context, server.uuid)
                except _REFUSALS:
                    refused += 1
        assert len(ran) == int(admitted)
        assert refused == (1 if broken else contenders) - len(ran)
        if not admitted:
            return
        (target,) = found
        assert ran == [target]
        before = server.state
        self.fleet.note(server, action.name, target)
        if broken:
            # What was taken from a running task is not given back.
            if before.task_state is None:
                self.fleet.undo(server, before)
        elif data.draw(st.booleans(), "at once"):
            self._enter(server, action)
            self.go_on(data, data.draw(st.integers(0, 3), "steps"))
        else:
            self.claimed.append((server, action))

    @stateful.precondition(lambda self: self.claimed)
    @stateful.rule(data=st.data())
    def enter(self, data: st.DataObject) -> None:
        """Begin the work on what was claimed, however long ago."""
        server, action = data.draw(st.sampled_from(self.claimed), "claimed")
        self._enter(server, action)

    def _enter(
        self, server: state_model.Server, action: machine.Action
    ) -> None:
        (task_state, *_) = _first_writes(action)[0].change.to_task or ()
        begun = {
            target
            for write in _first_writes(action)
            for vm_state in write.change.from_vm
            for task in write.change.from_task
            for target in write.change.targets(machine.State(vm_state, task))
        }
        task = actions.task(
            self.context, server.uuid, task_state, action=action.name
        )
        block = contextlib.ExitStack()
        if server.deleted or server.state not in begun:
            with pytest.raises(_REFUSALS):
                block.enter_context(task)
            return
        block.enter_context(task)
        assert task.state == server.state
        self.hands.append(_Hand(server, action, server.state, task, block))

    @stateful.precondition(lambda self: self.hands)
    @stateful.rule(data=st.data(), steps=st.integers(1, 4))
    def go_on(self, data: st.DataObject, steps: int) -> None:
        """Take the next steps of a task, or end it, if one still has it."""
        hand = data.draw(st.sampled_from(self.hands[::-1]), "hand")
        for _ in range(steps):
            if hand in self.hands:
                self._step(data, hand)

    def _step(self, data: st.DataObject, hand: _Hand) -> None:
        possible = [
            target
            for _, target in _targets(
                hand.action, hand.held, machine.Path.SUCCESS
            )
        ]
        if not possible:
            return
        target = data.draw(st.sampled_from(possible), "target")
        try:
            if _rests(target):
                hand.task.end(vm_state=target.vm_state)
            else:
                hand.task.step(target.task_state, vm_state=target.vm_state)
        except _REFUSALS as refusal:
            hypothesis.note(f"refused: {refusal}")
            applied = False
        else:
            applied = True
        assert applied is hand.has_it
        if not applied:
            with pytest.raises(_REFUSALS):
                hand.task.step(target.task_state)
            self._leave(hand, _BrokenError())
            return
        self.fleet.note(hand.server, hand.action.name, target)
        hand.held = target
        if _rests(target):
            self._leave(hand, None)

    @stateful.precondition(lambda self: self.hands)
    @stateful.rule(
        data=st.data(), how=st.sampled_from(["finish", "fail", "hand over"])
    )
    def leave(self, data: st.DataObject, how: str) -> None:
        """Leave the block of a task, in one of the ways there are."""
        hand = self._hand(data)
        if how == "finish":
            self._finish(hand)
        elif how == "fail":
            self._give_up(hand)
            self._leave(hand, _BrokenError())
        else:
            hand.task.hand_over()
            self._leave(hand, None)

    def _finish(self, hand: _Hand) -> None:
        """Leave normally: that ends the action, or says why not."""
        ends = _ends(hand.action, hand.held, usual=True)
        if len(ends) != 1:
            with pytest.raises(exceptions.TransitionNotAllowed):
                self._leave(hand, None)
            self._give_up(hand)
        elif hand.has_it:
            self._leave(hand, None)
            self.fleet.note(hand.server, hand.action.name, ends[0])
        else:
            with pytest.raises(_REFUSALS):
                self._leave(hand, None)


class OnlyDeciders(Deciders):
    """None of them writes but by claims, tasks and the administrator."""

    ask = step = come_late = None  # type: ignore[assignment]


def test_many_actors_by_actions(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """One winner for each claim, and no worker writes what it was refused."""
    test_state_machine.run(Deciders, context, cell_engine)


@pytest.mark.parametrize(
    "forgotten", ["expected_vm_state", "expected_task_state"]
)
def test_a_forgotten_guard_is_noticed(
    monkeypatch: pytest.MonkeyPatch, nova_sqlite_url: str, forgotten: str
) -> None:
    """If claims and tasks lost a guard, the crowd would find out."""
    test_state_machine.run_carelessly(
        OnlyDeciders, monkeypatch, nova_sqlite_url, forgotten
    )


def test_most_actions_are_claimable() -> None:
    """The crowd has something to do."""
    names = {action.name for action in _CLAIMABLE}
    assert len(names) > 20
    assert {"stop", "delete", "rebuild", "shelve"} <= names
