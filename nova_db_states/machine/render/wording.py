# SPDX-License-Identifier: Apache-2.0
"""How states, functions and times are named for people."""

from collections.abc import Collection, Iterable
import textwrap
from typing import Final

from nova_db_states.machine import atlas
from nova_db_states.machine import model
from nova_db_states.machine import notation

__all__ = [
    "duration",
    "folded",
    "function",
    "listed",
    "name",
    "numbered",
    "pattern",
    "ranges",
    "releases",
    "states",
    "wrapped",
]

_BETWEEN: Final = "; "
_PAIR: Final = 2
_SOME: Final = 4
_MANY: Final = 7


def numbered(action: model.Action) -> dict[model.Write, str]:
    """Give each write of an action the number it has wherever it is shown.

    :param action: the action
    :returns: each allowed write with ``1``, ``2``... on the way to success,
        ``F1``, ``F2``... where it is given up
    """
    numbers: dict[model.Write, str] = {}
    for path, prefix in ((model.Path.SUCCESS, ""), (model.Path.FAILURE, "F")):
        writes = dict.fromkeys(
            write
            for write in action.writes
            if write.path is path and not write.defect
        )
        for number, write in enumerate(writes, 1):
            numbers[write] = f"{prefix}{number}"
    return numbers


def ranges(numbers: Iterable[str]) -> list[str]:
    """Shorten a list of the numbers that :func:`numbered` gives.

    :param numbers: sorted, of one path
    :returns: the same, three and more in a row as ``F2-F5``
    """
    runs: list[list[str]] = []
    for number in numbers:
        if runs and _count(number) == _count(runs[-1][-1]) + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return [
        part
        for run in runs
        for part in (run if len(run) <= _PAIR else [f"{run[0]}-{run[-1]}"])
    ]


def _count(number: str) -> int:
    return int(number.removeprefix("F"))


def function(nova: str) -> str:
    """Shorten ``file:Class.function`` to the function.

    :param nova: as in the map
    :returns: its last name
    """
    return nova.rpartition(":")[2].rpartition(".")[2]


def pattern(text: str) -> str:
    """Read one side of the notation out, for people.

    :param text: like ``active|error / !deleting``
    :returns: like ``active, error / any but deleting``
    """
    return " / ".join(map(_side, text.split("/")))


def _side(text: str) -> str:
    text = text.strip()
    if text == "*":
        return "any"
    names = ", ".join(one.strip() for one in text.strip("!").split("|"))
    return f"any but {names}" if text.startswith("!") else names


def duration(seconds: int) -> str:
    """Say a time as people do.

    :param seconds: more than none
    :returns: like ``10 min``
    """
    for name, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds % length == 0:
            return f"{seconds // length} {name}"
    return f"{seconds} s"


def releases(write: model.Write) -> str:
    """Say which Nova releases have a write.

    :param write: the write
    :returns: like ``Nova 32 to 33``; empty for all
    """
    first, last = write.releases
    if first is None and last is None:
        return ""
    if first is None:
        return f"up to Nova {last}"
    if last is None:
        return f"from Nova {first}"
    return f"Nova {first}" if first == last else f"Nova {first} to {last}"


def listed(names: Iterable[str]) -> str:
    """List names of actions; some have a comma in them.

    :param names: what to list
    :returns: one line
    """
    return _BETWEEN.join(names)


def wrapped(names: Iterable[str], width: int) -> list[str]:
    """Set such a list in lines; no name is broken.

    :param names: what to list
    :param width: characters in a line
    :returns: the lines
    """
    lines = [""]
    for name in names:
        joined = f"{lines[-1]}{_BETWEEN}{name}" if lines[-1] else name
        if len(joined) <= width or not lines[-1]:
            lines[-1] = joined
        else:
            lines[-1] += _BETWEEN.rstrip()
            lines.append(name)
    return lines


def states(
    some: Collection[notation.State],
    universe: Collection[notation.State] = (),
) -> list[str]:
    """Name several states in as few lines as they take.

    Those with the same tasks are put together: ``active, error / NULL``.

    :param some: the states
    :param universe: all that there are; where most of them are meant, they
        are summed up as ``any but ...``
    :returns: a line for each group
    """
    some = sorted(some, key=atlas.order)
    tasks_of: dict[str | None, list[str | None]] = {}
    for state in some:
        tasks_of.setdefault(state.vm_state, []).append(state.task_state)
    groups: dict[tuple[str | None, ...], list[str | None]] = {}
    for vm_state, tasks in tasks_of.items():
        groups.setdefault(tuple(tasks), []).append(vm_state)
    all_tasks = {state.task_state for state in universe}
    lines = []
    for shared, vm_states in groups.items():
        could = {
            state.vm_state for state in universe if state.task_state in shared
        }
        lines.append(
            f"{_listed(vm_states, could)} / {_listed(shared, all_tasks)}"
        )
    return lines


def _listed(
    some: Iterable[str | None], universe: Collection[str | None]
) -> str:
    """Name some of all values of one column."""
    names = list(some)
    missing = [one for one in universe if one not in names]
    if len(names) > _SOME and universe and not missing:
        return "any"
    if len(names) > _MANY and 0 < len(missing) < _MANY:
        return f"any but {_joined(missing)}"
    return _joined(names)


def _joined(names: Iterable[str | None]) -> str:
    return ", ".join(sorted(map(name, names)))


def name(value: str | None) -> str:
    """Name what one column holds.

    :param value: ``None`` for NULL
    :returns: the name
    """
    return "NULL" if value is None else str(value)


def folded(lines: Iterable[str], width: int) -> list[str]:
    """Break lines at blanks.

    :param lines: any
    :param width: characters in a line
    :returns: lines of that width, longer only where one word is
    """
    return [
        part
        for line in lines
        for part in textwrap.wrap(
            line, width, break_long_words=False, break_on_hyphens=False
        )
    ]
