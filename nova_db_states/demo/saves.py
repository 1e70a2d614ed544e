# SPDX-License-Identifier: Apache-2.0
"""What two ways to write an instance have in common; see the two for both."""

import abc
from collections.abc import Iterator, Mapping
import contextlib
import dataclasses
from multiprocessing import synchronize
from typing import Any, Final, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy import event

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import states
from nova_db_states import tables

__all__ = [
    "Base",
    "Row",
    "Saves",
    "Server",
    "Task",
    "Turn",
    "Write",
    "shown",
    "take_turns",
]

_Piece = TypeVar("_Piece")
_T: Final = tables.instances

Turn = synchronize.Lock | None
"""Held while something is written.

SQLite has one writer at a time. Who comes second polls, and a transaction
that has read before it writes, as Nova's do, fails if it waited. A server
does neither, so on SQLite writers queue for their turn; on a server there is
none.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """What the row of a server says.

    :ivar deleted: 0 while it is there, its id once it is deleted
    """

    id: int
    vm_state: str | None
    task_state: str | None
    host: str | None
    deleted: int

    def __str__(self) -> str:
        if self.deleted:
            return "deleted"
        text = f"{self.vm_state or 'NULL'} / {self.task_state or 'NULL'}"
        return text if self.host else f"{text} (no host)"


@dataclasses.dataclass(frozen=True, slots=True)
class Write:
    """One write of one operation, in both modes.

    :ivar did: what has just been done, for a reader
    :ivar source: the place in Nova 34 that makes this write
    :ivar values: column to value
    :ivar nova: the task states that Nova expects there, or ``ANY`` where
        Nova expects nothing
    :ivar guard: what the guarded mode expects there, as the arguments of
        ``api.instance_update``; ``None`` for a step of a task, which expects
        what the task has led the row to, and for what only Nova writes
    :ivar action: the action of the map that begins with this write; empty
        for a later one, and for what is no write of the map
    :ivar unhosted: whether Nova demands that the row has no host
    """

    did: str
    source: str
    values: Mapping[str, Any]
    nova: tuple[str | None, ...] | states.Any
    guard: Mapping[str, Any] | None = None
    action: str = ""
    unhosted: bool = False

    @property
    def by_api(self) -> bool:
        """Whether nova-api makes it, and a host then takes up the action."""
        return "/api.py:" in self.source


@dataclasses.dataclass(slots=True)
class Server:
    """An instance in the memory of a process, as Nova's ``Instance`` is.

    :ivar row: as it was last read or written
    :ivar dirty: assigned and not yet saved
    """

    uuid: str
    row: Row
    dirty: dict[str, Any] = dataclasses.field(default_factory=dict)

    def saved(self, values: Mapping[str, Any]) -> None:
        """Take over what was written."""
        known = {"vm_state", "task_state", "host", "deleted"} & values.keys()
        self.row = dataclasses.replace(
            self.row, **{name: values[name] for name in known}
        )


def shown(expected: Any) -> str:
    """Show an expectation as a row is shown.

    :param expected: as for ``api.instance_update``
    :returns: the text, empty for nothing
    """
    if expected is states.ANY:
        return ""
    if isinstance(expected, states.Not):
        return f"not {shown(expected.excluded)}"
    if not isinstance(expected, tuple):
        expected = (expected,)
    return " or ".join("NULL" if one is None else str(one) for one in expected)


NOBODY: Final = "00000000-0000-0000-0000-000000000000"
_NOTHING: Final = Write(
    "", "", {"task_state": None}, states.ANY, {"expected_task_state": None}
)


class Task(Protocol):
    """What a host does with one server, from its first step to its last."""

    def expectation(self, write: Write) -> str:
        """Say what the next step expects of the row; empty for nothing."""

    def step(self, write: Write) -> None:
        """Take a step, or raise why not."""

    def end(self, write: Write) -> None:
        """Take the last step, or raise why not."""

    def watched(
        self, pieces: Iterator[_Piece], interval_s: float
    ) -> Iterator[_Piece]:
        """Let an image through as long as it is wanted, or raise why not.

        :param pieces: of the image, as they come
        :param interval_s: from one look at the row to the next
        """


class Saves(Protocol):
    """A way to write; a process makes its own from the URL.

    :ivar cleans_up: whether who was refused goes on writing, as Nova does
    """

    name: str
    cleans_up: bool

    def __init__(self, url: str, turn: Turn) -> None: ...

    def warm_up(self) -> None:
        """Connect, and compile what is sent, before anything is measured."""

    def close(self) -> None:
        """Close what is open."""

    def expectation(self, write: Write) -> str:
        """Say what a write expects of the row; empty for nothing."""

    def read(self, uuid: str) -> Row | None:
        """Read a row as it is now, deleted or not."""

    def load(self, uuid: str) -> Server | None:
        """Read an instance to work with; ``None`` where there is no row."""

    def accept(self, server: Server, write: Write) -> None:
        """Accept an action, as nova-api does, or raise why not."""

    def task(
        self, server: Server, first: Write
    ) -> contextlib.AbstractContextManager[Task]:
        """Do an action on a host; raise why not.

        :param server: of this process
        :param first: what the action begins with, accepted by nova-api or
            still to be written
        """

    def write(self, server: Server, write: Write) -> None:
        """Make a write that is no step of an action, or raise why not."""

    def destroy(self, server: Server, write: Write) -> None:
        """Mark the row as deleted, or raise why not."""


_READ: Final = sa.select(
    _T.c.id, _T.c.vm_state, _T.c.task_state, _T.c.host, _T.c.deleted
).where(_T.c.uuid == sa.bindparam("uuid"))


class Base(abc.ABC):
    """What connects and reads, the same for both."""

    def __init__(self, url: str, turn: Turn) -> None:
        self.context: Any = api.connect(url)
        # Who only reads waits for nobody.
        self._reading = sa.create_engine(url, hide_parameters=True)
        if turn is not None:
            take_turns(self.context.db_connection.writer.get_engine(), turn)

    def close(self) -> None:
        """Close what is open."""
        self.context.close()
        self._reading.dispose()

    def read(self, uuid: str) -> Row | None:
        """Read a row as it is now, in a transaction of its own."""
        with self._reading.connect() as connection:
            found = connection.execute(_READ, {"uuid": uuid}).one_or_none()
        return None if found is None else Row(*found)

    def load(self, uuid: str) -> Server | None:
        """Read a row to work with."""
        row = self.read(uuid)
        return None if row is None else Server(uuid, row)

    def warm_up(self) -> None:
        """Read and write a row that does not exist."""
        self.read(NOBODY)
        server = Server(NOBODY, Row(0, None, None, None, 0))
        with contextlib.suppress(exceptions.InstanceNotFound):
            self.write(server, _NOTHING)

    @abc.abstractmethod
    def write(self, server: Server, write: Write) -> None:
        """Make one write, or raise why not."""


def take_turns(engine: sa.Engine, turn: synchronize.Lock) -> None:
    """Have the turn whenever a connection is in use, and only then.

    Whatever writes through the engine takes a connection for as long as its
    transaction takes, and none while it works.

    :param engine: that is written through
    :param turn: the turn of everybody on this database
    """

    @event.listens_for(engine, "checkout")
    def _take(*_: Any) -> None:
        turn.acquire()

    @event.listens_for(engine, "checkin")  # codespell:ignore checkin
    def _give(*_: Any) -> None:
        turn.release()
