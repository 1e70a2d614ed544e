# SPDX-License-Identifier: Apache-2.0
"""To a host of another cell: resize, its confirm and its revert.

Two rows of one server exist meanwhile, one in each cell, and one of them is
hidden. A change of theirs below says of which row it is, and each row goes
its own way: that of the target cell is made in resize_prep, that of the
source cell waits in resize_migrated for the confirm or the revert.
"""

from typing import Final

from nova_db_states.machine import model
from nova_db_states.machine.declared import names

__all__ = ["ACTIONS"]

_API = names.API
_MANAGER = names.MANAGER
_CONDUCTOR = names.CONDUCTOR
_TASKS = names.CROSS_CELL

_SCHEDULED_S: Final = 30 * names.MINUTE
"""As for a resize within a cell; the rows are copied too."""

_UPLOADED_S: Final = 6 * names.HOUR
"""For a clean shutdown and the disk to be uploaded as an image."""

_HANDED_OVER_S: Final = 30 * names.MINUTE
"""For the way from one cell to the other."""

_SPAWNED_S: Final = 2 * names.HOUR
"""For the download of that image, volumes and ports."""

_REVERTED_S: Final = 2 * names.HOUR
"""For the guest to go from the target and be started on the source."""

RESIZE: Final = model.Action(
    "resize, cross-cell",
    "Move a server to a host of another cell, by way of an image.",
    "active|stopped / NULL",
    f"{_API}.resize",
    (
        model.step(
            "active|stopped / NULL             -> = / resize_prep",
            f"{_API}.resize",
            at_most_s=_SCHEDULED_S,
        ),
        model.step(
            "(none) / NULL -> active|stopped / resize_prep",
            f"{_TASKS}:TargetDBSetupTask._execute",
            event=model.Event.CREATE,
            guarded=False,
            when="target row, hidden",
            at_most_s=_UPLOADED_S,
        ),
        model.step(
            "active|stopped / resize_prep      -> = / resize_migrating",
            f"{_TASKS}:PrepResizeAtSourceTask._execute",
            when="source row",
            at_most_s=_UPLOADED_S,
        ),
        model.step(
            "active|stopped / resize_migrating -> = / resize_migrated",
            f"{_MANAGER}._prep_snapshot_based_resize_at_source",
            when="source row, where it stays",
            at_most_s=_SPAWNED_S,
        ),
        model.step(
            "active|stopped / resize_prep      -> = / resize_migrated",
            f"{_TASKS}:FinishResizeAtDestTask"
            "._finish_snapshot_based_resize_at_dest",
            guarded=False,
            when="target row",
            at_most_s=_HANDED_OVER_S,
        ),
        model.step(
            "active|stopped / resize_migrated  -> = / resize_finish",
            f"{_MANAGER}._finish_snapshot_based_resize_at_dest",
            when="target row",
            at_most_s=_SPAWNED_S,
        ),
        model.step(
            "active|stopped / resize_finish    -> resized / NULL",
            f"{_MANAGER}._finish_snapshot_based_resize_at_dest",
            when="target row; then the other one is hidden",
        ),
        # The source row.
        model.fails(
            "active|stopped / resize_migrating -> error / NULL",
            "nova/compute/share_management.py:ShareManager.get_share_info",
            via=names.SHARE_ERROR,
            when="source row; a share is still being attached or detached",
            releases=(34, None),
        ),
        model.fails(
            "active|stopped / resize_migrating -> error / NULL",
            f"{_MANAGER}._prep_snapshot_based_resize_at_source",
            via=names.ROLLBACK,
            when="source row; the driver cannot do it",
        ),
        model.fails(
            "active|stopped / resize_migrating -> error / =",
            f"{_MANAGER}._prep_snapshot_based_resize_at_source",
            via=names.ROLLBACK,
            when="source row; the guest is gone already",
            at_most_s=model.MOMENT_S,
        ),
        model.fails(
            "active|stopped / deleting|soft-deleting"
            " -> error / resize_migrated",
            f"{_MANAGER}._prep_snapshot_based_resize_at_source",
            via=names.ROLLBACK,
            when="source row",
            dirty=True,
            defect=names.REFUSED,
        ),
        model.fails(
            "active|stopped|error / resize_migrating -> = / NULL",
            f"{_MANAGER}.prep_snapshot_based_resize_at_source",
            via=names.REVERTS,
            when="source row",
        ),
        model.fails(
            "active|stopped / resize_migrated  -> error / NULL",
            f"{_TASKS}:FinishResizeAtDestTask"
            "._finish_snapshot_based_resize_at_dest",
            when="source row; the destination has failed",
        ),
        model.fails(
            "active|stopped / resize_prep|resize_migrating|resize_migrated"
            " -> = / NULL",
            f"{_CONDUCTOR}._cold_migrate",
            via=names.NOTIFY,
            when="source row; whatever is not in error by then",
        ),
        # The target row.
        model.fails(
            "active|stopped / resize_migrated|resize_finish -> active / NULL",
            f"{_MANAGER}.finish_snapshot_based_resize_at_dest",
            via=names.ROLLBACK,
            when="target row; the driver cannot do it",
        ),
        model.fails(
            "active|stopped / resize_migrated|resize_finish -> error / =",
            f"{_MANAGER}.finish_snapshot_based_resize_at_dest",
            via=names.ROLLBACK,
            when="target row",
            at_most_s=model.MOMENT_S,
        ),
        model.fails(
            "active|stopped / deleting|soft-deleting"
            " -> error / resize_finish|NULL",
            f"{_MANAGER}.finish_snapshot_based_resize_at_dest",
            via=names.ROLLBACK,
            when="target row",
            dirty=True,
            defect=names.REFUSED,
        ),
        model.fails(
            "resized / NULL -> error / =",
            f"{_MANAGER}.finish_snapshot_based_resize_at_dest",
            via=names.ROLLBACK,
            when="target row; what is left to do fails",
        ),
        model.fails(
            "error / resize_migrated|resize_finish -> = / NULL",
            f"{_MANAGER}.finish_snapshot_based_resize_at_dest",
            via=names.REVERTS,
            when="target row",
        ),
        model.destroys(
            "active|stopped / resize_prep|resize_migrated|resize_finish",
            f"{_TASKS}:TargetDBSetupTask.rollback",
            when="target row; the resize was given up",
        ),
        model.destroys(
            "active|error|resized / NULL",
            f"{_TASKS}:TargetDBSetupTask.rollback",
            when="target row; the resize was given up",
        ),
    ),
    on_failure="",
    overruled_by=(*names.ANYTIME, names.EVACUATE, names.START_UP),
    note="The row in the source cell stays in resize_migrated, hidden, until "
    "the confirm or the revert, however long that takes: do not count "
    "hidden rows as stuck. Until the guest has left the source a failure "
    "leaves the server as it was, from then on in error.",
)

