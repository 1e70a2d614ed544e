# SPDX-License-Identifier: Apache-2.0
"""What is attached or asked for and leaves the states alone."""

from typing import Final

from nova_db_states.machine import model

__all__ = ["ACTIONS"]

ACTIONS: Final[tuple[model.Action, ...]] = ()
