# SPDX-License-Identifier: Apache-2.0
"""Birth: boot, and the timeout of a boot that hangs."""

from typing import Final

from nova_db_states.machine import model
from nova_db_states.machine.declared import names

__all__ = ["ACTIONS"]

_API = names.API
_MANAGER = names.MANAGER
_CONDUCTOR = names.CONDUCTOR
_TRACKER = "nova/compute/resource_tracker.py:ResourceTracker"

_QUEUED_S: Final = names.HOUR
"""For the way to the host and the wait for one of its [DEFAULT]
max_concurrent_builds (10), while the builds before it fetch images."""

_PREPARED_S: Final = 15 * names.MINUTE
"""For the claim, [DEFAULT]arq_binding_timeout (300 s) of the accelerators
and what the driver prepares."""

_VOLUMES_S: Final = names.HOUR
"""[DEFAULT]block_device_allocate_retries times its interval is 180 s for
each volume; volumes made of images need more, and get both raised."""

_SPAWNED_S: Final = 2 * names.HOUR
"""For the download of an image, the node that ironic deploys, and
[DEFAULT]vif_plugging_timeout (300 s)."""

_GIVEN_UP: Final = (
    "The build timeout has set the server to error. The build does not see "
    "that and takes it back."
)

_REFUSED: Final = (
    "A delete was accepted and the build was refused this state for it. The "
    "object still carries it, and this save, of something else, writes it."
)

