# SPDX-License-Identifier: Apache-2.0
"""The rows of a large cell, the same for the same seed.

Three in ten rows are deleted and not yet archived, nine in ten of the others
are active with nothing being done to them, and a few in a thousand are on
their way from one state to another.
"""

from collections.abc import Iterator, Sequence
import datetime
import random
from typing import Final
import uuid

__all__ = ["COLUMNS", "NOW", "host_name", "hosts", "project_id", "rows"]

NOW: Final = datetime.datetime(2026, 10, 1)
"""When the cell is looked at: naive UTC, fixed so that ages never change."""

COLUMNS: Final = (
    "id",
    "uuid",
    "created_at",
    "updated_at",
    "deleted_at",
    "deleted",
    "vm_state",
    "task_state",
    "host",
    "node",
    "project_id",
    "user_id",
    "hostname",
    "display_name",
    "image_ref",
    "reservation_id",
    "launched_at",
    "terminated_at",
    "power_state",
    "memory_mb",
    "vcpus",
    "root_gb",
    "ephemeral_gb",
    "instance_type_id",
    "availability_zone",
    "root_device_name",
    "cleaned",
    "hidden",
    "compute_id",
)
"""The columns that :func:`rows` fills, in its order."""

_DELETED_SHARE: Final = 0.3
_ROWS_PER_HOST: Final = 500
_ROWS_PER_PROJECT: Final = 200
_OLDEST_DAYS: Final = 1100

# Weights per hundred thousand rows that are not deleted.
_STATES: Final = {
    ("active", None): 90_000,
    ("stopped", None): 5_560,
    ("shelved_offloaded", None): 1_500,
    ("error", None): 1_000,
    ("paused", None): 400,
    ("suspended", None): 400,
    ("soft-delete", None): 300,
    ("resized", None): 200,
    ("shelved", None): 150,
    ("rescued", None): 100,
    ("building", "spawning"): 60,
    ("building", "block_device_mapping"): 30,
    ("building", "networking"): 15,
    ("building", "scheduling"): 15,
    ("active", "powering-off"): 25,
    ("active", "deleting"): 40,
    ("error", "deleting"): 15,
    ("stopped", "powering-on"): 15,
    ("active", "image_uploading"): 50,
    ("active", "image_snapshot"): 15,
    ("active", "migrating"): 40,
    ("active", "resize_prep"): 10,
    ("active", "resize_migrating"): 20,
    ("active", "rebooting"): 20,
    ("active", "rebooting_hard"): 5,
    ("active", "shelving_image_uploading"): 10,
    ("active", "rebuilding"): 5,
}
_WITHOUT_HOST: Final = frozenset({"shelved_offloaded"})


def hosts(count: int) -> int:
    """Say how many compute hosts a cell of this size has.

    :param count: rows of the cell
    :returns: 2,000 at a million rows
    """
    return max(count // _ROWS_PER_HOST, 4)


def host_name(number: int) -> str:
    """Name a compute host.

    :param number: from 0
    :returns: its name
    """
    return f"compute-{number:05d}.cell1.example.org"


def project_id(number: int) -> str:
    """Name a project; those of low number have the most servers.

    :param number: from 0
    :returns: its id
    """
    return f"{(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"


def rows(count: int, seed: int) -> Iterator[tuple[object, ...]]:
    """Make the rows of a cell, the oldest server first.

    :param count: number of rows
    :param seed: of the random choices
    :returns: yields tuples in the order of :data:`COLUMNS`
    """
    chance = random.Random(seed)
    states = list(_STATES)
    weights = list(_STATES.values())
    step = datetime.timedelta(days=_OLDEST_DAYS) / count
    oldest = NOW - datetime.timedelta(days=_OLDEST_DAYS)
    for number in range(1, count + 1):
        created = (oldest + step * number).replace(microsecond=0)
        (state,) = chance.choices(states, weights)
        yield _row(number, count, created, state, chance)


def _row(
    number: int,
    count: int,
    created: datetime.datetime,
    state: Sequence[str | None],
    chance: random.Random,
) -> tuple[object, ...]:
    # The last update of most servers is recent compared with their age.
    updated: datetime.datetime | None = (
        NOW - (NOW - created) * chance.random() ** 2
    ).replace(microsecond=0)
    deleted_at = None
    vm_state, task_state = state
    if chance.random() < _DELETED_SHARE:
        vm_state, task_state, deleted_at = "deleted", None, updated
    elif task_state == "scheduling":
        # Nova writes no updated_at when it inserts a row.
        updated = None
    placed = vm_state not in _WITHOUT_HOST and task_state != "scheduling"
    on = int(chance.random() * hosts(count))
    project = int(chance.random() ** 2 * max(count // _ROWS_PER_PROJECT, 4))
    key = chance.getrandbits(128)
    return (
        number,
        str(uuid.UUID(int=key, version=4)),
        created,
        updated,
        deleted_at,
        number if deleted_at else 0,
        vm_state,
        task_state,
        host_name(on) if placed else None,
        host_name(on) if placed else None,
        project_id(project),
        project_id(-project),
        f"server-{number}",
        f"server-{number}",
        "6b1f7b0e-7c6c-4e21-9d0f-3f1f6e1d4c2a",
        f"r-{key % 36**8:08x}",
        created,
        deleted_at,
        1 if vm_state == "active" else 4,
        4096,
        2,
        20,
        0,
        1 + on % 7,
        "nova",
        "/dev/vda",
        1 if deleted_at else 0,
        0,
        on + 1 if placed else None,
    )
