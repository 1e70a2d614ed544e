# SPDX-License-Identifier: Apache-2.0
"""What each side of a race writes, in Nova's order and with Nova's guards.

Every write names its place in the source of Nova 34.0.0. ``nova=ANY`` is a
save without ``expected_task_state``; the others have the guard that Nova has.
``guard`` is what the same write says in the guarded mode.

The times stand for longer ones, and the image is counted and not sent.
"""

from collections.abc import Callable
import contextlib
import dataclasses
from typing import Any, Final, Protocol

from oslo_utils import timeutils

from nova_db_states import exceptions
from nova_db_states import states
from nova_db_states.demo import plan
from nova_db_states.demo import saves

__all__ = [
    "DELETE_ACCEPTED",
    "IMAGE_CHUNKS",
    "IMAGE_CHUNK_MIB",
    "SIDES",
    "Player",
    "Side",
]

IMAGE_CHUNKS: Final = 20
IMAGE_CHUNK_MIB: Final = 100

_CHUNK_S: Final = 0.005
_MOMENT_S: Final = 0.010
_API_S: Final = 0.005
"""Between the API's check and its save: policy, quota, placement."""

_HOST: Final = "compute1"
_NOT_DELETING: Final = {"expected_task_state": states.Not("deleting")}

# What stops an operation: the row is gone, or somebody else was first.
_REFUSED: Final = (
    exceptions.InstanceNotFound,
    exceptions.InstanceUpdateConflict,
)

Write = saves.Write


class Player(Protocol):
    """What a story can do; ``actor`` does it and writes it down."""

    server: saves.Server

    def load(self) -> bool:
        """Read the row anew; false if it is deleted."""

    def write(self, write: saves.Write) -> None:
        """Make one write, write down how it went, raise why not."""

    def destroy(self, write: saves.Write) -> None:
        """Set ``deleted``, write down how it went, raise why not."""

    def work(self, seconds: float) -> None:
        """Do what takes a while and touches no row."""

    def download(self, chunks: int, chunk_s: float) -> None:
        """Get an image, piece by piece."""

    def note(self, did: str) -> None:
        """Write down what touched no row."""

    def send(self, message: str) -> None:
        """Cast to the other side."""

    def receive(self) -> str:
        """Wait for the cast of the other side."""


Side = Callable[[Player, plan.Race], None]


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


