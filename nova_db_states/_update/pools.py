# SPDX-License-Identifier: Apache-2.0
"""A pool of autocommit connections beside an engine's own pool.

A guarded update is one statement. Through an engine's own pool it costs four
round trips (ping, UPDATE, COMMIT, and ROLLBACK when the connection goes
back); on a connection in autocommit, in a pool that resets nothing because
nothing is ever left open, it costs one.

The connections are made by the engine itself and then detached from it, so
everything that is set up there holds here too: TLS, ``sql_mode``,
``wsrep_sync_wait``, listeners of other plugins.
"""

import dataclasses
import inspect
import os
import select
import socket
from typing import Any, Final
import weakref

from oslo_db.sqlalchemy import exc_filters
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy import exc as sa_exc
from sqlalchemy import pool as sa_pool
from sqlalchemy.engine import default

from nova_db_states import database
from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states import tables

__all__ = ["MAX_CONNECTIONS", "Cell", "autocommit", "dispose"]

MAX_CONNECTIONS: Final = 16
"""Connections that one engine's autocommit pool holds at most, by default."""

# Below the idle timeouts that proxies and servers commonly have. What is
# closed earlier is noticed at checkout.
_RECYCLE_S: Final = 3600


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """The two ways to a cell database.

    :ivar engine: the writer engine, for transactions
    :ivar max_connections: cap of the pool for single statements
    """

    engine: sa.Engine
    max_connections: int

    def single(self) -> sa.Engine | None:
        """Find the engine for single statements; see :func:`autocommit`.

        The first call looks at the schema, and can fail as any statement can.
        """
        return autocommit(self.engine, self.max_connections)

    def leave(self, error: Exception) -> None:
        """Give up idle connections to a server that says it cannot write.

        :param error: what an attempt ended with
        """
        if retry.says_elsewhere(error):
            sibling = _siblings.get(self.engine)
            if sibling is not None:
                sibling.dispose()
            self.engine.dispose()


# None stands for an engine that must not have such a pool.
_siblings: weakref.WeakKeyDictionary[sa.Engine, sa.Engine | None] = (
    weakref.WeakKeyDictionary()
)


def autocommit(
    engine: sa.Engine, max_connections: int = MAX_CONNECTIONS
) -> sa.Engine | None:
    """Find, or make, the autocommit sibling of an engine.

    :param engine: the writer engine of a cell
    :param max_connections: cap of the new pool; without effect on one that
        is there already
    :returns: an engine for single statements; ``None`` where a transaction
        is used instead: on SQLite, which has no round trips to save, and
        where ``instances.uuid`` is not unique, because there a statement that
        matches two rows must be rolled back
    :raises UnsupportedDatabase: the database has no table ``instances``
    """
    try:
        return _siblings[engine]
    except KeyError:
        pass
    worth_it = _uuid_is_unique(engine) and database.is_mysql(engine.dialect)
    # Two threads may both come here; the pool that loses has opened nothing.
    return _siblings.setdefault(
        engine,
        _sibling(engine, max_connections) if worth_it else None,
    )


def dispose(engine: sa.Engine) -> None:
    """Close the idle connections of an engine's sibling, if it has one.

    :param engine: the writer engine of a cell
    """
    sibling = _siblings.pop(engine, None)
    if sibling is not None:
        sibling.dispose()


def _sibling(engine: sa.Engine, max_connections: int) -> sa.Engine:
    # The registry's keys are weak, and this closure lives in its values.
    origin = weakref.ref(engine)

    def connect() -> Any:
        alive = origin()
        if alive is None:
            raise sa_exc.InvalidRequestError("The engine is gone.")
        connection = alive.raw_connection()
        connection.detach()
        return connection.dbapi_connection

    # All are kept, since to open one costs more than many updates. The one
    # used last is taken first, so that the server's idle timeout ends those
    # that only a burst needed.
    pool = sa_pool.QueuePool(
        connect,
        pool_size=max_connections,
        max_overflow=0,
        use_lifo=True,
        recycle=_RECYCLE_S,
        reset_on_return=None,
    )
    options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT"}
    known = inspect.signature(default.DefaultDialect.__init__).parameters
    if "skip_autocommit_rollback" in known:
        # SQLAlchemy before 2.0.43 sends a ROLLBACK that has nothing to end.
        options["skip_autocommit_rollback"] = True
    sibling = sa.create_engine(engine.url, pool=pool, **options)
    _discard_unusable(sibling)
    exc_filters.register_engine(sibling)
    return sibling


def _discard_unusable(sibling: sa.Engine) -> None:
    @event.listens_for(sibling, "connect")
    def _remember_process(_dbapi_connection: Any, record: Any) -> None:
        record.info["pid"] = os.getpid()

    @event.listens_for(sibling, "checkout")
    def _check(dbapi_connection: Any, record: Any, proxy: Any) -> None:
        if record.info["pid"] != os.getpid():
            # The parent still uses this socket: forget it, do not close it.
            record.dbapi_connection = proxy.dbapi_connection = None
            raise sa_exc.DisconnectionError("made before a fork")
        if not _is_open(dbapi_connection, sibling.dialect):
            raise sa_exc.DisconnectionError("closed by the server")


def _is_open(dbapi_connection: Any, dialect: sa.Dialect) -> bool:
    """Notice a dead connection before anything is sent on it.

    A statement lost on its way leaves open whether it was executed; not
    sending it leaves nothing open. A server that says nothing unasked has
    closed its end (or said why) as soon as an idle socket is readable, and
    looking at that costs no round trip. Where the socket is not a plain one
    (TLS may hold unread session tickets; eventlet has no ``poll``), ask.
    """
    plain = getattr(dbapi_connection, "_sock", None)
    if type(plain) is not socket.socket or not hasattr(select, "poll"):
        try:
            return bool(dialect.do_ping(dbapi_connection))
        except dialect.loaded_dbapi.Error:
            return False
    poll = select.poll()
    poll.register(plain, select.POLLIN)
    return not poll.poll(0)


def _uuid_is_unique(engine: sa.Engine) -> bool:
    inspector = sa.inspect(engine)
    name = tables.instances.name
    try:
        unique = inspector.get_unique_constraints(name)
        indexes = inspector.get_indexes(name)
    except sa_exc.NoSuchTableError:
        raise exceptions.UnsupportedDatabase(
            f"{database.masked(engine.url)} has no table {name}: it is not "
            f"the database of a Nova cell, or 'nova-manage db sync' has not "
            f"been run on it."
        ) from None
    return any(each["column_names"] == ["uuid"] for each in unique) or any(
        each["unique"] and each["column_names"] == ["uuid"] for each in indexes
    )
