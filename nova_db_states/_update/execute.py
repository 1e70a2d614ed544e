# SPDX-License-Identifier: Apache-2.0
"""Running one guarded update to its verdict.

Three ways, one meaning: in autocommit (one round trip), in a transaction of
its own (where something is read back, or the schema cannot promise that a
uuid matches one row), and inside the transaction a caller has open.
"""

from collections.abc import Mapping
import contextlib
import dataclasses
from typing import Any

import sqlalchemy as sa

from nova_db_states import exceptions
from nova_db_states import guards
from nova_db_states import retry
from nova_db_states._update import clusters
from nova_db_states._update import diagnose
from nova_db_states._update import pools
from nova_db_states._update import statement
from nova_db_states._update import wire

__all__ = ["Update", "confirmed", "independent", "joined"]

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


class _Attempt:
    """One attempt outside of any transaction of the caller.

    :ivar in_doubt: whether an error now leaves open if the change was made
    """

    def __init__(self, update: Update, cell: pools.Cell) -> None:
        self.update = update
        self.cell = cell
        self.in_doubt = False

    def run(self, *, settles: bool) -> tuple[int, Returned]:
        """Run the update.

        :param settles: whether a refusal is to be the last word
        :returns: number of rows that matched, and what was read back
        :raises InstanceError: what keeps it from matching; only if it settles,
            or on a cluster
        """
        if settles:
            return self._settled()
        single = self.cell.single()
        if single is None or self.update.returning:
            count, returned, on_node = self._in_transaction()
        else:
            count, returned, on_node = self._sent(single)
        # The node may only not have the row yet as the update expects it.
        return self._settled() if on_node else (count, returned)

    def _sent(self, single: sa.Engine) -> tuple[int, Returned, bool]:
        with wire.checkout(single) as connection:
            self.in_doubt = True
            count = wire.send(
                connection,
                single.dialect,
                self.update.shape,
                self.update.parameters(),
            )
            # The server's answer settles it; what fails later, fails later.
            self.in_doubt = False
            on_node = not count and clusters.is_node(
                connection, single.dialect
            )
            return count, None, on_node

    def _in_transaction(self) -> tuple[int, Returned, bool]:
        with self.cell.engine.connect() as connection:
            with connection.begin() as transaction:
                count, returned = _update(connection, self.update)
                if count == 1:
                    self._commit(transaction)
                    return count, returned, False
                transaction.rollback()
            return count, None, not count and clusters.is_node_of(connection)

    def _settled(self) -> tuple[int, Returned]:
        """Run it where a refusal is the last word.

        The node has caught up with its cluster, and the reason is looked for
        under the lock that the update took, so that the row cannot fit again
        meanwhile.
        """
        with (
            self.cell.engine.connect() as connection,
            connection.begin() as transaction,
        ):
            with clusters.caught_up(connection):
                count, returned = _update(connection, self.update)
                if count == 0:
                    conflict = _explain(connection, self.update, locking=True)
                    if conflict is not None:
                        raise conflict
            if count == 1:
                self._commit(transaction)
            else:
                transaction.rollback()
            return count, returned

    def _commit(self, transaction: sa.Transaction) -> None:
        self.in_doubt = True
        transaction.commit()
        self.in_doubt = False

    def explain(self) -> exceptions.InstanceError | None:
        """Judge the guards again, in a transaction begun after the update."""
        engine = self.cell.single() or self.cell.engine
        with engine.connect() as connection:
            return _explain(connection, self.update, locking=False)

    def unknown(self) -> exceptions.UnknownUpdateOutcome:
        """Say that the outcome is not known, and what the row is now."""
        update = self.update
        # The lost statement may still wait for the row on the server, and a
        # read that locks queues behind it; where that takes too long, the
        # row as it is now is better than nothing.
        row = self._present(locking=True) or self._present(locking=False)
        return exceptions.UnknownUpdateOutcome(
            f"The connection to the server, or the server's to its cluster, "
            f"was lost before the answer: whether instance "
            f"{update.instance_uuid} was changed is not known, and the "
            f"server may still be about to. Read it again, once that server "
            f"answers, and decide from what is there.",
            instance_uuid=update.instance_uuid,
            expected=_expected(update),
            actual=row,
        )

    def _present(self, *, locking: bool) -> dict[str, Any] | None:
        update = self.update
        names = {*update.values, "vm_state", "task_state", "deleted"}
        select = statement.written(
            tuple(sorted(names)), scoped=update.shape.scoped, locking=locking
        )
        try:
            with (
                self.cell.engine.begin() as connection,
                clusters.caught_up(connection)
                if locking
                else contextlib.nullcontext(),
            ):
                row = _read(connection, select, update.conditions())
        except retry.DATABASE_ERRORS:
            # That nothing is known has to be said all the same; the error
            # that led here is the cause.
            return None
        visible = row is not None and update.scope.shows(row["deleted"])
        return row if visible else None


