# SPDX-License-Identifier: Apache-2.0
"""What Nova's source has and the map need not declare, with the reason.

An entry holds for exactly what it says: a helper that starts to write
something else, or to guard what it writes, is reported.
"""

import dataclasses
from typing import Final

from nova_db_states.drift import sites

__all__ = [
    "SAME_ACTION",
    "SPARE",
    "TABLE",
    "UNCHECKED",
    "Spare",
    "Tolerated",
    "Unchecked",
    "find",
    "spare",
]

_MANAGER: Final = "nova/compute/manager.py:ComputeManager"
_API: Final = "nova/compute/api.py:API"
_CONDUCTOR: Final = "nova/conductor/manager.py:ComputeTaskManager"
_CROSS_CELL: Final = "nova/conductor/tasks/cross_cell_migrate.py"
_DB: Final = "nova/db/main/api.py"
_INTERFACES: Final = "nova/objects/virtual_interface.py"
_INSTANCE: Final = "nova/objects/instance.py:Instance"

_HELPER: Final = "Each call of this helper is a write of its own."
_MEMORY: Final = "In memory only: what is saved is declared where that is."
_MECHANISM: Final = "It carries out what others ask for, with their guard."
_OWN: Final = "Nobody asks for it: it looks at the state itself."
_SHARES: Final = "The controller of shares looks at the state before it."
_DETAILS: Final = "Its values are names and addresses, and never a state."

_MARKER: Final = (
    "No server: a row made and deleted at once, to hang a foreign key on."
)

_ANYTHING: Final = "update ? / ? if ? if vm_state ?"
_UNTOLD: Final = "=|? / =|?"


