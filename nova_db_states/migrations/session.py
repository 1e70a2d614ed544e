# SPDX-License-Identifier: Apache-2.0
"""The connection that a schema change runs on."""

from collections.abc import Iterator
import contextlib
import logging
from typing import Final

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_db_states import database
from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states.migrations import galera

__all__ = [
    "DEFAULT_LOCK_TIMEOUT_S",
    "bounding",
    "connected",
    "stopped_with_us",
]

LOG: Final = logging.getLogger(__name__)

DEFAULT_LOCK_TIMEOUT_S: Final = 2


def bounding(lock_timeout_s: int) -> str:
    """Give the statement that bounds every wait for a table's metadata lock.

    :param lock_timeout_s: whole seconds
    :returns: the statement, the same on MySQL and MariaDB
    """
    return f"SET SESSION lock_wait_timeout = {lock_timeout_s:d}"


@contextlib.contextmanager
def connected(
    engine: sa.Engine, lock_timeout_s: int
) -> Iterator[sa.Connection]:
    """Open a connection in autocommit that gives up soon on a lock.

    :param engine: of any supported database
    :param lock_timeout_s: whole seconds, at least 1
    :returns: yields the connection; no pool gets it back with its settings
    :raises MigrationError: ``lock_timeout_s`` is no such number, or the
        server is a node that has lost its cluster
    :raises UnsupportedDatabase: an SQLite file that is not there, or a URL
        without the name of a database
    """
    if type(lock_timeout_s) is not int or lock_timeout_s < 1:
        raise exceptions.MigrationError(
            f"lock_timeout_s={lock_timeout_s!r}: give whole seconds, at "
            f"least 1; the servers count in seconds."
        )
    database.require_file(engine.url)
    database.require_name(engine.url)
    with _opened(engine) as connection:
        if database.is_mysql(connection.dialect):
            try:
                _prepare(connection, lock_timeout_s)
                yield connection
            finally:
                # Closed as it is: a node without its cluster refuses even
                # the ROLLBACK of a pool.
                connection.invalidate()
            return
        before = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
        connection.exec_driver_sql(
            f"PRAGMA busy_timeout = {lock_timeout_s * 1000:d}"
        )
        try:
            yield connection
        finally:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {before}")


def _opened(engine: sa.Engine) -> sa.Connection:
    try:
        connection = engine.connect()
    except sa_exc.DBAPIError as error:
        if retry.error_code(error) != galera.NOT_READY:
            raise
        raise galera.outside(engine.url, None) from error
    return connection.execution_options(isolation_level="AUTOCOMMIT")


def _prepare(connection: sa.Connection, lock_timeout_s: int) -> None:
    node = galera.look(connection)
    if node is not None and not node.ready:
        raise galera.outside(connection.engine.url, node)
    connection.exec_driver_sql(bounding(lock_timeout_s))
    if getattr(connection.dialect, "is_mariadb", False):
        # A limit meant for stray queries would end a long build each time;
        # on a cluster on this node alone, and the nodes would differ.
        connection.exec_driver_sql("SET SESSION max_statement_time=0")


@contextlib.contextmanager
def stopped_with_us(
    engine: sa.Engine, connection: sa.Connection
) -> Iterator[None]:
    """When this process is to end, stop the statement on the server too.

    A server does not notice that its client has gone, and would finish an
    index that nobody waits for any more. Ctrl-C arrives as an exception by
    itself; whoever wants that of another signal raises ``SystemExit``.

    A cluster cannot be stopped, and another connection may lead to another
    node; there it is only said.

    :param engine: opens the connection that stops the other
    :param connection: runs the statement
    :returns: yields nothing
    """
    connection_id = None
    is_node = galera.look(connection) is not None
    if database.is_mysql(connection.dialect) and not is_node:
        connection_id = connection.exec_driver_sql(
            "SELECT CONNECTION_ID()"
        ).scalar_one()
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if connection_id is not None:
            with (
                contextlib.suppress(sa_exc.DBAPIError),
                engine.connect() as other,
            ):
                other.exec_driver_sql(f"KILL {int(connection_id)}")
        if is_node:
            LOG.warning(
                "%s: what the cluster has begun it also finishes, and "
                "nothing stops that. Run it again to see.",
                database.masked(engine.url),
            )
        raise
