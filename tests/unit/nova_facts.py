# SPDX-License-Identifier: Apache-2.0
"""What Nova 34 says and was seen to do, from the tables in tests/data."""

from collections.abc import Collection, Iterable, Iterator
import csv
import dataclasses
import functools
import pathlib
from typing import Final

from nova_db_states.machine import atlas
from nova_db_states.machine import model
from nova_db_states.machine import notation

__all__ = [
    "Recorded",
    "Start",
    "Written",
    "edges_of",
    "pairs",
    "problems",
    "recorded",
    "starts",
    "writes",
]

_DATA: Final = pathlib.Path(__file__).parents[1] / "data"

_UPDATE: Final = "ComputeManager._instance_update"
_ERROR: Final = "ComputeManager._set_instance_obj_error_state"
_ROLLBACK: Final = "ComputeManager._error_out_instance_on_exception"
_HELPERS: Final = {
    _UPDATE: (_UPDATE, "reverts_task_state", _ROLLBACK),
    _ERROR: (_ERROR, _ROLLBACK),
}
"""Whose work it is when a helper of Nova's was seen to write."""


@dataclasses.dataclass(frozen=True)
class Recorded:
    """A pair of states that Nova was seen to write.

    :ivar event: what became of the row
    :ivar from_: the state before
    :ivar to: the state after
    :ivar writers: the functions, ``module:qualname``
    :ivar refused: whether it must not be allowed
    """

    event: model.Event
    from_: notation.State
    to: notation.State
    writers: tuple[str, ...]
    refused: bool

    def __str__(self) -> str:
        return f"{self.event} {self.from_} -> {self.to}"


@dataclasses.dataclass(frozen=True)
class Start:
    """Where Nova lets something begin.

    :ivar function: what lets it, ``file:function``
    :ivar states: the states that it lets pass
    :ivar launched: whether the server must have been launched
    """

    function: str
    states: frozenset[notation.State]
    launched: bool


@dataclasses.dataclass(frozen=True)
class Written:
    """What one function of Nova writes, of its own or through a helper.

    :ivar function: ``file:function``
    :ivar via: the helper; empty for none
    :ivar event: what becomes of the row
    :ivar releases: the first and the last that has it, ``None`` for no bound
    :ivar to_vm: what it writes; ``None`` for a column that it leaves
    :ivar to_task: the same
    :ivar expected: the ``task_state`` values that Nova itself expects; empty
        for no expectation
    :ivar found: the states that it may start from
    :ivar wrong: the states that it starts from and should not
    :ivar actions: the names of the actions that it is part of
    :ivar reserved: whether it counts only by the name of the action
    :ivar dirty: whether it writes what an earlier save was refused, too
    """

    function: str
    via: str
    event: model.Event
    releases: tuple[int | None, int | None]
    to_vm: frozenset[str | None] | None
    to_task: frozenset[str | None] | None
    expected: frozenset[str | None]
    found: frozenset[notation.State]
    wrong: frozenset[notation.State]
    actions: frozenset[str]
    reserved: bool
    dirty: bool

    def __str__(self) -> str:
        return f"{self.function} {self.via} {self.event}s " + (
            " / ".join(map(_shown, (self.to_vm, self.to_task)))
        )

    def is_of(self, action: str, write: model.Write) -> bool:
        """Say whether a declared write of an action is this one."""
        change = write.change
        guarded = write.guarded and write.event is model.Event.UPDATE
        return action in self.actions and (
            self.function,
            self.via,
            self.event,
            self.releases,
            self.to_vm,
            self.to_task,
            bool(self.expected),
            self.reserved,
            self.dirty,
        ) == (
            write.nova,
            write.via,
            write.event,
            write.releases,
            None if change.to_vm is None else frozenset(change.to_vm),
            None if change.to_task is None else frozenset(change.to_task),
            guarded,
            write.reserved,
            write.dirty,
        )


def _shown(values: frozenset[str | None] | None) -> str:
    if values is None:
        return "="
    return "|".join(sorted(one or "NULL" for one in values))


@functools.cache
def recorded() -> tuple[Recorded, ...]:
    """Read what was recorded from Nova's own tests."""
    return tuple(
        Recorded(
            model.Event(row["event"]),
            notation.State(
                row["from_vm_state"] or None, row["from_task_state"] or None
            ),
            notation.State(
                row["to_vm_state"] or None, row["to_task_state"] or None
            ),
            tuple(row["writers"].split("; ")),
            bool(row["class"]),
        )
        for row in _rows("recorded_edges.csv")
    )


@functools.cache
def starts() -> dict[str, Start]:
    """Read where Nova lets things begin, by function."""
    return {
        row["function"]: Start(
            row["function"], pairs(row["states"]), row["launched"] == "yes"
        )
        for row in _rows("nova_starts.csv")
    }


