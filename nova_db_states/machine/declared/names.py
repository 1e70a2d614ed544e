# SPDX-License-Identifier: Apache-2.0
"""Where Nova's code is, for the columns of the declarations."""

from typing import Final

__all__ = ["API", "CONDUCTOR", "CROSS_CELL", "HOUR", "MANAGER", "MINUTE"]

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
