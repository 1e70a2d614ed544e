# SPDX-License-Identifier: Apache-2.0
"""Reboots: soft, hard, and the hard one that ends a soft one that hangs."""

from typing import Final

from nova_db_states.machine import model
from nova_db_states.machine.declared import names
from nova_db_states.machine.declared import shares

__all__ = ["ACTIONS"]

_API = names.API
_MANAGER = names.MANAGER

_HANDED_OVER_S: Final = 10 * names.MINUTE
"""For the way to the host, and for whoever holds the server's lock there."""

_PENDING_S: Final = 2 * names.MINUTE
"""Only a log line stands between this and the next write."""

_REBOOTED_S: Final = 20 * names.MINUTE
"""For shares to be mounted, volumes to be connected, ports to be plugged
([DEFAULT]vif_plugging_timeout, 300 s), and, when it is soft, a guest that
takes its time ([libvirt]wait_soft_reboot_seconds, 120 s)."""

_NOT_MINE: Final = (
    "The end of a reboot is written without a guard: it takes the server "
    "from whatever was begun on it meanwhile."
)

REBOOT_SOFT: Final = model.Action(
    "reboot soft",
    "Ask the guest to restart; power-cycle it if it does not.",
    "active / NULL",
    f"{_API}._soft_reboot",
    (
        model.step(
            "active / NULL                          -> = / rebooting",
            f"{_API}._soft_reboot",
            at_most_s=_HANDED_OVER_S,
        ),
        model.step(
            "active / rebooting                     -> = / reboot_pending",
            f"{_MANAGER}._reboot_instance",
            at_most_s=_PENDING_S,
        ),
        model.step(
            "active / reboot_pending                -> = / reboot_started",
            f"{_MANAGER}._reboot_instance",
            at_most_s=_REBOOTED_S,
        ),
        model.step(
            "active / reboot_pending|reboot_started -> = / reboot_pending",
            f"{_MANAGER}._reboot_instance",
            when="asked for again by a nova-compute that starts",
            at_most_s=_PENDING_S,
        ),
        model.step(
            "active / reboot_started                -> active / NULL",
            f"{_MANAGER}._reboot_instance",
            guarded=False,
        ),
        *shares.not_ready("active / rebooting|reboot_pending"),
        model.fails(
            "active / reboot_started                -> error / =",
            f"{_MANAGER}._reboot_instance",
            via=names.ERROR,
            when="the guest does not run afterwards",
            at_most_s=model.MOMENT_S,
        ),
        model.fails(
            "active / deleting|soft-deleting -> error / reboot_started",
            f"{_MANAGER}._reboot_instance",
            via=names.ERROR,
            when="the guest is off",
            dirty=True,
            defect=names.REFUSED,
        ),
        model.fails(
            "active / rebooting|reboot_pending|reboot_started -> = / NULL",
            f"{_MANAGER}.reboot_instance",
            via=names.REVERTS,
        ),
        model.fails(
            "error  / reboot_started                -> = / NULL",
            f"{_MANAGER}.reboot_instance",
            via=names.REVERTS,
        ),
        model.fails(
            "active / rebuilding|rebuild_block_device_mapping"
            "|rebuild_spawning -> active / NULL",
            f"{_MANAGER}._reboot_instance",
            when="the server was evacuated meanwhile",
            defect=_NOT_MINE,
        ),
        model.fails(
            "error / NULL|rebooting_hard|powering-off|rescuing|rebuilding"
            "|rebuild_block_device_mapping|rebuild_spawning "
            "-> active / NULL",
            f"{_MANAGER}._reboot_instance",
            when="its state was set to error meanwhile",
            defect=_NOT_MINE,
        ),
    ),
    overruled_by=(
        *names.ANYTIME,
        names.HARD_REBOOT,
        "reboot timeout (periodic)",
        names.EVACUATE,
        names.START_UP,
    ),
)


