# SPDX-License-Identifier: Apache-2.0
"""Death: delete, and the soft delete that can be undone."""

import dataclasses
from typing import Final

from nova_db_states.machine import model
from nova_db_states.machine.declared import names
from nova_db_states.machine.declared import shares

__all__ = ["ACTIONS"]

_API = names.API
_MANAGER = names.MANAGER
_CONDUCTOR = names.CONDUCTOR
_CONFIRM = f"{names.CROSS_CELL}:ConfirmResizeTask"

_DELETED_S: Final = names.HOUR
"""For the way to the host, the wait for the server's lock, which a build or
an upload may hold, and for the guest, its volumes and its ports to go."""

_FORGOTTEN_S: Final = 10 * names.MINUTE
"""For the allocations and the accelerators to be given back."""

_SWITCHED_S: Final = 15 * names.MINUTE
"""For the way to the host and for the guest to be switched off or on."""

_TAKEN: Final = (
    "A delete was accepted. A share that is in its way sets the server to "
    "error and takes the task from the delete, which none can see any more."
)

_SHARED: Final = "active|stopped|paused|error|rescued|soft-delete"
"""What a server with a share can be, from Nova 34 on resized as well."""

_CONFIRMED: Final = "a resize was confirmed first, which cleared the task"


def _takes(writes: tuple[model.Write, ...]) -> tuple[model.Write, ...]:
    return tuple(dataclasses.replace(one, defect=_TAKEN) for one in writes)


def _confirms(task: str) -> tuple[model.Write, ...]:
    """Declare the confirm of a resize inside a delete.

    :param task: the task of the delete
    :returns: the writes
    """
    before = f"resized / {task}"
    return (
        model.step(
            f"{before} -> active|stopped / NULL",
            f"{_MANAGER}._confirm_resize",
            when="it was resized: the resize is confirmed first",
            reserved=True,
        ),
        model.step(
            f"{before} -> active|stopped / NULL",
            f"{_CONFIRM}._finish_confirm_in_target_cell",
            when="it was resized into another cell: as before",
            reserved=True,
        ),
        model.fails(
            f"{before} -> active / NULL",
            f"{_MANAGER}.confirm_resize.do_confirm_resize",
            via=names.ROLLBACK,
            when="the driver cannot confirm",
            reserved=True,
        ),
        model.fails(
            f"{before} -> error / =",
            f"{_MANAGER}.confirm_resize.do_confirm_resize",
            via=names.ROLLBACK,
            when="the confirm fails, and the API answers with an error",
            at_most_s=model.MOMENT_S,
            reserved=True,
        ),
        model.fails(
            f"{before} -> error / NULL",
            f"{_CONFIRM}.rollback",
            via=names.NOTIFY,
            when="the confirm fails, and the API answers with an error",
            reserved=True,
        ),
    )


_UNCONFIRMED: Final = model.Gap(
    "active|stopped / NULL",
    since=f"{_MANAGER}._confirm_resize",
    until=f"{_API}._delete",
    allowed=None,
    why="A delete of a resized server confirms the resize first, which "
    "clears the task: until the guest is gone the row looks like that of an "
    "idle server, and whatever is begun on it is lost.",
)

