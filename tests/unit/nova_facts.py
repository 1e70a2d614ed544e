# SPDX-License-Identifier: Apache-2.0
"""What Nova 34 says and was seen to do, from the tables in tests/data."""

import csv
import dataclasses
import functools
import pathlib
from typing import Final

from nova_db_states.machine import atlas
from nova_db_states.machine import model
from nova_db_states.machine import notation

__all__ = [
    "RELEASE",
    "Checked",
    "Read",
    "Recorded",
    "api_checks",
    "edges_of",
    "reads",
    "recorded",
]

RELEASE: Final = 34

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
class Checked:
    """What a method of Nova's API lets pass.

    :ivar states: the pairs of states
    :ivar launched: whether the server must have been launched
    """

    states: frozenset[notation.State]
    launched: bool


@dataclasses.dataclass(frozen=True)
class Read:
    """A write as it was read in Nova's source.

    :ivar action: the name of its action
    :ivar path: whether it brings the action forward
    :ivar function: ``file:function``; empty for every function
    :ivar via: the helper that executes it; empty for none
    :ivar from_task: what the row holds before; empty where that is open
    :ivar to_vm: what it writes; ``None`` for a column that it leaves
    :ivar to_task: the same
    :ivar expected: the ``task_state`` values that Nova itself expects; empty
        for no expectation
    """

    action: str
    path: model.Path
    function: str
    via: str
    from_task: frozenset[str | None]
    to_vm: frozenset[str | None] | None
    to_task: frozenset[str | None] | None
    expected: frozenset[str | None]

    def __str__(self) -> str:
        return f"{self.action}: {self.function or self.via} writes " + (
            " / ".join(map(_shown, (self.to_vm, self.to_task)))
        )

    def is_of(self, write: model.Write) -> bool:
        """Say whether a declared write is this one."""
        change = write.change
        return (
            write.event is not model.Event.DESTROY
            and write.via == self.via
            and self.function in {"", write.nova}
            and _same(self.to_vm, change.to_vm, change.from_vm)
            and _same(self.to_task, change.to_task, change.from_task)
        )


def _shown(values: frozenset[str | None] | None) -> str:
    if values is None:
        return "="
    return "|".join(sorted(one or "NULL" for one in values))


def _same(
    read: frozenset[str | None] | None,
    written: notation.Values | None,
    before: notation.Values,
) -> bool:
    """Say whether a declaration writes what was read.

    To leave a column as it is and to write what it holds are the same.
    """
    ways = [written and frozenset(written)]
    if written is None or set(written) == set(before):
        ways += [None]
        if len(set(before)) == 1:
            ways += [frozenset(before)]
    return read in ways


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
def api_checks() -> dict[str, Checked]:
    """Read what the decorators of Nova's API let pass, by function."""
    return {
        row["function"]: Checked(
            pairs(f"{row['vm_states']} / {row['task_states']}"),
            row["launched"] == "yes",
        )
        for row in _rows("api_checks.csv")
    }


@functools.cache
def reads() -> tuple[Read, ...]:
    """Read what was read in Nova's source."""
    return tuple(
        Read(
            row["action"],
            model.Path(row["path"]),
            row["function"],
            row["via"],
            _values(row["from_task"]) or frozenset(),
            _values(row["to_vm"]),
            _values(row["to_task"]),
            _values(row["expected_task"]) or frozenset(),
        )
        for row in _rows("nova_writes.csv")
    )


def pairs(text: str) -> frozenset[notation.State]:
    """List the states that the half before an arrow means."""
    vm_states, task_states = notation.pattern(text)
    return frozenset(
        notation.State(vm, task) for vm in vm_states for task in task_states
    )


def _values(text: str) -> frozenset[str | None] | None:
    if text in {"", "-", "="}:
        return None
    return frozenset(
        None if name == "NULL" else name for name in text.split("|")
    )


def _rows(name: str) -> list[dict[str, str]]:
    with (_DATA / name).open(newline="") as table:
        return list(csv.DictReader(table))


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