def independent(
    update: Update, cell: pools.Cell, policy: retry.Policy
) -> Returned:
    """Run an update in a transaction of its own, as often as the policy says.

    :param update: what to run
    :param cell: where
    :param policy: for errors that may be tried again, and for rows that fit
        again after they did not
    :returns: the columns asked for, or ``None``
    :raises InstanceError: the subclass that says what happened
    :raises DBError: of oslo.db; the database failed more often than the
        policy allows
    """
    error: Exception | None = None
    settles = False
    for _ in policy.attempts():
        attempt = _Attempt(update, cell)
        try:
            count, returned = attempt.run(settles=settles)
            if count == 1:
                return returned
            if count > 1:
                raise _multiple(update, count, "none was changed")
            conflict = attempt.explain()
        except retry.DATABASE_ERRORS as caught:
            verdict = retry.classify(caught)
            if verdict is retry.Verdict.LOST and attempt.in_doubt:
                raise attempt.unknown() from caught
            if verdict is retry.Verdict.FAIL:
                retry.reraise(caught)
            cell.leave(caught)
            error = caught
            continue
        error = None
        if conflict is not None:
            raise conflict
        settles = True
    if error is not None:
        retry.reraise(error)
    raise _unexplained(update)


def joined(update: Update, connection: sa.Connection) -> Returned:
    """Run an update inside the caller's transaction, once.

    :param update: what to run
    :param connection: of that transaction
    :returns: the columns asked for, or ``None``
    :raises InstanceError: the subclass that says what happened
    :raises DBError: of oslo.db; the transaction must be begun anew, on a
        cluster also because a refusal could not be verified
    """
    try:
        count, returned = _update(connection, update)
        if count == 1:
            return returned
        if count > 1:
            raise _multiple(update, count, "roll this transaction back")
        conflict = _explain(connection, update, locking=True)
        if conflict is not None:
            conflict = confirmed(update, connection, conflict)
            if conflict is None:
                raise retry.Unverified
    except retry.DATABASE_ERRORS as caught:
        retry.reraise(caught)
    raise conflict or _unexplained(update)


def confirmed(
    question: Update,
    connection: sa.Connection,
    conflict: exceptions.InstanceError,
) -> exceptions.InstanceError | None:
    """Make sure of a refusal inside a transaction of the caller's.

    On a cluster the node may have judged by an old row, and within the
    transaction it does not wait. So another connection is asked, which does.

    Where that one finds that the row fits, either this node was behind, or it
    is this transaction itself that has changed the row. A node applies what
    others wrote over the locks of its own transactions, which it rolls back
    (error 1213): a transaction that is still there, on a node that has caught
    up, sees of the rows that it has locked what there is.

    :param question: its guards and scope
    :param connection: of the transaction, which has locked the row
    :param conflict: as the transaction found it
    :returns: the exception to raise; ``None`` where the row fits after all,
        and perhaps only a new transaction can see that
    :raises Unverified: nothing could be found out
    :raises DBAPIError: of SQLAlchemy; the transaction must be begun anew
    """
    if not clusters.needs_proof(connection):
        return conflict
    try:
        with clusters.beside(connection) as (other, same_node):
            seen = _explain(other, question, locking=False)
    except retry.DATABASE_ERRORS as error:
        raise retry.Unverified from error
    # A row that this transaction has made is there for nobody else.
    if seen is not None and _is_missing(seen) == _is_missing(conflict):
        return seen
    return _explain(connection, question, locking=True) if same_node else None


def _is_missing(error: exceptions.InstanceError) -> bool:
    return isinstance(error, exceptions.InstanceNotFound)


def _update(connection: sa.Connection, update: Update) -> tuple[int, Returned]:
    result = connection.execute(
        statement.single(update.shape), update.parameters()
    )
    if result.rowcount != 1 or not update.returning:
        return result.rowcount, None
    return 1, _read(
        connection,
        statement.written(update.returning),
        {"key_uuid": update.instance_uuid},
    )


def _explain(
    connection: sa.Connection, update: Update, *, locking: bool
) -> exceptions.InstanceError | None:
    row = _read(
        connection,
        statement.judged(update.shape, locking=locking),
        update.conditions(),
    )
    return diagnose.explain(
        update.instance_uuid, update.guards, update.scope, row
    )


def _read(
    connection: sa.Connection,
    select: sa.Select[Any],
    parameters: Mapping[str, Any],
) -> dict[str, Any] | None:
    row = connection.execute(select, parameters).mappings().one_or_none()
    return None if row is None else {str(key): row[key] for key in row}


def _expected(update: Update) -> dict[str, Any]:
    return {guard.column: guard.expectation for guard in update.guards}


def _multiple(
    update: Update, count: int, outcome: str
) -> exceptions.MultipleInstancesMatched:
    return exceptions.MultipleInstancesMatched(
        f"{count} rows have the uuid {update.instance_uuid}; {outcome}. "
        f"Nova's schema forbids that (uniq_instances0uuid): run "
        f"'nova-manage db sync' and remove the duplicates.",
        instance_uuid=update.instance_uuid,
    )


def _unexplained(update: Update) -> exceptions.UnknownInstanceUpdateConflict:
    return exceptions.UnknownInstanceUpdateConflict(
        f"Instance {update.instance_uuid} was not changed: each time the "
        f"update matched no row, the row fitted again when it was read. Its "
        f"state changes to and fro; try again later.",
        instance_uuid=update.instance_uuid,
        expected=_expected(update),
    )
