# SPDX-License-Identifier: Apache-2.0
"""Where a database stands: which of our indexes are there."""

import dataclasses
import logging
from typing import Final

import sqlalchemy as sa

from nova_db_states import database
from nova_db_states import exceptions
from nova_db_states.migrations import catalogue
from nova_db_states.migrations import galera
from nova_db_states.migrations import history
from nova_db_states.migrations import index as index_
from nova_db_states.migrations import session

__all__ = ["IndexStatus", "missing", "of", "refuse_different", "status"]

LOG: Final = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class IndexStatus:
    """Where one revision stands in one database.

    :ivar revision: the revision that makes the index
    :ivar state: ``present``; ``missing``; ``different``, an index of that
        name that is not what the revision makes
    :ivar found: name of the equal or different index, ``None`` if missing
    """

    revision: history.Revision
    state: str
    found: str | None

    @property
    def index(self) -> str:
        """The name of the index of ours."""
        return self.revision.index.name


def status(
    engine: sa.Engine,
    *,
    revisions: tuple[history.Revision, ...] | None = None,
) -> tuple[IndexStatus, ...]:
    """Say of every revision whether its index is there; changes nothing.

    On a node of a Galera cluster this is about that node alone, when it has
    applied what the cluster committed before.

    :param engine: of a cell database
    :param revisions: the revisions to look for; ``None`` for this package's
    :returns: one entry for each, the oldest first
    :raises UnsupportedDatabase: this is not a Nova cell
    :raises MigrationBlocked: the node did not catch up with its cluster
    :raises MigrationError: the node has lost its cluster
    """
    with session.connected(
        engine, session.DEFAULT_LOCK_TIMEOUT_S
    ) as connection:
        node = galera.look(connection)
        galera.catch_up(connection, node)
        if node is not None:
            LOG.info(
                "%s: %s, %s. The indexes are those of this node alone.",
                database.masked(engine.url),
                node.shown,
                node.state,
            )
        return of(catalogue.read(connection), history.known(revisions))


def missing(
    engine: sa.Engine,
    *,
    revisions: tuple[history.Revision, ...] | None = None,
) -> tuple[IndexStatus, ...]:
    """Give the revisions that an upgrade would have something to do for.

    :param engine: of a cell database
    :param revisions: the revisions to look for; ``None`` for this package's
    :returns: the entries of :func:`status` that are not ``present``
    :raises UnsupportedDatabase: as for :func:`status`
    :raises MigrationError: as for :func:`status`
    """
    return tuple(
        entry
        for entry in status(engine, revisions=revisions)
        if entry.state != "present"
    )


def of(
    table: index_.Table, revisions: tuple[history.Revision, ...]
) -> tuple[IndexStatus, ...]:
    """Compare a table with the revisions.

    :param table: the table as it was read
    :param revisions: the revisions to look for
    :returns: one entry for each, in their order
    """
    entries = []
    for revision in revisions:
        equal = index_.find_equal(table, revision.index)
        namesake = table.named(revision.index.name)
        found = equal or namesake
        state = "missing"
        if found is not None:
            state = "different" if equal is None else "present"
        entries.append(
            IndexStatus(revision, state, None if found is None else found.name)
        )
    return tuple(entries)


def refuse_different(
    engine: sa.Engine, entries: tuple[IndexStatus, ...]
) -> None:
    """Refuse a database where an index of our name is not ours.

    :param engine: where it was read, for the message
    :param entries: where its revisions stand
    :raises MigrationError: one is ``different``
    """
    for entry in entries:
        if entry.state == "different":
            raise exceptions.MigrationError(
                f"{database.masked(engine.url)}: an index {entry.found} is "
                f"there, but it is not the one on "
                f"({', '.join(entry.revision.index.columns)}) that revision "
                f"{entry.revision.revision} makes, or the optimizer is told "
                f"to ignore it. Nothing was changed. Drop it with "
                f"nova-db-states db downgrade and upgrade again."
            )
