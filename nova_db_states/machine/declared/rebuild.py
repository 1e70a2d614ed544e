# SPDX-License-Identifier: Apache-2.0
"""A new disk: rebuild, and evacuate from a dead host."""

from typing import Final

from nova_db_states.machine import model
from nova_db_states.machine.declared import names

__all__ = ["ACTIONS"]

_API = names.API
_MANAGER = names.MANAGER
_CONDUCTOR = names.CONDUCTOR

_GIVEN_UP_S: Final = 6 * names.HOUR
"""For the way to the host, the guest to be switched off, its volumes to be
detached and, with a new image, the root volume to be written again:
[DEFAULT]reimage_timeout_per_gb is 20 s, so 5.5 hours for a terabyte."""

_VOLUMES_S: Final = names.HOUR
"""For every volume to be attached again."""

_SPAWNED_S: Final = 2 * names.HOUR
"""As for a boot: the download of an image, the deployment of a node, and
[DEFAULT]vif_plugging_timeout (300 s)."""

_OFF_S: Final = 10 * names.MINUTE
"""As for a stop."""

_ANY: Final = "active|stopped|error"
_WORKING: Final = "rebuilding|rebuild_block_device_mapping|rebuild_spawning"

_WORKER: Final = (
    model.step(
        f"{_ANY} / rebuilding -> = / rebuilding",
        f"{_MANAGER}._do_rebuild_instance",
        at_most_s=_GIVEN_UP_S,
    ),
    model.step(
        f"{_ANY} / rebuilding -> = / rebuild_block_device_mapping",
        f"{_MANAGER}._rebuild_default_impl",
        at_most_s=_VOLUMES_S,
    ),
    model.step(
        f"{_ANY} / rebuild_block_device_mapping -> = / rebuild_spawning",
        f"{_MANAGER}._rebuild_default_impl",
        at_most_s=_SPAWNED_S,
    ),
)

_LAST: Final = (
    model.step(
        f"{_ANY} / rebuild_spawning -> active / NULL",
        f"{_MANAGER}._do_rebuild_instance",
    ),
    model.step(
        "active / NULL         -> active  / powering-off",
        f"{_MANAGER}._do_rebuild_instance",
        guarded=False,
        when="it was stopped, and shall be again",
        at_most_s=_OFF_S,
    ),
    model.step(
        "active / powering-off -> stopped / NULL",
        f"{_MANAGER}.stop_instance.do_stop_instance",
        when="it was stopped, and shall be again",
    ),
)

_GIVING_UP: Final = (
    model.fails(
        f"{_ANY} / rebuilding -> error / NULL",
        f"{_CONDUCTOR}.rebuild_instance",
        via=names.NOTIFY,
        when="no host will take it",
    ),
    model.fails(
        f"{_ANY} / rebuilding -> = / NULL",
        f"{_MANAGER}.rebuild_instance",
        via=names.ROLLBACK,
        when="it was found out before anything was touched",
    ),
    model.fails(
        f"{_ANY} / {_WORKING} -> error / =",
        f"{_MANAGER}.rebuild_instance",
        via=names.ROLLBACK,
        at_most_s=model.MOMENT_S,
    ),
    model.fails(
        f"{_ANY} / soft-deleting -> error / rebuild_block_device_mapping"
        "|rebuild_spawning|NULL",
        f"{_MANAGER}.rebuild_instance",
        via=names.ROLLBACK,
        dirty=True,
        defect=f"{names.REFUSED} A hard delete it recognises, a soft one not.",
    ),
    model.fails(
        f"{_ANY} / rebuilding -> = / NULL",
        f"{_MANAGER}.rebuild_instance",
        via=names.REVERTS,
        when="it does not get as far as the guest",
    ),
    model.fails(
        f"error / {_WORKING} -> = / NULL",
        f"{_MANAGER}.rebuild_instance",
        via=names.REVERTS,
    ),
    model.fails(
        "active / powering-off -> = / NULL",
        f"{_MANAGER}.stop_instance",
        via=names.REVERTS,
        when="the new guest cannot be switched off",
    ),
    model.fails(
        "active|stopped / NULL -> error / =",
        f"{_MANAGER}.rebuild_instance",
        via=names.ROLLBACK,
        when="the new guest runs, and what is left to do fails",
    ),
)

