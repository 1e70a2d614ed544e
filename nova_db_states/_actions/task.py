# SPDX-License-Identifier: Apache-2.0
"""The worker's part of an action: step by step, each guarded by the last.

Nova's ``reverts_task_state`` clears a task that failed whoever has the server
by then, and its steps guard ``task_state`` alone. Here whatever another actor
did meanwhile stops the worker, and is never overwritten.
"""

from collections.abc import Mapping
import dataclasses
import functools
import sys
import types
from typing import Any, Final, Self

from nova_db_states import columns
from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states import states
from nova_db_states._actions import arguments
from nova_db_states._actions import claim
from nova_db_states._actions import holding
from nova_db_states._actions import moves
from nova_db_states._actions import plans
from nova_db_states._actions import refusals
from nova_db_states._actions import steps
from nova_db_states._actions import surrender
from nova_db_states._actions import watch as watching

__all__ = ["Task", "task"]


_PATIENT: Final = retry.Policy(
    max_attempts=sys.maxsize,
    first_backoff_s=0.1,
    max_backoff_s=5.0,
    max_elapsed_s=60.0,
)
"""For what leaves the row stuck where it is not written."""


def task(
    context: Any,
    instance: Any,
    task_state: str | None,
    *,
    action: str | None = None,
    retry_policy: retry.Policy | None = None,
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

    An object or mapping is told the states, and whatever else a step writes,
    as soon as the row has them.

    :param context: as for :func:`nova_db_states.api.instance_update`, without
        a transaction open: nobody else would see the steps
    :param instance: a uuid, an object with ``uuid``, or a mapping
    :param task_state: the task to begin with; ``None`` for a step without one
    :param action: the name of the action in the map; ``None`` for the only
        one that has the task, or else the only one that somebody may ask for
        and whose claim leads to it
    :param retry_policy: attempts and waits (in seconds) of every statement;
        ``None`` for the context's own, and for the end and the failure for
        more patience: waits of up to 5 s, for 60 s in all
    :returns: the context manager; its ``with`` gives itself
    :raises InvalidUpdate: not a uuid
    :raises InvalidState: a task that Nova does not have
    :raises InvalidRequest: no such action, or the task belongs to several
        actions, or is no step of this one; or no instance, or no policy
    """
    wanted = columns.value("task_state", task_state)
    plan = plans.owner(wanted) if action is None else plans.of(action)
    entered, choices = plans.entrance(plan, wanted)
    policy = arguments.checked_policy(retry_policy)
    held = holding.Holding(
        context, arguments.uuid_of(instance), entered, policy
    )
    return Task(held, plan, choices, instance, policy or _PATIENT)


@dataclasses.dataclass(frozen=True, slots=True)
class _End:
    """An end that may have been made, and where the row was before it."""

    before: moves.Span
    vm_state: Any
    expected: Mapping[str, Any] | None
    values: Mapping[str, Any]


class Task:
    """The task of one worker on one instance, made by :func:`task`.

    It belongs to the thread or greenlet that works; watches made by
    :meth:`watch` may be shared.

    :ivar action: the name of the action
    """

    def __init__(
        self,
        held: holding.Holding,
        plan: plans.Plan,
        choices: tuple[moves.Move, ...],
        instance: Any,
        patience: retry.Policy,
    ) -> None:
        self.action = plan.name
        self._plan = plan
        self._entrance = choices
        self._holding = held
        self._instance = instance
        self._patience = patience
        self._entered = False
        self._ended = False
        self._handed_over = False
        self._doubtful: _End | None = None

    def __enter__(self) -> Self:
        """Verify the first task, or take the step to a later one.

        Where the answer to that step is lost, or not waited for, the task is
        given up as by :meth:`__exit__`.

        :returns: itself
        :raises InvalidRequest: it was entered before
        :raises InvalidContext: the context has a transaction open
        :raises InstanceUpdateConflict: the row is in another state
        :raises InstanceNotFound: no such row is visible
        :raises NovaDBStatesError: as ``api.instance_update``
        """
        if self._entered:
            raise exceptions.InvalidRequest(
                "A task is entered once. Make another with task()."
            )
        self._entered = True
        held = self._holding
        if not self._entrance:
            arguments.remember(self._instance, held.learn()._asdict())
            return self
        # Another worker may have entered it meanwhile by the same step.
        fence = {"updated_at": claim.stamp()}
        try:
            self._make(self._entrance, fence)
        except BaseException as error:
            if refusals.leaves_doubt(error) and held.states:
                error.add_note(
                    f"Whether instance {held.instance_uuid} was led to "
                    f"{moves.shown(held.states)} is not known. If it was, the "
                    f"task is given up."
                )
                held.fence = fence
                self._give_up(error)
            raise
        return self

    @property
    def state(self) -> moves.State:
        """Where the row is, as far as this worker knows.

        Where its guards admitted several this reads the row once. It raises
        what :meth:`step` raises if this worker was refused it, or is now.
        """
        held = self._holding
        held.require()
        if not self._entered or not held.states:
            raise exceptions.InvalidRequest("This task is not begun.")
        if len(held.states) > 1:
            return held.learn()
        return min(held.states, key=str)

    def step(
        self,
        task_state: str | None,
        *,
        vm_state: Any = states.ANY,
        expected: Mapping[str, Any] | None = None,
        **values: Any,
    ) -> None:
        """Take the next step, by one guarded ``UPDATE``.

        :param task_state: of the state after
        :param vm_state: of the state after; needed only where the map
            declares several
        :param expected: guards on other columns, by name, as for
            ``api.instance_update``; where one does not hold, another actor
            has the server
        :param values: other columns to write with it
        :raises TransitionNotAllowed: the map does not declare that step from
            here; nothing was sent
        :raises InvalidContext: the context has a transaction open
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

        choices = steps.choices(
            self._holding, self._plan, options, vm_state, f"to {wanted!r}"
        )
        self._make(choices, values, expected)

    def end(
        self,
        *,
        vm_state: Any = states.ANY,
        expected: Mapping[str, Any] | None = None,
        **values: Any,
    ) -> None:
        """End the action with success, by one guarded ``UPDATE``.

        Leaving the block does so where this was not called, and once more
        where its answer was lost.

        :param vm_state: of the state after; needed only where the map
            declares several
        :param expected: as for :meth:`step`
        :param values: other columns to write with it
        :raises TransitionNotAllowed: the map declares no such end from here,
            or several; nothing was sent
        :raises InvalidContext: as for :meth:`step`
        :raises InstanceUpdateConflict: as for :meth:`step`
        :raises InstanceNotFound: as for :meth:`step`
        :raises UnknownUpdateOutcome: the connection was lost before the
            answer; the same end may be tried again
        :raises NovaDBStatesError: as ``api.instance_update``
        """
        self._require_going_on()
        if "task_state" in values:
            raise exceptions.InvalidUpdate(
                "The end of a task leaves none: leave task_state out."
            )
        held = self._holding
        said = vm_state is not states.ANY
        ends = self._plan.ends if said else self._plan.usual_ends
        doubtful = held.in_doubt

        def options(state: moves.State) -> set[moves.State]:
            if state in doubtful and plans.rests(state):
                return {state}
            return ends(state)

        where = "to that end" if said else "to an end"
        choices = steps.choices(held, self._plan, options, vm_state, where)
        before = held.states - doubtful or held.states
        if self._doubtful is not None:
            before = self._doubtful.before
        try:
            self._make(choices, values, expected, self._patience)
        except BaseException as error:
            if refusals.leaves_doubt(error):
                self._doubtful = _End(before, vm_state, expected, values)
            raise
        self._ended = True

    def _make(
        self,
        choices: tuple[moves.Move, ...],
        values: Mapping[str, Any],
        expected: Mapping[str, Any] | None = None,
        policy: retry.Policy | None = None,
    ) -> None:
        made = self._holding.make(choices, values, expected, policy)
        self._doubtful = None
        arguments.remember(self._instance, {**values, **made})

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
        :returns: the watch, as of :func:`nova_db_states.actions.watch`. A
            heartbeat that is refused means for the task what a refused step
            does, also where the block catches it. After the next step it
            raises ``InvalidRequest``: make another
        :raises InstanceUpdateConflict: as for :meth:`step`
        :raises NovaDBStatesError: as ``actions.watch``
        """
        self._require_going_on()
        held = self._holding
        vm_state, task_state = moves.hull(held.states)
        return watching.watch(
            held.context,
            held.instance_uuid,
            task_state,
            interval_s,
            expected_vm_state=vm_state,
            total=total,
            max_away_s=max_away_s,
            _ask=functools.partial(held.beat, held.states),
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
        doubt = self._doubtful
        if doubt is not None:
            self.end(
                vm_state=doubt.vm_state,
                expected=doubt.expected,
                **doubt.values,
            )
        elif not all(map(plans.rests, self._holding.states)):
            self.end()

    def _give_up(self, error: BaseException) -> None:
        if self._ended:
            return
        if isinstance(error, exceptions.InstanceUpdateConflict):
            refusals.add_allowed(error)
        held = self._holding
        if self._doubtful is not None:
            # If it did end all the same, there is no failure to write.
            held.states = self._doubtful.before
            held.in_doubt &= held.states
        refusal = held.refusal
        if refusal is None:
            left = surrender.give_up(held, self._plan, error, self._patience)
            arguments.remember(self._instance, left)
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
