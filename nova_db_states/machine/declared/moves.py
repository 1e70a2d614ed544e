# SPDX-License-Identifier: Apache-2.0
"""To another host: resize, its confirm and revert, live migration."""

from typing import Final

from nova_db_states.machine import model

__all__ = ["ACTIONS"]

ACTIONS: Final[tuple[model.Action, ...]] = ()
