# SPDX-License-Identifier: Apache-2.0
"""Which writes of a host are refused: the part of the policy about places."""

from typing import Any, Final

from nova_db_states import guards
from nova_db_states import states
from nova_db_states.machine import instance
from nova_db_states.machine import notation
from nova_db_states.nova import belief
from nova_db_states.nova import participants
from nova_db_states.nova import writes

__all__ = ["ruling", "settled"]

State = notation.State

_OFFLOADS: Final = (
    "nova/compute/manager.py:ComputeManager._shelve_offload_instance"
)
_OFFLOADED: Final = frozenset(
    State(states.VMState.SHELVED_OFFLOADED.value, task_state)
    for task_state in (None, states.TaskState.UNSHELVING.value)
)
"""Where an offload may take the host away. Nova writes that after it has said
that it is done, and a server that is spawning by then has its new host."""


def ruling(write: writes.Write, seen: Any, target: Any) -> guards.Guard | None:
    """Decide where a server must be for a state to be written with a host.

    :param write: the write
    :param seen: the host that the writer last saw, ``None`` for none
    :param target: the one that he writes
    :returns: a guard on the host; ``None`` where none is needed
    """
    if seen is belief.UNKNOWN or not write.sets_state or write.resets:
        return None
    if writes.is_delete(write):
        return None
    hosts = [one for one in dict.fromkeys((seen, target)) if one is not None]
    return guards.Guard("host", tuple(hosts), None in {seen, target})


def settled(write: writes.Write) -> guards.Guard | None:
    """Decide what the row must be for a server to be moved by itself.

    :param write: sets no state
    :returns: a guard on both states; ``None`` for who carries a delete out
    """
    under_delete = [
        one for one in instance.MAP.states if participants.is_deletion(one)
    ]
    seen = write.seen.pair
    own = seen is not None and participants.is_deletion(State(*seen))
    if own and not write.seen.overtaken:
        return None
    if write.writer == _OFFLOADS:
        return guards.on_states(_OFFLOADED)
    return guards.on_states(under_delete, negated=True)
