# SPDX-License-Identifier: Apache-2.0
"""The statements as text, for a DBA to read and run."""

import io
from typing import Final

from alembic import operations
from alembic.runtime import migration as alembic_migration
import sqlalchemy as sa

from nova_db_states import database
from nova_db_states import exceptions
from nova_db_states.migrations import catalogue
from nova_db_states.migrations import ddl
from nova_db_states.migrations import galera
from nova_db_states.migrations import history
from nova_db_states.migrations import index as index_
from nova_db_states.migrations import plan
from nova_db_states.migrations import session
from nova_db_states.migrations import standing

__all__ = ["DIALECTS", "statements"]

DIALECTS: Final = ("mariadb", "mysql", "sqlite")
"""The dialects that statements can be written in without a database."""


def statements(
    target: str | sa.Engine,
    *,
    down: bool = False,
    to: str | None = None,
    lock_timeout_s: int = session.DEFAULT_LOCK_TIMEOUT_S,
    revisions: tuple[history.Revision, ...] | None = None,
) -> tuple[str, ...]:
    """Give the exact statements that would be sent, and send none of them.

    :param target: one of :data:`DIALECTS` for an untouched Nova cell; an
        engine for what that very database still lacks
    :param down: the statements of a downgrade
    :param to: the revision to go to; ``None`` for all the way
    :param lock_timeout_s: as for :func:`upgrade`
    :param revisions: ``None`` for this package's
    :returns: statements, each with its semicolon; none if there is nothing
        to do. For a node of a Galera cluster they change that node alone
    :raises UnsupportedDatabase: the engine's database is not a Nova cell, or
        there is no such dialect
    :raises MigrationError: an index of our name is not ours, or the engine's
        node has lost its cluster
    :raises MigrationBlocked: the node did not catch up with its cluster
    """
    known = history.known(revisions)
    if down:
        chosen = known[len(history.up_to(known, to or "base")) :][::-1]
    else:
        chosen = history.up_to(known, to)
    if isinstance(target, str):
        if target not in DIALECTS:
            raise exceptions.UnsupportedDatabase(
                f"{target!r} is not a dialect that is spoken here. Give one "
                f"of: {', '.join(DIALECTS)}."
            )
        # A dialect's class is enough to compile; no driver is loaded.
        dialect = sa.make_url(f"{target}://").get_dialect()()
        table = index_.Table()
        node = None
    else:
        with session.connected(target, lock_timeout_s) as connection:
            node = galera.look(connection)
            galera.catch_up(connection, node)
            table = catalogue.read(connection)
            dialect = connection.dialect
        entries = standing.of(table, chosen)
        if not down:
            standing.refuse_different(target, entries)
        chosen = tuple(
            entry.revision
            for entry in entries
            if (table.named(entry.index) if down else entry.found is None)
        )
    rendered = [_render(dialect, table, found, down=down) for found in chosen]
    return _framed(rendered, dialect, node, lock_timeout_s)


def _framed(
    rendered: list[str],
    dialect: sa.Dialect,
    node: galera.Node | None,
    lock_timeout_s: int,
) -> tuple[str, ...]:
    """Put around the statements what the session has to be set to."""
    if not rendered or not database.is_mysql(dialect):
        return tuple(rendered)
    bounded = (f"{session.bounding(lock_timeout_s)};", *rendered)
    if node is None:
        return bounded
    # Whoever goes on in that session means the whole cluster again.
    after = "SET SESSION wsrep_OSU_method = DEFAULT;"
    return (plan.node_heading(node), *bounded, after)


def _render(
    dialect: sa.Dialect,
    table: index_.Table,
    revision: history.Revision,
    *,
    down: bool,
) -> str:
    """Let alembic write one revision's statement instead of sending it."""
    text = io.StringIO()
    context = alembic_migration.MigrationContext.configure(
        dialect=dialect,
        opts={
            "as_sql": True,
            "output_buffer": text,
            **ddl.options(table, revision.index),
        },
    )
    with operations.Operations.context(context):
        change = revision.module.downgrade if down else revision.module.upgrade
        change()
    return text.getvalue().strip()
