# SPDX-License-Identifier: Apache-2.0
"""Every write of the stories: what Nova expects there, and what the map does.

Each names its place in the source of Nova 34.0.0. ``nova=ANY`` is a save
without ``expected_task_state``; the others have the guard that Nova has.
``guard`` is what the guarded mode expects there. Where an action of the map
begins, that is the map's; what is no write of the map brings its own; and a
step of a task has none here, because it expects what the task has led the row
to. A test holds all of it to what is really sent.
"""

from typing import Any, Final

from nova_db_states import states
from nova_db_states.demo import saves

__all__ = [
    "ABORT_CLAIM",
    "ACCEPTED",
    "ACTIVE",
    "API_DELETING",
    "API_DESTROY",
    "API_EVACUATE",
    "API_RESCUE",
    "API_RESIZE",
    "API_STOP",
    "BLOCK_DEVICES",
    "CLAIM",
    "DELETE_ACCEPTED",
    "DESTROY",
    "DESTROYED",
    "ERROR",
    "EVACUATE",
    "NETWORKING",
    "RESCUE",
    "RESIZE",
    "SPAWNING",
    "START",
    "STOPPED",
]

Write = saves.Write

_HOST: Final = "compute1"


def _begins(
    action: str, *vm_states: str, task_state: Any = None
) -> dict[str, Any]:
    """Say which action begins, and what it expects."""
    return {
        "action": action,
        "guard": {
            "expected_vm_state": vm_states or states.ANY,
            "expected_task_state": task_state,
        },
    }


START: Final = Write(
    "build starts",
    "compute/manager.py:2508",
    {"vm_state": "building", "task_state": None},
    ("scheduling", None),
    **_begins("boot", "building", task_state=("scheduling", None)),
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
NETWORKING: Final = Write(
    "asks for the network",
    "compute/manager.py:2081",
    {"vm_state": "building", "task_state": "networking"},
    (None,),
)
BLOCK_DEVICES: Final = Write(
    "maps block devices",
    "compute/manager.py:2942",
    {"vm_state": "building", "task_state": "block_device_mapping"},
    states.ANY,
)
SPAWNING: Final = Write(
    "begins the download",
    "compute/manager.py:2706",
    {"vm_state": "building", "task_state": "spawning"},
    ("block_device_mapping",),
)
ACTIVE: Final = Write(
    "guest runs",
    "compute/manager.py:2847",
    {"vm_state": "active", "task_state": None, "power_state": 1},
    ("spawning",),
)
ABORT_CLAIM: Final = Write(
    "gives up the host",
    "compute/resource_tracker.py:605",
    {"host": None, "node": None, "compute_id": None},
    states.ANY,
)

API_DESTROY: Final = Write(
    "delete at once, no host yet",
    "compute/api.py:2510",
    {},
    states.ANY,
    {
        "expected_task_state": states.Not("deleting"),
        "expected": {"host": None},
    },
    unhosted=True,
)
API_DELETING: Final = Write(
    "delete accepted",
    "compute/api.py:2561",
    {"task_state": "deleting", "progress": 0},
    states.ANY,
    **_begins("delete", task_state=states.Not("deleting")),
)
DESTROYED: Final = Write(
    "guest is destroyed",
    "compute/manager.py:3426",
    {"vm_state": "deleted", "task_state": None, "power_state": 0},
    states.ANY,
)
DESTROY: Final = Write(
    "row is deleted",
    "compute/manager.py:3435",
    {},
    states.ANY,
    {"expected_vm_state": "deleted", "expected_task_state": None},
)

API_STOP: Final = Write(
    "stop accepted",
    "compute/api.py:2863",
    {"task_state": "powering-off", "progress": 0},
    (None,),
    **_begins("stop", "active", "error"),
)
STOPPED: Final = Write(
    "guest is off",
    "compute/manager.py:3530",
    {"vm_state": "stopped", "task_state": None, "power_state": 4},
    ("powering-off",),
)

API_RESIZE: Final = Write(
    "resize accepted",
    "compute/api.py:4460",
    {"task_state": "resize_prep", "progress": 0},
    (None,),
    **_begins("resize / cold migrate", "active", "stopped"),
)
RESIZE: Final = (
    Write(
        "copies the disk",
        "compute/manager.py:6364",
        {"task_state": "resize_migrating"},
        ("resize_prep",),
    ),
    Write(
        "disk is copied",
        "compute/manager.py:6408",
        {
            "host": "compute2",
            "node": "compute2",
            "compute_id": 2,
            "task_state": "resize_migrated",
        },
        ("resize_migrating",),
    ),
    Write(
        "defines the guest",
        "compute/manager.py:6550",
        {"task_state": "resize_finish"},
        ("resize_migrated",),
    ),
    Write(
        "guest runs",
        "compute/manager.py:6637",
        {"vm_state": "resized", "task_state": None},
        ("resize_finish",),
    ),
)
ERROR: Final = Write(
    "records the failure",
    "compute/manager.py:776",
    {"vm_state": "error"},
    states.ANY,
)

API_RESCUE: Final = Write(
    "rescue accepted",
    "compute/api.py:4951",
    {"task_state": "rescuing"},
    (None,),
    **_begins("rescue", "active", "stopped", "error"),
)
RESCUE: Final = (
    Write(
        "rescue system runs",
        "compute/manager.py:4916",
        {"vm_state": "rescued", "task_state": None},
        ("rescuing",),
    ),
)

API_EVACUATE: Final = Write(
    "evacuation accepted",
    # save(expected_task_state=None), which means no guard.
    "compute/api.py:5747",
    {"task_state": "rebuilding"},
    states.ANY,
    **_begins(
        "evacuate",
        "active",
        "stopped",
        "error",
        task_state=states.Not(
            "rebuilding",
            "rebuild_block_device_mapping",
            "rebuild_spawning",
            "deleting",
            "soft-deleting",
        ),
    ),
)
EVACUATE: Final = (
    Write(
        "rebuild starts",
        "compute/manager.py:4197",
        {"power_state": 0, "task_state": "rebuilding"},
        ("rebuilding",),
    ),
    Write(
        "maps block devices",
        "compute/manager.py:3866",
        {"task_state": "rebuild_block_device_mapping"},
        ("rebuilding",),
    ),
    Write(
        "starts the guest",
        "compute/manager.py:3871",
        {"task_state": "rebuild_spawning"},
        ("rebuild_block_device_mapping",),
    ),
    Write(
        "guest runs",
        "compute/manager.py:4287",
        {"vm_state": "active", "task_state": None, "power_state": 1},
        ("rebuild_spawning",),
    ),
)

ACCEPTED: Final = (
    API_DELETING,
    API_STOP,
    API_RESIZE,
    API_RESCUE,
    API_EVACUATE,
)
"""The claims: what nova-api writes when it accepts an action of the map."""

DELETE_ACCEPTED: Final = frozenset({API_DESTROY.did, API_DELETING.did})
"""What is written down when the user is told that the server will go."""