@functools.cache
def writes() -> tuple[Written, ...]:
    """Read what Nova's functions write."""
    return tuple(
        Written(
            row["function"],
            row["via"],
            model.Event(row["event"]),
            _releases(row["releases"]),
            _values(row["to_vm"]),
            _values(row["to_task"]),
            _values(row["expected_task"]) or frozenset(),
            pairs(row["found"]),
            pairs(row["wrong"]),
            frozenset(row["actions"].split(";")),
            row["reserved"] == "yes",
            row["dirty"] == "yes",
        )
        for row in _rows("nova_writes.csv")
    )


def pairs(text: str) -> frozenset[notation.State]:
    """List the states that halves before an arrow mean, ``;`` between."""
    halves = [notation.pattern(half) for half in text.split(";") if half]
    return frozenset(
        notation.State(vm, task)
        for vm_states, task_states in halves
        for vm in vm_states
        for task in task_states
    )


def _values(text: str) -> frozenset[str | None] | None:
    if text in {"", "="}:
        return None
    return frozenset(
        None if name == "NULL" else name for name in text.split("|")
    )


def _releases(text: str) -> tuple[int | None, int | None]:
    first, _, last = text.partition("-")
    return (int(first) if first else None, int(last) if last else None)


def _rows(name: str) -> list[dict[str, str]]:
    with (_DATA / name).open(newline="") as table:
        return list(csv.DictReader(table))


_Declared = tuple[str, model.Write]


def problems(
    actions: Iterable[model.Action], functions: Collection[str] | None = None
) -> Iterator[str]:
    """Hold declarations to what Nova's source says.

    :param actions: all of them
    :param functions: look at these functions only; ``None`` for all
    :returns: a line for each difference
    """
    known = list(actions)
    yield from _starts_apart(known, functions)
    declared: dict[str, list[_Declared]] = {}
    for action in known:
        for write in action.writes:
            each = (action.name, write)
            declared.setdefault(write.nova, []).append(each)
    read: dict[str, list[Written]] = {}
    for row in writes():
        read.setdefault(row.function, []).append(row)
    for function in declared.keys() | read.keys():
        if functions is None or function in functions:
            yield from _writes_apart(
                declared.get(function, []), read.get(function, [])
            )


def _starts_apart(
    actions: list[model.Action], functions: Collection[str] | None
) -> Iterator[str]:
    by_function: dict[str, list[model.Action]] = {}
    for action in actions:
        by_function.setdefault(action.nova, []).append(action)
    for function, group in by_function.items():
        if functions is not None and function not in functions:
            continue
        start = starts().get(function)
        if start is None:
            yield f"{function}: nothing is known of where it starts"
            continue
        said = frozenset().union(*(pairs(one.starts) for one in group))
        if said != start.states:
            yield f"{function}: starts elsewhere"
        if any(one.launched != start.launched for one in group):
            yield f"{function}: launched"


def _writes_apart(
    declared: list[_Declared], read: list[Written]
) -> Iterator[str]:
    for name, write in declared:
        if not any(row.is_of(name, write) for row in read):
            yield f"{write.nova}: does not write {write.change} for {name}"
    for row in read:
        for name in row.actions:
            group = [
                write
                for action, write in declared
                if action == name and row.is_of(name, write)
            ]
            found, wrong = (
                frozenset[notation.State]().union(
                    *(
                        pairs(one.change.text.partition("->")[0])
                        for one in group
                        if bool(one.defect) is defect
                    )
                )
                for defect in (False, True)
            )
            if (found, wrong) != (row.found, row.wrong):
                yield f"{row}: starts elsewhere for {name}"
        tasks = {state.task_state for state in row.found | row.wrong}
        if row.expected and not tasks <= row.expected:
            yield f"{row}: expects {_shown(row.expected)}"


def edges_of(
    made: atlas.Atlas, row: Recorded, writer: str
) -> list[model.Transition]:
    """Find the edges of the map that a recorded write may have been.

    :param made: the map
    :param row: what was recorded
    :param writer: one of its functions
    :returns: the edges of that pair and event that the function makes
    """
    return [
        edge
        for edge in made.leaving.get(row.from_, ())
        if edge.to == row.to
        and edge.write.event is row.event
        and _is_by(edge.write, writer)
    ]


def _is_by(write: model.Write, writer: str) -> bool:
    module, _, qualname = writer.replace(".<locals>", "").partition(":")
    file = f"{module.replace('.', '/')}.py"
    helpers = _HELPERS.get(qualname, (qualname, qualname.split(".")[-1]))
    return write.nova == f"{file}:{qualname}" or write.via in helpers
