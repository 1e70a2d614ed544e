# SPDX-License-Identifier: Apache-2.0
"""Running one guarded update to its verdict.

Three ways, one meaning: in autocommit (one round trip), in a transaction of
its own (where something is read back, or the schema cannot promise that a
uuid matches one row), and inside the transaction a caller has open.
"""

import contextlib
from typing import Any

import sqlalchemy as sa

from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states._update import clusters
from nova_db_states._update import pools
from nova_db_states._update import proof
from nova_db_states._update import statement
from nova_db_states._update import update as update_
from nova_db_states._update import wire

__all__ = ["independent", "joined"]


class _Attempt:
    """One attempt outside of any transaction of the caller.

    :ivar in_doubt: whether an error now leaves open if the change was made
    """

    def __init__(self, update: update_.Update, cell: pools.Cell) -> None:
        self.update = update
        self.cell = cell
        self.in_doubt = False

    def run(self, *, settles: bool) -> update_.Outcome:
        """Run the update.

        :param settles: whether a refusal is to be the last word
        :returns: what has come of it
        :raises InstanceError: what keeps it from matching; only if it settles,
            or on a cluster
        """
        if settles:
            return self._settled()
        single = self.cell.single()
        if single is None or self.update.returning:
            outcome, to_settle = self._in_transaction()
        else:
            outcome, to_settle = self._sent(single)
        return self._settled() if to_settle else outcome

    def _sent(self, single: sa.Engine) -> tuple[update_.Outcome, bool]:
        with wire.checkout(single) as connection:
            self.in_doubt = True
            count, unchanged = wire.send(
                connection,
                single.dialect,
                self.update.shape,
                self.update.parameters(),
            )
            # The server's answer settles it; what fails later, fails later.
            self.in_doubt = False
            outcome = update_.Outcome(count, unchanged)
            return outcome, _may_be_old(outcome) and clusters.is_node(
                connection, single.dialect
            )

    def _in_transaction(self) -> tuple[update_.Outcome, bool]:
        with self.cell.engine.connect() as connection:
            with connection.begin() as transaction:
                outcome = update_.apply(connection, self.update)
                self._end(transaction, outcome)
            return outcome, _may_be_old(outcome) and clusters.is_node_of(
                connection
            )

    def _settled(self) -> update_.Outcome:
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
                outcome = update_.apply(connection, self.update)
                if outcome.count == 0:
                    conflict = update_.explain(
                        connection, self.update, locking=True
                    )
                    if conflict is not None:
                        raise conflict
            self._end(transaction, outcome)
            return outcome

    def _end(
        self, transaction: sa.Transaction, outcome: update_.Outcome
    ) -> None:
        if outcome.count != 1:
            transaction.rollback()
            return
        self.in_doubt = True
        transaction.commit()
        self.in_doubt = False

    def explain(self) -> exceptions.InstanceError | None:
        """Judge the guards again, in a transaction begun after the update."""
        engine = self.cell.single() or self.cell.engine
        with engine.connect() as connection:
            return update_.explain(connection, self.update, locking=False)

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
            expected=update_.expected(update),
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
                row = update_.read(connection, select, update.conditions())
        except retry.DATABASE_ERRORS:
            # That nothing is known has to be said all the same; the error
            # that led here is the cause.
            return None
        visible = row is not None and update.scope.shows(row["deleted"])
        return row if visible else None


def independent(
    update: update_.Update, cell: pools.Cell, policy: retry.Policy
) -> update_.Returned:
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
            outcome = attempt.run(settles=settles)
            if outcome.count == 1:
                return outcome.returned
            if outcome.count > 1:
                raise update_.multiple(
                    update, outcome.count, "none was changed"
                )
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
    raise update_.unexplained(update)


def _may_be_old(outcome: update_.Outcome) -> bool:
    """Say whether no cluster has certified what an update has come to."""
    return outcome.count == 0 or outcome.unchanged


def joined(
    update: update_.Update, connection: sa.Connection
) -> update_.Returned:
    """Run an update inside the caller's transaction, once.

    :param update: what to run
    :param connection: of that transaction
    :returns: the columns asked for, or ``None``
    :raises InstanceError: the subclass that says what happened
    :raises DBError: of oslo.db; the transaction must be begun anew, on a
        cluster also because a refusal could not be verified
    """
    try:
        outcome = update_.apply(connection, update)
        if outcome.count == 1:
            if outcome.unchanged:
                proof.require_fit(update, connection)
            return outcome.returned
        if outcome.count > 1:
            raise update_.multiple(
                update, outcome.count, "roll this transaction back"
            )
        conflict = update_.explain(connection, update, locking=True)
        if conflict is not None:
            conflict = proof.confirmed(update, connection, conflict)
            if conflict is None:
                raise retry.Unverified
    except retry.DATABASE_ERRORS as caught:
        retry.reraise(caught)
    raise conflict or update_.unexplained(update)
