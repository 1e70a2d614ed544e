# SPDX-License-Identifier: Apache-2.0
"""After a soft delete, its end or its undoing; and the override."""

from typing import Final

from nova_db_states.machine import atlas
from nova_db_states.machine import model
from nova_db_states.machine.declared import names
from nova_db_states.machine.declared import shares

__all__ = ["ACTIONS"]

_API = names.API
_MANAGER = names.MANAGER
_RESET = (
    "nova/api/openstack/compute/admin_actions.py:"
    "AdminActionsController._reset_state"
)

_FORGOTTEN_S: Final = 10 * names.MINUTE
"""As at the end of any delete."""

_SWITCHED_S: Final = 15 * names.MINUTE
"""For the way to the host, shares to be mounted and ports to be plugged."""

RECLAIM: Final = model.Action(
    "reclaim (periodic)",
    "Destroy servers that were deleted softly long enough ago.",
    "soft-delete / NULL",
    f"{_MANAGER}._reclaim_queued_deletes",
    (
        model.step(
            "soft-delete / NULL -> deleted / NULL",
            f"{_MANAGER}._delete_instance",
            guarded=False,
            at_most_s=_FORGOTTEN_S,
        ),
        model.destroys("deleted / NULL", f"{_MANAGER}._delete_instance"),
        model.fails(
            "soft-delete / NULL -> error / =",
            f"{_MANAGER}._try_deallocate_network",
            via=names.ERROR,
            when="its ports cannot be removed",
        ),
        model.fails(
            "soft-delete / restoring -> deleted / NULL",
            f"{_MANAGER}._delete_instance",
            at_most_s=_FORGOTTEN_S,
            defect="A restore was accepted meanwhile: the server is "
            "destroyed under it.",
        ),
    ),
    kind=model.Kind.PERIODIC,
    on_failure="",
    overruled_by=(*names.ANYTIME, "restore"),
    gaps=(
        model.Gap(
            "soft-delete / NULL",
            since=f"{_MANAGER}._reclaim_queued_deletes",
            until=f"{_MANAGER}._delete_instance",
            allowed=None,
            why="The guest is destroyed while nothing in the row says so, "
            "and its list may come from a replica: a restore that is "
            "accepted meanwhile loses the server.",
        ),
    ),
)

RESTORE: Final = model.Action(
    "restore",
    "Bring a server back that was deleted softly.",
    "soft-delete / NULL",
    f"{_API}.restore",
    (
        model.step(
            "soft-delete / NULL      -> =      / restoring",
            f"{_API}.restore",
            at_most_s=_SWITCHED_S,
        ),
        model.step(
            "soft-delete / restoring -> active / NULL",
            f"{_MANAGER}.restore_instance",
        ),
        model.step(
            "soft-delete / NULL      -> active / NULL",
            f"{_API}.restore",
            when="it is on no host",
        ),
        *shares.not_ready("soft-delete / restoring"),
        *shares.not_mounted("soft-delete / restoring"),
        model.fails(
            "soft-delete / restoring -> error  / =",
            f"{_MANAGER}._power_on",
            via=names.ERROR,
            when="a share cannot be mounted",
            at_most_s=model.MOMENT_S,
            releases=(34, None),
        ),
        model.fails(
            "soft-delete|error / restoring -> = / NULL",
            f"{_MANAGER}.restore_instance",
            via=names.REVERTS,
        ),
    ),
)

RESET_STATE: Final = model.Action(
    atlas.OVERRIDE,
    "Set a server to active or error, by an administrator's judgement.",
    "* / *",
    _RESET,
    (
        model.step(
            "* / * -> active|error / NULL",
            _RESET,
            guarded=False,
            reserved=True,
        ),
    ),
    kind=model.Kind.ADMIN,
    launched=False,
    on_failure="",
    note="It changes what the row says and nothing else. Whoever works on "
    "the server goes on.",
)

ACTIONS: Final[tuple[model.Action, ...]] = (RECLAIM, RESTORE, RESET_STATE)
