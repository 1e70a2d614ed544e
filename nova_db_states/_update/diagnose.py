# SPDX-License-Identifier: Apache-2.0
"""From the row that made an update fail to the exception that says so."""

from collections.abc import Mapping
from typing import Any

from nova_db_states import exceptions
from nova_db_states import guards
from nova_db_states import states
from nova_db_states._update import statement

__all__ = ["explain"]

_REMEDIES: dict[type[exceptions.InstanceUpdateConflict], str] = {
    exceptions.UnexpectedDeletingTaskStateError: (
        "The server is being deleted: stop, release what this operation "
        "holds, and leave its state alone."
    ),
    exceptions.UnexpectedTaskStateError: (
        "Another operation was first: stop, or read the server again and "
        "decide anew."
    ),
    exceptions.UnexpectedVMStateError: (
        "The server is no longer in the state this operation starts from: "
        "read it again and decide anew."
    ),
    exceptions.InstanceUpdateConflict: (
        "Another writer was first: read the server again and decide anew."
    ),
}


def explain(
    instance_uuid: str,
    given: tuple[guards.Guard, ...],
    scope: statement.Scope,
    row: Mapping[str, Any] | None,
    refused: str = "was not changed",
) -> exceptions.InstanceError | None:
    """Find why the update matched no row.

    :param instance_uuid: the instance that was asked for
    :param given: the guards of the update
    :param scope: the rows the context may see
    :param row: what :func:`statement.judged` found, or ``None``
    :param refused: what a conflict means, as the predicate of its message
    :returns: the exception to raise; ``None`` where the row fits every guard
        by now, so that there is nothing to explain
    """
    if row is None or not scope.shows(row["deleted"]):
        return _not_found(instance_uuid, scope, row)
    failed = [guard for guard in given if not row[f"fits_{guard.column}"]]
    if not failed:
        return None
    kind = _kind(failed, row)
    return kind(
        f"Instance {instance_uuid} {refused}: "
        f"{_differences(failed, row)}{_context(failed, row)}. "
        f"{_REMEDIES[kind]}",
        instance_uuid=instance_uuid,
        expected={guard.column: guard.expectation for guard in failed},
        actual={guard.column: row[guard.column] for guard in failed},
        state=(row["vm_state"], row["task_state"]),
    )


def _kind(
    failed: list[guards.Guard], row: Mapping[str, Any]
) -> type[exceptions.InstanceUpdateConflict]:
    """Choose the class as Nova's ``_instance_update`` does: task first."""
    columns = {guard.column for guard in failed}
    if columns & {"task_state", guards.STATE}:
        if row["task_state"] == states.TaskState.DELETING:
            return exceptions.UnexpectedDeletingTaskStateError
        return exceptions.UnexpectedTaskStateError
    if "vm_state" in columns:
        return exceptions.UnexpectedVMStateError
    return exceptions.InstanceUpdateConflict


def _differences(failed: list[guards.Guard], row: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{guard.column} is {_shown(row[guard.column])}, expected {guard}"
        for guard in failed
    )


def _context(failed: list[guards.Guard], row: Mapping[str, Any]) -> str:
    """Name the states that did fit, for the reader of a log."""
    named = {guard.column for guard in failed}
    rest = [
        f"{name} {_shown(row[name])}"
        for name in ("vm_state", "task_state")
        if name not in named
    ]
    return f" ({', '.join(rest)})" if rest else ""


def _shown(value: Any) -> str:
    return "NULL" if value is None else states.plain(value)


def _not_found(
    instance_uuid: str, scope: statement.Scope, row: Mapping[str, Any] | None
) -> exceptions.InstanceNotFound:
    if row is None:
        within = f" in project {scope.project_id}" if scope.project_id else ""
        why = (
            f"this cell has no such row{within}. It never existed, was "
            f"purged, or is in another cell."
        )
    elif scope.read_deleted == statement.ONLY_DELETED:
        why = "it is not deleted, and this context sees deleted rows only."
    elif row["deleted"] is None:
        # Nova always writes a number; its queries do not see such a row.
        why = (
            "its column deleted is NULL, neither deleted nor not. Set it to 0."
        )
    else:
        why = (
            f"it was deleted at {row['deleted_at']} UTC. There is nothing "
            f"left to do for it."
        )
    return exceptions.InstanceNotFound(
        f"Instance {instance_uuid} was not found: {why}",
        instance_uuid=instance_uuid,
    )
