# SPDX-License-Identifier: Apache-2.0
"""The state vocabulary of Nova, and the two markers a guard may contain.

The values are those of ``nova/objects/fields.py`` (``InstanceState`` and
``InstanceTaskState``); they have not changed between Nova 15 (Ocata) and
Nova 34, and a test compares them with every supported release.
"""

from collections.abc import Iterable
import enum
from typing import Final

__all__ = ["ANY", "Any", "Not", "TaskState", "VMState"]


class VMState(enum.StrEnum):
    """The stable state of a server: what it is while nothing is done to it."""

    ACTIVE = "active"
    BUILDING = "building"
    PAUSED = "paused"
    SUSPENDED = "suspended"
    STOPPED = "stopped"
    RESCUED = "rescued"
    RESIZED = "resized"
    SOFT_DELETED = "soft-delete"
    DELETED = "deleted"
    ERROR = "error"
    SHELVED = "shelved"
    SHELVED_OFFLOADED = "shelved_offloaded"


class TaskState(enum.StrEnum):
    """What is being done to a server; a column that is NULL means nothing."""

    SCHEDULING = "scheduling"
    BLOCK_DEVICE_MAPPING = "block_device_mapping"
    NETWORKING = "networking"
    SPAWNING = "spawning"
    IMAGE_SNAPSHOT = "image_snapshot"
    IMAGE_SNAPSHOT_PENDING = "image_snapshot_pending"
    IMAGE_PENDING_UPLOAD = "image_pending_upload"
    IMAGE_UPLOADING = "image_uploading"
    IMAGE_BACKUP = "image_backup"
    UPDATING_PASSWORD = "updating_password"
    RESIZE_PREP = "resize_prep"
    RESIZE_MIGRATING = "resize_migrating"
    RESIZE_MIGRATED = "resize_migrated"
    RESIZE_FINISH = "resize_finish"
    RESIZE_REVERTING = "resize_reverting"
    RESIZE_CONFIRMING = "resize_confirming"
    REBOOTING = "rebooting"
    REBOOT_PENDING = "reboot_pending"
    REBOOT_STARTED = "reboot_started"
    REBOOTING_HARD = "rebooting_hard"
    REBOOT_PENDING_HARD = "reboot_pending_hard"
    REBOOT_STARTED_HARD = "reboot_started_hard"
    PAUSING = "pausing"
    UNPAUSING = "unpausing"
    SUSPENDING = "suspending"
    RESUMING = "resuming"
    POWERING_OFF = "powering-off"
    POWERING_ON = "powering-on"
    RESCUING = "rescuing"
    UNRESCUING = "unrescuing"
    REBUILDING = "rebuilding"
    REBUILD_BLOCK_DEVICE_MAPPING = "rebuild_block_device_mapping"
    REBUILD_SPAWNING = "rebuild_spawning"
    MIGRATING = "migrating"
    DELETING = "deleting"
    SOFT_DELETING = "soft-deleting"
    RESTORING = "restoring"
    SHELVING = "shelving"
    SHELVING_IMAGE_PENDING_UPLOAD = "shelving_image_pending_upload"
    SHELVING_IMAGE_UPLOADING = "shelving_image_uploading"
    SHELVING_OFFLOADING = "shelving_offloading"
    UNSHELVING = "unshelving"


class Any(enum.Enum):
    """The type of :data:`ANY`; an enum so that type checkers can narrow it."""

    ANY = "ANY"

    def __repr__(self) -> str:
        return "ANY"


ANY: Final = Any.ANY
"""As an expectation: no guard on that field.

``None`` could not say this, because it is a state of its own: ``task_state``
is NULL whenever nothing is being done to the server.
"""


class Not:
    """As an expectation: none of these values.

    NULL counts as a value of its own that differs from every string, so
    ``Not("deleting")`` admits a row whose ``task_state`` is NULL, and
    ``Not(None)`` admits every row whose column is set.

    >>> Not("deleting", "soft-deleting")
    Not('deleting', 'soft-deleting')
    >>> Not(["deleting", None])
    Not('deleting', None)

    :param excluded: the values to exclude, ``None`` for NULL; a single
        collection stands for its members
    """

    __slots__ = ("excluded",)

    excluded: tuple[object, ...]

    def __init__(self, *excluded: object) -> None:
        if len(excluded) == 1 and is_collection(excluded[0]):
            excluded = tuple(excluded[0])  # type: ignore[arg-type]
        self.excluded = excluded

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Not):
            return NotImplemented
        return set(self.excluded) == set(other.excluded)

    def __hash__(self) -> int:
        return hash(("Not", frozenset(self.excluded)))

    def __repr__(self) -> str:
        return f"Not({', '.join(plain(value) for value in self.excluded)})"


def is_collection(value: object) -> bool:
    """Say whether an expectation is a collection of values and not one value.

    :param value: an expectation as a caller wrote it
    :returns: true for lists, sets, generators and the like; false for
        strings and bytes, which Python can iterate too
    """
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes))


def plain(value: object) -> str:
    """Show a value in a message; a state as the string it is in the database.

    :param value: any value of a column, or an expectation of one
    :returns: its ``repr``, without the enum class around a state
    """
    return repr(str(value) if isinstance(value, enum.StrEnum) else value)
