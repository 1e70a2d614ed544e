# SPDX-License-Identifier: Apache-2.0
"""What Nova's functions with unguarded writes select servers by.

The map says where such a write starts; Nova says it only in the conditions
around it. They are written down here as they were when the map was made, so
that a change of theirs is noticed. It wants a look at the map: what starts
where may have changed with it.
"""

from collections.abc import Iterator
import dataclasses
from typing import Final

from nova_db_states.drift import calls
from nova_db_states.drift import findings
from nova_db_states.drift import sites
from nova_db_states.drift import tolerated

__all__ = ["TABLE", "Selection", "compare_conditions"]

_API: Final = "nova/compute/api.py:API"
_MANAGER: Final = "nova/compute/manager.py:ComputeManager"
_CONDUCTOR: Final = "nova/conductor/manager.py:ComputeTaskManager"


@dataclasses.dataclass(frozen=True)
class Selection:
    """What one function selects by.

    :ivar place: ``file:function``
    :ivar conditions: each as the scanner reads it
    :ivar releases: first and last Nova release that has them; ``None`` for
        no bound
    """

    place: str
    conditions: tuple[str, ...]
    releases: tuple[int | None, int | None] = (None, None)

    def is_in(self, release: int) -> bool:
        """Say whether a Nova release has them.

        :param release: the number of the release
        """
        first, last = self.releases
        return (first is None or release >= first) and (
            last is None or release <= last
        )


TABLE: Final = (
    Selection(
        f"{_API}._delete",
        (
            "task_state in deleting|soft-deleting",
            "vm_state in resized",
            "vm_state in shelved|shelved_offloaded",
        ),
    ),
    Selection(
        f"{_API}._local_delete",
        ("vm_state in shelved_offloaded",),
    ),
    Selection(
        f"{_MANAGER}._check_instance_build_time",
        ("vm_state in building",),
    ),
    Selection(
        f"{_MANAGER}._do_rebuild_instance",
        (
            "state not in stopped",
            "vm_state in stopped",
            "vm_state not in error",
        ),
    ),
    Selection(
        f"{_MANAGER}._error_out_instances_whose_build_was_interrupted",
        ("vm_state in building",),
    ),
    Selection(
        f"{_MANAGER}._finish_revert_resize",
        ("vm_state not in stopped",),
    ),
    Selection(
        f"{_MANAGER}._init_instance",
        (
            (
                "task_state in block_device_mapping|networking|scheduling|"
                "spawning"
            ),
            "task_state in deleting",
            (
                "task_state in image_pending_upload|image_snapshot|"
                "image_snapshot_pending|image_uploading"
            ),
            "task_state in migrating",
            (
                "task_state in pausing|reboot_started|reboot_started_hard|"
                "rebooting|rebooting_hard|unpausing"
            ),
            "task_state in powering-off",
            "task_state in powering-on",
            "task_state in reboot_pending|reboot_started|rebooting",
            (
                "task_state in rebuild_block_device_mapping|rebuild_spawning|"
                "rebuilding"
            ),
            "task_state in resize_migrating",
            "task_state in resize_prep",
            "task_state in unpausing",
            "task_state not in deleting|resize_migrating",
            "vm_state in active|stopped",
            "vm_state in building",
            "vm_state in deleted",
            "vm_state in error",
            "vm_state in soft-delete",
            "vm_state not in error",
            "vm_state not in stopped",
        ),
    ),
    Selection(
        f"{_MANAGER}._poll_rebooting_instances",
        ("task_state in reboot_pending|reboot_started|rebooting",),
    ),
    Selection(
        f"{_MANAGER}._poll_shelved_instances",
        (
            "task_state in NULL",
            "vm_state in shelved",
        ),
    ),
    Selection(
        f"{_MANAGER}._reboot_instance",
        ("vm_state in rescued",),
    ),
    Selection(
        f"{_MANAGER}._reclaim_queued_deletes",
        (
            "task_state in NULL",
            "vm_state in soft-delete",
        ),
    ),
    Selection(
        f"{_MANAGER}._sync_instance_power_state",
        (
            "task_state not in NULL",
            "vm_state in active",
            "vm_state in building|error|rescued|resized|suspended",
            "vm_state in deleted|soft-delete",
            "vm_state in paused",
            "vm_state in stopped",
        ),
    ),
    Selection(
        f"{_CONDUCTOR}._cold_migrate",
        ("vm_state in NULL",),
    ),
    Selection(
        f"{_CONDUCTOR}.unshelve_instance",
        (
            "vm_state in shelved",
            "vm_state in shelved_offloaded",
        ),
    ),
)
"""Every function that selects by a state and writes one without a guard."""


def compare_conditions(
    inventory: sites.Inventory, release: int
) -> Iterator[findings.Drift]:
    """Compare what the functions select by.

    :param inventory: what the source has
    :param release: the number of the release
    :returns: what is apart
    """
    known = {
        entry.place: frozenset(entry.conditions)
        for entry in TABLE
        if entry.is_in(release)
    }
    for place in sorted(known.keys() | _selecting(inventory)):
        if place not in inventory.functions:
            # What became of it is told where its writes are missed.
            continue
        found = inventory.conditions.get(place, frozenset())
        said = known.get(place, frozenset())
        if found != said:
            yield findings.Drift(
                findings.Kind.CONDITION,
                place,
                _listed(found - said),
                _listed(said - found),
                "Look whether its writes still start where the map says, and "
                "say in nova_db_states/drift/conditions.py what it selects "
                "by now.",
            )


def _listed(conditions: frozenset[str]) -> str:
    if not conditions:
        return "nothing more"
    return f"also {'; '.join(sorted(conditions))}"


def _selecting(inventory: sites.Inventory) -> frozenset[str]:
    """Give the functions in which the conditions alone say where to start.

    Those around a nested function are conditions of it, too. The decorator
    that reverts does so whatever the conditions in its function are.
    """
    found = {
        site.place
        for site in inventory.sites
        if site.event != sites.ASSIGN
        and site.expected is None
        and site.via != calls.REVERTING
    }
    for entry in tolerated.UNCHECKED:
        found |= {entry.place, entry.otherwise}
    for place in tuple(found):
        file, _, name = place.partition(":")
        parts = name.split(".")
        found |= {
            f"{file}:{'.'.join(parts[:count])}"
            for count in range(1, len(parts))
        }
    return frozenset(found & inventory.functions)
