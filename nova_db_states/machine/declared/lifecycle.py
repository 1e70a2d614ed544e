# SPDX-License-Identifier: Apache-2.0
"""Birth and death: boot, delete, restore, the override, and the start of nova-compute."""

from typing import Final

from nova_db_states.machine import model

__all__ = ["ACTIONS"]

ACTIONS: Final[tuple[model.Action, ...]] = ()
