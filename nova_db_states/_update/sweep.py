# SPDX-License-Identifier: Apache-2.0
"""Changing many rows by their guards, a batch of known ids at a time.

One ``UPDATE`` over a range would be simpler and locks far more than it
changes: under REPEATABLE READ every index entry it passes and the gaps
between them, until it ends. Even one that matches nothing then blocks the
INSERT of a server that is being booted (InnoDB: "Locks Set by Different SQL
Statements"; measured in ``benchmarks/``).
"""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import dataclasses
import datetime
import functools
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from nova_db_states import exceptions
from nova_db_states import guards
from nova_db_states import retry
from nova_db_states._update import pools
from nova_db_states._update import statement
from nova_db_states._update import update

__all__ = ["Sweep", "independent", "joined"]

# Small, so that a single update that meets a locked row waits milliseconds;
# large enough that a round trip is spread over many rows.
_BATCH_ROWS: Final = 100

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True, slots=True)
class Sweep:
    """A change of many rows, checked and ready.

    :ivar values: column to value, ``updated_at`` included
    :ivar guards: normal forms
    :ivar scope: the rows the context may see
    :ivar updated_before: naive UTC, or ``None`` for rows of any age
    :ivar limit: number of rows, or ``None``
    """

    values: Mapping[str, Any]
    guards: tuple[guards.Guard, ...]
    scope: statement.Scope
    updated_before: datetime.datetime | None
    limit: int | None

    def candidates(self, connection: sa.Connection) -> list[int]:
        """Read, without locks, the ids of the rows that fit now."""
        parameters = self._conditions()
        if self.limit is not None:
            parameters["row_limit"] = self.limit
        select = statement.candidates(
            self._shape(), limited=self.limit is not None
        )
        # In the order of the primary key neighbours share pages, and two
        # sweeps lock their rows in one order.
        return sorted(connection.execute(select, parameters).scalars())

    def change(self, connection: sa.Connection, ids: list[int]) -> int:
        """Change those of some rows that still fit; say how many did."""
        result = connection.execute(
            statement.batch(self._shape()),
            {
                "key_ids": ids,
                **self._conditions(),
                **update.assignments_of(self.values),
            },
        )
        return result.rowcount

    def _shape(self) -> statement.Shape:
        return update.shape_of(
            self.values,
            self.guards,
            self.scope,
            aged=self.updated_before is not None,
        )

    def _conditions(self) -> dict[str, Any]:
        conditions = update.conditions_of(self.guards, self.scope)
        if self.updated_before is not None:
            conditions["updated_before"] = self.updated_before
        return conditions


def joined(plan: Sweep, connection: sa.Connection) -> int:
    """Run a sweep inside the caller's transaction, once.

    :param plan: what to run
    :param connection: of that transaction
    :returns: number of rows changed
    :raises DBError: of oslo.db; the transaction must be begun anew
    """
    try:
        return sum(
            plan.change(connection, ids)
            for ids in _batches(plan.candidates(connection))
        )
    except retry.DATABASE_ERRORS as caught:
        retry.reraise(caught)


def independent(plan: Sweep, cell: pools.Cell, policy: retry.Policy) -> int:
    """Run a sweep, each batch committed by itself.

    :param plan: what to run
    :param cell: where
    :param policy: for each batch anew
    :returns: number of rows changed
    :raises PartialUpdate: a batch failed; those before it are committed
    :raises DBError: of oslo.db; the candidates could not be read
    """
    try:
        ids = _retried(plan.candidates, cell, policy, reading=True)
    except retry.DATABASE_ERRORS as caught:
        retry.reraise(caught)
    changed = 0
    for batch in _batches(ids):
        try:
            changed += _retried(
                functools.partial(plan.change, ids=batch),
                cell,
                policy,
                reading=False,
            )
        except retry.DATABASE_ERRORS as caught:
            raise _partial(changed, 0, caught) from caught
        except _AnswerLost as caught:
            lost = caught.args[0]
            raise _partial(changed, len(batch), lost) from lost
    return changed


class _AnswerLost(Exception):
    """The connection was lost after a batch was sent; args: the error."""


def _batches(ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), _BATCH_ROWS):
        yield ids[start : start + _BATCH_ROWS]


def _retried(
    work: Callable[[sa.Connection], _T],
    cell: pools.Cell,
    policy: retry.Policy,
    *,
    reading: bool,
) -> _T:
    """Do a piece of work in a transaction of its own, as the policy says.

    A batch whose answer is lost is not tried again: the rows it changed no
    longer fit, and the count would be wrong.
    """
    for _ in policy.attempts():
        sent = False
        try:
            with _committing(cell) as connection:
                sent = not reading
                return work(connection)
        except retry.DATABASE_ERRORS as caught:
            verdict = retry.classify(caught)
            if verdict is retry.Verdict.FAIL:
                raise
            if verdict is retry.Verdict.LOST and sent:
                raise _AnswerLost(caught) from caught
            cell.leave(caught)
            error = caught
    raise error


def _committing(
    cell: pools.Cell,
) -> contextlib.AbstractContextManager[sa.Connection]:
    """Open a connection that has committed when its block has ended."""
    single = cell.single()
    return cell.engine.begin() if single is None else single.connect()


def _partial(
    changed: int, in_doubt: int, error: Exception
) -> exceptions.PartialUpdate:
    doubt = (
        f", and {in_doubt} more may be, because the connection was lost "
        f"before the answer"
        if in_doubt
        else ""
    )
    return exceptions.PartialUpdate(
        f"The database failed: {retry.driver_error(error)}. {changed} rows "
        f"are changed and committed{doubt}. Call again with the same guards "
        f"to do the rest.",
        changed_so_far=changed,
        in_doubt=in_doubt,
    )
