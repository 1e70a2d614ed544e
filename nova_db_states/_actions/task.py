# SPDX-License-Identifier: Apache-2.0
"""The worker's part of an action: step by step, each guarded by the last.

Nova's ``reverts_task_state`` clears a task that failed whoever has the server
by then, and its steps guard ``task_state`` alone. Here whatever another actor
did meanwhile stops the worker, and is never overwritten.
"""

from collections.abc import Callable, Iterable
import types
from typing import Any, Self
import uuid

from nova_db_states import columns
from nova_db_states import exceptions
from nova_db_states import states
from nova_db_states._actions import holding
from nova_db_states._actions import moves
from nova_db_states._actions import plans
from nova_db_states._actions import refusals
from nova_db_states._actions import surrender
from nova_db_states._actions import watch as watching

__all__ = ["Task", "task"]


def task(
    context: Any,
    instance_uuid: str | uuid.UUID,
    task_state: str | None,
    *,
    action: str | None = None,
) -> "Task":
    """Do the work of an action, in a ``with`` block.

    Entering, the row has to be in the action's state with this task. The
    first one, which the API has claimed, is verified by one ``SELECT``; to a
    later one the row is led from the declared steps before it by one guarded
    ``UPDATE``, so that of several workers one enters.

    Left normally, the block ends the action as the map declares; by an
    exception, it leaves what the map declares for a failure. That exception
    is raised in any case; where its failure could not be written it gets a
    note. All of this is guarded by the state that the worker set last.

    A context with a transaction open is joined by every statement, and
    nobody else sees the steps until that transaction ends: a worker has
    better none.

    :param context: as for :func:`nova_db_states.api.instance_update`
    :param instance_uuid: the instance
    :param task_state: the task to begin with; ``None`` for a step without one
    :param action: the name of the action in the map; ``None`` where the task
        belongs to one action only
    :returns: the context manager; its ``with`` gives itself
    :raises InvalidUpdate: not a uuid
    :raises InvalidState: a task that Nova does not have
    :raises InvalidRequest: no such action, or the task belongs to several
        actions, or is no step of this one
    """
    wanted = columns.value("task_state", task_state)
    plan = plans.of(_action(wanted) if action is None else action)
    entered = plan.begun(wanted)
    choices: tuple[moves.Move, ...] = ()
    if not entered:
        found = plan.entering(wanted)
        changes, several = moves.choose(found, lambda state: found[state])
        if several:
            raise exceptions.InvalidRequest(
                f"The step of {plan.name!r} to {wanted!r} may lead to "
                f"{_or(several)}. Enter the task before it, and call step() "
                f"with a vm_state."
            )
        if not changes:
            raise exceptions.InvalidRequest(
                f"{wanted!r} is no step of {plan.name!r}. Its tasks are "
                f"{', '.join(plan.tasks()) or 'none'}."
            )
        choices = moves.leading(changes)
    return Task(
        context, columns.canonical_uuid(instance_uuid), plan, entered, choices
    )


def _or(found: Iterable[moves.State]) -> str:
    return " or ".join(sorted(map(str, found)))


def _action(task_state: str | None) -> str:
    """Find the only action that has a task."""
    names = plans.owners(task_state)
    if len(names) != 1:
        raise exceptions.InvalidRequest(
            f"task_state {task_state!r} belongs to "
            f"{'several actions' if names else 'no action'} of the map"
            f"{': ' + ', '.join(names) if names else ''}. Say which one is "
            f"meant with action=."
        )
    return names[0]


