# SPDX-License-Identifier: Apache-2.0
"""Nodes of a cluster that have not yet applied what others committed.

A node accepts a write as soon as the cluster has certified it, and applies
what other nodes wrote a moment later. Until then a guard is judged by an older
row, so that a refusal may be wrong. A success may not: certification comes
first, except where the row had all the new values already. The server then
writes nothing, and nothing is certified. What is here makes a node catch up
before either is believed.

Facts: MariaDB documentation, "Galera Cluster System Variables"
(``wsrep_sync_wait``), and MySQL manual, "Configuring Transaction Consistency
Guarantees" (``group_replication_consistency``).
"""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import time
from typing import Any, Final

import sqlalchemy as sa

from nova_db_states import database
from nova_db_states import retry
from nova_db_states._update import pools

__all__ = [
    "beside",
    "caught_up",
    "changed_nothing",
    "is_node",
    "is_node_of",
    "needs_proof",
]

_LOOK: Final = (
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN"
    " ('wsrep_on', 'group_replication_group_name')"
)

# Names in what a pool keeps about each connection of the driver.
_WAY: Final = "nova_db_states_cluster"
_CAUGHT_UP: Final = "nova_db_states_caught_up"

_LOCK_WAIT: Final = 1205
_UNCHANGED: Final = b"Changed: 0 "

# Reads, UPDATE and DELETE; other bits of the variable are left as they are.
_READS_AND_UPDATES: Final = 3


@dataclasses.dataclass(frozen=True, slots=True)
class _Way:
    """How the nodes of one kind of cluster are made to catch up.

    :ivar variable: of the session; makes statements wait
    :ivar waiting: from its value to one that makes reads and updates wait
    :ivar identity: asks for what no two nodes have in common
    """

    variable: str
    waiting: Callable[[Any], str]
    identity: str


_GALERA: Final = _Way(
    "wsrep_sync_wait",
    lambda before: str(int(before) | _READS_AND_UPDATES),
    "SHOW GLOBAL STATUS LIKE 'wsrep_gcomm_uuid'",
)

_GROUP: Final = _Way(
    "group_replication_consistency",
    lambda before: (
        "'BEFORE_AND_AFTER'" if "AFTER" in str(before) else "'BEFORE'"
    ),
    "SELECT 'server_uuid', @@GLOBAL.server_uuid",
)


def changed_nothing(cursor: Any) -> bool:
    """Say whether an ``UPDATE`` found all that it matched as it would be.

    Row counts are of rows that matched. How many changed is in the text of
    the answer (MySQL manual, "mysql_info()").

    :param cursor: of the driver, after the statement
    :returns: false also where the driver does not give that text
    """
    answer = getattr(getattr(cursor, "_result", None), "message", None)
    return isinstance(answer, bytes) and _UNCHANGED in answer


def is_node(connection: Any, dialect: sa.Dialect) -> bool:
    """Say whether a server is a node of a cluster.

    The server is asked once for each connection to it. No grant is needed.

    :param connection: of the driver, as a pool gives it
    :param dialect: that of its engine
    :returns: true where ``wsrep_on`` is on, and on MySQL where the server is
        configured for group replication
    :raises Error: of the driver
    """
    return _way(connection, dialect) is not None


def is_node_of(connection: sa.Connection) -> bool:
    """Say the same of a connection of SQLAlchemy's.

    :param connection: to any database
    :returns: as :func:`is_node`
    :raises DBAPIError: of SQLAlchemy
    """
    return _of(connection) is not None


def _way(connection: Any, dialect: sa.Dialect) -> _Way | None:
    if not database.is_mysql(dialect):
        return None
    found = connection.info.get(_WAY, _WAY)
    if found is _WAY:
        with contextlib.closing(connection.cursor()) as cursor:
            cursor.execute(_LOOK)
            values = {name.lower(): value for name, value in cursor.fetchall()}
        found = None
        if values.get("wsrep_on", "OFF").upper() in {"ON", "1"}:
            found = _GALERA
        elif values.get("group_replication_group_name"):
            found = _GROUP
        connection.info[_WAY] = found
    return found  # type: ignore[no-any-return]


