# SPDX-License-Identifier: Apache-2.0
"""A small map without a fault, and what may be wrong with one like it."""

import dataclasses
from typing import Any, Final

from nova_db_states.machine import model
from nova_db_states.machine import notation

__all__ = [
    "BOOT",
    "BROKEN",
    "DELETE",
    "GOOD",
    "OTHERS",
    "PAUSE",
    "changed",
    "extended",
    "shortened",
]

OTHERS: Final = ("delete",)

BOOT: Final = model.Action(
    "boot",
    "Make a server.",
    "(none) / NULL",
    "f:boot",
    (
        model.step(
            "(none) / NULL -> building / scheduling",
            "f:boot",
            event=model.Event.CREATE,
            at_most_s=60,
        ),
        model.step("building / scheduling -> active / NULL", "f:spawn"),
        model.fails("building / scheduling -> error / NULL", "f:bury"),
    ),
    on_failure="error / NULL",
    overruled_by=OTHERS,
)
PAUSE: Final = model.Action(
    "pause",
    "Let the guest stand still.",
    "active / NULL",
    "f:pause",
    (
        model.step("active / NULL -> = / pausing", "f:pause", at_most_s=60),
        model.step("active / pausing -> paused / NULL", "f:paused"),
        model.fails("active / pausing -> = / NULL", "f:paused"),
    ),
    overruled_by=OTHERS,
)
DELETE: Final = model.Action(
    "delete",
    "Delete it.",
    "* / *",
    "f:delete",
    (
        model.step("* / * -> = / deleting", "f:delete", at_most_s=60),
        model.step(
            "* / deleting -> deleted / NULL", "f:destroy", at_most_s=60
        ),
        model.destroys("deleted / NULL", "f:destroy"),
        model.fails("* / deleting -> error / NULL", "f:failed", reserved=True),
    ),
    launched=False,
    on_failure="error / NULL",
    overruled_by=(),
)
GOOD: Final = (BOOT, PAUSE, DELETE)


def changed(
    action: model.Action, number: int, change: str, **fields: Any
) -> model.Action:
    """Change one write of an action."""
    writes = list(action.writes)
    writes[number] = dataclasses.replace(
        writes[number], change=notation.parse(change), **fields
    )
    return dataclasses.replace(action, writes=tuple(writes))


def extended(action: model.Action, *writes: model.Write) -> model.Action:
    """Add writes to an action."""
    return dataclasses.replace(action, writes=(*action.writes, *writes))


def shortened(action: model.Action, number: int) -> model.Action:
    """Take one write out of an action."""
    writes = list(action.writes)
    del writes[number]
    return dataclasses.replace(action, writes=tuple(writes))


_NOWHERE: Final = model.fails("active / pausing -> error / NULL", "")