class Task:
    """The task of one worker on one instance, made by :func:`task`.

    It belongs to the thread or greenlet that works; watches made by
    :meth:`watch` may be shared.

    :ivar action: the name of the action
    """

    def __init__(
        self,
        context: Any,
        instance_uuid: str,
        plan: plans.Plan,
        entered: moves.Span,
        choices: tuple[moves.Move, ...],
    ) -> None:
        self.action = plan.name
        self._plan = plan
        self._entrance = choices
        self._holding = holding.Holding(context, instance_uuid, entered)
        self._entered = False
        self._ended = False
        self._handed_over = False

    def __enter__(self) -> Self:
        """Verify the first task, or take the step to a later one.

        :returns: itself
        :raises InvalidRequest: it was entered before
        :raises InstanceUpdateConflict: the row is in another state
        :raises InstanceNotFound: no such row is visible
        :raises NovaDBStatesError: as ``api.instance_update``
        """
        if self._entered:
            raise exceptions.InvalidRequest(
                "A task is entered once. Make another with task()."
            )
        self._entered = True
        if self._entrance:
            self._holding.make(self._entrance, {})
        else:
            self._holding.learn()
        return self

    @property
    def state(self) -> moves.State:
        """Where the row is, as far as this worker knows.

        Where its guards admitted several this reads the row once, and raises
        what :meth:`step` raises if it is in none of them any more.
        """
        if not self._entered:
            self._require_going_on()
        if len(self._holding.states) > 1:
            self._holding.learn()
        return min(self._holding.states, key=str)

    def step(
        self,
        task_state: str | None,
        *,
        vm_state: Any = states.ANY,
        **values: Any,
    ) -> None:
        """Take the next step, by one guarded ``UPDATE``.

        :param task_state: of the state after
        :param vm_state: of the state after; needed only where the map
            declares several
        :param values: other columns to write with it
        :raises TransitionNotAllowed: the map does not declare that step from
            here; nothing was sent
        :raises InstanceUpdateConflict: another actor has the server; raised
            again by whatever is tried after it
        :raises InstanceNotFound: the row is gone; the same
        :raises UnknownUpdateOutcome: the connection was lost before the
            answer; the same step may be tried again
        :raises NovaDBStatesError: as ``api.instance_update``
        """
        self._require_going_on()
        wanted = columns.value("task_state", task_state)
        doubtful = self._holding.in_doubt

        def options(state: moves.State) -> set[moves.State]:
            if state in doubtful and state.task_state == wanted:
                return {state}
            return self._plan.stepping(state, wanted)

        choices = self._choices(options, vm_state, f"to {wanted!r}")
        self._holding.make(choices, values)

    def end(self, *, vm_state: Any = states.ANY, **values: Any) -> None:
        """End the action with success, by one guarded ``UPDATE``.

        Leaving the block does so where this was not called.

        :param vm_state: of the state after; needed only where the map
            declares several
        :param values: other columns to write with it
        :raises TransitionNotAllowed: the map declares no such end from here,
            or several; nothing was sent
        :raises InstanceUpdateConflict: as for :meth:`step`
        :raises InstanceNotFound: as for :meth:`step`
        :raises NovaDBStatesError: as ``api.instance_update``
        """
        self._require_going_on()
        if "task_state" in values:
            raise exceptions.InvalidUpdate(
                "The end of a task leaves none: leave task_state out."
            )
        said = vm_state is not states.ANY
        choices = self._choices(
            self._plan.ends if said else self._plan.usual_ends,
            vm_state,
            "to that end" if said else "to an end",
        )
        before = self._holding.states
        try:
            self._holding.make(choices, values)
        except BaseException:
            # If it did end all the same, there is no failure to write.
            self._holding.states = before
            raise
        self._ended = True

    def hand_over(self) -> None:
        """Leave the row as it is: another worker goes on from here.

        Leaving the block normally then writes nothing. An exception after
        this is a failure as before.

        :raises InvalidRequest: the task is over
        """
        self._require_going_on()
        self._handed_over = True

    def watch(
        self,
        interval_s: float = 5.0,
        *,
        total: int | None = None,
        max_away_s: float = 60.0,
    ) -> watching.Watch:
        """Watch the server while something long is done in the present state.

        :param interval_s: seconds from an answer to the next check; 0 to
            check at every use
        :param total: bytes that will pass, to compute the progress; ``None``
            not to
        :param max_away_s: seconds without an answer that the work outlives
        :returns: the watch, as of :func:`nova_db_states.actions.watch`; what
            it raises in the block means for the task what a refused step
            does
        :raises InstanceUpdateConflict: as for :meth:`step`
        :raises NovaDBStatesError: as ``actions.watch``
        """
        self._require_going_on()
        held = self._holding
        tasks = {state.task_state for state in held.states}
        [(vm_state, task_state, _)] = moves.guards_of(
            moves.State(state.vm_state, each)
            for state in held.states
            for each in tasks
        )
        return held.ask(
            lambda: watching.watch(
                held.context,
                held.instance_uuid,
                task_state,
                interval_s,
                expected_vm_state=vm_state,
                total=total,
                max_away_s=max_away_s,
            )
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        """End the action, or give it up.

        :param kind: of the exception that left the block
        :param error: that exception, ``None`` for none
        :param traceback: its traceback
        :raises TransitionNotAllowed: as for :meth:`end`
        :raises InstanceUpdateConflict: as for :meth:`end`
        :raises InstanceNotFound: as for :meth:`end`
        :raises NovaDBStatesError: as for :meth:`end`
        """
        del kind, traceback
        if error is not None:
            self._give_up(error)
        elif not (self._ended or self._handed_over):
            try:
                self._finish()
            except BaseException as caught:
                self._give_up(caught)
                raise

    def _finish(self) -> None:
        self._require_going_on()
        if not all(map(plans.rests, self._holding.states)):
            self.end()

    def _give_up(self, error: BaseException) -> None:
        if self._ended:
            return
        if isinstance(error, exceptions.InstanceUpdateConflict):
            refusals.add_allowed(error)
        refusal = self._holding.refusal
        if refusal is None:
            surrender.give_up(
                self._holding.context,
                self._holding.instance_uuid,
                self._plan,
                self._holding.states,
                error,
                untouched=False,
            )
        elif error is not refusal:
            error.add_note(
                f"The state of the instance was left as it is, because this "
                f"task had been refused it: {refusal}"
            )

    def _require_going_on(self) -> None:
        self._holding.require()
        if not self._entered or self._ended or self._handed_over:
            raise exceptions.InvalidRequest(
                "This task is over: nothing can be done in it any more."
                if self._entered
                else "This task is not begun: use it in a with statement."
            )

    def _choices(
        self,
        options: Callable[[moves.State], set[moves.State]],
        vm_state: Any,
        where: str,
    ) -> tuple[moves.Move, ...]:
        """Find the updates that lead from what is held to what is wanted."""
        if vm_state is not states.ANY:
            vm_state = columns.value("vm_state", vm_state)
        held = self._holding
        changes, several = moves.choose(held.states, options, vm_state)
        if changes and len(changes) < len(held.states):
            # It depends on which state it is.
            held.learn()
            changes, several = moves.choose(held.states, options, vm_state)
        if several:
            raise self._not_allowed(
                f"leads {where} in several ways: {_or(several)}. Say which "
                f"one it is with vm_state=",
                tuple(sorted(several, key=str)),
            )
        if not changes:
            declared = self._plan.following(held.states)
            raise self._not_allowed(
                f"does not lead {where}. Declared are: "
                f"{', '.join(map(str, declared)) or 'none'}. Call hand_over() "
                f"where another worker goes on",
                declared,
            )
        return moves.leading(changes)

    def _not_allowed(
        self, problem: str, declared: tuple[moves.State, ...]
    ) -> exceptions.TransitionNotAllowed:
        held = self._holding
        return exceptions.TransitionNotAllowed(
            f"Instance {held.instance_uuid} was not changed: from "
            f"{moves.shown(held.states)} the action {self.action!r} "
            f"{problem}.",
            instance_uuid=held.instance_uuid,
            action=self.action,
            states=tuple(sorted(held.states, key=str)),
            declared=declared,
        )
