# SPDX-License-Identifier: Apache-2.0
"""The map of Nova's servers, checked as it is declared."""

from typing import Final

from nova_db_states.machine import atlas
from nova_db_states.machine import checks
from nova_db_states.machine.declared import attachments
from nova_db_states.machine.declared import images
from nova_db_states.machine.declared import lifecycle
from nova_db_states.machine.declared import moves
from nova_db_states.machine.declared import power
from nova_db_states.machine.declared import reboot
from nova_db_states.machine.declared import rebuild
from nova_db_states.machine.declared import rescue
from nova_db_states.machine.declared import shelve
from nova_db_states.machine.declared import standby

__all__ = ["MAP"]

MAP: Final = atlas.build(
    (
        *lifecycle.ACTIONS,
        *power.ACTIONS,
        *reboot.ACTIONS,
        *standby.ACTIONS,
        *images.ACTIONS,
        *rescue.ACTIONS,
        *rebuild.ACTIONS,
        *moves.ACTIONS,
        *shelve.ACTIONS,
        *attachments.ACTIONS,
    )
)
"""Every action of Nova 31 to 34 and every edge between two states."""

# Not before every half is declared.
if {"boot", "evacuate", "live migrate", "start"} <= MAP.actions.keys():
    checks.require(MAP)