DELETE: Final = model.Action(
    "delete",
    "Destroy a server, whatever it is doing.",
    "* / *",
    f"{_API}.delete",
    (
        model.step(
            "* / *        -> =       / deleting",
            f"{_API}._delete",
            guarded=False,
            at_most_s=_DELETED_S,
        ),
        *_confirms("deleting"),
        model.step(
            "* / deleting -> deleted / NULL",
            f"{_MANAGER}._delete_instance",
            guarded=False,
            at_most_s=_FORGOTTEN_S,
        ),
        model.step(
            "* / deleting -> deleted / NULL",
            f"{_API}._do_delete",
            guarded=False,
            when="its host is down, or it is on none",
            at_most_s=_FORGOTTEN_S,
        ),
        model.step(
            "active|stopped / NULL -> deleted / NULL",
            f"{_MANAGER}._delete_instance",
            guarded=False,
            when=_CONFIRMED,
            at_most_s=_FORGOTTEN_S,
        ),
        model.step(
            "active|stopped / NULL -> deleted / NULL",
            f"{_API}._do_delete",
            guarded=False,
            when=f"{_CONFIRMED}, and then the host went down",
            at_most_s=_FORGOTTEN_S,
        ),
        model.destroys("deleted / NULL", f"{_MANAGER}._delete_instance"),
        model.destroys(
            "deleted / NULL",
            f"{_API}._local_delete",
            when="its host is down, or it is on none",
        ),
        model.destroys(
            "deleted / NULL|deleting",
            f"{_MANAGER}._complete_partial_deletion",
            when="nova-compute starts, and only the row was left",
        ),
        model.destroys(
            "building / scheduling|NULL|networking|block_device_mapping"
            "|spawning|deleting",
            f"{_API}._delete",
            when="it is on no host yet, or no more",
        ),
        model.destroys(
            "building / scheduling",
            f"{_API}._delete_while_booting",
            when="its request still waits in the API database",
        ),
        model.destroys(
            "error / NULL",
            f"{_API}._delete_while_booting",
            when="as before, and no host was found",
        ),
        model.destroys(
            "building / scheduling",
            f"{_CONDUCTOR}._delete_build_request",
            when="its request was deleted before a host was found",
        ),
        model.destroys(
            "error / NULL",
            f"{_CONDUCTOR}._bury_in_cell0",
            when="its request was deleted and no host was found",
        ),
        # What the host gives up.
        model.fails(
            "* / deleting                 -> error / =",
            f"{_MANAGER}._try_deallocate_network",
            via=names.ERROR,
            when="its ports cannot be removed",
            at_most_s=model.MOMENT_S,
            reserved=True,
        ),
        model.fails(
            "active|stopped / NULL        -> error / =",
            f"{_MANAGER}._try_deallocate_network",
            via=names.ERROR,
            when=f"{_CONFIRMED}; its ports cannot be removed",
            reserved=True,
        ),
        model.fails(
            "* / deleting                 -> error / =",
            f"{_MANAGER}.terminate_instance.do_terminate_instance",
            via=names.ERROR,
            at_most_s=model.MOMENT_S,
            reserved=True,
        ),
        model.fails(
            "active|stopped|deleted / NULL -> error / =",
            f"{_MANAGER}.terminate_instance.do_terminate_instance",
            via=names.ERROR,
            when="a resize was confirmed first, or all but the allocations "
            "is gone",
            reserved=True,
        ),
        model.fails(
            "error / deleting             -> = / NULL",
            f"{_MANAGER}.terminate_instance",
            via=names.REVERTS,
            reserved=True,
        ),
        model.fails(
            "!error / deleting            -> = / NULL",
            f"{_MANAGER}.terminate_instance",
            via=names.REVERTS,
            when="it fails before it has touched anything",
            at_most_s=model.MOMENT_S,
            reserved=True,
        ),
        model.fails(
            "!building|soft-delete|deleted / deleting -> error / =",
            f"{_MANAGER}._init_instance",
            via=names.ERROR,
            when="nova-compute starts, tries again and fails; it tries "
            "again at its next start",
            at_most_s=model.MOMENT_S,
            reserved=True,
        ),
        model.fails(
            "deleted / NULL               -> error / =",
            f"{_MANAGER}._init_instance",
            via=names.ERROR,
            when="as before, and all but the allocations is gone",
            reserved=True,
        ),
        model.fails(
            "building / deleting          -> error / NULL",
            f"{_MANAGER}._init_instance",
            via=names.ERROR,
            when="nova-compute starts",
            defect="A delete was accepted, and what is left of the build on "
            "the host is not taken away: the server is set to error like any "
            "other whose build was interrupted, and the delete is forgotten.",
        ),
        *_takes(shares.not_mounted(f"{_SHARED} / deleting")),
        model.step(
            "error / NULL                 -> deleted / NULL",
            f"{_MANAGER}._delete_instance",
            guarded=False,
            when="a share could not be unmounted, which does not stop it",
            at_most_s=_FORGOTTEN_S,
            releases=(None, 33),
        ),
    ),
    launched=False,
    on_failure="error / NULL",
    overruled_by=("reset-state",),
    gaps=(
        _UNCONFIRMED,
        model.Gap(
            "deleted / NULL",
            since=f"{_MANAGER}._delete_instance",
            until=f"{_MANAGER}._delete_instance",
            allowed=("delete", "reset-state", names.START_UP),
            why="The guest is gone; its allocations go before the row is "
            "marked. If that fails, the next start of nova-compute ends it.",
        ),
    ),
    note="Asked for again while its host is up it changes nothing, and "
    "force_delete is the same. A nova-compute that starts tries it again, "
    "but not for a server that is building, where it forgets the delete, nor "
    "for one that is soft-delete, which it passes over: there reset-state, "
    "and then another delete, is what helps.",
)

SOFT_DELETE: Final = model.Action(
    "soft_delete",
    "Switch a server off and keep it for [DEFAULT]reclaim_instance_interval.",
    "!building / *",
    f"{_API}.soft_delete",
    (
        model.step(
            "!building / !deleting    -> =           / soft-deleting",
            f"{_API}._delete",
            guarded=False,
            at_most_s=_SWITCHED_S,
        ),
        model.step(
            "!building / deleting     -> =           / soft-deleting",
            f"{_API}._delete",
            guarded=False,
            at_most_s=_SWITCHED_S,
            defect="A delete was accepted before, and this undoes it: the "
            "request itself is then ignored, for a delete is under way.",
        ),
        *_confirms("soft-deleting"),
        model.step(
            "!building|deleted / soft-deleting -> soft-delete / NULL",
            f"{_MANAGER}.soft_delete_instance",
        ),
        model.step(
            "!building|deleted / soft-deleting -> soft-delete / NULL",
            f"{_API}._do_soft_delete",
            guarded=False,
            when="its host is down, or it is on none: it is deleted at once",
        ),
        model.destroys(
            "soft-delete / NULL",
            f"{_API}._local_delete",
            when="its host is down, or it is on none: it is deleted at once",
        ),
        model.destroys(
            "deleted / soft-deleting",
            f"{_MANAGER}._complete_partial_deletion",
            when="only the row was left; at the next start of nova-compute",
        ),
        model.step(
            "deleted / soft-deleting  -> soft-delete / NULL",
            f"{_API}._do_soft_delete",
            guarded=False,
            defect="The guest is destroyed already: what could be restored "
            "from now on is not there.",
        ),
        *_takes(shares.not_ready(f"{_SHARED} / soft-deleting")),
        *_takes(shares.not_ready_34("resized / soft-deleting")),
        *_takes(shares.not_mounted(f"{_SHARED} / soft-deleting")),
        model.fails(
            "!building / soft-deleting -> =          / NULL",
            f"{_MANAGER}.soft_delete_instance",
            via=names.REVERTS,
            reserved=True,
        ),
    ),
    overruled_by=("delete", "reset-state"),
    gaps=(_UNCONFIRMED,),
    note="The API offers it where [DEFAULT]reclaim_instance_interval is set, "
    "for servers that have run: none that is building has. "
    "A hard delete over it is accepted and never reaches the host: the row "
    "stays deleting until nova-compute starts again.",
)

ACTIONS: Final[tuple[model.Action, ...]] = (DELETE, SOFT_DELETE)
