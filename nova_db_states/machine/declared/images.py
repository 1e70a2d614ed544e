# SPDX-License-Identifier: Apache-2.0
"""Images of servers: snapshot, backup, and those of volumes."""

from typing import Final

from nova_db_states.machine import model
from nova_db_states.machine.declared import names

__all__ = ["ACTIONS"]

_API = names.API
_MANAGER = names.MANAGER
_FAKE = "nova/virt/fake.py:FakeDriver"
_LIBVIRT = "nova/virt/libvirt/driver.py:LibvirtDriver"
_VMWARE = "nova/virt/vmwareapi/vmops.py:VMwareVMOps"
_ZVM = "nova/virt/zvm/driver.py:ZVMDriver"

_HANDED_OVER_S: Final = 10 * names.MINUTE
"""For the way to the host."""

_TURN_S: Final = 6 * names.HOUR
"""[DEFAULT]max_concurrent_snapshots (5) others may be at their upload."""

_READ_S: Final = 2 * names.HOUR
"""For a disk to be read and converted."""

_UPLOAD_S: Final = 6 * names.HOUR
"""For a disk to travel to the image service, or to be cloned in Ceph."""


def _transfer(taken: str) -> tuple[model.Write, ...]:
    """Declare what the drivers say on the way of a disk to its image.

    :param taken: the task that they find
    :returns: the writes
    """
    vm_states = "active|stopped|paused|suspended"
    return (
        *(
            model.step(
                f"{vm_states} / {taken} -> = / image_pending_upload",
                f"{driver}.snapshot",
                via=names.CALLBACK,
                at_most_s=_READ_S,
            )
            for driver in (_LIBVIRT, _VMWARE, _ZVM)
        ),
        model.step(
            f"{vm_states} / {taken} -> = / image_uploading",
            f"{_FAKE}.snapshot",
            via=names.CALLBACK,
            at_most_s=_UPLOAD_S,
        ),
        *(
            model.step(
                f"{vm_states} / image_pending_upload -> = / image_uploading",
                f"{driver}.snapshot",
                via=names.CALLBACK,
                at_most_s=_UPLOAD_S,
            )
            for driver in (_LIBVIRT, _VMWARE, _ZVM)
        ),
        model.step(
            f"{vm_states} / image_uploading -> = / image_pending_upload",
            f"{_LIBVIRT}.snapshot",
            via=names.CALLBACK,
            when="the disk cannot be cloned in place after all",
            at_most_s=_READ_S,
        ),
        model.step(
            f"{vm_states} / image_uploading -> = / NULL",
            f"{_MANAGER}._snapshot_instance",
        ),
        model.fails(
            f"{vm_states} / {taken}|image_pending_upload|image_uploading "
            "-> = / NULL",
            f"{_MANAGER}._snapshot_instance",
            when="the image was deleted meanwhile",
        ),
        model.fails(
            f"{vm_states} / {taken}|image_pending_upload|image_uploading "
            "-> = / NULL",
            f"{_MANAGER}._snapshot_instance",
            via=names.REVERTS,
            releases=(33, None),
        ),
    )


_LEFT_BEHIND: Final = (
    "Where the guest is gone from the hypervisor, nova-compute drops it "
    "without a write, and the task stays."
)

SNAPSHOT: Final = model.Action(
    "snapshot (createImage)",
    "Make an image of the server's disk.",
    "active|stopped|paused|suspended / NULL",
    f"{_API}.snapshot",
    (
        model.step(
            "active|stopped|paused|suspended / NULL "
            "-> = / image_snapshot_pending",
            f"{_API}.snapshot",
            at_most_s=_HANDED_OVER_S,
        ),
        model.step(
            "active|stopped|paused|suspended / image_snapshot_pending "
            "-> = / image_snapshot",
            f"{_MANAGER}.snapshot_instance",
            at_most_s=_TURN_S,
        ),
        *_transfer("image_snapshot"),
        model.fails(
            "active|stopped|paused|suspended "
            "/ image_snapshot_pending|image_snapshot -> = / NULL",
            f"{_MANAGER}.snapshot_instance",
            via=names.REVERTS,
        ),
        model.fails(
            "active|stopped|paused|suspended "
            "/ image_pending_upload|image_uploading -> = / NULL",
            f"{_MANAGER}.snapshot_instance",
            via=names.REVERTS,
            releases=(None, 32),
        ),
    ),
    overruled_by=(*names.ANYTIME, names.EVACUATE, names.START_UP),
    note=_LEFT_BEHIND,
)

BACKUP: Final = model.Action(
    "backup (createBackup)",
    "Make an image of the server's disk and delete the oldest ones.",
    "active|stopped|paused|suspended / NULL",
    f"{_API}.backup",
    (
        model.step(
            "active|stopped|paused|suspended / NULL -> = / image_backup",
            f"{_API}.backup",
            at_most_s=_HANDED_OVER_S,
        ),
        *_transfer("image_backup"),
        model.fails(
            "active|stopped|paused|suspended "
            "/ image_backup|image_pending_upload|image_uploading "
            "-> = / NULL",
            f"{_MANAGER}.backup_instance",
            via=names.REVERTS,
        ),
    ),
    overruled_by=(*names.ANYTIME, names.EVACUATE, names.START_UP),
    gaps=(
        model.Gap(
            "active|stopped|paused|suspended / NULL",
            since=f"{_MANAGER}._snapshot_instance",
            until=f"{_MANAGER}._rotate_backups",
            allowed=None,
            why="Old backups are still being deleted; the server is idle.",
        ),
    ),
    note=f"{_LEFT_BEHIND} When nova-compute starts it does not look for "
    "image_backup.",
)

VOLUME_SNAPSHOT: Final = model.Action(
    "volume-backed snapshot",
    "Make an image of a server whose disk is a volume.",
    "active|stopped|paused|suspended / NULL",
    f"{_API}.snapshot_volume_backed",
    on_failure="",
    gaps=(
        model.Gap(
            "active|stopped|paused|suspended / NULL",
            since=f"{_API}.snapshot_volume_backed",
            until=f"{_API}.snapshot_volume_backed",
            allowed=None,
            why="No state is written, though nova-api freezes the guest and "
            "has each of its volumes snapshotted. Whatever else is asked for "
            "meanwhile finds a server that seems idle.",
        ),
    ),
)

ACTIONS: Final[tuple[model.Action, ...]] = (
    SNAPSHOT,
    BACKUP,
    VOLUME_SNAPSHOT,
)
