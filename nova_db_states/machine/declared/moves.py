# SPDX-License-Identifier: Apache-2.0
"""To another host of the same cell: resize, its confirm and its revert."""

from typing import Final

from nova_db_states.machine import model
from nova_db_states.machine.declared import names

__all__ = ["ACTIONS"]

_API = names.API
_MANAGER = names.MANAGER
_CONDUCTOR = names.CONDUCTOR
_INSTANCE_UPDATE = "ComputeManager._instance_update"

_SCHEDULED_S: Final = 30 * names.MINUTE
"""For the scheduler, the way to one host after the other until one claims
the resources, and the way back to the source."""

_COPIED_S: Final = 6 * names.HOUR
"""For a clean shutdown and the copy of the disk over the network."""

_HANDED_OVER_S: Final = 30 * names.MINUTE
"""For the way to the destination and the ports to be bound there."""

_FINISHED_S: Final = 2 * names.HOUR
"""For the disk to be resized or converted there, volumes and ports."""

_REVERTED_S: Final = 2 * names.HOUR
"""For the guest to go from the destination, disk included, and to be
started on the source."""

_OFF_S: Final = 10 * names.MINUTE
"""As for a stop."""

RESIZE: Final = model.Action(
    "resize / cold migrate",
    "Move a server to another host, in its own size or a new one.",
    "active|stopped / NULL",
    f"{_API}.resize",
    (
        model.step(
            "active|stopped / NULL             -> = / resize_prep",
            f"{_API}.resize",
            at_most_s=_SCHEDULED_S,
        ),
        model.step(
            "active|stopped / resize_prep      -> = / resize_migrating",
            f"{_MANAGER}._resize_instance",
            at_most_s=_COPIED_S,
        ),
        model.step(
            "active|stopped / resize_migrating -> = / resize_migrated",
            f"{_MANAGER}._resize_instance",
            when="the row names the destination from here on",
            at_most_s=_HANDED_OVER_S,
        ),
        model.step(
            "active|stopped / resize_migrated  -> = / resize_finish",
            f"{_MANAGER}._finish_resize",
            at_most_s=_FINISHED_S,
        ),
        model.step(
            "active|stopped / resize_finish    -> resized / NULL",
            f"{_MANAGER}._finish_resize",
        ),
        # While a host is being chosen.
        model.fails(
            "active  / resize_prep -> = / NULL",
            f"{_CONDUCTOR}._cold_migrate",
            via=names.NOTIFY,
            when="no host will take it",
        ),
        model.fails(
            "stopped / resize_prep -> = / NULL",
            f"{_CONDUCTOR}._cold_migrate",
            via=names.NOTIFY,
            when="no host will take it",
        ),
        model.fails(
            "active|stopped / resize_prep -> = / resize_prep",
            f"{_MANAGER}._reschedule_resize_or_reraise",
            via=_INSTANCE_UPDATE,
            when="another host shall try",
            at_most_s=_SCHEDULED_S,
        ),
        model.fails(
            "active|stopped / resize_prep -> error / =",
            f"{_MANAGER}._prep_resize",
            via=names.ERROR,
            when="it is on no host",
            at_most_s=model.MOMENT_S,
        ),
        *(
            write
            for function, releases in (
                ("prep_resize", (None, 33)),
                ("_do_prep_resize", (34, None)),
            )
            for write in (
                model.fails(
                    "active|stopped / resize_prep -> = / NULL",
                    f"{_MANAGER}.{function}",
                    via=names.ROLLBACK,
                    when="it may not go there",
                    releases=releases,
                ),
                model.fails(
                    "active|stopped|error / resize_prep -> error / =",
                    f"{_MANAGER}.{function}",
                    via=names.ROLLBACK,
                    at_most_s=model.MOMENT_S,
                    releases=releases,
                ),
                model.fails(
                    "active|stopped / NULL -> error / =",
                    f"{_MANAGER}.{function}",
                    via=names.ROLLBACK,
                    when="no other host took it, and the conductor, which "
                    "was asked to try them, has taken the task away already",
                    releases=releases,
                    late=True,
                ),
            )
        ),
        model.fails(
            "active|stopped|error / resize_prep -> = / NULL",
            f"{_MANAGER}.prep_resize",
            via=names.REVERTS,
        ),
        # On the source.
        model.fails(
            "active|stopped / resize_migrating -> = / NULL",
            f"{_MANAGER}._resize_instance",
            via=names.ROLLBACK,
            when="the disk cannot be moved, and stays as it is",
        ),
        model.fails(
            "active|stopped / resize_prep|resize_migrating|resize_migrated"
            " -> error / =",
            f"{_MANAGER}._resize_instance",
            via=names.ROLLBACK,
            at_most_s=model.MOMENT_S,
        ),
        model.fails(
            "active|stopped / deleting|soft-deleting"
            " -> error / resize_migrating|resize_migrated",
            f"{_MANAGER}._resize_instance",
            via=names.ROLLBACK,
            dirty=True,
            defect=names.REFUSED,
        ),
        model.fails(
            "error / resize_prep|resize_migrating|resize_migrated -> = / NULL",
            f"{_MANAGER}.resize_instance",
            via=names.REVERTS,
        ),
        model.fails(
            "active|stopped / resize_migrated|resize_finish -> = / NULL",
            f"{_MANAGER}.resize_instance",
            via=names.REVERTS,
            when="its last notification cannot be sent",
            defect="The disk is at the destination, which has gone on with "
            "the server and is refused its next step for this.",
        ),
        # At the destination.
        model.fails(
            "active|stopped / resize_migrated|resize_finish -> active / NULL",
            f"{_MANAGER}._finish_resize_helper",
            via=names.ROLLBACK,
            when="the driver cannot resize",
        ),
        model.fails(
            "active|stopped / resize_migrated|resize_finish -> error / =",
            f"{_MANAGER}._finish_resize_helper",
            via=names.ROLLBACK,
            at_most_s=model.MOMENT_S,
        ),
        model.fails(
            "active|stopped / deleting|soft-deleting"
            " -> error / resize_finish|NULL",
            f"{_MANAGER}._finish_resize_helper",
            via=names.ROLLBACK,
            dirty=True,
            defect=names.REFUSED,
        ),
        model.fails(
            "error / resize_migrated|resize_finish -> = / NULL",
            f"{_MANAGER}.finish_resize",
            via=names.REVERTS,
        ),
        model.fails(
            "active|stopped / resize_migrated -> = / NULL",
            f"{_MANAGER}.finish_resize",
            via=names.REVERTS,
            when="it does not get as far as the disk",
        ),
        # When the source gave up and the destination tries elsewhere.
        model.fails(
            "error / NULL|resize_prep -> = / resize_prep",
            f"{_MANAGER}._reschedule_resize_or_reraise",
            via=_INSTANCE_UPDATE,
            when="another host shall try although it is in error",
            at_most_s=_SCHEDULED_S,
        ),
        model.fails(
            "error / resize_prep -> = / NULL",
            f"{_CONDUCTOR}._cold_migrate",
            via=names.NOTIFY,
            when="no host will take it",
        ),
    ),
    on_failure="error / NULL",
    overruled_by=(*names.ANYTIME, names.EVACUATE, names.START_UP),
    note="Refused a step because of a delete, it sets the server to error "
    "and writes the step all the same: its error handler saves what the "
    "object carries. What it gives up stays where its disk is.",
)

