# SPDX-License-Identifier: Apache-2.0
"""What a worker holds: the states in which the row may be by its own hand."""

from collections.abc import Callable, Mapping
import types
from typing import Any, Final, TypeVar

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states import states
from nova_db_states._actions import moves
from nova_db_states._actions import refusals
from nova_db_states._update import contexts
from nova_db_states.machine import notation

__all__ = ["Holding"]

_T = TypeVar("_T")

_STATES: Final = frozenset({"vm_state", "task_state"})


class Holding:
    """One instance in the hand of one worker, as far as that knows.

    :ivar context: of the worker
    :ivar instance_uuid: the instance, canonical
    :ivar states: where the row may be; several where a guard admitted several
    :ivar in_doubt: those of them that the row has only if an update was made
        whose answer was lost
    :ivar fence: guards on other columns for the next statement, until an
        update has made the row this worker's beyond doubt
    :ivar refusal: what the worker was told when it lost the row; ``None``
        while it has it
    """

    def __init__(
        self,
        context: Any,
        instance_uuid: str,
        held: moves.Span,
        policy: retry.Policy | None = None,
    ) -> None:
        self.context = context
        self.instance_uuid = instance_uuid
        self.states = held
        self.in_doubt: moves.Span = frozenset()
        self.fence: Mapping[str, Any] = {}
        self.refusal: exceptions.InstanceError | None = None
        self._policy = policy
        self._moving = False
        self._traceback: types.TracebackType | None = None

    def require(self) -> None:
        """Raise what the worker was refused with, as often as it asks.

        :raises InstanceUpdateConflict: another actor has the row
        :raises InstanceNotFound: the row is gone
        """
        if self.refusal is not None:
            # Raised again and again, it must not grow by it.
            raise self.refusal.with_traceback(self._traceback)

    def require_no_transaction(self) -> None:
        """Refuse a context that has a transaction open.

        :raises InvalidContext: it has one
        """
        manager = contexts.manager_of(self.context)
        if contexts.has_open_transaction(self.context, manager):
            raise exceptions.InvalidContext(
                f"The context has a transaction open. In it the steps of a "
                f"task on instance {self.instance_uuid} would be seen by "
                f"nobody and keep the row locked to the end. Close it before "
                f"the work begins, or give the task a context of its own."
            )

    def ask(self, question: Callable[[], _T]) -> _T:
        """Ask the database, and remember if it refuses this worker the row.

        :param question: a call of ``api``
        :returns: its answer
        :raises NovaDBStatesError: as the call; conflicts name what is allowed
        """
        self.require()
        try:
            return question()
        except refusals.LOST as refusal:
            self._remember(refusal)
            raise

    def beat(self, made_for: moves.Span, update: Callable[[], None]) -> None:
        """Make the heartbeat of a watch, whose refusal is the worker's.

        It may come from another thread, while this worker takes a step.

        :param made_for: the states that the watch was made for
        :param update: the heartbeat
        :raises InvalidRequest: the worker has taken a step since
        :raises NovaDBStatesError: as for :meth:`ask`
        """
        self.require()
        self._require_same(made_for, None)
        try:
            update()
        except refusals.LOST as refusal:
            # Not in the former state is where the step has led it.
            self._require_same(made_for, refusal)
            self._remember(refusal)
            raise

    def _require_same(
        self, made_for: moves.Span, refusal: Exception | None
    ) -> None:
        moved = not self.states <= made_for
        if moved or (refusal is not None and self._moving):
            raise exceptions.InvalidRequest(
                f"This watch on instance {self.instance_uuid} was made for "
                f"the step before, in {moves.shown(made_for)}. Make another "
                f"with watch() of the task."
            ) from refusal

    def _remember(self, refusal: exceptions.InstanceError) -> None:
        if isinstance(refusal, exceptions.InstanceUpdateConflict):
            refusals.add_allowed(refusal)
        self.refusal = refusal
        self._traceback = refusal.__traceback__

    def make(
        self,
        choices: tuple[moves.Move, ...],
        values: Mapping[str, Any],
        expected: Mapping[str, Any] | None = None,
        policy: retry.Policy | None = None,
    ) -> Mapping[str, str | None]:
        """Make the one of several updates that the row fits.

        :param choices: at least one; they exclude each other
        :param values: other columns to write with it
        :param expected: guards on other columns, ``None`` for none
        :param policy: ``None`` for that of the worker
        :returns: the states that it wrote, column to value
        :raises InvalidContext: the context has a transaction open
        :raises NovaDBStatesError: as ``api.instance_update``
        """
        self.require()
        self.require_no_transaction()
        guarded = {**(expected or {}), **self.fence}
        self._moving = True
        try:
            made = self.ask(
                lambda: self._run(choices, values, guarded, policy)
            )
            # Before a heartbeat can take this step for another's.
            self.states, self.in_doubt = made.targets, frozenset()
        finally:
            self._moving = False
        self.fence = {}
        return made.values

    def _run(
        self,
        choices: tuple[moves.Move, ...],
        values: Mapping[str, Any],
        expected: Mapping[str, Any],
        policy: retry.Policy | None,
    ) -> moves.Move:
        for position, move in enumerate(choices, start=1):
            try:
                api.instance_update(
                    self.context,
                    self.instance_uuid,
                    {**values, **move.values},
                    expected_vm_state=move.vm_state,
                    expected_task_state=move.task_state,
                    expected=expected,
                    retry_policy=policy or self._policy,
                )
            except exceptions.InstanceUpdateConflict as conflict:
                elsewhere = not _STATES.isdisjoint(conflict.actual)
                if position == len(choices) or not elsewhere:
                    raise
            except BaseException as error:
                if refusals.leaves_doubt(error):
                    self.in_doubt |= move.targets
                    self.states |= self.in_doubt
                raise
            else:
                return move
        raise AssertionError("there is no move to make")

    def learn(self) -> moves.State:
        """Read in which of the states it is.

        :returns: the state; its ``vm_state`` may be one that Nova lacks,
            where the worker's guards admit that
        :raises InvalidContext: the context has a transaction open
        :raises InstanceUpdateConflict: in none of them
        :raises NovaDBStatesError: as ``api.instance_check``
        """
        self.require()
        self.require_no_transaction()
        found = self.ask(self._look)
        if found in self.states:
            self.states = frozenset({found})
            self.in_doubt &= self.states
        return found

    def _look(self) -> moves.State:
        vm_state, task_state = moves.hull(self.states)
        found = moves.State(
            *api.instance_check(
                self.context,
                self.instance_uuid,
                expected_vm_state=vm_state,
                expected_task_state=task_state,
                expected=self.fence,
                retry_policy=self._policy,
            )
        )
        same = {one for one in self.states if one.task_state == found[1]}
        if found in same or self._admits_unknown(found, same):
            return found
        # What the two columns admit each is more than the states together.
        kind = (
            exceptions.UnexpectedVMStateError
            if same
            else exceptions.UnexpectedTaskStateError
        )
        raise kind(
            f"Instance {self.instance_uuid} is {found}, and was "
            f"{moves.shown(self.states)} for this worker. Another operation "
            f"was first: stop, or read the server again and decide anew.",
            instance_uuid=self.instance_uuid,
            state=found,
        )

    def _admits_unknown(
        self, found: moves.State, same: set[moves.State]
    ) -> bool:
        if not same or found.vm_state in notation.VM_STATES:
            return False
        vm_state, _ = moves.hull(same)
        return vm_state is states.ANY or isinstance(vm_state, states.Not)
