# SPDX-License-Identifier: Apache-2.0
"""Two ways to write an instance: as Nova saves it, and with a guard.

What Nova 34 sends for one ``Instance.save()`` (``objects/instance.py``,
``db/main/api.py``: ``instance_update_and_get_original``), written down from
the wire; ``vm_state`` is in it when the code assigned it, changed or not::

    BEGIN
    SELECT ... FROM instances WHERE deleted = 0 AND uuid = ? LIMIT 1
    UPDATE instances SET task_state = ?, updated_at = ?
        WHERE deleted = 0 AND uuid = ?
    SELECT id FROM instances WHERE uuid = ?
    COMMIT

A guard that Nova has adds ``AND task_state = ?`` to the ``UPDATE``; refused,
it is sent three times and rolled back. On MySQL and MariaDB the ``UPDATE``
begins with ``SET id = last_insert_id(id)`` and is followed by ``SELECT
last_insert_id()``. :class:`DirectSaves` sends the same because it calls what
Nova calls: ``update_on_match`` and ``soft_delete`` of oslo.db, in one
transaction of its enginefacade, under its ``wrap_db_retry``. What Nova reads
and writes in other tables than ``instances`` is left out; it decides nothing.
"""

import abc
from collections.abc import Mapping
import contextlib
import dataclasses
from typing import Any, Final, Protocol

from oslo_db import api as oslo_db_api
from oslo_db.sqlalchemy import update_match
from oslo_utils import timeutils
import sqlalchemy as sa
from sqlalchemy import orm

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import states
from nova_db_states import tables

__all__ = ["DirectSaves", "GuardedSaves", "Row", "Saves", "Server", "Write"]

_T: Final = tables.instances

Turn = contextlib.AbstractContextManager[object]
"""Held while something is written.

SQLite has one writer at a time. Who comes second polls, and a transaction
that has read before it writes, as Nova's do, fails if it waited. A server
does neither, so on SQLite writers queue for their turn; on a server this is a
null context.
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
    :ivar guard: the arguments of ``api.instance_update`` that say what this
        write expects; ``None`` for a write that only Nova makes, after a
        refusal: who was refused with a guard leaves the row alone
    :ivar unhosted: whether Nova demands that the row has no host
    """

    did: str
    source: str
    values: Mapping[str, Any]
    nova: tuple[str | None, ...] | states.Any
    guard: Mapping[str, Any] | None
    unhosted: bool = False


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


def _shown(expected: Any) -> str:
    """Show an expectation as a row is shown."""
    if expected is states.ANY:
        return ""
    if isinstance(expected, states.Not):
        return f"not {_shown(expected.excluded)}"
    if not isinstance(expected, tuple):
        expected = (expected,)
    return " or ".join("NULL" if one is None else str(one) for one in expected)


_NOBODY: Final = "00000000-0000-0000-0000-000000000000"
_NOTHING: Final = Write(
    "", "", {"task_state": None}, states.ANY, {"expected_task_state": None}
)


class Saves(Protocol):
    """A way to write; a process makes its own from the URL."""

    name: str

    def __init__(self, url: str, turn: Turn) -> None: ...

    def warm_up(self) -> None:
        """Connect, and compile what is sent, before anything is measured."""

    def expectation(self, write: Write) -> str:
        """Say what a write expects of the row; empty for nothing."""

    def read(self, uuid: str) -> Row | None:
        """Read a row as it is now, deleted or not."""

    def write(self, server: Server, write: Write) -> None:
        """Make one write, or raise why not."""

    def destroy(self, server: Server, write: Write) -> None:
        """Mark the row as deleted, or raise why not."""


class _Reads(abc.ABC):
    def __init__(self, url: str, turn: Turn) -> None:
        self.context: Any = api.connect(url)
        self.turn = turn

    def read(self, uuid: str) -> Row | None:
        """Read a row as it is now, in a transaction of its own."""
        select = sa.select(
            _T.c.id,
            _T.c.vm_state,
            _T.c.task_state,
            _T.c.host,
            _T.c.deleted,
        ).where(_T.c.uuid == uuid)
        with self.context.begin() as connection:
            found = connection.execute(select).one_or_none()
        return None if found is None else Row(*found)

    def warm_up(self) -> None:
        """Read and write a row that does not exist."""
        self.read(_NOBODY)
        server = Server(_NOBODY, Row(0, None, None, None, 0))
        with contextlib.suppress(exceptions.InstanceNotFound):
            self.write(server, _NOTHING)

    @abc.abstractmethod
    def write(self, server: Server, write: Write) -> None:
        """Make one write, or raise why not."""


