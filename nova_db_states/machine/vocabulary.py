# SPDX-License-Identifier: Apache-2.0
"""What each state means, in one line, and which of them last."""

from typing import Final

from nova_db_states import states
from nova_db_states.machine import notation

__all__ = [
    "STRANDED",
    "TASK_MEANINGS",
    "UNUSED",
    "VM_MEANINGS",
    "describe",
    "is_settled",
    "stranded",
]

_V = states.VMState
_T = states.TaskState
State = notation.State

VM_MEANINGS: Final[dict[str | None, str]] = {
    _V.ACTIVE: "The guest runs, as far as Nova knows.",
    _V.BUILDING: "The server is being made and has never run.",
    _V.PAUSED: "The guest stands still in the memory of its host.",
    _V.SUSPENDED: "The guest's memory is on disk; it uses no CPU and no RAM.",
    _V.STOPPED: "The guest is powered off and keeps its place on its host.",
    _V.RESCUED: "The guest runs from a rescue image, its disk beside it.",
    _V.RESIZED: "Resized or migrated, and the old disk waits for a verdict.",
    _V.SOFT_DELETED: "Deleted for its user; an administrator may restore it.",
    _V.DELETED: "The guest is destroyed; the row is about to be marked.",
    _V.ERROR: "The last operation failed in a way that needs somebody.",
    _V.SHELVED: "Powered off and saved as an image, still on its host.",
    _V.SHELVED_OFFLOADED: "Saved as an image only; it is on no host.",
    None: "The column is NULL, which Nova never writes: a damaged row.",
}
"""``vm_state`` to its meaning."""

TASK_MEANINGS: Final[dict[str | None, str]] = {
    None: "Nothing is being done to it.",
    _T.SCHEDULING: "A host is being chosen.",
    _T.BLOCK_DEVICE_MAPPING: "Its volumes are being prepared.",
    _T.NETWORKING: "Its network ports are being made.",
    _T.SPAWNING: "Its image is fetched and the guest started.",
    _T.IMAGE_SNAPSHOT: "A snapshot waits for its turn on the host.",
    _T.IMAGE_SNAPSHOT_PENDING: "A snapshot was asked for.",
    _T.IMAGE_PENDING_UPLOAD: "The disk is being read for an image.",
    _T.IMAGE_UPLOADING: "The image is being uploaded.",
    _T.IMAGE_BACKUP: "A backup was asked for.",
    _T.UPDATING_PASSWORD: "The guest agent sets the password.",
    _T.RESIZE_PREP: "A host for the new size is being chosen.",
    _T.RESIZE_MIGRATING: "The disk is on its way to the new host.",
    _T.RESIZE_MIGRATED: "The disk is at the new host.",
    _T.RESIZE_FINISH: "The guest is being started in its new size.",
    _T.RESIZE_REVERTING: "It goes back to its old size and host.",
    _T.RESIZE_CONFIRMING: "Nova declares this and never writes it.",
    _T.REBOOTING: "A soft reboot was asked for.",
    _T.REBOOT_PENDING: "The host is about to reboot the guest softly.",
    _T.REBOOT_STARTED: "The guest is being rebooted softly.",
    _T.REBOOTING_HARD: "A hard reboot was asked for.",
    _T.REBOOT_PENDING_HARD: "The host is about to power-cycle the guest.",
    _T.REBOOT_STARTED_HARD: "The guest is being power-cycled.",
    _T.PAUSING: "It is being paused.",
    _T.UNPAUSING: "It is being unpaused.",
    _T.SUSPENDING: "Its memory is being written to disk.",
    _T.RESUMING: "Its memory is being read back.",
    _T.POWERING_OFF: "It is being powered off.",
    _T.POWERING_ON: "It is being powered on.",
    _T.RESCUING: "The rescue guest is being started.",
    _T.UNRESCUING: "It goes back to its own disk.",
    _T.REBUILDING: "Its old disk is being given up for a new one.",
    _T.REBUILD_BLOCK_DEVICE_MAPPING: "Its volumes are attached anew.",
    _T.REBUILD_SPAWNING: "The rebuilt guest is being started.",
    _T.MIGRATING: "It moves to another host while it runs.",
    _T.DELETING: "A delete was accepted; only deletion may follow.",
    _T.SOFT_DELETING: "A soft delete was accepted.",
    _T.RESTORING: "It is being restored from a soft delete.",
    _T.SHELVING: "A shelve was asked for; the guest is powered off.",
    _T.SHELVING_IMAGE_PENDING_UPLOAD: "The disk is read for its image.",
    _T.SHELVING_IMAGE_UPLOADING: "Its image is being uploaded.",
    _T.SHELVING_OFFLOADING: "It is being taken off its host.",
    _T.UNSHELVING: "A host for the shelved server is being chosen.",
}
"""``task_state`` to its meaning."""

UNUSED: Final[frozenset[str]] = frozenset({_T.RESIZE_CONFIRMING})
"""Names that Nova declares and never writes."""

_PASSING: Final[frozenset[str | None]] = frozenset(
    {_V.BUILDING, _V.DELETED, None}
)

STRANDED: Final[dict[str, str]] = {
    "error / unshelving": "The image of a shelved server is gone, or its "
    "ports could not be plugged when nova-compute started: the error was set "
    "and the task left. Use delete or reset-state.",
    "error / image_backup|updating_password|migrating|shelving"
    "|shelving_image_pending_upload|shelving_image_uploading"
    "|shelving_offloading": "nova-compute started while this was under way, "
    "could not bring the guest back, set the error and left the task. Use "
    "delete or reset-state; while its host is down, evacuate.",
    "building / deleting": "If nova-compute stops before it is deleted, this "
    "lasts: at its next start it does not take the delete up again, and the "
    "API ignores another while the host is up. Use reset-state, then delete.",
    "soft-delete / deleting|soft-deleting": "If nova-compute stops before it "
    "is deleted, this lasts: at its next start it passes the server over, "
    "and the API ignores another delete while the host is up. Use "
    "reset-state, then delete.",
}
"""Transient states that nothing of Nova's may come to end, with the reason
and with what a user or an administrator can do.
"""


def is_settled(state: State) -> bool:
    """Say whether a server may stay in a state as long as it likes.

    :param state: both columns
    :returns: false where something is being done to it, or about to be
    """
    return state.task_state is None and state.vm_state not in _PASSING


def stranded(state: State) -> str:
    """Say why nothing of Nova's ends a transient state.

    :param state: both columns
    :returns: the reason; empty where something does end it
    """
    for text, reason in STRANDED.items():
        vm_states, task_states = notation.pattern(text)
        if state.vm_state in vm_states and state.task_state in task_states:
            return reason
    return ""


def describe(state: State) -> str:
    """Say in one line what a state means.

    :param state: both columns
    :returns: a sentence or two
    """
    if state == notation.ABSENT:
        return "There is no row: the server is yet to be booted."
    vm_meaning = VM_MEANINGS[state.vm_state]
    if state == State(_V.BUILDING, None):
        return f"{vm_meaning} A host was chosen and has begun."
    if state.vm_state == _V.DELETED and state.task_state is None:
        return vm_meaning
    return f"{vm_meaning} {TASK_MEANINGS[state.task_state]}"
