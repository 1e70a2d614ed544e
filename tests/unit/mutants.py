# SPDX-License-Identifier: Apache-2.0
"""Declarations that are wrong by one thing, made from those that are right."""

from collections.abc import Iterable, Iterator
import dataclasses
from typing import Final

from nova_db_states.machine import model
from nova_db_states.machine import notation

__all__ = ["Mutant", "all_of", "of_action", "of_write"]


@dataclasses.dataclass(frozen=True)
class Mutant:
    """An action that is wrong by one thing.

    :ivar what: what was done to it
    :ivar action: the action as it is now
    :ivar before: the write as it was; ``None`` where the action was changed
    :ivar after: the write as it is; ``None`` where it was taken out
    """

    what: str
    action: model.Action
    before: model.Write | None = None
    after: model.Write | None = None

    def __str__(self) -> str:
        where = ""
        if self.before is not None:
            where = f", {self.before.path} {self.before.change} of "
            where += self.before.nova
            if self.before.via:
                where += f" through {self.before.via}"
        return f"{self.action.name}{where}: {self.what}"


def all_of(actions: Iterable[model.Action]) -> Iterator[Mutant]:
    """Make every mutant of some actions, in a fixed order."""
    for action in actions:
        yield from of_action(action)
        for number in range(len(action.writes)):
            yield from of_write(action, number)


def of_action(action: model.Action) -> Iterator[Mutant]:
    """Change where an action starts, and what else it says of itself."""
    vm_states, task_states = notation.pattern(action.starts)
    for what, changed in _neighbours(vm_states, notation.VM_STATES):
        starts = _half(changed, task_states)
        yield _replaced(action, f"starts {what}", starts=starts)
    for what, changed in _neighbours(task_states, notation.TASK_STATES):
        starts = _half(vm_states, changed)
        yield _replaced(action, f"starts {what}", starts=starts)
    yield _replaced(action, "starts dropped", starts="* / *")
    yield _replaced(action, "launched turned", launched=not action.launched)


def _replaced(action: model.Action, what: str, **fields: object) -> Mutant:
    return Mutant(what, dataclasses.replace(action, **fields))  # type: ignore[arg-type]


def of_write(action: model.Action, number: int) -> Iterator[Mutant]:
    """Change one write of an action in every way by one thing."""
    write = action.writes[number]
    yield _with(action, number, "taken out", None)
    if write.defect:
        allowed = dataclasses.replace(write, defect="")
        yield _with(action, number, "allowed", allowed)
    if write.event is model.Event.UPDATE:
        turned = dataclasses.replace(write, guarded=not write.guarded)
        yield _with(action, number, "guarded turned", turned)
    reserved = dataclasses.replace(write, reserved=not write.reserved)
    yield _with(action, number, "reserved turned", reserved)
    dirty = dataclasses.replace(write, dirty=not write.dirty)
    yield _with(action, number, "dirty turned", dirty)
    for what, change in _changes(write.change):
        if write.event is model.Event.DESTROY and what.startswith("to"):
            continue
        mutated = dataclasses.replace(write, change=change)
        yield _with(action, number, what, mutated)


def _with(
    action: model.Action, number: int, what: str, write: model.Write | None
) -> Mutant:
    writes = list(action.writes)
    writes[number : number + 1] = [] if write is None else [write]
    return Mutant(
        what,
        dataclasses.replace(action, writes=tuple(writes)),
        action.writes[number],
        write,
    )


_COLUMNS: Final = (
    ("from_vm", notation.VM_STATES),
    ("from_task", notation.TASK_STATES),
    ("to_vm", notation.VM_STATES),
    ("to_task", notation.TASK_STATES),
)


def _changes(
    change: notation.Change,
) -> Iterator[tuple[str, notation.Change]]:
    for column, vocabulary in _COLUMNS:
        values = getattr(change, column)
        for what, changed in (
            # What is left as it is, is now set to whatever there is.
            [(f"set to {_name(one)}", (one,)) for one in vocabulary]
            if values is None
            else _neighbours(values, vocabulary)
        ):
            yield f"{column} {what}", _spelt(change, **{column: changed})


def _neighbours(
    values: notation.Values, vocabulary: notation.Values
) -> Iterator[tuple[str, notation.Values]]:
    """Give what is one state wider or narrower."""
    for one in vocabulary:
        if one not in values and notation.ABSENT.vm_state not in values:
            yield f"+ {_name(one)}", (*values, one)
    for one in values:
        if len(values) > 1:
            yield f"- {_name(one)}", tuple(v for v in values if v != one)


def _spelt(
    change: notation.Change, **columns: notation.Values
) -> notation.Change:
    changed = dataclasses.replace(change, **columns)  # type: ignore[arg-type]
    return notation.parse(
        f"{_half(changed.from_vm, changed.from_task)} -> "
        f"{_half(changed.to_vm, changed.to_task)}"
    )


def _half(
    vm_states: notation.Values | None, task_states: notation.Values | None
) -> str:
    return " / ".join(
        notation.KEEP if values is None else _names(values, vocabulary)
        for values, vocabulary in (
            (vm_states, notation.VM_STATES),
            (task_states, notation.TASK_STATES),
        )
    )


def _names(values: notation.Values, vocabulary: notation.Values) -> str:
    """Spell values as a declaration would: what is open stays open."""
    if set(values) == set(vocabulary):
        return "*"
    left = [one for one in vocabulary if one not in values]
    if len(left) < len(values):
        return "!" + "|".join(map(_name, left))
    return "|".join(map(_name, values))


def _name(value: str | None) -> str:
    return "NULL" if value is None else value
