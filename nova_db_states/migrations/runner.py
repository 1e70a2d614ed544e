# SPDX-License-Identifier: Apache-2.0
"""Bringing one cell database up and down, and saying where it stands."""

from collections.abc import Callable, Sequence
import dataclasses
import logging
import time
from typing import Final

from alembic import operations
from alembic.runtime import migration as alembic_migration
import sqlalchemy as sa

from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states.migrations import catalogue
from nova_db_states.migrations import ddl
from nova_db_states.migrations import galera
from nova_db_states.migrations import history
from nova_db_states.migrations import index as index_
from nova_db_states.migrations import patience
from nova_db_states.migrations import plan
from nova_db_states.migrations import session
from nova_db_states.migrations import standing

__all__ = ["Step", "downgrade", "upgrade"]

LOG: Final = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """What was done about one index.

    :ivar revision: the revision it belongs to
    :ivar index: name of our index
    :ivar action: ``created``, ``dropped``, or why nothing was done:
        ``present``, ``present as NAME``, ``absent``, ``left NAME``
    :ivar attempts: how often the statement was sent
    :ivar elapsed_s: how long that took, waits included, in seconds
    """

    revision: str
    index: str
    action: str
    attempts: int = 0
    elapsed_s: float = 0.0


def upgrade(
    engine: sa.Engine,
    *,
    to: str | None = None,
    lock_timeout_s: int = session.DEFAULT_LOCK_TIMEOUT_S,
    policy: retry.Policy = patience.PATIENT,
    allow_toi: bool = False,
    progress: patience.Progress = patience.ignore,
    revisions: tuple[history.Revision, ...] | None = None,
) -> tuple[Step, ...]:
    """Make the indexes that are not there, the oldest revision first.

    Rows stay readable and writable. Run again after any failure, it goes on
    with what is missing.

    :param engine: of a cell database
    :param to: the last revision to apply; ``None`` for all
    :param lock_timeout_s: how long one attempt may wait for the table, in
        whole seconds; all other statements on it wait as long
    :param policy: how often to try and how long to pause between
    :param allow_toi: on Galera, let the cluster apply the change in total
        order, which stops writes to every table of every node meanwhile and
        is bounded by neither ``lock_timeout_s`` nor ``policy``
    :param progress: is told what happens
    :param revisions: ``None`` for this package's
    :returns: what was done, one entry for each revision
    :raises UnsupportedDatabase: this is not a Nova cell, or a Galera cluster
        without ``allow_toi``; the message says what both ways would mean
    :raises MigrationBlocked: the table stayed locked by others, or the node
        of a cluster did not catch up with it
    :raises MigrationError: the server refused, or an index of our name is
        not ours, or the node is not in sync with its cluster
    """
    wanted = history.up_to(history.known(revisions), to)
    with session.connected(engine, lock_timeout_s) as connection:
        table = patience.read_table(
            connection, lock_timeout_s=lock_timeout_s, policy=policy
        )
        entries = standing.of(table, wanted)
        standing.refuse_different(engine, entries)
        if lacking := [e.index for e in entries if e.state != "present"]:
            _ask_cluster(
                connection, lacking, allow_toi=allow_toi, down=False, to=to
            )
        work = _Work(
            engine, connection, table, lock_timeout_s, policy, progress
        )
        return tuple(
            work.create(entry.revision)
            if entry.found is None
            else Step(
                entry.revision.revision,
                entry.index,
                _present(entry),
            )
            for entry in entries
        )


