# SPDX-License-Identifier: Apache-2.0
"""A new disk: rebuild, and evacuate from a dead host."""

from typing import Final

from nova_db_states.machine import model

__all__ = ["ACTIONS"]

ACTIONS: Final[tuple[model.Action, ...]] = ()
