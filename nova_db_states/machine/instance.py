# SPDX-License-Identifier: Apache-2.0
"""The map of Nova's servers, checked as it is declared."""

from typing import Final

from nova_db_states.machine import atlas
from nova_db_states.machine import checks
from nova_db_states.machine.declared import attachments
from nova_db_states.machine.declared import cross_cell
from nova_db_states.machine.declared import deletion
from nova_db_states.machine.declared import images
from nova_db_states.machine.declared import lifecycle
from nova_db_states.machine.declared import live
from nova_db_states.machine.declared import moves
from nova_db_states.machine.declared import power
from nova_db_states.machine.declared import reboot
from nova_db_states.machine.declared import rebuild
from nova_db_states.machine.declared import rescue
from nova_db_states.machine.declared import restore
from nova_db_states.machine.declared import shelve
from nova_db_states.machine.declared import standby
from nova_db_states.machine.declared import startup

__all__ = ["MAP", "RELEASES"]

RELEASES: Final = (31, 32, 33, 34)
"""The major releases of Nova that the map speaks of."""

MAP: Final = atlas.build(
    (
        *lifecycle.ACTIONS,
        *deletion.ACTIONS,
        *restore.ACTIONS,
        *power.ACTIONS,
        *reboot.ACTIONS,
        *standby.ACTIONS,
        *images.ACTIONS,
        *rescue.ACTIONS,
        *rebuild.ACTIONS,
        *moves.ACTIONS,
        *cross_cell.ACTIONS,
        *live.ACTIONS,
        *shelve.ACTIONS,
        *attachments.ACTIONS,
        *startup.ACTIONS,
    )
)
"""Every action of Nova 31 to 34 and every edge between two states."""

checks.require(MAP)
