# SPDX-License-Identifier: Apache-2.0
"""Standing still: pause, suspend, and back."""

from typing import Final

from nova_db_states.machine import model
from nova_db_states.machine.declared import names

__all__ = ["ACTIONS"]

_API = names.API
_MANAGER = names.MANAGER

_PAUSED_S: Final = 5 * names.MINUTE
"""For the way to the host; the hypervisor needs no time for it."""

_MEMORY_S: Final = names.HOUR
"""For all of the guest's memory to be written to disk, or read back."""

PAUSE: Final = model.Action(
    "pause",
    "Let the guest stand still in the memory of its host.",
    "active / NULL",
    f"{_API}.pause",
    (
        model.step(
            "active / NULL    -> =      / pausing",
            f"{_API}.pause",
            at_most_s=_PAUSED_S,
        ),
        model.step(
            "active / pausing -> paused / NULL",
            f"{_MANAGER}.pause_instance",
        ),
        model.fails(
            "active / pausing -> =      / NULL",
            f"{_MANAGER}.pause_instance",
            via=names.REVERTS,
        ),
    ),
    overruled_by=(
        *names.ANYTIME,
        names.HARD_REBOOT,
        names.EVACUATE,
        names.START_UP,
    ),
)

UNPAUSE: Final = model.Action(
    "unpause",
    "Let a paused guest go on.",
    "paused / NULL",
    f"{_API}.unpause",
    (
        model.step(
            "paused / NULL      -> =      / unpausing",
            f"{_API}.unpause",
            at_most_s=_PAUSED_S,
        ),
        model.step(
            "paused / unpausing -> active / NULL",
            f"{_MANAGER}.unpause_instance",
        ),
        model.fails(
            "paused / unpausing -> =      / NULL",
            f"{_MANAGER}.unpause_instance",
            via=names.REVERTS,
        ),
    ),
    overruled_by=(*names.ANYTIME, names.HARD_REBOOT, names.START_UP),
)

SUSPEND: Final = model.Action(
    "suspend",
    "Write the guest's memory to disk and switch it off.",
    "active / NULL",
    f"{_API}.suspend",
    (
        model.step(
            "active / NULL             -> =         / suspending",
            f"{_API}.suspend",
            at_most_s=_MEMORY_S,
        ),
        model.step(
            "active / suspending       -> suspended / NULL",
            f"{_MANAGER}.suspend_instance",
        ),
        model.fails(
            "active / suspending       -> =         / NULL",
            f"{_MANAGER}.suspend_instance",
            via=names.ROLLBACK,
            when="the driver cannot do it, or took it back",
        ),
        model.fails(
            "active / suspending       -> error     / =",
            f"{_MANAGER}.suspend_instance",
            via=names.ROLLBACK,
            at_most_s=model.MOMENT_S,
        ),
        model.fails(
            "active|error / suspending -> =         / NULL",
            f"{_MANAGER}.suspend_instance",
            via=names.REVERTS,
        ),
    ),
    on_failure="error / NULL",
    overruled_by=(*names.ANYTIME, names.HARD_REBOOT, names.EVACUATE),
    note="nova-compute does not look for it when it starts.",
)

RESUME: Final = model.Action(
    "resume",
    "Read a suspended guest's memory back and let it go on.",
    "suspended / NULL",
    f"{_API}.resume",
    (
        model.step(
            "suspended / NULL           -> =      / resuming",
            f"{_API}.resume",
            at_most_s=_MEMORY_S,
        ),
        model.step(
            "suspended / resuming       -> active / NULL",
            f"{_MANAGER}.resume_instance",
        ),
        model.fails(
            "suspended / resuming       -> =      / NULL",
            f"{_MANAGER}.resume_instance",
            via=names.ROLLBACK,
            when="the driver cannot do it, or took it back",
        ),
        model.fails(
            "suspended / resuming       -> error  / =",
            f"{_MANAGER}.resume_instance",
            via=names.ROLLBACK,
            at_most_s=model.MOMENT_S,
        ),
        model.fails(
            "suspended|error / resuming -> =      / NULL",
            f"{_MANAGER}.resume_instance",
            via=names.REVERTS,
        ),
    ),
    on_failure="error / NULL",
    overruled_by=(*names.ANYTIME, names.HARD_REBOOT),
    note="It ends in the vm_state that suspend noted, and suspend starts "
    "from active alone. nova-compute does not look for it when it starts.",
)

ACTIONS: Final[tuple[model.Action, ...]] = (PAUSE, UNPAUSE, SUSPEND, RESUME)
