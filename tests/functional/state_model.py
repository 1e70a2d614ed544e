# SPDX-License-Identifier: Apache-2.0
"""Servers in plain memory, and the database held to the same answers."""

from collections.abc import Collection, Mapping
import dataclasses
import datetime
from typing import Any, Final

import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import machine
from nova_db_states import states
from tests.resources import rows

__all__ = ["DELETING", "Fleet", "Server", "Worker", "claims", "steps"]

DELETING: Final = frozenset({"deleting", "soft-deleting"})

#: Who may end a delete that was accepted: itself, the confirmation of a
#: resize inside of it, its opposite, and the administrator.
_MAY_END_A_DELETE: Final = frozenset(
    {
        "delete",
        "soft_delete",
        "confirm resize",
        "confirm resize, cross-cell",
        "reclaim (periodic)",
        "restore",
        "reset-state",
    }
)

_EVERYTHING: Final = {
    "vm_state": {*map(str, states.VMState), None},
    "task_state": {*map(str, states.TaskState), None},
}


@dataclasses.dataclass
class Server:
    """One server as it should be.

    :ivar uuid: its row
    :ivar state: what the row should hold
    :ivar deleted: whether it should be marked as deleted
    :ivar history: the states it went through
    """

    uuid: str
    state: machine.State
    deleted: bool = False
    history: list[machine.State] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Worker:
    """Somebody at work on a server, who believes to know its state.

    :ivar server: the server
    :ivar action: what is being done to it
    :ivar belief: the state that was last seen or written
    """

    server: Server
    action: machine.Action
    belief: machine.State


def claims(action: machine.Action) -> list[machine.Write]:
    """List the writes by which an action may begin."""
    forward = [
        write
        for write in action.writes
        if write.path is machine.Path.SUCCESS
        and write.event is machine.Event.UPDATE
        and not write.defect
    ]
    return [write for write in forward if write.nova == forward[0].nova]


def steps(worker: Worker) -> list[tuple[machine.Write, machine.State]]:
    """List what a worker may do next, and what that leads to."""
    return [
        (write, target)
        for write in worker.action.writes
        if not write.defect and write.change.starts_from(worker.belief)
        for target in write.change.targets(worker.belief)
    ]


class Fleet:
    """Servers in memory and in a cell; both must always agree.

    :param context: to write with
    :param engine: to look with
    """

    def __init__(self, context: api.CellContext, engine: sa.Engine) -> None:
        self._context = context
        self._engine = engine
        self.servers: list[Server] = []

    def boot(self, state: machine.State) -> Server:
        """Insert a server."""
        uuid = rows.insert_instance(
            self._engine,
            vm_state=state.vm_state,
            task_state=state.task_state,
            launched_at=datetime.datetime(2026, 1, 1),
        )
        server = Server(uuid, state, history=[state])
        self.servers.append(server)
        return server

    def attempt(
        self,
        server: Server,
        name: str,
        write: machine.Write,
        target: machine.State,
        belief: machine.State | None = None,
    ) -> bool:
        """Let somebody write, and hold the answer to the model's.

        :param server: the server
        :param name: the action
        :param write: the write of the action
        :param target: what it leads to from where the server is, or from
            what the writer believes
        :param belief: what the writer last saw; without it the guard is that
            of the map
        :returns: whether it was applied
        """
        change = write.change
        vm: Collection[str | None] = change.from_vm
        task: Collection[str | None] = change.from_task
        if belief is not None:
            vm, task = [belief.vm_state], [belief.task_state]
        values: dict[str, Any] = {
            "vm_state": target.vm_state,
            "task_state": target.task_state,
        }
        if change.to_vm is None:
            del values["vm_state"]
        if change.to_task is None:
            del values["task_state"]
        if write.event is machine.Event.DESTROY:
            values["deleted"] = 7
        wanted = self._refusal(server, vm, task)
        refused: type[Exception] | None = None
        try:
            api.instance_update(
                self._context,
                server.uuid,
                values,
                expected_vm_state=_guard("vm_state", vm),
                expected_task_state=_guard("task_state", task),
            )
        except exceptions.InstanceError as error:
            refused = type(error)
        assert refused is wanted, (name, str(change), server)
        if refused is None:
            server.deleted = "deleted" in values
            self.note(server, name, target_of(server.state, values))
        return refused is None

    def _refusal(
        self,
        server: Server,
        vm: Collection[str | None],
        task: Collection[str | None],
    ) -> type[Exception] | None:
        """Say how a write should be refused, if it should be."""
        if server.deleted:
            return exceptions.InstanceNotFound
        if server.state.task_state not in task:
            if server.state.task_state == "deleting":
                return exceptions.UnexpectedDeletingTaskStateError
            return exceptions.UnexpectedTaskStateError
        if server.state.vm_state not in vm:
            return exceptions.UnexpectedVMStateError
        return None

    def note(self, server: Server, name: str, after: machine.State) -> None:
        """Change the model, and judge the step that was made."""
        before = server.state
        assert machine.is_allowed(before, after, action=name)
        if before.task_state in DELETING and after.task_state not in DELETING:
            assert name in _MAY_END_A_DELETE
        server.state = after
        server.history.append(after)

    def undo(self, server: Server, before: machine.State) -> None:
        """Put the model back to where a server was before a claim."""
        assert server.history[-2] == before
        server.state = before
        server.history.append(before)

    def agree(self) -> None:
        """Hold every row to the model."""
        for server in self.servers:
            row = rows.read_instance(self._engine, server.uuid)
            assert server.state == (row["vm_state"], row["task_state"])
            assert server.deleted == bool(row["deleted"])
            assert server.state in machine.MAP.states


def target_of(
    before: machine.State, values: Mapping[str, Any]
) -> machine.State:
    """Say what some values make of a state."""
    return before._replace(
        **{key: values[key] for key in before._fields if key in values}
    )


def _guard(column: str, values: Collection[str | None]) -> Any:
    return states.ANY if set(values) == _EVERYTHING[column] else list(values)
