# SPDX-License-Identifier: Apache-2.0
"""What nova-compute finds when it starts, and shares that are not ready."""

from typing import Final

from nova_db_states.machine import model
from nova_db_states.machine.declared import names
from nova_db_states.machine.declared import shares

__all__ = ["ACTIONS"]

_MANAGER = names.MANAGER
_SHARES = "nova/compute/share_management.py:ShareManager"

_REBOOTED_S: Final = 20 * names.MINUTE
"""As for any other reboot that is under way."""

_LEFT: Final = (
    "active|paused|suspended|stopped / image_backup|shelving",
    "active|paused|suspended|stopped / shelving_image_pending_upload",
    "active|paused|suspended|stopped / shelving_image_uploading",
    "active / pausing|suspending|updating_password",
    "paused / unpausing",
    "suspended / resuming",
    "active|stopped / rescuing",
    "active|stopped / resize_migrating|resize_migrated|resize_finish",
    "active|stopped / resize_reverting",
    "resized / resize_reverting",
    "rescued / unrescuing",
    "active|paused / migrating",
    "shelved / shelving_offloading|unshelving",
    "active|paused|suspended|stopped|rescued|resized|shelved / soft-deleting",
)
"""What nova-compute does not end when it starts, or later than this."""

_LEFT_RUNNING: Final = (
    "active / image_backup|shelving|shelving_image_pending_upload",
    "active / shelving_image_uploading",
    "active / pausing|suspending|updating_password|rescuing",
    "active / resize_migrated|resize_finish",
    "resized / resize_reverting",
    "rescued / unrescuing",
    "active|rescued|resized / soft-deleting",
)
"""The same, of guests that ran when their host went down."""

_LEFT_RUNNING_SHARED: Final = (
    "active / image_backup|pausing|updating_password|rescuing",
    "rescued / unrescuing",
)
_LEFT_RUNNING_SHARED_34: Final = (
    "active / resize_migrated|resize_finish",
    "resized / resize_reverting",
)
"""The same, of guests that may have a share."""

_IDLE: Final = "active|paused|suspended|stopped|rescued|resized|shelved / NULL"
_IDLE_RUNNING: Final = "active|rescued|resized / NULL"

INIT_HOST: Final = model.Action(
    names.START_UP,
    "Deal with what was under way on a host when its nova-compute ended.",
    "* / *",
    f"{_MANAGER}._init_instance",
    (
        # Builds.
        model.fails(
            "building / scheduling|NULL|networking|block_device_mapping"
            "|spawning -> error / NULL",
            f"{_MANAGER}._init_instance",
            via=names.ERROR,
        ),
        model.fails(
            "shelved_offloaded / spawning -> error / NULL",
            f"{_MANAGER}._init_instance",
            via=names.ERROR,
            when="it was being unshelved here",
        ),
        model.fails(
            "building / scheduling|NULL -> error / NULL",
            f"{_MANAGER}._error_out_instances_whose_build_was_interrupted",
            via=names.ERROR,
            when="it was on its way here and not claimed yet",
        ),
        # Rebuilds and evacuations.
        model.fails(
            "active|stopped / rebuilding|rebuild_block_device_mapping"
            "|rebuild_spawning -> error / NULL",
            f"{_MANAGER}._init_instance",
            via=names.ERROR,
        ),
        # Images.
        model.fails(
            "active|stopped|paused|suspended / image_snapshot_pending"
            "|image_snapshot|image_pending_upload|image_uploading"
            " -> = / NULL",
            f"{_MANAGER}._init_instance",
        ),
        # Moves.
        model.fails(
            "active|stopped / resize_prep -> = / NULL",
            f"{_MANAGER}._init_instance",
        ),
        model.fails(
            "active|stopped|error / resize_migrating -> = / NULL",
            f"{_MANAGER}._init_instance",
            when="the disk was on its way: the guest is started here again",
        ),
        model.fails(
            "active|paused / migrating -> = / NULL",
            f"{_MANAGER}._reset_live_migration",
            guarded=True,
        ),
        # Reboots, pauses.
        model.fails(
            "active / rebooting|reboot_pending|reboot_started"
            " -> = / reboot_pending_hard",
            f"{_MANAGER}._init_instance",
            when="the guest is off: a soft reboot becomes a hard one",
            at_most_s=_REBOOTED_S,
        ),
        model.fails(
            "active / rebooting|reboot_started|pausing -> active / NULL",
            f"{_MANAGER}._init_instance",
            when="the guest runs",
        ),
        model.fails(
            "active|stopped|paused|suspended / rebooting_hard"
            "|reboot_started_hard -> active / NULL",
            f"{_MANAGER}._init_instance",
            when="the guest runs",
        ),
        model.fails(
            "paused / unpausing -> active / NULL",
            f"{_MANAGER}._init_instance",
            when="the guest runs",
        ),
        # What is in the way of the guest's next start.
        model.fails(
            f"{_IDLE} -> error / =",
            f"{_MANAGER}._init_instance",
            via=names.ERROR,
            when="its ports cannot be plugged",
        ),
        *(
            model.fails(
                f"{before} -> error / =",
                f"{_MANAGER}._init_instance",
                via=names.ERROR,
                when="its ports cannot be plugged",
                at_most_s=model.MOMENT_S,
            )
            for before in _LEFT
        ),
        model.fails(
            f"{_IDLE_RUNNING} -> error / =",
            f"{_MANAGER}._resume_guests_state",
            via=names.ERROR,
            when="the host was rebooted, and the guest cannot be resumed",
        ),
        *(
            model.fails(
                f"{before} -> error / =",
                f"{_MANAGER}._resume_guests_state",
                via=names.ERROR,
                when="the host was rebooted, and the guest cannot be resumed",
                at_most_s=model.MOMENT_S,
            )
            for before in _LEFT_RUNNING
        ),
        *(
            write
            for before in ("active|rescued / NULL", *_LEFT_RUNNING_SHARED)
            for write in (
                *shares.not_ready(before),
                *shares.not_mounted(before),
            )
        ),
        *(
            write
            for before in ("resized / NULL", *_LEFT_RUNNING_SHARED_34)
            for write in shares.not_ready_34(before)
        ),
    ),
    kind=model.Kind.START_UP,
    launched=False,
    on_failure="",
    note="powering-off, powering-on, unpausing of a paused guest, deleting "
    "and most reboots are asked for again. Servers in error are left alone, "
    "but for a resize_migrating and a delete. All of it is decided on a list "
    "that was read once, before the first of them.",
)

SHARE_NOT_READY: Final = model.Action(
    "share in attaching/detaching state during "
    "start/stop/reboot/rescue/resume",
    "Set a server to error whose share is on its way to or from it.",
    "active|paused|stopped|error / powering-on|powering-off|rebooting"
    "|reboot_pending|rebooting_hard|reboot_pending_hard|rescuing",
    f"{_SHARES}.get_share_info",
    (
        *shares.not_ready("stopped / powering-on"),
        *shares.not_ready("active|stopped|paused|error / powering-off"),
        *shares.not_ready("active / rebooting|reboot_pending"),
        *shares.not_ready(
            "active|stopped|paused|error / rebooting_hard|reboot_pending_hard"
        ),
        *shares.not_ready("active|stopped|error / rescuing"),
    ),
    kind=model.Kind.EVENT,
    on_failure="",
    note="Until Nova 33 the function is ComputeManager._get_share_info. A "
    "resume asks too, and never finds one: a server with shares cannot be "
    "suspended.",
)

ACTIONS: Final[tuple[model.Action, ...]] = (INIT_HOST, SHARE_NOT_READY)
