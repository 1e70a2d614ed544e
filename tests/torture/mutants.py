# SPDX-License-Identifier: Apache-2.0
"""Ways to get it wrong, to show that the checker notices each.

A mutant is put into the process of a worker, over functions of the package;
nothing of it is in the package itself.
"""

from collections.abc import Callable
from concurrent import futures
import contextlib
import dataclasses
import functools
from typing import Any, Final, TypeAlias

from oslo_db import exception as db_exc
import sqlalchemy as sa

from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states._update import clusters
from nova_db_states._update import execute
from nova_db_states._update import pools
from nova_db_states._update import update as update_

_Independent: TypeAlias = Callable[
    [update_.Update, pools.Cell, retry.Policy], update_.Returned
]

_COMMITS_AT_ONCE: Final = 8


def install(name: str) -> None:
    """Break something in this process.

    :param name: of the mutant; empty for none
    """
    if name:
        MUTANTS[name]()


def success_before_commit() -> None:
    """Report success when the row has matched, and commit afterwards."""
    right = execute._Attempt.run
    later = futures.ThreadPoolExecutor(_COMMITS_AT_ONCE)

    def commit(connection: sa.Connection, transaction: sa.Transaction) -> None:
        with contextlib.suppress(Exception), connection:
            transaction.commit()

    def run(attempt: execute._Attempt, **settings: Any) -> Any:
        connection = attempt.cell.engine.connect()
        transaction = connection.begin()
        try:
            outcome = update_.apply(connection, attempt.update)
        except BaseException:
            connection.close()
            raise
        if outcome.count != 1:
            connection.close()
            return right(attempt, **settings)
        later.submit(commit, connection, transaction)
        return outcome

    _replace(execute._Attempt, "run", run)


def no_causal_check() -> None:
    """Believe what a node of a cluster has, without waiting for the rest."""
    _replace(clusters, "_way", lambda *_: None)


def no_guard_on_retry() -> None:
    """Try again after an error, and leave out the guard."""
    _wrap_independent(
        _without_guards,
        (
            exceptions.UnknownUpdateOutcome,
            db_exc.DBDeadlock,
            db_exc.DBConnectionError,
        ),
    )


def retry_after_lost_answer() -> None:
    """Try again although the lost update may have been applied."""
    _wrap_independent(
        lambda update: update, (exceptions.UnknownUpdateOutcome,)
    )


def _without_guards(update: update_.Update) -> update_.Update:
    return dataclasses.replace(update, guards=())


def _wrap_independent(
    changed: Callable[[update_.Update], update_.Update],
    errors: tuple[type[Exception], ...],
) -> None:
    right: _Independent = execute.independent

    @functools.wraps(right)
    def independent(
        update: update_.Update, cell: pools.Cell, policy: retry.Policy
    ) -> update_.Returned:
        try:
            return right(update, cell, policy)
        except errors:
            return right(changed(update), cell, policy)

    _replace(execute, "independent", independent)


def _replace(owner: object, name: str, wrong: object) -> None:
    # Where the package has been rebuilt the mutant must not pass unnoticed.
    getattr(owner, name)
    setattr(owner, name, wrong)


MUTANTS: Final[dict[str, Callable[[], None]]] = {
    each.__name__: each
    for each in (
        success_before_commit,
        no_causal_check,
        no_guard_on_retry,
        retry_after_lost_answer,
    )
}
"""All of them, by name."""