@dataclasses.dataclass(frozen=True)
class Tolerated:
    """A place in the source that needs no declaration.

    :ivar place: ``file:function``
    :ivar what: what the scanner says of it
    :ivar why: why that is no change of the state of a server, or is one that
        is declared elsewhere
    :ivar releases: first and last Nova release that has it; ``None`` for no
        bound
    """

    place: str
    what: str
    why: str
    releases: tuple[int | None, int | None] = (None, None)

    def is_in(self, release: int) -> bool:
        """Say whether a Nova release has it.

        :param release: the number of the release
        """
        first, last = self.releases
        return (first is None or release >= first) and (
            last is None or release <= last
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spare:
    """States that Nova's code names at a place and that never occur there.

    :ivar place: ``file:function``
    :ivar to_vm: states that it could write as ``vm_state``
    :ivar to_task: states that it could write as ``task_state``
    :ivar expected: states in its guard
    :ivar why: why they do not occur
    """

    place: str
    to_vm: sites.Values = frozenset()
    to_task: sites.Values = frozenset()
    expected: sites.Values = frozenset()
    why: str


@dataclasses.dataclass(frozen=True)
class Unchecked:
    """A function that accepts an action and has no decorator to look first.

    :ivar place: ``file:function``
    :ivar why: where the look is instead, or why there is none
    :ivar releases: first and last Nova release that has it; ``None`` for no
        bound
    :ivar otherwise: the function that stands for it in other releases
    """

    place: str
    why: str
    releases: tuple[int | None, int | None] = (None, None)
    otherwise: str = ""

    def in_release(self, release: int) -> str:
        """Give the function that a Nova release has.

        :param release: the number of the release
        """
        first, last = self.releases
        is_in = (first is None or release >= first) and (
            last is None or release <= last
        )
        return self.place if is_in else self.otherwise


TABLE: Final = (
    Tolerated(
        f"{_API}._cleanup_build_artifacts",
        "destroy = / =",
        "It is called before there is a row, and given no servers.",
    ),
    Tolerated(
        f"{_API}._populate_instance_for_create",
        "assign building / scheduling",
        _MEMORY,
    ),
    Tolerated(
        f"{_API}._provision_instances",
        "assign building / scheduling",
        _MEMORY,
    ),
    Tolerated(f"{_API}.update_instance", f"update {_UNTOLD}", _DETAILS),
    Tolerated(f"{_API}.update_instance", f"assign {_UNTOLD}", _DETAILS),
    Tolerated(
        "nova/compute/manager.py:reverts_task_state.decorated_function",
        "update = / NULL through _instance_update",
        _HELPER,
    ),
    Tolerated(f"{_MANAGER}._instance_update", f"update {_UNTOLD}", _HELPER),
    Tolerated(
        f"{_MANAGER}._set_instance_obj_error_state",
        "update error / =|NULL",
        _HELPER,
    ),
    Tolerated(
        f"{_MANAGER}._error_out_instance_on_exception",
        "update ?|active / NULL through _instance_update",
        _HELPER,
    ),
    Tolerated(
        f"{_MANAGER}._error_out_instance_on_exception",
        "update error / = through _set_instance_obj_error_state",
        _HELPER,
    ),
    Tolerated(
        f"{_MANAGER}._update_instance_after_spawn",
        "assign ?|active / NULL",
        _MEMORY,
    ),
    Tolerated(
        f"{_MANAGER}._snapshot_instance.update_task_state",
        "update = / ? if ?|image_backup|image_snapshot",
        _HELPER,
    ),
    Tolerated(
        f"{_MANAGER}._unshelve_instance_key_restore",
        f"assign {_UNTOLD}",
        _DETAILS,
    ),
    Tolerated(
        "nova/compute/share_management.py:"
        "ShareManager._set_instance_error_state",
        "update error / NULL",
        _HELPER,
        (34, None),
    ),
    Tolerated(
        f"{_CONDUCTOR}._set_vm_state_and_notify",
        "update ? / ? through set_vm_state_and_notify",
        _HELPER,
    ),
    Tolerated(
        f"{_CONDUCTOR}._live_migrate._set_vm_state",
        "update ?|NULL / ?|NULL through set_vm_state_and_notify",
        _HELPER,
    ),
    Tolerated(
        "nova/scheduler/utils.py:set_vm_state_and_notify",
        f"update {_UNTOLD}",
        _HELPER,
    ),
    Tolerated(
        f"{_CROSS_CELL}:ConfirmResizeTask._set_vm_and_task_state",
        "assign active|stopped / NULL",
        _MEMORY,
    ),
    Tolerated(f"{_DB}:instance_create", f"assign {_UNTOLD}", _MECHANISM),
    Tolerated(f"{_DB}:_instance_update", f"assign {_UNTOLD}", _MECHANISM),
    Tolerated(f"{_DB}:_instance_update", _ANYTHING, _MECHANISM),
    Tolerated(
        f"{_INSTANCE}._from_db_object",
        f"assign {_UNTOLD}",
        "It fills an object from its row, and writes nothing.",
    ),
    Tolerated(
        f"{_INSTANCE}.create",
        _ANYTHING.replace("update", "create"),
        _MECHANISM,
    ),
    Tolerated(f"{_INSTANCE}.save", _ANYTHING, _MECHANISM),
    Tolerated(
        f"{_INSTANCE}.destroy",
        _ANYTHING.replace("update", "destroy"),
        _MECHANISM,
    ),
    Tolerated(
        f"{_INTERFACES}:_set_or_delete_marker_for_migrate_instances",
        "create ? / ?",
        _MARKER,
    ),
    Tolerated(
        f"{_INTERFACES}:_set_or_delete_marker_for_migrate_instances",
        "destroy = / =",
        _MARKER,
    ),
    Tolerated(
        "nova/objects/build_request.py:BuildRequest.get_new_instance",
        f"assign {_UNTOLD}",
        _MEMORY,
    ),
)
"""Every place that is tolerated."""

SPARE: Final = (
    Spare(
        place=f"{_MANAGER}._reboot_instance",
        to_vm=frozenset({"rescued"}),
        why="The API refuses to reboot a server that is rescued.",
    ),
    Spare(
        place=f"{_MANAGER}._shelve_instance.update_task_state",
        to_task=frozenset({"shelving"}),
        why="It is there to be a guard; no driver asks for it.",
    ),
)
"""Every state that is named for nothing."""


UNCHECKED: Final = (
    Unchecked(f"{_API}.create", "There is no server yet to look at."),
    Unchecked(f"{_API}.lock", "It may be asked for in every state."),
    Unchecked(f"{_API}.allow_share", _SHARES),
    Unchecked(f"{_API}.deny_share", _SHARES),
    Unchecked(
        "nova/api/openstack/compute/admin_actions.py:"
        "AdminActionsController._reset_state",
        "It is there for servers in whatever state.",
    ),
    Unchecked(f"{_MANAGER}._init_instance", _OWN),
    Unchecked(f"{_MANAGER}._check_instance_build_time", _OWN),
    Unchecked(f"{_MANAGER}._poll_rebooting_instances", _OWN),
    Unchecked(f"{_MANAGER}._poll_shelved_instances", _OWN),
    Unchecked(f"{_MANAGER}._reclaim_queued_deletes", _OWN),
    Unchecked(f"{_MANAGER}._sync_instance_power_state", _OWN),
    Unchecked(f"{_MANAGER}.power_update", _OWN),
    Unchecked(
        "nova/compute/share_management.py:ShareManager.get_share_info",
        "It is a part of other actions, and each of those is looked at.",
        (34, None),
        f"{_MANAGER}._get_share_info",
    ),
)
"""Every function that accepts an action without a decorator's look."""

SAME_ACTION: Final = {f"{_API}.force_delete": f"{_API}.delete"}
"""Functions that accept an action which is declared at another."""


def find(site: sites.Site, release: int) -> Tolerated | None:
    """Look for the entry of a site.

    :param site: the site
    :param release: the number of the release it is in
    :returns: the entry, or ``None`` if the site is not tolerated
    """
    for entry in TABLE:
        if (
            entry.place == site.place
            and entry.what == str(site)
            and entry.is_in(release)
        ):
            return entry
    return None


def spare(site: sites.Site) -> Spare:
    """Give the states that are named at a site and never occur there.

    :param site: the site
    :returns: the states
    """
    for entry in SPARE:
        if entry.place == site.place:
            return entry
    return Spare(place=site.place, why="")
