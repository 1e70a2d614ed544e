# SPDX-License-Identifier: Apache-2.0
"""Every write of the stories: what Nova expects there, and what a guard does.

Each names its place in the source of Nova 34.0.0. ``nova=ANY`` is a save
without ``expected_task_state``; the others have the guard that Nova has.
``guard`` is what the same write says in the guarded mode.
"""

from typing import Any, Final

from nova_db_states import states
from nova_db_states.demo import saves

__all__ = [
    "ABORT_CLAIM",
    "ACTIVE",
    "API_DELETING",
    "API_DESTROY",
    "API_EVACUATE",
    "API_RESCUE",
    "API_STOP",
    "BLOCK_DEVICES",
    "CLAIM",
    "DELETE_ACCEPTED",
    "DESTROY",
    "DESTROYED",
    "ERROR",
    "EVACUATE",
    "NETWORKING",
    "RESCUED",
    "RESIZE",
    "SPAWNING",
    "START",
    "STOPPED",
]

Write = saves.Write

_HOST: Final = "compute1"
_NOT_DELETING: Final = {"expected_task_state": states.Not("deleting")}


def _guarded(
    did: str,
    source: str,
    values: dict[str, Any],
    *expected: str | None,
    vm_state: str = "active",
) -> Write:
    """Make a write whose task state Nova guards.

    The guarded mode expects the same, and the ``vm_state`` as well: Nova
    compares that only in memory, and lets a resize begin on a row that a
    delete has just brought to ``deleted`` / NULL.
    """
    guard = {"expected_vm_state": vm_state, "expected_task_state": expected}
    return Write(did, source, values, expected, guard)


START: Final = _guarded(
    "build starts",
    "compute/manager.py:2508",
    {"vm_state": "building", "task_state": None},
    "scheduling",
    None,
    vm_state="building",
)
CLAIM: Final = Write(
    "claims a host",
    "compute/resource_tracker.py:594",
    {"host": _HOST, "launched_on": _HOST, "node": _HOST, "compute_id": 1},
    states.ANY,
    {
        "expected_vm_state": "building",
        "expected_task_state": None,
        "expected": {"host": None},
    },
)
NETWORKING: Final = _guarded(
    "asks for the network",
    "compute/manager.py:2081",
    {"vm_state": "building", "task_state": "networking"},
    None,
    vm_state="building",
)
BLOCK_DEVICES: Final = Write(
    "maps block devices",
    "compute/manager.py:2942",
    {"vm_state": "building", "task_state": "block_device_mapping"},
    states.ANY,
    {"expected_vm_state": "building", "expected_task_state": "networking"},
)
SPAWNING: Final = _guarded(
    "begins the download",
    "compute/manager.py:2706",
    {"vm_state": "building", "task_state": "spawning"},
    "block_device_mapping",
    vm_state="building",
)
ACTIVE: Final = _guarded(
    "guest runs",
    "compute/manager.py:2847",
    {"vm_state": "active", "task_state": None, "power_state": 1},
    "spawning",
    vm_state="building",
)
ABORT_CLAIM: Final = Write(
    "gives up the host",
    "compute/resource_tracker.py:605",
    {"host": None, "node": None, "compute_id": None},
    states.ANY,
    None,
)

API_DESTROY: Final = Write(
    "delete at once, no host yet",
    "compute/api.py:2510",
    {},
    states.ANY,
    {**_NOT_DELETING, "expected": {"host": None}},
    unhosted=True,
)
API_DELETING: Final = Write(
    "delete accepted",
    "compute/api.py:2561",
    {"task_state": "deleting", "progress": 0},
    states.ANY,
    _NOT_DELETING,
)
DESTROYED: Final = Write(
    "guest is destroyed",
    "compute/manager.py:3426",
    {"vm_state": "deleted", "task_state": None, "power_state": 0},
    states.ANY,
    {"expected_task_state": "deleting"},
)
DESTROY: Final = Write(
    "row is deleted",
    "compute/manager.py:3435",
    {},
    states.ANY,
    {"expected_vm_state": "deleted", "expected_task_state": None},
)

API_STOP: Final = _guarded(
    "stop accepted",
    "compute/api.py:2863",
    {"task_state": "powering-off", "progress": 0},
    None,
)
STOPPED: Final = _guarded(
    "guest is off",
    "compute/manager.py:3530",
    {"vm_state": "stopped", "task_state": None, "power_state": 4},
    "powering-off",
)

RESIZE: Final = (
    _guarded(
        "resize accepted",
        "compute/api.py:4460",
        {"task_state": "resize_prep", "progress": 0},
        None,
    ),
    _guarded(
        "copies the disk",
        "compute/manager.py:6364",
        {"task_state": "resize_migrating"},
        "resize_prep",
    ),
    _guarded(
        "disk is copied",
        "compute/manager.py:6408",
        {
            "host": "compute2",
            "node": "compute2",
            "compute_id": 2,
            "task_state": "resize_migrated",
        },
        "resize_migrating",
    ),
    _guarded(
        "defines the guest",
        "compute/manager.py:6550",
        {"task_state": "resize_finish"},
        "resize_migrated",
    ),
    _guarded(
        "guest runs",
        "compute/manager.py:6637",
        {"vm_state": "resized", "task_state": None},
        "resize_finish",
    ),
)
ERROR: Final = Write(
    "records the failure",
    "compute/manager.py:776",
    {"vm_state": "error"},
    states.ANY,
    None,
)

API_RESCUE: Final = _guarded(
    "rescue accepted",
    "compute/api.py:4951",
    {"task_state": "rescuing"},
    None,
)
RESCUED: Final = _guarded(
    "rescue system runs",
    "compute/manager.py:4916",
    {"vm_state": "rescued", "task_state": None},
    "rescuing",
)

API_EVACUATE: Final = Write(
    "evacuation accepted",
    # save(expected_task_state=None), which means no guard.
    "compute/api.py:5747",
    {"task_state": "rebuilding"},
    states.ANY,
    {"expected_vm_state": "active", "expected_task_state": None},
)
EVACUATE: Final = (
    _guarded(
        "rebuild starts",
        "compute/manager.py:4197",
        {"power_state": 0, "task_state": "rebuilding"},
        "rebuilding",
    ),
    _guarded(
        "maps block devices",
        "compute/manager.py:3866",
        {"task_state": "rebuild_block_device_mapping"},
        "rebuilding",
    ),
    _guarded(
        "starts the guest",
        "compute/manager.py:3871",
        {"task_state": "rebuild_spawning"},
        "rebuild_block_device_mapping",
    ),
    _guarded(
        "guest runs",
        "compute/manager.py:4287",
        {"vm_state": "active", "task_state": None, "power_state": 1},
        "rebuild_spawning",
    ),
)

DELETE_ACCEPTED: Final = frozenset({API_DESTROY.did, API_DELETING.did})
"""What is written down when the user is told that the server will go."""