def downgrade(
    engine: sa.Engine,
    *,
    to: str = "base",
    lock_timeout_s: int = session.DEFAULT_LOCK_TIMEOUT_S,
    policy: retry.Policy = patience.PATIENT,
    allow_toi: bool = False,
    progress: patience.Progress = patience.ignore,
    revisions: tuple[history.Revision, ...] | None = None,
) -> tuple[Step, ...]:
    """Drop our indexes, the newest revision first, and nothing else.

    An equal index under another name is somebody else's and stays.

    :param engine: of a cell database
    :param to: the last revision to keep; ``base`` for none
    :param lock_timeout_s: as for :func:`upgrade`
    :param policy: as for :func:`upgrade`
    :param allow_toi: as for :func:`upgrade`
    :param progress: is told what happens
    :param revisions: ``None`` for this package's
    :returns: what was done, one entry for each revision
    :raises UnsupportedDatabase: as for :func:`upgrade`
    :raises MigrationBlocked: as for :func:`upgrade`
    :raises MigrationError: the server refused, or the node is not in sync
        with its cluster
    """
    known = history.known(revisions)
    unwanted = known[len(history.up_to(known, to)) :]
    with session.connected(engine, lock_timeout_s) as connection:
        table = patience.read_table(
            connection, lock_timeout_s=lock_timeout_s, policy=policy
        )
        entries = standing.of(table, unwanted)
        if ours := [e.index for e in entries if table.named(e.index)]:
            _ask_cluster(
                connection, ours, allow_toi=allow_toi, down=True, to=to
            )
        work = _Work(
            engine, connection, table, lock_timeout_s, policy, progress
        )
        return tuple(
            work.drop(entry.revision)
            if table.named(entry.index)
            else Step(
                entry.revision.revision,
                entry.index,
                f"left {entry.found}" if entry.found else "absent",
            )
            for entry in reversed(entries)
        )


@dataclasses.dataclass(frozen=True, slots=True)
class _Work:
    """What every step of one run has in common."""

    engine: sa.Engine
    connection: sa.Connection
    table: index_.Table
    lock_timeout_s: int
    policy: retry.Policy
    progress: patience.Progress

    def create(self, revision: history.Revision) -> Step:
        """Make the index of one revision."""

        def is_done() -> bool:
            now = catalogue.read(self.connection)
            return index_.find_equal(now, revision.index) is not None

        return self._run(revision, is_done, down=False)

    def drop(self, revision: history.Revision) -> Step:
        """Drop the index of one revision."""

        def is_done() -> bool:
            now = catalogue.read(self.connection)
            return now.named(revision.index.name) is None

        return self._run(revision, is_done, down=True)

    def _run(
        self,
        revision: history.Revision,
        is_done: Callable[[], bool],
        *,
        down: bool,
    ) -> Step:
        context = alembic_migration.MigrationContext.configure(
            connection=self.connection,
            opts=ddl.options(self.table, revision.index),
        )
        change = revision.module.downgrade if down else revision.module.upgrade
        began = time.monotonic()
        with (
            operations.Operations.context(context),
            session.stopped_with_us(self.engine, self.connection),
        ):
            outcome = patience.run(
                self.connection,
                revision.index.name,
                "dropping" if down else "building",
                change,
                is_done=is_done,
                lock_timeout_s=self.lock_timeout_s,
                policy=self.policy,
                progress=self.progress,
            )
        if outcome.by_us:
            action = "dropped" if down else "created"
        else:
            action = "absent" if down else "present"
        return Step(
            revision.revision,
            revision.index.name,
            action,
            outcome.attempts,
            time.monotonic() - began,
        )


def _present(entry: standing.IndexStatus) -> str:
    if entry.found == entry.index:
        return "present"
    return f"present as {entry.found}"


def _ask_cluster(
    connection: sa.Connection,
    names: Sequence[str],
    *,
    allow_toi: bool,
    down: bool,
    to: str | None,
) -> None:
    """On a cluster, make sure that this way is meant and open."""
    node = galera.look(connection)
    if node is None:
        return
    if to == ("base" if down else "head"):
        to = None
    intended = plan.make(connection, node, names, down=down, to=to)
    if not allow_toi:
        raise exceptions.UnsupportedDatabase(intended.refusal())
    galera.require_synced(connection.engine.url, node)
    galera.use_total_order(connection)
    LOG.warning("%s", intended.announcement())
