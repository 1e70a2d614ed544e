# SPDX-License-Identifier: Apache-2.0
"""Write tests/data/nova_writes.csv anew, as the declarations say it now.

    python -m tests.unit.renew_nova_writes

The table is the second entry of a double-entry book: what differs afterwards
is to be read, line by line, against Nova's source, before it is committed.
"""

from collections.abc import Iterable
import csv
import io
import pathlib
from typing import Final

from nova_db_states import machine
from nova_db_states.machine import model
from nova_db_states.machine import notation

__all__ = ["PATH", "render"]

PATH: Final = pathlib.Path(__file__).parents[1] / "data" / "nova_writes.csv"

_COLUMNS: Final = (
    "function",
    "via",
    "event",
    "releases",
    "to_vm",
    "to_task",
    "expected_task",
    "found",
    "wrong",
    "reserved",
    "dirty",
    "actions",
)


def render() -> str:
    """Give the table that agrees with the declarations."""
    guards: dict[tuple[str, ...], set[str | None]] = {}
    groups: dict[tuple[str, ...], list[model.Write]] = {}
    for action in machine.MAP.actions.values():
        for write in action.writes:
            key = _key(write)
            guarded = write.guarded and write.event is model.Event.UPDATE
            if guarded:
                guards.setdefault(key, set()).update(write.change.from_task)
            flags = (
                "yes" if guarded else "",
                "yes" if write.reserved else "",
                "yes" if write.dirty else "",
            )
            groups.setdefault((*key, *flags, action.name), []).append(write)
    lines: dict[tuple[str, ...], list[str]] = {}
    for (*start, guarded_, reserved, dirty, name), writes in groups.items():
        key = tuple(start)
        expected = guards[key] if guarded_ else ()
        line = (
            *key,
            "|".join(map(_name, sorted(expected, key=_name_key))),
            _states(one for one in writes if not one.defect),
            _states(one for one in writes if one.defect),
            reserved,
            dirty,
        )
        lines.setdefault(line, []).append(name)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    table.writerows(
        sorted(
            (*line, ";".join(sorted(names))) for line, names in lines.items()
        )
    )
    return text.getvalue()


def _key(write: model.Write) -> tuple[str, ...]:
    bounds = ["" if one is None else str(one) for one in write.releases]
    change = write.change
    return (
        write.nova,
        write.via,
        str(write.event),
        "-".join(bounds) if any(bounds) else "",
        _half(change.to_vm, notation.VM_STATES),
        _half(change.to_task, notation.TASK_STATES),
    )


def _states(writes: Iterable[model.Write]) -> str:
    """Spell the states that some writes start from, as few as will do."""
    tasks: dict[str | None, set[str | None]] = {}
    for write in writes:
        for vm_state in write.change.from_vm:
            tasks.setdefault(vm_state, set()).update(write.change.from_task)
    groups: dict[frozenset[str | None], list[str | None]] = {}
    for vm_state, some in tasks.items():
        groups.setdefault(frozenset(some), []).append(vm_state)
    return ";".join(
        sorted(
            f"{_half(vm_states, notation.VM_STATES)} / "
            f"{_half(some, notation.TASK_STATES)}"
            for some, vm_states in groups.items()
        )
    )


def _half(
    values: Iterable[str | None] | None, vocabulary: notation.Values
) -> str:
    if values is None:
        return notation.KEEP
    meant = set(values)
    left = [one for one in vocabulary if one not in meant]
    if not left:
        return "*"
    if len(left) < len(meant):
        return "!" + "|".join(map(_name, left))
    return "|".join(map(_name, sorted(meant, key=_name_key)))


def _name(value: str | None) -> str:
    return "NULL" if value is None else value


def _name_key(value: str | None) -> tuple[bool, str]:
    return value is not None, value or ""


if __name__ == "__main__":
    PATH.write_text(render())