BROKEN: Final[dict[str, tuple[tuple[model.Action, ...], str]]] = {
    "no boot": (
        (PAUSE, DELETE),
        "nothing leads from (none): no server could ever be booted",
    ),
    "a vm_state that nothing leads to": (
        (
            BOOT,
            changed(PAUSE, 0, "active|rescued / NULL -> = / pausing"),
            DELETE,
        ),
        (
            "pause: nothing leads to rescued, from which "
            "'active|rescued / NULL -> = / pausing' starts"
        ),
    ),
    "a task_state that nothing leads to": (
        (
            BOOT,
            changed(PAUSE, 1, "active / pausing|rescuing -> paused / NULL"),
            DELETE,
        ),
        (
            "pause: nothing leads to rescuing, from which "
            "'active / pausing|rescuing -> paused / NULL' starts"
        ),
    ),
    "a pair that nothing leads to": (
        (
            BOOT,
            changed(PAUSE, 1, "building / pausing -> paused / NULL"),
            DELETE,
        ),
        (
            "pause: nothing leads to a start of "
            "'building / pausing -> paused / NULL'"
        ),
    ),
    "a gap in a state that nothing has": (
        (
            BOOT,
            dataclasses.replace(
                PAUSE,
                gaps=(model.Gap("actve / NULL", "f:a", "f:b", None, "."),),
            ),
            DELETE,
        ),
        (
            "pause: The state map cannot be read: Nova has no vm_state "
            "'actve'; did you mean 'active'?, in 'actve / NULL -> = / ='."
        ),
    ),
    "a write without a place": (
        (BOOT, extended(PAUSE, _NOWHERE), DELETE),
        (
            "pause: 'active / pausing -> error / NULL' names no function of "
            "Nova, but ''"
        ),
    ),
    "a name that is never reached": (
        (BOOT, changed(PAUSE, 1, "active / pausing -> = / NULL"), DELETE),
        "paused is never reached, against what vocabulary.UNUSED says",
    ),
    "a name that is used against what is said": (
        (
            BOOT,
            changed(PAUSE, 1, "active / pausing -> resized / NULL"),
            DELETE,
        ),
        "resized is written, against what vocabulary.UNUSED says",
    ),
    "delete not from everywhere": (
        (BOOT, PAUSE, changed(DELETE, 0, "* / !pausing -> = / deleting")),
        "active / pausing: delete is not allowed",
    ),
    "delete by another name": (
        (BOOT, PAUSE, dataclasses.replace(DELETE, name="remove")),
        "active / NULL: delete is not allowed",
    ),
    "a delete that does not arrive": (
        (BOOT, PAUSE, shortened(DELETE, 2)),
        "paused / deleting: no way to deletion",
    ),
    "a transient state without an age": (
        (
            BOOT,
            changed(PAUSE, 0, "active / NULL -> = / pausing", at_most_s=None),
            DELETE,
        ),
        "active / pausing: transient, and without a maximum age",
    ),
    "a transient state that nothing ends": (
        (
            BOOT,
            shortened(shortened(PAUSE, 2), 1),
            DELETE,
        ),
        "active / pausing: transient, and nothing but a delete ends it",
    ),
    "a transient state that ends in itself": (
        (
            BOOT,
            changed(shortened(PAUSE, 2), 1, "active / pausing -> = / pausing"),
            DELETE,
        ),
        "active / pausing: transient, and nothing but a delete ends it",
    ),
    "a delete that is overwritten": (
        (
            BOOT,
            extended(
                PAUSE,
                model.fails("active / deleting -> = / NULL", "f:late"),
            ),
            DELETE,
        ),
        (
            "active / deleting -> active / NULL (pause, f:late): overwrites a "
            "delete; declare it as a defect"
        ),
    ),
    "a delete that anybody may give up": (
        (
            BOOT,
            PAUSE,
            changed(DELETE, 3, "* / deleting -> error / NULL", reserved=False),
        ),
        (
            "active / deleting -> error / NULL (delete, f:failed): ends a "
            "delete without deleting; reserve it"
        ),
    ),
    "an action that is not there": (
        (
            BOOT,
            dataclasses.replace(PAUSE, overruled_by=("delete", "purge")),
            DELETE,
        ),
        "pause: there is no action 'purge'",
    ),
    "an action that is not there, in a gap": (
        (
            BOOT,
            dataclasses.replace(
                PAUSE,
                gaps=(
                    model.Gap("active / NULL", "f:a", "f:b", ("purge",), ""),
                ),
            ),
            DELETE,
        ),
        "pause: there is no action 'purge'",
    ),
    "a running state without a failure": (
        (BOOT, shortened(PAUSE, 2), DELETE),
        "pause: from active / pausing no failure leads to '= / NULL'",
    ),
    "a failure that leads elsewhere": (
        (
            BOOT,
            changed(PAUSE, 2, "active / pausing -> error / NULL"),
            DELETE,
        ),
        "pause: from active / pausing no failure leads to '= / NULL'",
    ),
    "a first step that is wider than the start": (
        (
            BOOT,
            changed(PAUSE, 0, "active|error / NULL -> = / pausing"),
            DELETE,
        ),
        "pause: begins from error / NULL, against its starts",
    ),
    "a first step that is narrower than the start": (
        (
            BOOT,
            dataclasses.replace(PAUSE, starts="active|error / NULL"),
            DELETE,
        ),
        "pause: starts in error / NULL, but no first step does",
    ),
    "a step from a state of another action": (
        (
            BOOT,
            changed(PAUSE, 1, "active|error / pausing|NULL -> paused / NULL"),
            DELETE,
        ),
        (
            "pause: 'active|error / pausing|NULL -> paused / NULL' starts "
            "from error / NULL, which none of its earlier steps leads to"
        ),
    ),
    "a failure from a state of another action": (
        (
            BOOT,
            changed(
                PAUSE, 2, "active|building / pausing|scheduling -> = / NULL"
            ),
            DELETE,
        ),
        (
            "pause: 'active|building / pausing|scheduling -> = / NULL' "
            "starts from building / scheduling, which none of its earlier "
            "steps leads to"
        ),
    ),
    "a step from a pair that nothing leads to": (
        (
            BOOT,
            changed(PAUSE, 1, "active|paused / pausing -> paused / NULL"),
            DELETE,
        ),
        (
            "pause: 'active|paused / pausing -> paused / NULL' starts from "
            "paused / pausing, which none of its earlier steps leads to"
        ),
    ),
    "a step from where it was asked for": (
        (
            BOOT,
            changed(PAUSE, 1, "active / pausing|NULL -> paused / NULL"),
            DELETE,
        ),
        (
            "pause: 'active / pausing|NULL -> paused / NULL' starts from "
            "active / NULL, which none of its earlier steps leads to"
        ),
    ),
    "a step that leaves the way": (
        (BOOT, shortened(PAUSE, 1), DELETE),
        "pause: leads to active / pausing and stays there",
    ),
}