@contextlib.contextmanager
def caught_up(connection: sa.Connection) -> Iterator[None]:
    """Let a block see whatever was committed on any node before it.

    To be entered before the transaction has read or written anything: once a
    transaction is under way, the server no longer waits. Costs nothing on a
    server that is no node of a cluster.

    :param connection: to any database
    :raises NodeBehind: the node did not catch up in time
    :raises DBAPIError: of SQLAlchemy
    """
    way = _of(connection)
    if way is None:
        yield
        return
    info = connection.connection.info
    before = connection.exec_driver_sql(
        f"SELECT @@SESSION.{way.variable}"
    ).scalar_one()
    try:
        _set(connection, way, way.waiting(before))
        _wait(connection)
        info[_CAUGHT_UP] = True
        yield
    except BaseException:
        # What went wrong first is what has to be told.
        with contextlib.suppress(*retry.DATABASE_ERRORS):
            _restore(connection, way, before)
        raise
    else:
        # An error here may be that of the transaction (1213): the server
        # tells it once, and a COMMIT after that would commit nothing.
        _restore(connection, way, before)
    finally:
        info.pop(_CAUGHT_UP, None)


def _set(connection: sa.Connection, way: _Way, value: str) -> None:
    connection.exec_driver_sql(f"SET SESSION {way.variable} = {value}")


def _restore(connection: sa.Connection, way: _Way, before: Any) -> None:
    try:
        _set(
            connection,
            way,
            str(before) if isinstance(before, int) else f"'{before}'",
        )
    except retry.DATABASE_ERRORS:
        # Whoever got it next would wait each time.
        connection.invalidate()
        raise


def _of(connection: sa.Connection) -> _Way | None:
    try:
        return _way(connection.connection, connection.dialect)
    except connection.dialect.loaded_dbapi.Error as error:
        raise sa.exc.DBAPIError.instance(
            _LOOK,
            None,
            error,
            connection.dialect.loaded_dbapi.Error,
            dialect=connection.dialect,
        ) from error


def _wait(connection: sa.Connection) -> None:
    """Wait by a statement that takes no lock.

    The server answers with the error of a lock wait when a node does not
    catch up (``repl.causal_read_timeout`` of Galera), and at once when it is
    about to leave the cluster. Here it can be nothing else.
    """
    began = time.monotonic()
    try:
        connection.exec_driver_sql("SELECT 1")
    except retry.DATABASE_ERRORS as error:
        if retry.error_code(error) == _LOCK_WAIT:
            raise retry.NodeBehind(time.monotonic() - began) from error
        raise


def needs_proof(connection: sa.Connection) -> bool:
    """Say whether a refusal in a transaction may rest on an old row.

    :param connection: in the transaction
    :returns: false where there is no cluster, and in :func:`caught_up`
    :raises DBAPIError: of SQLAlchemy
    """
    return is_node_of(connection) and not connection.connection.info.get(
        _CAUGHT_UP
    )


@contextlib.contextmanager
def beside(connection: sa.Connection) -> Iterator[tuple[sa.Connection, bool]]:
    """Give a connection that has caught up, while a transaction is under way.

    :param connection: in the transaction, to a node of a cluster
    :returns: yields another connection, and whether it leads to the same
        node: a proxy may give another one to every connection
    :raises NodeBehind: the node did not catch up in time
    :raises DBAPIError: of SQLAlchemy
    """
    way = _of(connection)
    assert way is not None
    here = connection.exec_driver_sql(way.identity).one()[1]
    engine = pools.autocommit(connection.engine) or connection.engine
    with engine.connect() as other:
        there = other.exec_driver_sql(way.identity).one()[1]
        other.rollback()
        with caught_up(other):
            yield other, here == there
