# SPDX-License-Identifier: Apache-2.0
"""Reading: one question to the database, asked again where that helps.

A read leaves nothing open when its connection is lost, so that every error
that may pass is simply tried again.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa

from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states._update import clusters
from nova_db_states._update import contexts
from nova_db_states._update import diagnose
from nova_db_states._update import pools
from nova_db_states._update import proof
from nova_db_states._update import statement
from nova_db_states._update import update

__all__ = ["Found", "judge", "read", "verified"]

Found = tuple[str | None, str | None]

_T = TypeVar("_T")


def read(
    context: Any,
    policy: retry.Policy,
    work: Callable[[sa.Connection, bool], _T],
) -> _T:
    """Ask the database something, inside the caller's transaction if any.

    :param context: any context
    :param policy: for errors that may be tried again; unused inside a
        transaction
    :param work: takes a connection, and whether it is the caller's: a plain
        read there shows the snapshot of the transaction
    :returns: what ``work`` returned
    :raises InvalidContext: the context leads to no cell database, or has a
        reader's transaction open
    :raises oslo_db.exception.DBError: the database failed more often than the
        policy allows
    """
    manager = contexts.manager_of(context)
    cell = pools.Cell(
        contexts.writer_engine(manager),
        getattr(context, "max_connections", pools.MAX_CONNECTIONS),
    )
    try:
        if contexts.has_open_transaction(context, manager):
            with contexts.joined(context, manager) as connection:
                return work(connection, True)
        return _retried(cell, policy, work)
    except retry.DATABASE_ERRORS as caught:
        retry.reraise(caught)


def _retried(
    cell: pools.Cell,
    policy: retry.Policy,
    work: Callable[[sa.Connection, bool], _T],
) -> _T:
    for _ in policy.attempts():
        try:
            engine = cell.single() or cell.engine
            with engine.connect() as connection:
                return work(connection, False)
        except retry.DATABASE_ERRORS as caught:
            if retry.classify(caught) is retry.Verdict.FAIL:
                raise
            cell.leave(caught)
            error = caught
    raise error


def verified(
    question: update.Update, connection: sa.Connection, *, joined: bool
) -> Found:
    """Judge guards by a read that a cluster cannot lead astray.

    :param question: its guards and scope; it writes nothing
    :param connection: to the cell
    :param joined: whether a transaction of the caller's is under way on it
    :returns: ``vm_state`` and ``task_state`` as that read found them
    :raises InstanceError: the subclass that says what does not hold
    :raises DBError: of oslo.db or SQLAlchemy
    """
    try:
        return judge(question, connection, locking=joined)
    except exceptions.InstanceError as conflict:
        if joined:
            confirmed = proof.confirmed(question, connection, conflict)
            # That it fits elsewhere is not how the caller's transaction has
            # it.
            raise (confirmed or retry.Unverified()) from None
        if not clusters.is_node_of(connection):
            raise
    connection.rollback()
    with clusters.caught_up(connection):
        return judge(question, connection, locking=False)


def judge(
    question: update.Update, connection: sa.Connection, *, locking: bool
) -> Found:
    """Judge guards by a read, and raise what an update would have raised.

    :param question: its guards and scope; it writes nothing
    :param connection: to the cell
    :param locking: read the row as it is now and keep it so until the
        transaction ends
    :returns: ``vm_state`` and ``task_state`` as that read found them
    :raises InstanceError: the subclass that says what does not hold
    """
    select = statement.judged(question.shape, locking=locking)
    row = (
        connection.execute(select, question.conditions())
        .mappings()
        .one_or_none()
    )
    found = None if row is None else {str(key): row[key] for key in row}
    conflict = diagnose.explain(
        question.instance_uuid,
        question.guards,
        question.scope,
        found,
        "is not as expected",
    )
    if conflict is not None:
        raise conflict
    assert found is not None
    return found["vm_state"], found["task_state"]
