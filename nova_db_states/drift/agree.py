# SPDX-License-Identifier: Apache-2.0
"""Compares what Nova says of states elsewhere than where it writes them.

The names of the states, the decorators that let an action start, and the
status that users see.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from nova_db_states import states
from nova_db_states.drift import findings
from nova_db_states.drift import sites
from nova_db_states.drift import tolerated
from nova_db_states.machine import model
from nova_db_states.machine import notation
from nova_db_states.machine import status

__all__ = [
    "compare_checks",
    "compare_functions",
    "compare_names",
    "compare_statuses",
]

_ENUMS: Final = "nova/objects/fields.py"
_STATUSES: Final = "nova/api/openstack/common.py:_STATE_MAP"
_DEFAULT: Final = "default"
_UNKNOWN: Final = "UNKNOWN"


def compare_names(inventory: sites.Inventory) -> Iterator[findings.Drift]:
    """Compare the names of the states.

    :param inventory: what the source has
    :returns: what is apart
    """
    pairs: tuple[tuple[str, Mapping[str, str], Iterable[str]], ...] = (
        ("InstanceState", inventory.vm_states, states.VMState),
        ("InstanceTaskState", inventory.task_states, states.TaskState),
    )
    for name, theirs, ours in pairs:
        found, known = set(theirs.values()), set(map(str, ours))
        if found == known:
            continue
        yield findings.Drift(
            findings.Kind.NAMES,
            f"{_ENUMS}:{name}",
            _listed(found - known),
            _listed(known - found),
            "Add what is new to nova_db_states/states.py and to the map; "
            "what is gone stays for the releases that have it.",
        )


def _listed(names: set[str]) -> str:
    return f"also {', '.join(sorted(names))}" if names else "nothing more"


def compare_functions(
    inventory: sites.Inventory, actions: Iterable[model.Action], release: int
) -> Iterator[findings.Drift]:
    """Look for the functions where actions and gaps begin and end.

    :param inventory: what the source has
    :param actions: the declared actions
    :param release: the number of the release
    :returns: what is not there
    """
    others = {
        entry.place: entry.in_release(release) for entry in tolerated.UNCHECKED
    }
    wanted: dict[str, list[str]] = {}
    for action in actions:
        place = others.get(action.nova, action.nova)
        wanted.setdefault(place, []).append(f"accepts {action.name}")
        for gap in action.gaps:
            for place, what in (gap.since, "since"), (gap.until, "until"):
                wanted.setdefault(place, []).append(
                    f"{what} it, a gap of {action.name}"
                )
    for place, uses in sorted(wanted.items()):
        if place not in inventory.functions:
            yield findings.Drift(
                findings.Kind.GONE,
                place,
                "no such function",
                "; ".join(uses),
                "Look where it went, and name that.",
            )


def compare_checks(
    inventory: sites.Inventory, actions: Iterable[model.Action]
) -> Iterator[findings.Drift]:
    """Compare what lets actions start.

    A decorator that does not look at a column lets every value through. An
    action without a decorator is one of :data:`~.tolerated.UNCHECKED`.

    :param inventory: what the source has
    :param actions: the declared actions
    :returns: what is apart
    """
    by_place: dict[str, list[model.Action]] = {}
    for action in actions:
        by_place.setdefault(action.nova, []).append(action)
    found: dict[str, list[sites.Check]] = {}
    for check in inventory.checks:
        found.setdefault(check.place, []).append(check)
    yield from _unchecked(inventory, by_place, found)
    for place, checks in sorted(found.items()):
        accepted_at = tolerated.SAME_ACTION.get(place, place)
        declared = by_place.get(accepted_at, [])
        if not declared or not _agree(checks, declared):
            yield findings.Drift(
                findings.Kind.CHECK,
                f"{place}, line {checks[0].line}",
                "; ".join(map(str, checks)),
                "; ".join(map(_shown, declared)) or "no such action",
                "Look at it and correct where the action starts.",
            )


def _unchecked(
    inventory: sites.Inventory,
    declared: Mapping[str, list[model.Action]],
    found: Mapping[str, list[sites.Check]],
) -> Iterator[findings.Drift]:
    """Report the functions that no longer look before an action starts."""
    others = {entry.place for entry in tolerated.UNCHECKED}
    wanted = {place: declared[place] for place in declared.keys() - others}
    for place, same in tolerated.SAME_ACTION.items():
        if same in declared:
            wanted[place] = declared[same]
    for place in sorted(wanted.keys() - found.keys()):
        if place in inventory.functions:
            yield findings.Drift(
                findings.Kind.CHECK,
                place,
                "no such check",
                "; ".join(map(_shown, wanted[place])),
                "Look where it is checked now, if at all; correct where the "
                "action starts, or say why there is no check.",
            )


def _shown(action: model.Action) -> str:
    launched = ", launched" if action.launched else ""
    return f"{action.starts}{launched} ({action.name})"


def _agree(checks: list[sites.Check], declared: list[model.Action]) -> bool:
    patterns = [notation.pattern(action.starts) for action in declared]
    vm = {str(each) for pattern in patterns for each in pattern[0]}
    task = {str(each) for pattern in patterns for each in pattern[1]}
    launched = any(check.must_have_launched for check in checks)
    # What is being built has never run, so whether it is named or not is one.
    never = {str(states.VMState.BUILDING)} if launched else set()
    return (
        _column_agrees(
            [(check.rejects, check.vm_states) for check in checks],
            vm - never,
            [each for each in notation.VM_STATES if each not in never],
        )
        and _column_agrees(
            [(check.rejects, check.task_states) for check in checks],
            task,
            notation.TASK_STATES,
        )
        and all(action.launched == launched for action in declared)
    )


def _column_agrees(
    checks: list[tuple[bool, sites.Values | None]],
    said: set[str],
    every: Iterable[str | None],
) -> bool:
    admitted = set(map(str, every))
    for rejects, values in checks:
        if values is not None:
            named = {str(value) for value in values}
            admitted = admitted - named if rejects else admitted & named
    return admitted == said


def compare_statuses(inventory: sites.Inventory) -> Iterator[findings.Drift]:
    """Compare the status that users see, state by state.

    :param inventory: what the source has
    :returns: what is apart
    """
    for vm in states.VMState:
        row = inventory.statuses.get(str(vm), {_DEFAULT: _UNKNOWN})
        for task in (None, *states.TaskState):
            theirs = row.get(str(task), row.get(_DEFAULT, _UNKNOWN))
            ours = status.reported_status(vm, task)
            if theirs != ours:
                yield findings.Drift(
                    findings.Kind.STATUS,
                    _STATUSES,
                    f"{theirs} for {vm} / {task or 'NULL'}",
                    ours,
                    "Correct nova_db_states/machine/status.py.",
                )