CONFIRM: Final = model.Action(
    "confirm resize, cross-cell",
    "Give up what is left of a server in the cell that it was moved from.",
    "resized / NULL",
    f"{_API}.confirm_resize",
    (
        model.step(
            "resized / NULL -> active|stopped / NULL",
            f"{_TASKS}:ConfirmResizeTask._finish_confirm_in_target_cell",
            when="target row, after the other one is gone",
        ),
        model.destroys(
            "active|stopped / resize_migrated",
            f"{_TASKS}:ConfirmResizeTask._execute",
            when="source row",
        ),
        model.fails(
            "active|stopped / resize_migrated -> active / NULL",
            f"{_MANAGER}.confirm_snapshot_based_resize_at_source.do_confirm",
            via=names.ROLLBACK,
            when="source row; the driver cannot do it",
        ),
        model.fails(
            "active|stopped / resize_migrated -> error / =",
            f"{_MANAGER}.confirm_snapshot_based_resize_at_source.do_confirm",
            via=names.ROLLBACK,
            when="source row, hidden; it is left like that",
            at_most_s=model.MOMENT_S,
        ),
        model.fails(
            "resized|active|stopped / NULL -> error / NULL",
            f"{_TASKS}:ConfirmResizeTask.rollback",
            via=names.NOTIFY,
            when="target row",
        ),
    ),
    on_failure="",
    overruled_by=(*names.ANYTIME, "revert resize, cross-cell"),
    gaps=(
        model.Gap(
            "resized / NULL",
            since=f"{_API}.confirm_resize",
            until=f"{_TASKS}:ConfirmResizeTask._finish_confirm_in_target_cell",
            allowed=None,
            why="No task marks a confirm: as within a cell.",
        ),
    ),
)

