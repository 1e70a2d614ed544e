# SPDX-License-Identifier: Apache-2.0
"""How often a function of Nova's writes the same.

A declaration stands for what a function does, not for each line that does
it. So that a further line is noticed, the lines are counted.
"""

from collections.abc import Collection, Iterable, Iterator
import dataclasses
from typing import Final

from nova_db_states.drift import findings
from nova_db_states.drift import sites

__all__ = ["TABLE", "Repeated", "compare_counts"]

_API: Final = "nova/compute/api.py:API"
_MANAGER: Final = "nova/compute/manager.py:ComputeManager"
_CONDUCTOR: Final = "nova/conductor/manager.py:ComputeTaskManager"
_ERROR: Final = "through _set_instance_obj_error_state"
_NOTIFY: Final = "through _set_vm_state_and_notify"


@dataclasses.dataclass(frozen=True)
class Repeated:
    """A write that a function has more than once.

    :ivar place: ``file:function``
    :ivar what: what the scanner says of it
    :ivar count: how often it is there
    :ivar releases: first and last Nova release that has it so often;
        ``None`` for no bound
    """

    place: str
    what: str
    count: int
    releases: tuple[int | None, int | None] = (None, None)

    def is_in(self, release: int) -> bool:
        """Say whether a Nova release has it so often.

        :param release: the number of the release
        """
        first, last = self.releases
        return (first is None or release >= first) and (
            last is None or release <= last
        )


TABLE: Final = (
    Repeated(f"{_API}._delete", "destroy = / =", 2),
    Repeated(f"{_API}._delete", "update = / deleting|soft-deleting", 2),
    Repeated(f"{_API}._delete_while_booting", "destroy = / =", 2),
    Repeated(f"{_API}.update_instance", "update =|? / =|?", 2),
    Repeated(
        f"{_MANAGER}._do_build_and_run_instance",
        f"update error / NULL {_ERROR}",
        2,
    ),
    Repeated(f"{_MANAGER}._init_instance", "update = / NULL", 3),
    Repeated(f"{_MANAGER}._init_instance", f"update error / = {_ERROR}", 2),
    Repeated(f"{_MANAGER}._init_instance", f"update error / NULL {_ERROR}", 2),
    Repeated(
        f"{_MANAGER}._resume_guests_state",
        f"update error / = {_ERROR}",
        2,
        (34, None),
    ),
    Repeated(
        f"{_MANAGER}.set_admin_password",
        "update = / NULL if updating_password",
        5,
    ),
    Repeated(
        f"{_CONDUCTOR}._allocate_for_evacuate_dest_host",
        f"update ? / NULL {_NOTIFY}",
        2,
    ),
    Repeated(
        f"{_CONDUCTOR}._cold_migrate", f"update ?|active / NULL {_NOTIFY}", 2
    ),
    Repeated(f"{_CONDUCTOR}._delete_build_request", "destroy = / =", 2),
    Repeated(
        f"{_CONDUCTOR}.rebuild_instance", f"update error / NULL {_NOTIFY}", 2
    ),
    Repeated(f"{_CONDUCTOR}.unshelve_instance", "update = / NULL", 2),
    Repeated(f"{_CONDUCTOR}.unshelve_instance", "update error / =", 2),
    Repeated(
        "nova/virt/libvirt/driver.py:LibvirtDriver.snapshot",
        "update = / image_uploading if image_pending_upload "
        "through update_task_state",
        2,
    ),
)
"""Every write that is there more than once."""


def compare_counts(
    found: Iterable[sites.Site], apart: Collection[str], release: int
) -> Iterator[findings.Drift]:
    """Compare how often each write is there.

    :param found: the writes of the source
    :param apart: places that are reported already, with the line
    :param release: the number of the release
    :returns: what is apart
    """
    said = {
        (each.place, each.what): each.count
        for each in TABLE
        if each.is_in(release)
    }
    groups: dict[tuple[str, str], list[sites.Site]] = {}
    for site in found:
        groups.setdefault((site.place, str(site)), []).append(site)
    for (place, what), every in sorted(groups.items()):
        wanted = said.pop((place, what), 1)
        lines = [site.line for site in every]
        if len(every) == wanted or f"{place}, line {lines[0]}" in apart:
            continue
        yield _drift(
            f"{place}, line{'s' * (len(lines) > 1)} "
            f"{', '.join(map(str, lines))}",
            what,
            len(every),
            wanted,
        )
    for (place, what), wanted in sorted(said.items()):
        yield _drift(place, what, 0, wanted)


def _drift(where: str, what: str, found: int, wanted: int) -> findings.Drift:
    return findings.Drift(
        findings.Kind.COUNT,
        where,
        f"{found} x {what}",
        f"{wanted} x {what}",
        "Look whether the declarations hold for each of them, and say in "
        "nova_db_states/drift/repeats.py how many there are.",
    )
