# SPDX-License-Identifier: Apache-2.0
"""What a reading of Nova's source finds, as plain values.

A set of states is a ``frozenset`` of strings. Three members have a meaning
of their own: ``None`` is NULL, :data:`KEEP` says that the column is left as
it is, and :data:`UNKNOWN` that the source computes the value.
"""

from collections.abc import Mapping
import dataclasses
from typing import Final

__all__ = [
    "ASSIGN",
    "CREATE",
    "DESTROY",
    "KEEP",
    "SAVE",
    "UNKNOWN",
    "UPDATE",
    "Check",
    "Inventory",
    "Site",
    "Values",
    "shown",
]

Values = frozenset[str | None]

KEEP: Final = "="
"""The write does not set the column."""

UNKNOWN: Final = "?"
"""The value is computed where the program runs."""

CREATE: Final = "create"
UPDATE: Final = "update"
DESTROY: Final = "destroy"

ASSIGN: Final = "assign"
"""An attribute is set and nothing in the same function saves it."""

SAVE: Final = "save"
"""An unguarded save of an object on which this function set no state.

It writes a state only if the object came with one that was never saved.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Site:
    """One place in Nova's source that writes the state of a server.

    Two sites are equal when they do the same in the same function; the line,
    which every release moves, does not count.

    :ivar file: the path below the folder that holds the package ``nova``
    :ivar function: with its classes and enclosing functions, dotted
    :ivar line: where the write is executed
    :ivar column: where in that line
    :ivar event: one of :data:`CREATE`, :data:`UPDATE`, :data:`DESTROY`,
        :data:`ASSIGN`, :data:`SAVE`
    :ivar to_vm: what ``vm_state`` may become
    :ivar to_task: what ``task_state`` may become
    :ivar expected: the task states that the write is guarded with, or
        ``None`` for a write without a guard
    :ivar expected_vm: the same for ``vm_state``
    :ivar via: the helper of Nova's that executes the write, or ``""``
    """

    file: str
    function: str
    line: int = dataclasses.field(compare=False)
    column: int = dataclasses.field(default=0, compare=False)
    event: str
    to_vm: Values
    to_task: Values
    expected: Values | None = None
    expected_vm: Values | None = None
    via: str = ""

    @property
    def place(self) -> str:
        """The file and the function, as the declared map names them."""
        return f"{self.file}:{self.function}"

    @property
    def changes(self) -> str:
        """What is written, for messages: ``stopped / NULL``."""
        return f"{shown(self.to_vm)} / {shown(self.to_task)}"

    def __str__(self) -> str:
        guard = "" if self.expected is None else f" if {shown(self.expected)}"
        if self.expected_vm is not None:
            guard += f" if vm_state {shown(self.expected_vm)}"
        via = f" through {self.via}" if self.via else ""
        return f"{self.event} {self.changes}{guard}{via}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """A decorator that looks at the state before an API method runs.

    :ivar file: as in :class:`Site`
    :ivar function: as in :class:`Site`
    :ivar line: of the decorator
    :ivar rejects: true when the states are refused, false when they are the
        only ones let through
    :ivar vm_states: the states, or ``None`` for no look at ``vm_state``
    :ivar task_states: the same for ``task_state``
    :ivar must_have_launched: whether a server that never ran is refused
    """

    file: str
    function: str
    line: int = dataclasses.field(compare=False)
    rejects: bool
    vm_states: Values | None
    task_states: Values | None
    must_have_launched: bool

    @property
    def place(self) -> str:
        """The file and the function, as the declared map names them."""
        return f"{self.file}:{self.function}"

    def __str__(self) -> str:
        states = " / ".join(
            "any" if each is None else shown(each)
            for each in (self.vm_states, self.task_states)
        )
        verb = "refuses" if self.rejects else "admits"
        launched = ", launched" if self.must_have_launched else ""
        return f"{verb} {states}{launched}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inventory:
    """Everything about states that was found in one tree.

    :ivar sites: the writes, ordered by file and line
    :ivar saves: the unguarded saves that carry no state of their own
    :ivar functions: the functions of the files that speak of states, each as
        ``file:function``
    :ivar conditions: what functions select servers by, each as
        ``file:function``
    :ivar checks: the decorators, ordered by file and line
    :ivar vm_states: the names and values of Nova's ``InstanceState``
    :ivar task_states: the same of ``InstanceTaskState``
    :ivar statuses: the status that the API reports, by ``vm_state`` and then
        by ``task_state``, with ``default`` for all others
    """

    sites: tuple[Site, ...]
    saves: tuple[Site, ...]
    functions: frozenset[str]
    conditions: Mapping[str, frozenset[str]]
    checks: tuple[Check, ...]
    vm_states: Mapping[str, str]
    task_states: Mapping[str, str]
    statuses: Mapping[str, Mapping[str, str]]


def shown(values: Values | None) -> str:
    """Show a set of states in a message.

    :param values: the states, or ``None`` for no guard
    :returns: for example ``NULL|deleting``; ``none`` for no guard
    """
    if values is None:
        return "none"
    return "|".join(
        sorted("NULL" if value is None else value for value in values)
    )