REBUILD: Final = model.Action(
    "rebuild",
    "Give a server a new disk, on the host where it is.",
    f"{_ANY} / NULL",
    f"{_API}.rebuild",
    (
        model.step(
            f"{_ANY} / NULL -> = / rebuilding",
            f"{_API}.rebuild",
            at_most_s=_GIVEN_UP_S,
        ),
        *_WORKER,
        model.step(
            f"{_ANY} / rebuilding -> = / rebuild_spawning",
            "nova/virt/ironic/driver.py:IronicDriver.rebuild",
            when="it is a bare metal node, and skips a step",
            at_most_s=_SPAWNED_S,
        ),
        *_LAST,
        *_GIVING_UP,
    ),
    on_failure="error / NULL",
    overruled_by=(*names.ANYTIME, names.EVACUATE, names.START_UP),
    gaps=(
        model.Gap(
            "active / NULL",
            since=f"{_MANAGER}._do_rebuild_instance",
            until=f"{_MANAGER}._do_rebuild_instance",
            allowed=None,
            why="A server that was stopped is active and idle for a moment "
            "before it is switched off again, and what was begun on it "
            "meanwhile is overwritten: that write has no guard.",
        ),
    ),
)

_FORGOTTEN: Final = (
    "A delete was accepted before and is forgotten: the server is built "
    "again instead."
)

_TWICE: Final = (
    "One evacuation or rebuild is under way, and this begins a second: one "
    "disk is started on two hosts."
)

EVACUATE: Final = model.Action(
    names.EVACUATE,
    "Build a server again on another host, because its own is dead.",
    f"{_ANY} / *",
    f"{_API}.evacuate",
    (
        model.step(
            f"{_ANY} / !deleting|soft-deleting|unshelving|{_WORKING}"
            " -> = / rebuilding",
            f"{_API}.evacuate",
            guarded=False,
            at_most_s=_GIVEN_UP_S,
        ),
        model.step(
            f"{_ANY} / unshelving -> = / rebuilding",
            f"{_API}.evacuate",
            guarded=False,
            when="it was shelved, and never taken off its host",
            at_most_s=_GIVEN_UP_S,
        ),
        model.step(
            f"{_ANY} / deleting|soft-deleting -> = / rebuilding",
            f"{_API}.evacuate",
            guarded=False,
            at_most_s=_GIVEN_UP_S,
            defect=_FORGOTTEN,
        ),
        model.step(
            f"{_ANY} / {_WORKING} -> = / rebuilding",
            f"{_API}.evacuate",
            guarded=False,
            at_most_s=_GIVEN_UP_S,
            defect=_TWICE,
        ),
        *_WORKER,
        *_LAST,
        model.fails(
            f"{_ANY} / rebuilding -> = / NULL",
            f"{_CONDUCTOR}._allocate_for_evacuate_dest_host",
            via=names.NOTIFY,
            when="the host that was asked for cannot take it",
        ),
        *_GIVING_UP,
    ),
    kind=model.Kind.ADMIN,
    on_failure="error / NULL",
    overruled_by=(*names.ANYTIME, names.START_UP),
    gaps=(
        model.Gap(
            "active / NULL",
            since=f"{_MANAGER}._do_rebuild_instance",
            until=f"{_MANAGER}._do_rebuild_instance",
            allowed=None,
            why="A server that was stopped, or shall be, is active and idle "
            "for a moment before it is switched off: as in a rebuild.",
        ),
        model.Gap(
            "active|stopped / NULL",
            since=f"{_MANAGER}._do_rebuild_instance",
            until="nova/compute/resource_tracker.py:"
            "ResourceTracker.finish_evacuation",
            allowed=None,
            why="The guest runs on its new host while the row still names "
            "the dead one: what is asked for now goes there.",
        ),
    ),
    note="Accepted whatever the server is doing, because its host is dead; "
    "one that has none, like an offloaded one in error, is not evacuated. "
    "A dead host that is not cut off from the disks makes two guests of one "
    "server. Servers in error go through the same steps and become active.",
)

ACTIONS: Final[tuple[model.Action, ...]] = (REBUILD, EVACUATE)
