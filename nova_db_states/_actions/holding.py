# SPDX-License-Identifier: Apache-2.0
"""What a worker holds: the states in which the row may be by its own hand."""

from collections.abc import Callable, Mapping
import types
from typing import Any, TypeVar

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states._actions import moves
from nova_db_states._actions import refusals
from nova_db_states._actions import surrender

__all__ = ["Holding"]

_T = TypeVar("_T")


class Holding:
    """One instance in the hand of one worker, as far as that knows.

    :ivar context: of the worker
    :ivar instance_uuid: the instance, canonical
    :ivar states: where the row may be; several where a guard admitted several
    :ivar in_doubt: those of them that the row has only if an update was made
        whose answer was lost
    :ivar refusal: what the worker was told when it lost the row; ``None``
        while it has it
    """

    def __init__(
        self, context: Any, instance_uuid: str, held: moves.Span
    ) -> None:
        self.context = context
        self.instance_uuid = instance_uuid
        self.states = held
        self.in_doubt: moves.Span = frozenset()
        self.refusal: exceptions.InstanceError | None = None
        self._traceback: types.TracebackType | None = None

    def require(self) -> None:
        """Raise what the worker was refused with, as often as it asks.

        :raises InstanceUpdateConflict: another actor has the row
        :raises InstanceNotFound: the row is gone
        """
        if self.refusal is not None:
            # Raised again and again, it must not grow by it.
            raise self.refusal.with_traceback(self._traceback)

    def ask(self, question: Callable[[], _T]) -> _T:
        """Ask the database, and remember if it refuses this worker the row.

        :param question: a call of ``api``
        :returns: its answer
        :raises NovaDBStatesError: as the call; conflicts name what is allowed
        """
        self.require()
        try:
            return question()
        except (
            exceptions.InstanceUpdateConflict,
            exceptions.InstanceNotFound,
        ) as refusal:
            if isinstance(refusal, exceptions.InstanceUpdateConflict):
                refusals.add_allowed(refusal)
            self.refusal = refusal
            self._traceback = refusal.__traceback__
            raise

    def make(
        self, choices: tuple[moves.Move, ...], values: Mapping[str, Any]
    ) -> None:
        """Make one of several updates, and know where the row is then.

        :param choices: at least one; they exclude each other
        :param values: other columns to write with it
        :raises NovaDBStatesError: as ``api.instance_update``
        """
        try:
            made = self.ask(
                lambda: surrender.run(
                    self.context, self.instance_uuid, choices, values
                )
            )
        except BaseException as error:
            lost = isinstance(error, exceptions.UnknownUpdateOutcome)
            if lost or not isinstance(error, Exception):
                # The answer was lost, or not waited for.
                self.in_doubt |= {
                    state for move in choices for state in move.targets
                }
                self.states |= self.in_doubt
            raise
        self.states, self.in_doubt = made.targets, frozenset()

    def learn(self) -> None:
        """Read in which of the states it is.

        :raises InstanceUpdateConflict: in none of them
        :raises NovaDBStatesError: as ``api.instance_check``
        """
        known = moves.State(*self.ask(self._check))
        # Where every vm_state is admitted it may be one that Nova lacks.
        if known in self.states:
            self.states = frozenset({known})

    def _check(self) -> tuple[str | None, str | None]:
        *others, last = moves.guards_of(self.states)
        for vm_state, task_state, _ in others:
            try:
                return api.instance_check(
                    self.context,
                    self.instance_uuid,
                    expected_vm_state=vm_state,
                    expected_task_state=task_state,
                )
            except exceptions.InstanceUpdateConflict:
                continue
        return api.instance_check(
            self.context,
            self.instance_uuid,
            expected_vm_state=last[0],
            expected_task_state=last[1],
        )
