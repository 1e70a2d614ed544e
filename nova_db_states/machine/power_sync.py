# SPDX-License-Identifier: Apache-2.0
"""The third column, ``power_state``: what the hypervisor last said.

It is a reading, and no part of what a server is meant to be. Nova's periodic
sync (``ComputeManager._sync_instance_power_state``, nova/compute/manager.py)
writes the reading down and then judges it against ``vm_state``: only where
both contradict each other in the way listed here may it stop a server, and
only where the row names its own host and no task is running.
"""

import dataclasses
import enum
from typing import Any, Final

from nova_db_states import columns
from nova_db_states import exceptions
from nova_db_states import states

__all__ = ["POWER_RULES", "PowerRule", "PowerState", "power_rule"]

_V = states.VMState


class PowerState(enum.IntEnum):
    """What a hypervisor may say (nova/compute/power_state.py)."""

    NOSTATE = 0
    RUNNING = 1
    PAUSED = 3
    SHUTDOWN = 4
    CRASHED = 6
    SUSPENDED = 7


@dataclasses.dataclass(frozen=True, slots=True)
class PowerRule:
    """What the sync may do about one reading.

    :ivar vm_states: what the server is meant to be
    :ivar readings: what the hypervisor says
    :ivar stops: whether the sync may stop the server
    :ivar nova: the function of the API it calls for that; empty for none
    :ivar why: the reason
    """

    vm_states: tuple[str, ...]
    readings: tuple[PowerState, ...]
    stops: bool
    nova: str
    why: str


_P = PowerState
_OFF: Final = (_P.SHUTDOWN, _P.CRASHED)

POWER_RULES: Final = (
    PowerRule(
        (_V.ACTIVE,),
        (*_OFF, _P.SUSPENDED),
        True,
        "nova/compute/api.py:API.stop",
        "The guest went off by itself: the row is brought to stopped.",
    ),
    PowerRule(
        (_V.STOPPED,),
        (_P.RUNNING, _P.PAUSED, _P.SUSPENDED),
        True,
        "nova/compute/api.py:API.force_stop",
        "A stopped guest is on: it is powered off again.",
    ),
    PowerRule(
        (_V.PAUSED,),
        _OFF,
        True,
        "nova/compute/api.py:API.force_stop",
        "A paused guest went off: there is nothing left to unpause.",
    ),
    PowerRule(
        (_V.ACTIVE,),
        (_P.PAUSED, _P.NOSTATE),
        False,
        "",
        "It may be passing: tools outside pause guests for a moment, and a "
        "hypervisor that restarts does not know its guests yet.",
    ),
)
"""The readings that contradict ``vm_state``; all others do not."""

_NOTHING: Final = "The sync writes the reading down and does nothing else."


def power_rule(vm_state: str | None, reading: Any) -> PowerRule:
    """Say what the periodic sync may do about a reading.

    It holds only while ``task_state`` is NULL and the row names the host
    that took the reading.

    :param vm_state: the column, ``None`` for NULL
    :param reading: a :class:`PowerState` or its number
    :returns: the rule; where none is declared, one that stops nothing
    :raises InvalidState: a ``vm_state`` that Nova does not have
    :raises InvalidRequest: a reading that Nova does not have
    """
    vm_state = columns.value("vm_state", vm_state)
    try:
        read = PowerState(reading)
    except ValueError:
        raise exceptions.InvalidRequest(
            f"power_state {reading!r} is none that Nova has. Accepted are "
            + ", ".join(f"{one.value} ({one.name})" for one in PowerState)
            + "."
        ) from None
    for rule in POWER_RULES:
        if vm_state in rule.vm_states and read in rule.readings:
            return rule
    held = () if vm_state is None else (vm_state,)
    return PowerRule(held, (read,), False, "", _NOTHING)