def _cycle(vm_states: str, shared: str) -> tuple[model.Write, ...]:
    """Declare what nova-compute writes while it power-cycles a guest.

    :param vm_states: what the server was when it was asked for
    :param shared: the same of a server with a share
    :returns: the writes
    """
    return (
        model.step(
            f"{vm_states} / rebooting_hard -> = / reboot_pending_hard",
            f"{_MANAGER}._reboot_instance",
            at_most_s=_PENDING_S,
        ),
        model.step(
            f"{vm_states} / reboot_pending_hard -> = / reboot_started_hard",
            f"{_MANAGER}._reboot_instance",
            at_most_s=_REBOOTED_S,
        ),
        model.step(
            f"{vm_states} / reboot_pending_hard|reboot_started_hard "
            "-> = / reboot_pending_hard",
            f"{_MANAGER}._reboot_instance",
            when="asked for again by a nova-compute that starts",
            at_most_s=_PENDING_S,
        ),
        model.step(
            f"{vm_states} / reboot_started_hard -> active / NULL",
            f"{_MANAGER}._reboot_instance",
            guarded=False,
        ),
        *shares.not_ready(
            f"{shared} "
            "/ rebooting_hard|reboot_pending_hard|reboot_started_hard"
        ),
        *shares.not_mounted(f"{shared} / reboot_started_hard"),
        model.fails(
            f"{vm_states} / reboot_started_hard -> error / =",
            f"{_MANAGER}._reboot_instance",
            via=names.ERROR,
            when="the guest does not run afterwards",
            at_most_s=model.MOMENT_S,
        ),
        model.fails(
            f"{vm_states} / deleting|soft-deleting "
            "-> error / reboot_started_hard",
            f"{_MANAGER}._reboot_instance",
            via=names.ERROR,
            when="the guest is off",
            dirty=True,
            defect=names.REFUSED,
        ),
        model.fails(
            f"{vm_states} "
            "/ rebooting_hard|reboot_pending_hard|reboot_started_hard "
            "-> = / NULL",
            f"{_MANAGER}.reboot_instance",
            via=names.REVERTS,
        ),
    )


REBOOT_HARD: Final = model.Action(
    "reboot hard",
    "Power-cycle the guest; it may take over from what hangs.",
    "active|stopped|paused|suspended|error / NULL"
    "|rebooting|reboot_pending|reboot_started|rebooting_hard"
    "|pausing|unpausing|suspending|resuming",
    f"{_API}._hard_reboot",
    (
        model.step(
            "active|stopped|paused|suspended|error / NULL"
            "|rebooting|reboot_pending|reboot_started|rebooting_hard"
            "|pausing|unpausing|suspending|resuming -> = / rebooting_hard",
            f"{_API}._hard_reboot",
            at_most_s=_HANDED_OVER_S,
        ),
        *_cycle(
            "active|stopped|paused|suspended|error",
            "active|stopped|paused|error",
        ),
        model.fails(
            "active|stopped / rebuilding|rebuild_block_device_mapping"
            "|rebuild_spawning -> active / NULL",
            f"{_MANAGER}._reboot_instance",
            when="the server was evacuated meanwhile",
            defect=_NOT_MINE,
        ),
        model.fails(
            "error / NULL|powering-off|rescuing|rebuilding"
            "|rebuild_block_device_mapping|rebuild_spawning "
            "-> active / NULL",
            f"{_MANAGER}._reboot_instance",
            when="its state was set to error meanwhile",
            defect=_NOT_MINE,
        ),
    ),
    overruled_by=(*names.ANYTIME, names.EVACUATE, names.START_UP),
    note="Whoever it takes the server from may still be at work on the host.",
)

REBOOT_TIMEOUT: Final = model.Action(
    "reboot timeout (periodic)",
    "Power-cycle a guest whose soft reboot hangs.",
    "active|error / rebooting|reboot_pending|reboot_started",
    f"{_MANAGER}._poll_rebooting_instances",
    (
        model.step(
            "active|error / rebooting|reboot_pending|reboot_started "
            "-> = / rebooting_hard",
            f"{_API}._hard_reboot",
            at_most_s=_HANDED_OVER_S,
        ),
        *_cycle("active|error", "active|error"),
    ),
    kind=model.Kind.PERIODIC,
    overruled_by=(*names.ANYTIME, names.EVACUATE, names.START_UP),
    note="Off unless [DEFAULT]reboot_timeout is set, and only the VMware "
    "driver does anything then: it asks the API for a hard reboot.",
)

ACTIONS: Final[tuple[model.Action, ...]] = (
    REBOOT_SOFT,
    REBOOT_HARD,
    REBOOT_TIMEOUT,
)
