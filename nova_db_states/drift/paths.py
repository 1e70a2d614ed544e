# SPDX-License-Identifier: Apache-2.0
"""The ways through a function, and what stands unsaved on each of them."""

from collections.abc import Iterable
import dataclasses
import functools
import operator
from typing import Final

from nova_db_states.drift import sites
from nova_db_states.drift import values

__all__ = ["Path", "Pending", "distinct", "learn"]

_UNTOUCHED: Final[sites.Values] = frozenset({sites.KEEP})

# More ways than this through one function are taken for one that may be any.
_MAX_PATHS: Final = 256


@dataclasses.dataclass(frozen=True)
class Pending:
    """What was set on an object and is not saved yet.

    :ivar vm: what was set as ``vm_state``
    :ivar task: what was set as ``task_state``
    :ivar lines: where
    """

    vm: sites.Values = _UNTOUCHED
    task: sites.Values = _UNTOUCHED
    lines: frozenset[int] = frozenset()

    def __or__(self, other: "Pending") -> "Pending":
        return Pending(
            self.vm | other.vm,
            self.task | other.task,
            self.lines | other.lines,
        )


@dataclasses.dataclass
class Path:
    """One way to a statement.

    :ivar names: what the local names stand for
    :ivar pending: the unsaved states, by the object as the source writes it
    """

    names: dict[str, values.Abstract]
    pending: dict[str, Pending] = dataclasses.field(default_factory=dict)

    def fork(self) -> "Path":
        """Give a copy that can go another way."""
        return Path(dict(self.names), dict(self.pending))

    def put(self, owner: str, table: values.Table, line: int) -> None:
        """Set on an object what a dictionary holds.

        :param owner: the object
        :param table: the new values of its attributes
        :param line: where
        """
        before = self.pending.get(owner, Pending())
        vm = _set(before.vm, table, "vm_state")
        task = _set(before.task, table, "task_state")
        if vm == task == _UNTOUCHED:
            return
        self.pending[owner] = Pending(vm, task, before.lines | {line})

    def inherit(self, owner: str, left: Pending) -> None:
        """Take over what a function left unsaved that was called.

        :param owner: the object
        :param left: what was left
        """
        before = self.pending.get(owner, Pending())
        # Its own function is answerable for the lines.
        self.pending[owner] = Pending(
            before.vm if left.vm == _UNTOUCHED else left.vm,
            before.task if left.task == _UNTOUCHED else left.task,
            before.lines,
        )

    def rebind(self, name: str) -> list[tuple[str, Pending]]:
        """Let a name stand for something else.

        :param name: the name
        :returns: what was left unsaved on the objects it stood for
        """
        lost = [
            owner
            for owner in self.pending
            if f"{owner}.".startswith(f"{name}.")
        ]
        return [(owner, self.pending.pop(owner)) for owner in lost]


def _set(before: sites.Values, table: values.Table, name: str) -> sites.Values:
    found = table.get(name)
    if isinstance(found, values.Table):
        return values.ANYTHING.values
    if table.is_open and found == values.ANYTHING:
        return before | found.values
    if sites.KEEP in found.values:
        return before | (found.values - _UNTOUCHED)
    return found.values


def distinct(paths: Iterable[Path]) -> list[Path]:
    """Leave out paths that are alike, and merge them if there are too many.

    :param paths: the paths
    :returns: those that differ in something
    """
    found: dict[object, Path] = {}
    for path in paths:
        key = (
            frozenset(path.names.items()),
            frozenset(path.pending.items()),
        )
        found.setdefault(key, path)
    if len(found) <= _MAX_PATHS:
        return list(found.values())
    return [_merged(list(found.values()))]


def learn(paths: Iterable[Path], others: Iterable[Path]) -> None:
    """Let the names of paths stand for what they do on others, too.

    :param paths: the paths, which are changed
    :param others: the others
    """
    found: dict[str, values.Abstract] = {}
    for other in others:
        for name, value in other.names.items():
            found[name] = values.either(found.get(name, value), value)
    for path in paths:
        for name, value in found.items():
            before = path.names.get(name, value)
            path.names[name] = values.either(before, value)


def _merged(paths: list[Path]) -> Path:
    names: dict[str, values.Abstract] = {}
    for name in {name for path in paths for name in path.names}:
        found = [path.names.get(name, values.ANYTHING) for path in paths]
        names[name] = functools.reduce(values.either, found)
    pending: dict[str, Pending] = {}
    for owner in {owner for path in paths for owner in path.pending}:
        every = [path.pending.get(owner, Pending()) for path in paths]
        pending[owner] = functools.reduce(operator.or_, every)
    return Path(names, pending)
