# SPDX-License-Identifier: Apache-2.0
"""Writing an instance as Nova saves it.

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

from collections.abc import Iterator, Mapping
import contextlib
from typing import Any, Final, TypeVar

from oslo_db import api as oslo_db_api
from oslo_db.sqlalchemy import update_match
from oslo_utils import timeutils
from sqlalchemy import orm

from nova_db_states import exceptions
from nova_db_states import states
from nova_db_states import tables
from nova_db_states.demo import saves

__all__ = ["DirectSaves"]

_Piece = TypeVar("_Piece")


class _Instance:
    """A row of ``instances`` for the ORM, which oslo.db's helpers need."""


orm.registry().map_imperatively(_Instance, tables.instances)
orm.configure_mappers()
_MAPPED: Final[Any] = _Instance


class DirectSaves(saves.Base):
    """Nova 34: guards where it has them, and what it sends where not."""

    name = "direct"
    cleans_up = True

    def expectation(self, write: saves.Write) -> str:
        """Say what Nova expects there; empty for nothing."""
        return "no host" if write.unhosted else saves.shown(write.nova)

    def write(self, server: saves.Server, write: saves.Write) -> None:
        """Save everything that is dirty, as ``Instance.save`` does.

        A refusal leaves the object dirty, as it does in Nova: the next save
        writes what this one was refused.

        :raises InstanceUpdateConflict: Nova's guard did not match
        :raises InstanceNotFound: the row is deleted
        """
        server.dirty.update(write.values)
        values = {**server.dirty, "updated_at": timeutils.utcnow()}
        expected = None if write.nova is states.ANY else list(write.nova)
        _instance_update(self.context, server.uuid, values, expected)
        server.saved(server.dirty)
        server.dirty.clear()

    def accept(self, server: saves.Server, write: saves.Write) -> None:
        """Save, as anywhere else."""
        self.write(server, write)

    @contextlib.contextmanager
    def task(
        self, server: saves.Server, first: saves.Write
    ) -> Iterator["_Task"]:
        """Save what a host saves; what nova-api did is not looked at."""
        if not first.by_api:
            self.write(server, first)
        yield _Task(self, server)

    def destroy(self, server: saves.Server, write: saves.Write) -> None:
        """Soft-delete the row, as ``Instance.destroy`` does."""
        del write
        unhosted = server.row.host is None
        _instance_destroy(self.context, server.uuid, unhosted=unhosted)
        server.saved({"deleted": server.row.id})


class _Task:
    """Saves in a row, which is all that a task is in Nova."""

    def __init__(self, way: DirectSaves, server: saves.Server) -> None:
        self._server = server
        self.expectation = way.expectation
        self._write = way.write

    def step(self, write: saves.Write) -> None:
        """Save."""
        self._write(self._server, write)

    end = step

    def watched(
        self, pieces: Iterator[_Piece], interval_s: float
    ) -> Iterator[_Piece]:
        """Let everything through: Nova looks before it and after it."""
        del interval_s
        return pieces


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