_START: Final = _guarded(
    "build starts",
    "compute/manager.py:2508",
    {"vm_state": "building", "task_state": None},
    "scheduling",
    None,
    vm_state="building",
)
_CLAIM: Final = Write(
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
_NETWORKING: Final = _guarded(
    "asks for the network",
    "compute/manager.py:2081",
    {"vm_state": "building", "task_state": "networking"},
    None,
    vm_state="building",
)
_BLOCK_DEVICES: Final = Write(
    "maps block devices",
    "compute/manager.py:2942",
    {"vm_state": "building", "task_state": "block_device_mapping"},
    states.ANY,
    {"expected_vm_state": "building", "expected_task_state": "networking"},
)
_SPAWNING: Final = _guarded(
    "begins the download",
    "compute/manager.py:2706",
    {"vm_state": "building", "task_state": "spawning"},
    "block_device_mapping",
    vm_state="building",
)
_ACTIVE: Final = _guarded(
    "guest runs",
    "compute/manager.py:2847",
    {"vm_state": "active", "task_state": None, "power_state": 1},
    "spawning",
    vm_state="building",
)
_ABORT_CLAIM: Final = Write(
    "gives up the host",
    "compute/resource_tracker.py:605",
    {"host": None, "node": None, "compute_id": None},
    states.ANY,
    None,
)

_API_DESTROY: Final = Write(
    "delete at once, no host yet",
    "compute/api.py:2510",
    {},
    states.ANY,
    {**_NOT_DELETING, "expected": {"host": None}},
)
_API_DELETING: Final = Write(
    "delete accepted",
    "compute/api.py:2561",
    {"task_state": "deleting", "progress": 0},
    states.ANY,
    _NOT_DELETING,
)
_DESTROYED: Final = Write(
    "guest is destroyed",
    "compute/manager.py:3426",
    {"vm_state": "deleted", "task_state": None, "power_state": 0},
    states.ANY,
    {"expected_task_state": "deleting"},
)
_DESTROY: Final = Write(
    "row is deleted",
    "compute/manager.py:3435",
    {},
    states.ANY,
    {"expected_vm_state": "deleted", "expected_task_state": None},
)

_API_STOP: Final = _guarded(
    "stop accepted",
    "compute/api.py:2863",
    {"task_state": "powering-off", "progress": 0},
    None,
)
_STOPPED: Final = _guarded(
    "guest is off",
    "compute/manager.py:3530",
    {"vm_state": "stopped", "task_state": None, "power_state": 4},
    "powering-off",
)

_RESIZE: Final = (
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
_ERROR: Final = Write(
    "records the failure",
    "compute/manager.py:776",
    {"vm_state": "error"},
    states.ANY,
    None,
)

_API_RESCUE: Final = _guarded(
    "rescue accepted",
    "compute/api.py:4951",
    {"task_state": "rescuing"},
    None,
)
_RESCUED: Final = _guarded(
    "rescue system runs",
    "compute/manager.py:4916",
    {"vm_state": "rescued", "task_state": None},
    "rescuing",
)

_API_EVACUATE: Final = Write(
    "evacuation accepted",
    # save(expected_task_state=None), which means no guard.
    "compute/api.py:5747",
    {"task_state": "rebuilding"},
    states.ANY,
    {"expected_vm_state": "active", "expected_task_state": None},
)
_EVACUATE: Final = (
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

_TERMINATE: Final = "terminate"
_NOTHING: Final = "nothing"


def _build(player: Player, race: plan.Race) -> None:
    """Build a server on this host, then what was cast to it meanwhile."""
    try:
        player.write(_START)
    except _REFUSED:
        # Nova returns here, before it holds anything.
        pass
    else:
        _build_with_claim(player)
    _after_the_lock(player, race)


def _build_with_claim(player: Player) -> None:
    try:
        player.work(_MOMENT_S)
        player.write(_CLAIM)
        player.work(_MOMENT_S)
        player.write(_NETWORKING)
        player.work(_MOMENT_S)
        player.write(_BLOCK_DEVICES)
        player.work(_MOMENT_S)
        player.write(_SPAWNING)
        player.download(IMAGE_CHUNKS, _CHUNK_S)
        player.work(_MOMENT_S)
        player.write(_ACTIVE)
    except _REFUSED:
        _quietly(player, _ABORT_CLAIM)


def _stop(player: Player, race: plan.Race) -> None:
    try:
        player.write(_API_STOP)
        player.work(2 * _MOMENT_S)
        player.write(_STOPPED)
    except _REFUSED:
        # @reverts_task_state leaves the row alone after a refusal.
        pass
    _after_the_lock(player, race)


def _resize(player: Player, race: plan.Race) -> None:
    for number, step in enumerate(_RESIZE):
        try:
            player.write(step)
        except _REFUSED:
            if number:
                # On a compute host, _error_out_instance_on_exception; in
                # the API the user just gets the error.
                _quietly(player, _ERROR)
            break
        player.work(2 * _MOMENT_S)
    _after_the_lock(player, race)


def _delete(player: Player, race: plan.Race) -> None:
    """Accept a delete, as ``API._delete``, and cast the rest of it."""
    message = _NOTHING
    try:
        if player.load() and _mark(player):
            message = _TERMINATE
            if race.pair is plan.Pair.RESIZE_DELETE and not race.restart:
                # A resize does not hold the lock that a delete waits for.
                _terminate(player)
                message = _NOTHING
    finally:
        player.send(message)


def _mark(player: Player) -> bool:
    """Write that the delete is accepted; say if a host has to do the rest."""
    player.work(_API_S)
    if player.server.row.host is None:
        try:
            player.destroy(_API_DESTROY)
        except exceptions.InstanceUpdateConflict:
            # It has a host by now: Nova reads it again and goes on.
            if not player.load():
                return False
        except exceptions.InstanceNotFound:
            return False
        else:
            return False
    try:
        player.write(_API_DELETING)
    except exceptions.InstanceNotFound:
        return False
    return True


def _after_the_lock(player: Player, race: plan.Race) -> None:
    """Do on the host what waited for the instance's lock.

    The delete was cast while the operation before it held the lock. If
    nova-compute is restarted now, the cast is lost, and ``_init_instance``
    (compute/manager.py:1098) goes by the row alone.
    """
    if player.receive() != _TERMINATE or not player.load():
        return
    if not race.restart:
        _terminate(player)
        return
    row = player.server.row
    if row.host is None:
        player.note("restarted: no row names this host")
    elif row.task_state != states.TaskState.DELETING:
        player.note("restarted: the row asks for no delete")
    else:
        player.note("restarted: the row says deleting")
        _terminate(player)


def _terminate(player: Player) -> None:
    player.work(_MOMENT_S)
    values = {**_DESTROYED.values, "terminated_at": timeutils.utcnow()}
    try:
        player.write(dataclasses.replace(_DESTROYED, values=values))
        player.destroy(_DESTROY)
    except exceptions.InstanceNotFound:
        pass


def _rescue(player: Player, race: plan.Race) -> None:
    del race
    _checked(player, "rescue", _API_RESCUE, (_RESCUED,))


def _evacuate(player: Player, race: plan.Race) -> None:
    del race
    _checked(player, "evacuation", _API_EVACUATE, _EVACUATE)


def _checked(
    player: Player, name: str, accept: Write, steps: tuple[Write, ...]
) -> None:
    """Play an action of the API that looks at the states before it writes."""
    player.load()
    row = player.server.row
    # @check_instance_state, on what was read.
    if row.vm_state != states.VMState.ACTIVE or row.task_state is not None:
        player.note(f"{name} turned away: {row}")
        return
    player.work(_API_S)
    try:
        player.write(accept)
    except _REFUSED:
        return
    try:
        for step in steps:
            player.work(_MOMENT_S)
            player.write(step)
    except _REFUSED:
        if steps is _EVACUATE:
            _quietly(player, _ERROR)


def _quietly(player: Player, write: Write) -> None:
    """Write what Nova writes after a failure; a deleted row ends it."""
    with contextlib.suppress(exceptions.InstanceNotFound):
        player.write(write)


DELETE_ACCEPTED: Final = frozenset({_API_DESTROY.did, _API_DELETING.did})
"""What is written down when the user is told that the server will go."""

SIDES: Final[dict[plan.Pair, tuple[Side, Side]]] = {
    plan.Pair.BUILD_DELETE: (_build, _delete),
    plan.Pair.STOP_DELETE: (_stop, _delete),
    plan.Pair.RESIZE_DELETE: (_resize, _delete),
    plan.Pair.RESCUE_RESCUE: (_rescue, _rescue),
    plan.Pair.EVACUATE_EVACUATE: (_evacuate, _evacuate),
}
