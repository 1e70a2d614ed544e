# SPDX-License-Identifier: Apache-2.0
"""One guarded update, and the single statements that it comes down to."""

from collections.abc import Mapping
import dataclasses
from typing import Any

import sqlalchemy as sa

from nova_db_states import exceptions
from nova_db_states import guards
from nova_db_states._update import clusters
from nova_db_states._update import diagnose
from nova_db_states._update import statement

__all__ = [
    "Outcome",
    "Returned",
    "Update",
    "apply",
    "assignments_of",
    "conditions_of",
    "expected",
    "explain",
    "multiple",
    "read",
    "shape_of",
    "unexplained",
]

Returned = Mapping[str, Any] | None


@dataclasses.dataclass(frozen=True, slots=True)
class Update:
    """One guarded update, checked and ready.

    :ivar instance_uuid: canonical
    :ivar values: column to value, ``updated_at`` included unless it is to
        stay; empty where nothing but the guards matters
    :ivar guards: normal forms
    :ivar scope: the rows the context may see
    :ivar returning: columns to read back, or empty
    """

    instance_uuid: str
    values: Mapping[str, Any]
    guards: tuple[guards.Guard, ...]
    scope: statement.Scope
    returning: tuple[str, ...] = ()

    @property
    def shape(self) -> statement.Shape:
        """What its statements are made from."""
        return shape_of(self.values, self.guards, self.scope)

    def conditions(self) -> dict[str, Any]:
        """Parameters of every statement that judges this update."""
        return {
            "key_uuid": self.instance_uuid,
            **conditions_of(self.guards, self.scope),
        }

    def parameters(self) -> dict[str, Any]:
        """Parameters of the ``UPDATE`` itself."""
        return {**self.conditions(), **assignments_of(self.values)}


def shape_of(
    values: Mapping[str, Any],
    given: tuple[guards.Guard, ...],
    scope: statement.Scope,
    *,
    aged: bool = False,
) -> statement.Shape:
    """Reduce a call to what its SQL text depends on."""
    return statement.Shape(
        tuple(sorted(values)),
        tuple(statement.GuardShape.of(guard) for guard in given),
        scope.read_deleted,
        scope.project_id is not None,
        aged,
    )


def conditions_of(
    given: tuple[guards.Guard, ...], scope: statement.Scope
) -> dict[str, Any]:
    """Bind guards and visibility."""
    parameters = statement.guard_parameters(given)
    if scope.project_id is not None:
        parameters["scope_project_id"] = scope.project_id
    return parameters


def assignments_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Bind the new values."""
    return {f"set_{name}": value for name, value in values.items()}


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What an ``UPDATE`` has come to.

    :ivar count: number of rows that matched
    :ivar unchanged: whether they had all the new values already
    :ivar returned: the columns asked for, or ``None``
    """

    count: int
    unchanged: bool = False
    returned: Returned = None


def apply(connection: sa.Connection, update: Update) -> Outcome:
    """Send the one ``UPDATE``, and read back what is asked for.

    :param connection: in a transaction
    :param update: what to send
    :returns: what has come of it
    """
    result = connection.execute(
        statement.single(update.shape), update.parameters()
    )
    if result.rowcount != 1:
        return Outcome(result.rowcount)
    returned = None
    if update.returning:
        returned = read(
            connection,
            statement.written(update.returning),
            {"key_uuid": update.instance_uuid},
        )
    return Outcome(
        1, clusters.changed_nothing(result.context.cursor), returned
    )


def explain(
    connection: sa.Connection, update: Update, *, locking: bool
) -> exceptions.InstanceError | None:
    """Judge the guards again, by a read.

    :param connection: to the cell
    :param update: the one that matched no row
    :param locking: read the row as it is now, under a lock, and not as the
        snapshot of the transaction has it
    :returns: the exception that says why; ``None`` where the row fits
    """
    row = read(
        connection,
        statement.judged(update.shape, locking=locking),
        update.conditions(),
    )
    return diagnose.explain(
        update.instance_uuid, update.guards, update.scope, row
    )


def read(
    connection: sa.Connection,
    select: sa.Select[Any],
    parameters: Mapping[str, Any],
) -> dict[str, Any] | None:
    """Read one row.

    :param connection: to the cell
    :param select: of :mod:`statement`
    :param parameters: its values
    :returns: column to value; ``None`` where there is no row
    """
    row = connection.execute(select, parameters).mappings().one_or_none()
    return None if row is None else {str(key): row[key] for key in row}


def expected(update: Update) -> dict[str, Any]:
    """Give what the guards expect, by column, as exceptions tell it."""
    return {guard.column: guard.expectation for guard in update.guards}


def multiple(
    update: Update, count: int, outcome: str
) -> exceptions.MultipleInstancesMatched:
    """Say that the schema is damaged.

    :param update: what was sent
    :param count: number of rows that matched
    :param outcome: what became of them, for the message
    """
    return exceptions.MultipleInstancesMatched(
        f"{count} rows have the uuid {update.instance_uuid}; {outcome}. "
        f"Nova's schema forbids that (uniq_instances0uuid): run "
        f"'nova-manage db sync' and remove the duplicates.",
        instance_uuid=update.instance_uuid,
    )


def unexplained(update: Update) -> exceptions.UnknownInstanceUpdateConflict:
    """Say that the row fitted again whenever it was read."""
    return exceptions.UnknownInstanceUpdateConflict(
        f"Instance {update.instance_uuid} was not changed: each time the "
        f"update matched no row, the row fitted again when it was read. Its "
        f"state changes to and fro; try again later.",
        instance_uuid=update.instance_uuid,
        expected=expected(update),
    )
