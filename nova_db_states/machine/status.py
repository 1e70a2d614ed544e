# SPDX-License-Identifier: Apache-2.0
"""The one word that Nova's API makes of the two state columns."""

from typing import Any, Final

from nova_db_states import columns
from nova_db_states import states

__all__ = ["reported_status"]

_V = states.VMState
_T = states.TaskState

_REBUILD: Final = dict.fromkeys(
    (_T.REBUILDING, _T.REBUILD_BLOCK_DEVICE_MAPPING, _T.REBUILD_SPAWNING),
    "REBUILD",
)
_RESIZE: Final = dict.fromkeys(
    (
        _T.RESIZE_PREP,
        _T.RESIZE_MIGRATING,
        _T.RESIZE_MIGRATED,
        _T.RESIZE_FINISH,
    ),
    "RESIZE",
)
_REBOOT: Final = {
    **dict.fromkeys(
        (_T.REBOOTING, _T.REBOOT_PENDING, _T.REBOOT_STARTED), "REBOOT"
    ),
    **dict.fromkeys(
        (_T.REBOOTING_HARD, _T.REBOOT_PENDING_HARD, _T.REBOOT_STARTED_HARD),
        "HARD_REBOOT",
    ),
}
_MIGRATING: Final = {_T.MIGRATING: "MIGRATING"}
_PASSWORD: Final = {_T.UPDATING_PASSWORD: "PASSWORD"}

_STATUSES: Final[dict[str | None, tuple[str, dict[_T, str]]]] = {
    _V.ACTIVE: (
        "ACTIVE",
        {**_REBOOT, **_PASSWORD, **_REBUILD, **_MIGRATING, **_RESIZE},
    ),
    _V.BUILDING: ("BUILD", {}),
    _V.STOPPED: ("SHUTOFF", {**_RESIZE, **_REBUILD}),
    _V.RESIZED: ("VERIFY_RESIZE", {_T.RESIZE_REVERTING: "REVERT_RESIZE"}),
    _V.PAUSED: ("PAUSED", _MIGRATING),
    _V.SUSPENDED: ("SUSPENDED", {}),
    _V.RESCUED: ("RESCUE", {}),
    _V.ERROR: ("ERROR", _REBUILD),
    _V.DELETED: ("DELETED", {}),
    _V.SOFT_DELETED: ("SOFT_DELETED", {}),
    _V.SHELVED: ("SHELVED", {}),
    _V.SHELVED_OFFLOADED: ("SHELVED_OFFLOADED", {}),
}
"""The status, and the tasks under which it is another one."""


def reported_status(
    vm_state: str | None, task_state: str | None = None
) -> str:
    """Give the status that users of Nova's API see.

    As ``status_from_state`` of ``nova/api/openstack/common.py``.

    :param vm_state: the column, ``None`` for NULL
    :param task_state: the column, ``None`` for NULL
    :returns: like ``SHUTOFF``; ``UNKNOWN`` where ``vm_state`` is NULL
    :raises InvalidState: a name that Nova does not have
    """
    vm_state = columns.value("vm_state", vm_state)
    task_state = columns.value("task_state", task_state)
    default, others = _STATUSES.get(vm_state, ("UNKNOWN", {}))
    statuses: dict[Any, str] = dict(others)
    return statuses.get(task_state, default)
