# SPDX-License-Identifier: Apache-2.0
"""Where Nova's code is, for the columns of the declarations."""

from typing import Final

__all__ = [
    "ANYTIME",
    "API",
    "CALLBACK",
    "CONDUCTOR",
    "CROSS_CELL",
    "ERROR",
    "EVACUATE",
    "HARD_REBOOT",
    "HOUR",
    "MANAGER",
    "MINUTE",
    "NOTIFY",
    "REFUSED",
    "REVERTS",
    "ROLLBACK",
    "SHARE_ERROR",
    "START_UP",
]

API: Final = "nova/compute/api.py:API"
MANAGER: Final = "nova/compute/manager.py:ComputeManager"
CONDUCTOR: Final = "nova/conductor/manager.py:ComputeTaskManager"
CROSS_CELL: Final = "nova/conductor/tasks/cross_cell_migrate.py"

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE

REVERTS: Final = "reverts_task_state"
"""The decorator that clears ``task_state`` when a method of the compute
manager raises."""

ERROR: Final = "ComputeManager._set_instance_obj_error_state"
"""The helper that sets ``vm_state`` to error."""

ROLLBACK: Final = "ComputeManager._error_out_instance_on_exception"
"""The context manager that puts ``vm_state`` back, or sets it to error."""

NOTIFY: Final = "set_vm_state_and_notify"
"""The conductor's helper that sets both columns (scheduler/utils.py)."""

SHARE_ERROR: Final = "ShareManager._set_instance_error_state"
"""As ``ERROR``, of the code for shares; it clears ``task_state`` too."""

REFUSED: Final = (
    "A delete was accepted and this action was refused its next state for "
    "it. The object still carries that state, and what sets the error saves "
    "it too: the delete is forgotten."
)
"""Why nobody should write what is still in an object after a refusal."""

CALLBACK: Final = "update_task_state"
"""The function that drivers get, to say how far an image is."""

ANYTIME: Final = ("delete", "soft_delete", "reset-state")
"""What takes a server away from everything."""

EVACUATE: Final = "evacuate"
HARD_REBOOT: Final = "reboot hard"
START_UP: Final = "init_host (nova-compute start)"
