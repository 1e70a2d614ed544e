# SPDX-License-Identifier: Apache-2.0
"""A write of state, as far as it matters for the ruling."""

import dataclasses
from typing import Any, Final

from nova_db_states import states
from nova_db_states.machine import atlas
from nova_db_states.machine import notation
from nova_db_states.nova import belief

__all__ = ["Write", "is_delete", "is_foreign", "is_giving_up"]

State = notation.State

_DELETED: Final = states.VMState.DELETED.value
_ERROR: Final = states.VMState.ERROR.value


@dataclasses.dataclass(frozen=True, slots=True)
class Write:
    """Who sets what, and what he knows.

    :ivar vm_state: what is set; ``ANY`` where the column is left alone
    :ivar task_state: what is set; ``ANY`` where the column is left alone
    :ivar seen: what the writer last saw
    :ivar tasks: the ``task_state`` that the writer expects, with ``None`` for
        NULL; ``None`` where he expects none in particular
    :ivar writer: the function that saves, ``file:function``; empty where it
        is not known
    :ivar moves: whether the host or the node is set too
    :ivar resets: whether this is the administrator's reset-state
    """

    vm_state: Any = states.ANY
    task_state: Any = states.ANY
    seen: belief.Belief = belief.NONE
    tasks: frozenset[str | None] | None = None
    writer: str = ""
    moves: bool = False
    resets: bool = False

    @property
    def sets_state(self) -> bool:
        """Whether any of the two columns is set."""
        return not (self.vm_state is self.task_state is states.ANY)

    def target(self, before: State) -> State:
        """Say what a row in some state would become."""
        return State(
            before.vm_state if self.vm_state is states.ANY else self.vm_state,
            (
                before.task_state
                if self.task_state is states.ANY
                else self.task_state
            ),
        )


def is_giving_up(write: Write) -> bool:
    """Say whether a write ends an operation and does not bring it forward.

    :param write: the write
    :returns: true for an error, and for a task that is just taken away
    """
    return write.vm_state == _ERROR or write.task_state is None


def is_delete(write: Write) -> bool:
    """Say whether a write begins a delete, or says that it is done.

    :param write: the write
    """
    return write.task_state in atlas.DELETING or write.vm_state == _DELETED


def is_foreign(write: Write) -> str | None:
    """Find a state among those set that no Nova release has.

    :param write: the write
    :returns: the name; ``None`` where every one is known
    """
    for vocabulary, name in (
        (states.VMState, write.vm_state),
        (states.TaskState, write.task_state),
    ):
        if isinstance(name, str) and name not in set(vocabulary):
            return name
    return None