class GuardedSaves(_Reads):
    """Every write says what it expects; one ``UPDATE`` decides."""

    name = "guarded"

    def expectation(self, write: Write) -> str:
        """Say what a write expects of the row; empty for nothing."""
        guard = write.guard or {}
        text = _shown(guard.get("expected_task_state", states.ANY))
        if "expected_vm_state" in guard:
            text = f"{_shown(guard['expected_vm_state'])} / {text}"
        return f"{text} (no host)" if "expected" in guard else text

    def write(self, server: Server, write: Write) -> None:
        """Make one guarded update.

        :raises InstanceUpdateConflict: somebody else was first
        :raises InstanceNotFound: the row is deleted
        """
        if write.guard is None:
            return
        self.update(server.uuid, write.values, write.guard)
        server.saved(write.values)

    def destroy(self, server: Server, write: Write) -> None:
        """Set ``deleted``, by a guarded update like any other."""
        values = {"deleted": server.row.id, "deleted_at": timeutils.utcnow()}
        self.write(server, dataclasses.replace(write, values=values))

    def update(
        self, uuid: str, values: Mapping[str, Any], guard: Mapping[str, Any]
    ) -> None:
        """Call the library; a test replaces this with what has no guard."""
        with self.turn:
            api.instance_update(self.context, uuid, values, **guard)


class _Instance:
    """A row of ``instances`` for the ORM, which oslo.db's helpers need."""


orm.registry().map_imperatively(_Instance, _T)
orm.configure_mappers()
_MAPPED: Final[Any] = _Instance


class DirectSaves(_Reads):
    """Nova 34: guards where it has them, and what it sends where not."""

    name = "direct"

    def expectation(self, write: Write) -> str:
        """Say what Nova expects there; empty for nothing."""
        return "no host" if write.unhosted else _shown(write.nova)

    def write(self, server: Server, write: Write) -> None:
        """Save everything that is dirty, as ``Instance.save`` does.

        A refusal leaves the object dirty, as it does in Nova: the next save
        writes what this one was refused.

        :raises InstanceUpdateConflict: Nova's guard did not match
        :raises InstanceNotFound: the row is deleted
        """
        server.dirty.update(write.values)
        values = {**server.dirty, "updated_at": timeutils.utcnow()}
        expected = None if write.nova is states.ANY else list(write.nova)
        with self.turn:
            _instance_update(self.context, server.uuid, values, expected)
        server.saved(server.dirty)
        server.dirty.clear()

    def destroy(self, server: Server, write: Write) -> None:
        """Soft-delete the row, as ``Instance.destroy`` does."""
        del write
        unhosted = server.row.host is None
        with self.turn:
            _instance_destroy(self.context, server.uuid, unhosted=unhosted)
        server.saved({"deleted": server.row.id})


def _visible(session: Any, uuid: str) -> Any:
    query = session.query(_MAPPED).filter(_MAPPED.deleted == 0)
    return query.filter_by(uuid=uuid)


def _original(session: Any, uuid: str) -> Any:
    found = _visible(session, uuid).first()
    if found is None:
        raise exceptions.InstanceNotFound(
            f"Instance {uuid} could not be found.", instance_uuid=uuid
        )
    return found


# As _retry_instance_update of nova/db/main/api.py, its sleep of one second
# and more included.
_retried: Final[Any] = oslo_db_api.wrap_db_retry(
    max_retries=5,
    retry_on_deadlock=True,
    exception_checker=lambda error: isinstance(
        error, exceptions.UnknownInstanceUpdateConflict
    ),
)


@_retried  # type: ignore[untyped-decorator] # oslo.db has no types
def _instance_update(
    context: Any,
    uuid: str,
    values: Mapping[str, Any],
    expected: list[str | None] | None,
) -> None:
    with context.db_connection.writer.using(context) as session:
        before = _original(session, uuid).task_state
        specimen = _MAPPED()
        specimen.uuid = uuid
        if expected is not None:
            specimen.task_state = expected
        query = session.query(_MAPPED).filter(_MAPPED.deleted == 0)
        try:
            query.update_on_match(specimen, "uuid", values)
        except update_match.NoRowsMatched as error:
            raise _refusal(uuid, expected, before) from error


def _refusal(
    uuid: str, expected: list[str | None] | None, actual: str | None
) -> exceptions.InstanceError:
    """Explain from the row read before, as ``_instance_update`` of Nova."""
    if expected is None or actual in expected:
        return exceptions.UnknownInstanceUpdateConflict(
            f"Conflict updating instance {uuid}, but we were unable to "
            f"determine the cause",
            instance_uuid=uuid,
        )
    kind = exceptions.UnexpectedTaskStateError
    if actual == states.TaskState.DELETING:
        kind = exceptions.UnexpectedDeletingTaskStateError
    return kind(
        f"Conflict updating instance {uuid}. Expected: {expected}. Actual: "
        f"{actual}",
        instance_uuid=uuid,
        expected={"task_state": tuple(expected)},
        actual={"task_state": actual},
    )


@_retried  # type: ignore[untyped-decorator] # oslo.db has no types
def _instance_destroy(context: Any, uuid: str, *, unhosted: bool) -> None:
    with context.db_connection.writer.using(context) as session:
        _original(session, uuid)
        query = _visible(session, uuid)
        if unhosted:
            query = query.filter(_MAPPED.host.is_(None))
        if query.soft_delete() == 0:
            _original(session, uuid)
            raise exceptions.InstanceUpdateConflict(
                f"Cannot destroy instance {uuid}: host changed",
                instance_uuid=uuid,
                expected={"host": (None,)},
            )
