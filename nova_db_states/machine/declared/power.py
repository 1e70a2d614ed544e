# SPDX-License-Identifier: Apache-2.0
"""Power: start, stop, reboot, pause, suspend, and the periodic sync."""

from typing import Final

from nova_db_states.machine import model
from nova_db_states.machine.declared import names

__all__ = ["ACTIONS"]

_API = names.API
_MANAGER = names.MANAGER

STOP: Final = model.Action(
    "stop",
    "Power the guest off and keep its place on the host.",
    "active|error / NULL",
    f"{_API}.stop",
    (
        model.step(
            "active|error / NULL          -> =       / powering-off",
            f"{_API}.force_stop",
            at_most_s=10 * names.MINUTE,
        ),
        model.step(
            "active|error / powering-off|NULL -> stopped / NULL",
            f"{_MANAGER}.stop_instance.do_stop_instance",
        ),
        model.fails(
            "active|error / powering-off -> =       / NULL",
            f"{_MANAGER}.stop_instance",
            via=names.REVERTS,
        ),
    ),
)

ACTIONS: Final[tuple[model.Action, ...]] = (STOP,)