CONFIRM: Final = model.Action(
    "confirm resize",
    "Give up what is left of a resized server on its old host.",
    "resized / NULL",
    f"{_API}.confirm_resize",
    (
        model.step(
            "resized / NULL -> active|stopped / NULL",
            f"{_MANAGER}._confirm_resize",
        ),
        model.fails(
            "resized / NULL -> active / NULL",
            f"{_MANAGER}.confirm_resize.do_confirm_resize",
            via=names.ROLLBACK,
            when="the driver cannot confirm",
        ),
        model.fails(
            "resized|active|stopped / NULL -> error / =",
            f"{_MANAGER}.confirm_resize.do_confirm_resize",
            via=names.ROLLBACK,
        ),
        model.fails(
            "resized / resize_reverting -> active|stopped / NULL",
            f"{_MANAGER}._delete_stashed_flavor_info",
            dirty=True,
            defect="A revert was begun meanwhile, and the confirm was "
            "refused its state for it. The object still carries that state, "
            "and this save, of something else, writes it.",
        ),
    ),
    on_failure="",
    overruled_by=(*names.ANYTIME, "revert resize"),
    gaps=(
        model.Gap(
            "resized / NULL",
            since=f"{_API}.confirm_resize",
            until=f"{_MANAGER}._confirm_resize",
            allowed=None,
            why="No task marks a confirm: while the old disk is deleted the "
            "row looks like that of a server nobody has decided on, and a "
            "revert is accepted.",
        ),
    ),
    note="nova-compute asks for it by itself after [DEFAULT]"
    "resize_confirm_window. Nova has a task resize_confirming and never "
    "writes it.",
)

