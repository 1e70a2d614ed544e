# SPDX-License-Identifier: Apache-2.0
"""From a context to the cell database behind it.

Every context has what oslo.db's enginefacade needs; Nova's RequestContext
also carries, once it is targeted at a cell, that cell's transaction manager
in ``db_connection``. A context of :func:`nova_db_states.api.connect` does the
same, so there is one way for both.
"""

from collections.abc import Callable, Iterator
import contextlib
from typing import Any, Final

from oslo_db.sqlalchemy import enginefacade
import sqlalchemy as sa
from sqlalchemy import event

from nova_db_states import database
from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states._update import pools
from nova_db_states._update import statement

__all__ = [
    "CellContext",
    "Resolver",
    "has_open_transaction",
    "joined",
    "manager_of",
    "register_resolver",
    "scope_of",
    "writer_engine",
]

Resolver = Callable[[Any], Any]

# Values that do not fit are errors and not cut off; what Nova asks for too.
_SQL_MODE: Final = "TRADITIONAL"

_resolver: Resolver | None = None


@enginefacade.transaction_context_provider
class CellContext:
    """The context of one cell database, made by ``api.connect``.

    It may be shared by threads; each has transactions of its own.

    :ivar read_deleted: ``no`` (the default) to see rows that are not
        deleted, ``only`` for deleted ones, ``yes`` for both
    :ivar db_connection: oslo.db's transaction manager for the cell
    """

    def __init__(
        self, url: sa.URL, policy: retry.Policy, max_connections: int
    ) -> None:
        self.read_deleted = statement.NO_DELETED
        self.retry_policy = policy
        self.max_connections = max_connections
        self._url = url
        self.db_connection = enginefacade.transaction_context()
        self.db_connection.configure(
            connection=url.render_as_string(hide_password=False),
            mysql_sql_mode=_SQL_MODE,
            # Nobody waits minutes for a command: a server that cannot be
            # reached is an error at once, and the policy decides on more.
            max_retries=0,
        )
        self.db_connection.append_on_engine_create(_set_mariadb_sql_mode)

    @contextlib.contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """Open a transaction that every call with this context joins.

        It is committed when the block ends and rolled back when the block
        raises.

        :returns: the connection it runs on
        :raises oslo_db.exception.DBError: for any error of the database in the
            block or at the commit
        """
        try:
            with self.db_connection.writer.connection.using(
                self
            ) as connection:
                yield connection
        except retry.DATABASE_ERRORS as error:
            # Galera refuses at the COMMIT, where nothing else would have
            # translated it under mariadb://.
            retry.reraise(error)

    def close(self) -> None:
        """Close the idle connections; the context stays usable."""
        engine = self.db_connection.writer.get_engine()
        pools.dispose(engine)
        engine.dispose()

    def __repr__(self) -> str:
        return f"<CellContext {database.masked(self._url)}>"


def _set_mariadb_sql_mode(engine: sa.Engine) -> None:
    """Do for ``mariadb://`` what oslo.db does for ``mysql://`` alone."""
    if engine.dialect.name != "mariadb":
        return

    @event.listens_for(engine, "connect")
    def _set(dbapi_connection: Any, _record: Any) -> None:
        with contextlib.closing(dbapi_connection.cursor()) as cursor:
            cursor.execute(f"SET SESSION sql_mode = '{_SQL_MODE}'")


def register_resolver(resolver: Resolver | None) -> None:
    """Say how to find the database of a context that is not targeted.

    :param resolver: takes a context and returns oslo.db's transaction
        manager for it, or ``None`` where it knows none; ``None`` to
        unregister
    """
    global _resolver  # noqa: PLW0603 - there is one Nova in a process
    _resolver = resolver


def manager_of(context: Any) -> Any:
    """Find the transaction manager of the cell a context is targeted at.

    :param context: any context
    :returns: oslo.db's transaction manager
    :raises InvalidContext: the context leads to no database
    """
    manager = getattr(context, "db_connection", None)
    if manager is None and _resolver is not None:
        manager = _resolver(context)
    if manager is None:
        raise exceptions.InvalidContext(
            f"{type(context).__name__} does not say which cell database is "
            f"meant. Give a context from nova_db_states.api.connect(url), or "
            f"a Nova RequestContext inside nova.context.target_cell()."
        )
    return manager


def writer_engine(manager: Any) -> sa.Engine:
    """Find the engine that a transaction manager writes through."""
    engine: sa.Engine = manager.writer.get_engine()
    return engine


def scope_of(context: Any) -> statement.Scope:
    """Work out which rows a context may see, by the rules of Nova.

    ``read_deleted`` as in ``model_query`` of ``nova/db/main/api.py``, where
    every write of an instance is ``project_only``; who counts as an ordinary
    user as in ``is_user_context`` of ``nova/context.py``.

    :param context: any context
    :returns: the scope
    :raises InvalidContext: ``read_deleted`` is not one of Nova's values
    """
    read_deleted = getattr(context, "read_deleted", statement.NO_DELETED)
    if read_deleted not in ("no", "only", "yes"):
        raise exceptions.InvalidContext(
            f"read_deleted={read_deleted!r}: accepted are 'no', 'only' and "
            f"'yes'."
        )
    project_id = getattr(context, "project_id", None)
    ordinary_user = (
        not getattr(context, "is_admin", True)
        and getattr(context, "user_id", None)
        and project_id
    )
    return statement.Scope(read_deleted, project_id if ordinary_user else None)


def has_open_transaction(context: Any, manager: Any) -> bool:
    """Say whether the caller has a transaction open that is to be joined.

    :param context: the caller's context
    :param manager: the transaction manager of the cell
    :returns: true where enginefacade would join one
    """
    # The public way, context.transaction_ctx, formats the whole context into
    # an exception when there is none, which is nearly always, and that takes
    # longer than all the rest of a call. A test holds this to the public way.
    current = getattr(
        getattr(context, "_enginefacade_context", None), "current", None
    )
    if current is None:
        return False
    # A context may be inside a transaction on another cell.
    return bool(
        current.factory.get_writer_engine() is manager.writer.get_engine()
    )


@contextlib.contextmanager
def joined(context: Any, manager: Any) -> Iterator[sa.Connection]:
    """Join the transaction that the caller has open.

    :param context: the caller's context
    :param manager: the transaction manager of the cell
    :returns: the connection of that transaction
    :raises InvalidContext: the open transaction is a reader's
    """
    with contextlib.ExitStack() as stack:
        try:
            connection = stack.enter_context(
                manager.writer.connection.using(context)
            )
        except TypeError as error:
            raise exceptions.InvalidContext(
                "The transaction open on this context is a reader's and "
                "cannot write. Open it with the writer of the transaction "
                "manager."
            ) from error
        session = context.transaction_ctx.session
        if session is not None:
            # What the caller changed through the ORM before this call must
            # reach the server before it, or its guards judge an older row.
            session.flush()
        yield connection
