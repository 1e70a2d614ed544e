# SPDX-License-Identifier: Apache-2.0
"""Writing an instance by actions: claimed, done step by step, watched.

The guards are the map's. What is no action there says itself what it
expects: the claim of a host, and the end of a row.
"""

from collections.abc import Iterator
import contextlib
import dataclasses
from typing import Any, Final, TypeVar

from oslo_utils import timeutils

from nova_db_states import actions
from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import states
from nova_db_states.demo import saves
from nova_db_states.demo import writes

__all__ = ["GuardedSaves"]

_Piece = TypeVar("_Piece")

_STATES: Final = frozenset({"vm_state", "task_state"})


def _besides(
    _context: Any, _instance: str, write: saves.Write
) -> dict[str, Any]:
    """Give what a write sets besides the states."""
    return {
        name: value
        for name, value in write.values.items()
        if name not in _STATES
    }


def _accepted(context: Any, instance: str, write: saves.Write) -> None:
    """Cast it to a host, which here the story does."""


# As the methods of nova-api that accept something: each runs for the caller
# who gets its action.
_METHODS: Final = {
    first.action: actions.instance_action(first.action, values=_besides)(
        _accepted
    )
    for first in writes.ACCEPTED
}


class GuardedSaves(saves.Base):
    """Every write says what it expects; one ``UPDATE`` decides."""

    name = "guarded"
    cleans_up = False

    def warm_up(self) -> None:
        """Begin every action on a row that does not exist."""
        super().warm_up()
        server = saves.Server(saves.NOBODY, saves.Row(0, None, None, None, 0))
        for first in writes.ACCEPTED:
            with contextlib.suppress(exceptions.InstanceNotFound):
                self.accept(server, first)
        for first in (*writes.ACCEPTED, writes.START):
            with (
                contextlib.suppress(exceptions.InstanceNotFound),
                self.task(server, first),
            ):
                pass

    def expectation(self, write: saves.Write) -> str:
        """Say what a write expects of the row; empty for nothing."""
        guard = write.guard or {}
        parts = [
            saves.shown(guard.get(f"expected_{name}", states.ANY))
            for name in ("vm_state", "task_state")
        ]
        text = " / ".join(filter(None, parts))
        return f"{text} (no host)" if "expected" in guard else text

    def accept(self, server: saves.Server, write: saves.Write) -> None:
        """Claim an action: the claim is its first write.

        :raises InstanceUpdateConflict: somebody else was first
        :raises InstanceNotFound: the row is deleted
        """
        _METHODS[write.action](self.context, server.uuid, write)
        server.saved(write.values)

    @contextlib.contextmanager
    def task(
        self, server: saves.Server, first: saves.Write
    ) -> Iterator["_Task"]:
        """Do an action as a task.

        :raises InstanceUpdateConflict: somebody else has the server, now or
            at a later step
        :raises InstanceNotFound: the row is deleted
        """
        with actions.task(
            self.context,
            server.uuid,
            first.values["task_state"],
            action=first.action,
        ) as task:
            server.saved(first.values)
            yield _Task(server, task)

    def write(self, server: saves.Server, write: saves.Write) -> None:
        """Make one guarded update.

        :raises InstanceUpdateConflict: somebody else was first
        :raises InstanceNotFound: the row is deleted
        """
        assert write.guard is not None
        api.instance_update(
            self.context, server.uuid, write.values, **write.guard
        )
        server.saved(write.values)

    def destroy(self, server: saves.Server, write: saves.Write) -> None:
        """Set ``deleted``, by a guarded update like any other."""
        values = {"deleted": server.row.id, "deleted_at": timeutils.utcnow()}
        self.write(server, dataclasses.replace(write, values=values))


class _Task:
    """A task of ``actions`` on a server."""

    def __init__(self, server: saves.Server, task: actions.Task) -> None:
        self._server = server
        self._task = task

    def expectation(self, write: saves.Write) -> str:
        """Say where the task has led the row, which every step expects."""
        del write
        return str(self._task.state)

    def step(self, write: saves.Write) -> None:
        """Take a step to the state that a write names."""
        self._task.step(**write.values)
        self._server.saved(write.values)

    def end(self, write: saves.Write) -> None:
        """End the action in the state that a write names."""
        # An end leaves no task, whatever is said.
        values = {**write.values}
        del values["task_state"]
        self._task.end(**values)
        self._server.saved(write.values)

    def watched(
        self, pieces: Iterator[_Piece], interval_s: float
    ) -> Iterator[_Piece]:
        """Let pieces through while the row stays where the task led it."""
        return self._task.watch(interval_s).iterate(pieces)
