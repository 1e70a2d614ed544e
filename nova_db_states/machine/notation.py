# SPDX-License-Identifier: Apache-2.0
"""The notation in which the map is written: ``from -> to``, as a log shows it.

``active|error / NULL -> = / powering-off`` reads: from ``vm_state`` active or
error while ``task_state`` is NULL, to the same ``vm_state`` and
``powering-off``.

=========  ===================================================
``a|b``    any of these; behind the arrow: one of these
``NULL``   the column is NULL
``*``      whatever the column holds; before the arrow only
``!a|b``   anything but these; before the arrow only
``=``      this write does not set the column; behind the arrow
``(none)`` there is no row; only as the ``vm_state`` of a boot
=========  ===================================================
"""

from collections.abc import Iterator
import dataclasses
import difflib
from typing import Final, NamedTuple

from nova_db_states import exceptions
from nova_db_states import states

__all__ = ["ABSENT", "KEEP", "Change", "State", "parse", "pattern"]

KEEP: Final = "="
_ANY: Final = "*"
_NULL: Final = "NULL"
_NONE: Final = "(none)"


class State(NamedTuple):
    """What the two state columns of a row hold.

    :ivar vm_state: a value of ``VMState``, or ``None`` for NULL
    :ivar task_state: a value of ``TaskState``, or ``None`` for NULL
    """

    vm_state: str | None
    task_state: str | None

    def __str__(self) -> str:
        return " / ".join(_NULL if one is None else str(one) for one in self)


ABSENT: Final = State(_NONE, None)
"""Where a server is before it is booted: there is no row."""

VM_STATES: Final[tuple[str | None, ...]] = (*map(str, states.VMState), None)
TASK_STATES: Final[tuple[str | None, ...]] = (
    None,
    *map(str, states.TaskState),
)
_VOCABULARIES: Final = {"vm_state": VM_STATES, "task_state": TASK_STATES}

Values = tuple[str | None, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What one write may start from and what it leads to.

    :ivar text: as it was written
    :ivar from_vm: the ``vm_state`` values it starts from
    :ivar from_task: the ``task_state`` values it starts from
    :ivar to_vm: the ``vm_state`` values it may write; ``None``: none
    :ivar to_task: the ``task_state`` values it may write; ``None``: none
    :ivar universal: whether it starts from whatever a row holds, so that
        rows in states that no action leads to are meant too
    """

    text: str
    from_vm: Values
    from_task: Values
    to_vm: Values | None
    to_task: Values | None
    universal: bool = False

    def starts_from(self, state: State) -> bool:
        """Say whether a state is one that this write starts from."""
        return (
            state.vm_state in self.from_vm
            and state.task_state in self.from_task
        )

    def targets(self, state: State) -> Iterator[State]:
        """List the states that this write may lead to from a state."""
        for vm_state in (
            (state.vm_state,) if self.to_vm is None else self.to_vm
        ):
            for task_state in (
                (state.task_state,) if self.to_task is None else self.to_task
            ):
                yield State(vm_state, task_state)

    def __str__(self) -> str:
        return self.text


def parse(text: str) -> Change:
    """Read ``from -> to``.

    :param text: in the notation of this module
    :returns: what it says
    :raises InvalidMap: it is not in the notation, or names a state that Nova
        does not have
    """
    before, arrow, after = text.partition("->")
    if not arrow:
        raise _wrong(text, "there is no '->' in it")
    from_vm, from_task = _pair(text, before)
    to_vm, to_task = _pair(text, after)
    return Change(
        " ".join(text.split()),
        _from("vm_state", from_vm, text),
        _from("task_state", from_task, text),
        _to("vm_state", to_vm, text),
        _to("task_state", to_task, text),
        universal=from_vm == _ANY and from_task[0] in "*!",
    )


def pattern(text: str) -> tuple[Values, Values]:
    """Read the half of the notation that stands before the arrow.

    :param text: like ``active|error / NULL``
    :returns: the ``vm_state`` and the ``task_state`` values it means
    :raises InvalidMap: as for :func:`parse`
    """
    vm_state, task_state = _pair(text, text)
    return (
        _from("vm_state", vm_state, text),
        _from("task_state", task_state, text),
    )


def _pair(text: str, half: str) -> tuple[str, str]:
    vm_state, slash, task_state = (
        part.strip() for part in half.partition("/")
    )
    if not (vm_state and slash and task_state) or "/" in task_state:
        raise _wrong(text, f"{half.strip()!r} is not 'vm_state / task_state'")
    return vm_state, task_state


def _from(field: str, part: str, text: str) -> Values:
    if part == _ANY:
        return _VOCABULARIES[field]
    if part.startswith("!"):
        excluded = _values(field, part[1:], text)
        return tuple(
            one for one in _VOCABULARIES[field] if one not in excluded
        )
    return _values(field, part, text)


def _to(field: str, part: str, text: str) -> Values | None:
    return None if part == KEEP else _values(field, part, text)


def _values(field: str, part: str, text: str) -> Values:
    return tuple(_value(field, one.strip(), text) for one in part.split("|"))


def _value(field: str, name: str, text: str) -> str | None:
    if name == _NULL:
        return None
    if name in _VOCABULARIES[field] or (name == _NONE and field == "vm_state"):
        return name
    known = [one for one in _VOCABULARIES[field] if one is not None]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise _wrong(text, f"Nova has no {field} {name!r}{hint}")


def _wrong(text: str, why: str) -> exceptions.InvalidMap:
    return exceptions.InvalidMap(
        f"The state map cannot be read: {why}, in {' '.join(text.split())!r}.",
        problems=(why,),
    )