REVERT: Final = model.Action(
    "revert resize, cross-cell",
    "Bring a server back to the cell that it was moved from.",
    "resized / NULL",
    f"{_API}.revert_resize",
    (
        model.step(
            "resized / NULL -> = / resize_reverting",
            f"{_API}.revert_resize",
            when="target row",
            at_most_s=_REVERTED_S,
        ),
        model.step(
            "active|stopped / resize_migrated -> = / resize_reverting",
            f"{_TASKS}:RevertResizeTask._update_instance_in_source_cell",
            guarded=False,
            when="source row; then the other one is hidden",
            at_most_s=_REVERTED_S,
        ),
        model.step(
            "resized / resize_reverting -> = / =",
            "nova/compute/resource_tracker.py:"
            "ResourceTracker.drop_move_claim_at_dest",
            when="target row; the guest is gone",
            at_most_s=_REVERTED_S,
        ),
        model.destroys(
            "resized / resize_reverting",
            f"{_TASKS}:RevertResizeTask._execute",
            when="target row",
        ),
        model.step(
            "active|stopped / resize_reverting -> = / =",
            f"{_MANAGER}._revert_instance_flavor_host_node",
            when="source row",
            at_most_s=_REVERTED_S,
        ),
        model.step(
            "active  / resize_reverting -> active  / NULL",
            f"{_MANAGER}._finish_revert_snapshot_based_resize_at_source",
            when="source row",
        ),
        model.step(
            "stopped / resize_reverting -> stopped / NULL",
            f"{_MANAGER}._finish_revert_snapshot_based_resize_at_source",
            when="source row",
        ),
        # The target row.
        model.fails(
            "resized / resize_reverting -> active / NULL",
            f"{_MANAGER}.revert_snapshot_based_resize_at_dest.do_revert",
            via=names.ROLLBACK,
            when="target row; the driver cannot do it",
        ),
        model.fails(
            "resized / resize_reverting -> error / =",
            f"{_MANAGER}.revert_snapshot_based_resize_at_dest.do_revert",
            via=names.ROLLBACK,
            when="target row",
            at_most_s=model.MOMENT_S,
        ),
        model.fails(
            "resized|error / resize_reverting -> = / NULL",
            f"{_MANAGER}.revert_snapshot_based_resize_at_dest",
            via=names.REVERTS,
            when="target row",
        ),
        # The source row.
        model.fails(
            "active|stopped / resize_reverting -> active / NULL",
            f"{_MANAGER}.finish_revert_snapshot_based_resize_at_source"
            ".do_revert",
            via=names.ROLLBACK,
            when="source row; the driver cannot do it",
        ),
        model.fails(
            "active|stopped / resize_reverting -> error / =",
            f"{_MANAGER}.finish_revert_snapshot_based_resize_at_source"
            ".do_revert",
            via=names.ROLLBACK,
            when="source row",
            at_most_s=model.MOMENT_S,
        ),
        model.fails(
            "active|stopped / deleting|soft-deleting -> error / NULL",
            f"{_MANAGER}.finish_revert_snapshot_based_resize_at_source"
            ".do_revert",
            via=names.ROLLBACK,
            when="source row",
            dirty=True,
            defect=names.REFUSED,
        ),
        model.fails(
            "active|stopped / NULL -> error / =",
            f"{_MANAGER}.finish_revert_snapshot_based_resize_at_source"
            ".do_revert",
            via=names.ROLLBACK,
            when="source row; what is left to do fails",
        ),
        model.fails(
            "error / resize_reverting -> = / NULL",
            f"{_MANAGER}.finish_revert_snapshot_based_resize_at_source",
            via=names.REVERTS,
            when="source row",
        ),
        # Whichever row the API shows.
        model.fails(
            "active|stopped / resize_migrated|resize_reverting -> error"
            " / NULL",
            f"{_TASKS}:RevertResizeTask.rollback",
            via=names.NOTIFY,
            when="source row",
        ),
        model.fails(
            "active|stopped / NULL -> error / NULL",
            f"{_TASKS}:RevertResizeTask.rollback",
            via=names.NOTIFY,
            when="source row; what is left to do fails",
        ),
        model.fails(
            "resized|error / resize_reverting -> error / NULL",
            f"{_TASKS}:RevertResizeTask.rollback",
            via=names.NOTIFY,
            when="target row",
        ),
    ),
    on_failure="error / NULL",
    overruled_by=(*names.ANYTIME, names.EVACUATE),
)

ACTIONS: Final[tuple[model.Action, ...]] = (RESIZE, CONFIRM, REVERT)
