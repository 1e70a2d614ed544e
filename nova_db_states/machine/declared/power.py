# SPDX-License-Identifier: Apache-2.0
"""Power: start, stop, the periodic sync, and what ironic reports."""

from typing import Final

from nova_db_states.machine import model
from nova_db_states.machine.declared import names
from nova_db_states.machine.declared import shares

__all__ = ["ACTIONS"]

_API = names.API
_MANAGER = names.MANAGER
_IRONIC = "nova/virt/ironic/driver.py:IronicDriver"

_SWITCHED_S: Final = 10 * names.MINUTE
"""For the way to the host, the lock of the server, [DEFAULT]
shutdown_timeout (60 s, an image may ask for more) or the mounting of shares
and the plugging of ports ([DEFAULT]vif_plugging_timeout, 300 s)."""

START: Final = model.Action(
    "start",
    "Power a stopped guest on.",
    "stopped / NULL",
    f"{_API}.start",
    (
        model.step(
            "stopped / NULL              -> =      / powering-on",
            f"{_API}.start",
            at_most_s=_SWITCHED_S,
        ),
        model.step(
            "stopped / powering-on       -> active / NULL",
            f"{_MANAGER}.start_instance",
        ),
        *shares.not_ready("stopped / powering-on"),
        *shares.not_mounted("stopped / powering-on"),
        model.fails(
            "stopped / powering-on       -> error  / =",
            f"{_MANAGER}._power_on",
            via=names.ERROR,
            when="a share cannot be mounted",
            at_most_s=model.MOMENT_S,
            releases=(34, None),
        ),
        model.fails(
            "stopped|error / powering-on -> =      / NULL",
            f"{_MANAGER}.start_instance",
            via=names.REVERTS,
        ),
    ),
    overruled_by=(*names.ANYTIME, names.EVACUATE),
    note="nova-compute asks for it again when it starts and finds the task.",
)

STOP: Final = model.Action(
    "stop",
    "Power the guest off and keep its place on the host.",
    "active|error / NULL",
    f"{_API}.stop",
    (
        model.step(
            "active|error / NULL         -> =       / powering-off",
            f"{_API}.force_stop",
            at_most_s=_SWITCHED_S,
        ),
        model.step(
            "active|error / powering-off -> stopped / NULL",
            f"{_MANAGER}.stop_instance.do_stop_instance",
        ),
        model.step(
            "active|error / NULL         -> stopped / NULL",
            f"{_MANAGER}.stop_instance.do_stop_instance",
            when="the guest was off already, and the task was cleared",
        ),
        *shares.not_ready("active|error / powering-off"),
        *shares.not_mounted("active|error / powering-off"),
        model.fails(
            "active|error / powering-off -> =       / NULL",
            f"{_MANAGER}.stop_instance",
            via=names.REVERTS,
        ),
    ),
    overruled_by=(*names.ANYTIME, names.EVACUATE),
    note="nova-compute asks for it again when it starts and finds the task.",
)

POWER_SYNC: Final = model.Action(
    "power state sync (periodic)",
    "Stop a server whose guest is not in the power that its state implies.",
    "active|stopped|paused / NULL",
    f"{_MANAGER}._sync_instance_power_state",
    (
        model.step(
            "active|stopped|paused / NULL         -> =       / powering-off",
            f"{_API}.force_stop",
            at_most_s=_SWITCHED_S,
        ),
        model.step(
            "active|stopped|paused / powering-off -> stopped / NULL",
            f"{_MANAGER}.stop_instance.do_stop_instance",
        ),
        model.step(
            "active|paused / NULL                 -> stopped / NULL",
            f"{_MANAGER}.stop_instance.do_stop_instance",
            when="the guest was off already, and the task was cleared",
        ),
        *shares.not_ready("active|stopped|paused / powering-off"),
        *shares.not_mounted("active|stopped|paused / powering-off"),
        model.fails(
            "active|stopped|paused / powering-off -> =       / NULL",
            f"{_MANAGER}.stop_instance",
            via=names.REVERTS,
        ),
    ),
    kind=model.Kind.PERIODIC,
    launched=False,
    overruled_by=(*names.ANYTIME, names.EVACUATE),
    note="The power rules say which readings make it act. An active server "
    "goes through API.stop, the others through API.force_stop. A server "
    "from the days of shutdown_terminate is deleted instead.",
)

POWER_UPDATE: Final = model.Action(
    "power-update event (ironic)",
    "Note that a bare metal node was switched on or off outside of Nova.",
    "stopped|active / NULL",
    f"{_MANAGER}.power_update",
    (
        model.step(
            "stopped / NULL         -> =       / powering-on",
            f"{_MANAGER}.power_update.do_power_update",
            when="the node is on, and its last power_state is SHUTDOWN",
            at_most_s=model.MOMENT_S,
        ),
        model.step(
            "active  / NULL         -> =       / powering-off",
            f"{_MANAGER}.power_update.do_power_update",
            when="the node is off, and its last power_state is RUNNING",
            at_most_s=model.MOMENT_S,
        ),
        model.step(
            "stopped / powering-on  -> active  / NULL",
            f"{_IRONIC}.power_update_event",
        ),
        model.step(
            "active  / powering-off -> stopped / NULL",
            f"{_IRONIC}.power_update_event",
        ),
        model.fails(
            "stopped / powering-on  -> =       / NULL",
            f"{_MANAGER}.power_update",
            via=names.REVERTS,
        ),
        model.fails(
            "active  / powering-off -> =       / NULL",
            f"{_MANAGER}.power_update",
            via=names.REVERTS,
        ),
    ),
    kind=model.Kind.EVENT,
    launched=False,
    overruled_by=(*names.ANYTIME, names.EVACUATE),
    note="Best effort: where another task was quicker, the event is dropped.",
)

CRASH_DUMP: Final = model.Action(
    "trigger crash dump",
    "Send the guest the interrupt that makes it dump its memory.",
    "active|paused|rescued|resized|error / NULL",
    f"{_API}.trigger_crash_dump",
    on_failure="",
    gaps=(
        model.Gap(
            "active|paused|rescued|resized|error / NULL",
            since=f"{_API}.trigger_crash_dump",
            until=f"{_MANAGER}.trigger_crash_dump",
            allowed=None,
            why="No state is written: what the guest makes of the interrupt "
            "is its own affair, and it may dump for minutes.",
        ),
    ),
)

ACTIONS: Final[tuple[model.Action, ...]] = (
    START,
    STOP,
    POWER_SYNC,
    POWER_UPDATE,
    CRASH_DUMP,
)