BOOT: Final = model.Action(
    "boot",
    "Make a server.",
    "(none) / NULL",
    f"{_API}.create",
    (
        model.step(
            "(none)   / NULL                 -> building / scheduling",
            f"{_CONDUCTOR}.schedule_and_build_instances",
            event=model.Event.CREATE,
            guarded=False,
            at_most_s=_QUEUED_S,
        ),
        model.step(
            "(none)   / NULL                 -> building / scheduling",
            f"{_CONDUCTOR}._bury_in_cell0",
            event=model.Event.CREATE,
            guarded=False,
            when="no host was found: the row is made in cell0",
            at_most_s=model.MOMENT_S,
        ),
        model.step(
            "building / scheduling|NULL      -> building / NULL",
            f"{_MANAGER}._do_build_and_run_instance",
            at_most_s=_PREPARED_S,
        ),
        model.step(
            "building / NULL                 -> building / networking",
            f"{_MANAGER}._allocate_network",
            when="the ports were not made on an earlier host",
            at_most_s=_PREPARED_S,
        ),
        model.step(
            "building / networking|NULL      -> building / "
            "block_device_mapping",
            f"{_MANAGER}._build_resources",
            guarded=False,
            at_most_s=_VOLUMES_S,
        ),
        model.step(
            "building / block_device_mapping -> building / spawning",
            f"{_MANAGER}._build_and_run_instance",
            at_most_s=_SPAWNED_S,
        ),
        model.step(
            "building / spawning             -> active   / NULL",
            f"{_MANAGER}._build_and_run_instance",
        ),
        # What the conductor gives up.
        model.fails(
            "building / scheduling -> error / NULL",
            f"{_CONDUCTOR}._bury_in_cell0",
            via=names.NOTIFY,
            when="no host was found",
        ),
        model.fails(
            "building / scheduling -> error / NULL",
            f"{_CONDUCTOR}._cleanup_build_artifacts",
            via=names.NOTIFY,
            when="over quota after all, or no accelerator",
        ),
        model.fails(
            "building / scheduling -> error / NULL",
            f"{_CONDUCTOR}._cleanup_when_reschedule_fails",
            via=names.NOTIFY,
            when="no other host will take it",
        ),
        # What the host gives up.
        model.fails(
            "building / NULL|networking|block_device_mapping|spawning"
            " -> = / scheduling",
            f"{_MANAGER}._do_build_and_run_instance",
            when="another host shall try",
            at_most_s=_QUEUED_S,
        ),
        model.fails(
            "building / block_device_mapping|spawning -> error / =",
            f"{_MANAGER}._try_deallocate_network",
            via=names.ERROR,
            when="its ports cannot be removed either",
            at_most_s=model.MOMENT_S,
        ),
        model.fails(
            "building / NULL|networking|block_device_mapping|spawning"
            " -> error / NULL",
            f"{_MANAGER}._do_build_and_run_instance",
            via=names.ERROR,
        ),
        model.fails(
            "error / block_device_mapping|spawning -> error / NULL",
            f"{_MANAGER}._do_build_and_run_instance",
            via=names.ERROR,
            when="its ports could not be removed",
        ),
        model.fails(
            "building / scheduling|NULL|networking|block_device_mapping"
            "|spawning -> = / NULL",
            f"{_MANAGER}._do_build_and_run_instance",
            via=names.REVERTS,
            when="its failure cannot be dealt with",
            at_most_s=_PREPARED_S,
        ),
        model.fails(
            "building / scheduling -> = / NULL",
            f"{_MANAGER}.build_and_run_instance",
            via=names.REVERTS,
            when="the host takes no more work",
            at_most_s=_PREPARED_S,
        ),
        # What nobody should.
        model.step(
            "error / NULL                 -> building / networking",
            f"{_MANAGER}._allocate_network",
            at_most_s=_PREPARED_S,
            defect=_GIVEN_UP,
        ),
        model.step(
            "error / NULL|networking      -> building / block_device_mapping",
            f"{_MANAGER}._build_resources",
            guarded=False,
            at_most_s=_VOLUMES_S,
            defect=_GIVEN_UP,
        ),
        model.step(
            "error / block_device_mapping -> building / spawning",
            f"{_MANAGER}._build_and_run_instance",
            at_most_s=_SPAWNED_S,
            defect=_GIVEN_UP,
        ),
        model.step(
            "error / spawning             -> active / NULL",
            f"{_MANAGER}._build_and_run_instance",
            defect=_GIVEN_UP,
        ),
        model.fails(
            "building / deleting -> building / networking|spawning",
            f"{_TRACKER}._unset_instance_host_and_node",
            when="the claim is given back",
            at_most_s=model.MOMENT_S,
            dirty=True,
            defect=_REFUSED,
        ),
        model.fails(
            "building / deleting -> active / NULL",
            f"{_MANAGER}._cleanup_allocated_networks",
            dirty=True,
            defect=_REFUSED,
        ),
    ),
    launched=False,
    on_failure="error / NULL",
    overruled_by=(
        "delete",
        "reset-state",
        "build timeout (periodic)",
        names.START_UP,
    ),
    gaps=(
        model.Gap(
            "building / NULL",
            since=f"{_MANAGER}._do_build_and_run_instance",
            until=f"{_MANAGER}._allocate_network",
            allowed=(
                "delete",
                "reset-state",
                "build timeout (periodic)",
                names.START_UP,
            ),
            why="The host has taken the server, claims its resources and "
            "waits for its accelerators. Where the ports come from an "
            "earlier host it lasts until the volumes' turn.",
        ),
    ),
    note="The API answers before there is a row: the request waits in the "
    "API database until a host is found.",
)

BUILD_TIMEOUT: Final = model.Action(
    "build timeout (periodic)",
    "Set a server to error that is not built in time.",
    "building / NULL|networking|block_device_mapping|spawning|deleting",
    f"{_MANAGER}._check_instance_build_time",
    (
        model.fails(
            "building / NULL|networking|block_device_mapping|spawning"
            "|deleting -> error / =",
            f"{_MANAGER}._check_instance_build_time",
            via=names.ERROR,
            at_most_s=model.MOMENT_S,
        ),
        model.fails(
            "error / NULL|networking|block_device_mapping|spawning"
            " -> error / NULL",
            f"{_MANAGER}._do_build_and_run_instance",
            via=names.ERROR,
            when="the build then gives up as well",
        ),
        model.fails(
            "active / NULL -> error / =",
            f"{_MANAGER}._check_instance_build_time",
            via=names.ERROR,
            defect="The list of servers may come from a replica and be old: "
            "one that was finished meanwhile is set to error.",
        ),
    ),
    kind=model.Kind.PERIODIC,
    launched=False,
    on_failure="",
    note="Only where [DEFAULT]instance_build_timeout is set. It leaves the "
    "task alone, and the build goes on.",
)

ACTIONS: Final[tuple[model.Action, ...]] = (BOOT, BUILD_TIMEOUT)
