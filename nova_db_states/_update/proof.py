# SPDX-License-Identifier: Apache-2.0
"""Making sure of a verdict while a transaction of somebody's is under way."""

import sqlalchemy as sa

from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states._update import clusters
from nova_db_states._update import update

__all__ = ["confirmed", "fits_beside", "require_fit"]


def confirmed(
    question: update.Update,
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
    seen, same_node = _explained_beside(question, connection)
    # A row that this transaction has made is there for nobody else.
    if seen is not None and _is_missing(seen) == _is_missing(conflict):
        return seen
    if not same_node:
        return None
    return update.explain(connection, question, locking=True)


def require_fit(question: update.Update, connection: sa.Connection) -> None:
    """Make sure of an update that matched and had nothing to change.

    Such a one is in no write set, so that no commit would refuse it.

    :param question: its guards and scope
    :param connection: in the transaction, which has locked the row
    :raises InstanceUpdateConflict: the row that the cluster has does not fit
    :raises Unverified: nothing could be found out
    :raises DBAPIError: of SQLAlchemy; the transaction must be begun anew
    """
    if not clusters.needs_proof(connection):
        return
    seen, same_node = _explained_beside(question, connection)
    if seen is None:
        return
    # It may be this transaction that has made the row what fits.
    if not same_node:
        raise retry.Unverified
    own = update.explain(connection, question, locking=True)
    if own is not None:
        raise own


def fits_beside(question: update.Update, connection: sa.Connection) -> bool:
    """Say whether it is only this node that an instance does not fit on.

    :param question: its guards and scope
    :param connection: in a transaction, in which the instance did not fit
    :returns: false where there is no cluster, or nothing could be found out
    :raises DBAPIError: of SQLAlchemy
    """
    if not clusters.needs_proof(connection):
        return False
    try:
        seen, _ = _explained_beside(question, connection)
    except retry.Unverified:
        return False
    return seen is None


def _explained_beside(
    question: update.Update, connection: sa.Connection
) -> tuple[exceptions.InstanceError | None, bool]:
    try:
        with clusters.beside(connection) as (other, same_node):
            return update.explain(other, question, locking=False), same_node
    except retry.DATABASE_ERRORS as error:
        raise retry.Unverified from error


def _is_missing(error: exceptions.InstanceError) -> bool:
    return isinstance(error, exceptions.InstanceNotFound)