REVERT: Final = model.Action(
    "revert resize",
    "Bring a resized server back to its old host and size.",
    "resized / NULL",
    f"{_API}.revert_resize",
    (
        model.step(
            "resized / NULL             -> =       / resize_reverting",
            f"{_API}.revert_resize",
            at_most_s=_REVERTED_S,
        ),
        model.step(
            "resized / resize_reverting -> =       / =",
            "nova/compute/resource_tracker.py:"
            "ResourceTracker.drop_move_claim_at_dest",
            when="the guest is gone from the destination",
            at_most_s=_REVERTED_S,
        ),
        model.step(
            "resized / resize_reverting -> =       / =",
            f"{_MANAGER}._revert_instance_flavor_host_node",
            when="the row names the source from here on",
            at_most_s=_REVERTED_S,
        ),
        model.step(
            "resized / resize_reverting -> =       / =",
            f"{_MANAGER}._finish_revert_resize",
            when="the guest is on the source again",
            at_most_s=_REVERTED_S,
        ),
        model.step(
            "resized / resize_reverting -> active  / NULL",
            f"{_MANAGER}._finish_revert_resize",
            guarded=False,
        ),
        model.step(
            "resized / resize_reverting -> =       / powering-off",
            f"{_MANAGER}._finish_revert_resize",
            guarded=False,
            when="it was stopped, and shall be again",
            at_most_s=_OFF_S,
        ),
        model.step(
            "resized / powering-off     -> stopped / NULL",
            f"{_MANAGER}.stop_instance.do_stop_instance",
            when="it was stopped, and shall be again",
        ),
        model.fails(
            "resized / powering-off -> error / NULL",
            "nova/compute/share_management.py:ShareManager.get_share_info",
            via=names.SHARE_ERROR,
            when="a share is still being attached or detached",
            releases=(34, None),
        ),
        model.fails(
            "resized / resize_reverting -> active / NULL",
            f"{_MANAGER}.revert_resize",
            via=names.ROLLBACK,
            when="the driver cannot revert",
        ),
        model.fails(
            "resized / resize_reverting -> error / =",
            f"{_MANAGER}.revert_resize",
            via=names.ROLLBACK,
            at_most_s=model.MOMENT_S,
        ),
        model.fails(
            "resized|error / resize_reverting -> = / NULL",
            f"{_MANAGER}.revert_resize",
            via=names.REVERTS,
        ),
        model.fails(
            "resized / powering-off -> = / NULL",
            f"{_MANAGER}.stop_instance",
            via=names.REVERTS,
            when="the guest cannot be switched off",
        ),
        model.fails(
            "resized / resize_reverting -> active / NULL",
            f"{_MANAGER}._finish_revert_resize",
            via=names.ROLLBACK,
            when="the driver cannot revert",
        ),
        model.fails(
            "resized / resize_reverting -> error / =",
            f"{_MANAGER}._finish_revert_resize",
            via=names.ROLLBACK,
            at_most_s=model.MOMENT_S,
        ),
        model.fails(
            "resized|active|stopped / NULL -> error / =",
            f"{_MANAGER}._finish_revert_resize",
            via=names.ROLLBACK,
            when="the guest cannot be switched off, or what is left to do "
            "fails",
        ),
        model.fails(
            "error / resize_reverting -> = / NULL",
            f"{_MANAGER}.finish_revert_resize",
            via=names.REVERTS,
        ),
    ),
    on_failure="error / NULL",
)

ACTIONS: Final[tuple[model.Action, ...]] = (RESIZE, CONFIRM, REVERT)
