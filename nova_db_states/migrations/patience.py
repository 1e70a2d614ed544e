# SPDX-License-Identifier: Apache-2.0
"""Running one schema change without standing in anybody's way.

A schema change that waits for the metadata lock stalls every later statement
on the table, whatever it is. So it waits only shortly, gives up, lets the
queue drain and comes back. An online build needs that lock twice: for a moment
when it begins, and again to put the finished index in place. A time-out there
rolls the build back as one at the beginning does.

In total order on a Galera cluster nothing is given up. The server waits there
without limit for those that it does not roll back, and the policy is for a
node that refuses to begin.
"""

from collections.abc import Callable
import dataclasses
import logging
import random
import time
from typing import Final

from oslo_db import exception as db_exc
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states.migrations import blockers
from nova_db_states.migrations import catalogue
from nova_db_states.migrations import galera
from nova_db_states.migrations import index as index_

__all__ = [
    "PATIENT",
    "Event",
    "Outcome",
    "Progress",
    "ignore",
    "read_table",
    "run",
]

LOG: Final = logging.getLogger(__name__)


def _at_least_half(low: float, high: float) -> float:
    # A pause of nearly nothing would give the stalled statements no time.
    return random.uniform(max(low, high / 2), high)


PATIENT: Final = retry.Policy(
    max_attempts=20,
    first_backoff_s=1.0,
    max_backoff_s=10.0,
    jitter=_at_least_half,
)
"""Twenty tries, 1 to 10 seconds apart: about three and a half minutes with a
lock time-out of 2 seconds."""


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """Something to show while a change is being made.

    :ivar index: name of the index
    :ivar doing: ``building``, ``dropping``, ``blocked`` or ``done``
    :ivar attempt: the attempt this is about, from 1
    :ivar max_attempts: how many there will be at most
    """

    index: str
    doing: str
    attempt: int
    max_attempts: int


Progress = Callable[[Event], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """How a change came to be there.

    :ivar attempts: how often the statement was sent
    :ivar by_us: false if somebody else made it, before or meanwhile
    """

    attempts: int
    by_us: bool


def ignore(event: Event) -> None:
    """Show nothing.

    :param event: what happened
    """
    del event


# Error numbers: MySQL manual, "Server Error Message Reference"; MariaDB has
# the same and, from 1900 on, its own.
_BLOCKED: Final = frozenset({1205, 1213, galera.NOT_READY})
_ALREADY: Final = frozenset({1061, 1091})
_GRANTS: Final = (
    "Grant ALTER, INDEX, CREATE and INSERT on the table instances to this "
    "user, or let a DBA run the output of nova-db-states db sql."
)
_NOT_ONLINE: Final = (
    "This server cannot do it while rows stay writable, and a change that "
    "locks the table is never made here; a DBA may decide otherwise."
)
_LOG_FULL: Final = (
    "More was written meanwhile than the server kept a log of: raise "
    "innodb_online_alter_log_max_size, or run it in a quieter hour."
)
_STOPPED: Final = (
    "Somebody, or a limit on the server, stopped it. Run it again."
)
_NO_SPACE: Final = (
    "Make room where the server's innodb_tmpdir (else tmpdir) and data are: "
    "a build needs about the size of the index in each."
)
_READ_ONLY: Final = (
    "This server is read-only: give the URL of the writable one."
)
_REMEDIES: Final[dict[int | str | None, str]] = {
    **dict.fromkeys((1044, 1142, 1143, 1227), _GRANTS),
    **dict.fromkeys((1845, 1846), _NOT_ONLINE),
    1799: _LOG_FULL,
    **dict.fromkeys((1317, 1927, 1969), _STOPPED),
    **dict.fromkeys((1021, 1034, 1114, 1878), _NO_SPACE),
    **dict.fromkeys((1290, 1792, 1836), _READ_ONLY),
}
_SQLITE_READ_ONLY: Final = (
    "Run it as a user that may write the file and its folder."
)


def read_table(
    connection: sa.Connection, *, lock_timeout_s: int, policy: retry.Policy
) -> index_.Table:
    """Read the table, as patiently as it is changed.

    An SQLite file that somebody holds exclusively cannot even be read. A node
    of a cluster first applies what was committed before, so that an index
    that others have begun to build is not begun once more.

    :param connection: in autocommit, with the lock time-out set
    :param lock_timeout_s: the time-out in seconds, for messages
    :param policy: how often and how far apart
    :returns: what the table has
    :raises MigrationBlocked: it could not be read for locks, or the node did
        not catch up
    :raises UnsupportedDatabase: this is not a Nova cell
    """
    began = time.monotonic()
    error: Exception | None = None
    for attempt in policy.attempts():
        try:
            galera.catch_up(connection, galera.look(connection))
            return catalogue.read(connection)
        except exceptions.MigrationBlocked as caught:
            error = caught
            LOG.info(
                "Attempt %d of %d: %s", attempt, policy.max_attempts, caught
            )
        except sa_exc.DBAPIError as caught:
            if not _is_blocked(retry.error_code(caught)):
                raise
            error = caught
    if isinstance(error, exceptions.MigrationBlocked):
        raise error
    raise _blocked(
        connection, index_.TABLE, began, lock_timeout_s, policy
    ) from error


def run(
    connection: sa.Connection,
    name: str,
    doing: str,
    change: Callable[[], None],
    *,
    is_done: Callable[[], bool],
    lock_timeout_s: int,
    policy: retry.Policy,
    progress: Progress,
) -> Outcome:
    """Make one change as often as it takes and the policy allows.

    :param connection: in autocommit, with the lock time-out set
    :param name: name of the index, for messages
    :param doing: ``building`` or ``dropping``
    :param change: sends the statement
    :param is_done: reads whether the change is there, for instance because
        the server finished what a killed client had begun
    :param lock_timeout_s: the time-out in seconds, for messages
    :param policy: how often and how far apart
    :param progress: is told what happens
    :returns: the attempts made, and whether the change is ours
    :raises MigrationBlocked: the lock could not be had; nothing was changed
    :raises MigrationError: the server refused, or the connection was lost
    """
    began = time.monotonic()
    error: Exception | None = None
    for attempt in policy.attempts():
        started = time.monotonic()
        try:
            if is_done():
                return Outcome(attempt - 1, by_us=False)
            progress(Event(name, doing, attempt, policy.max_attempts))
            change()
        except (sa_exc.DBAPIError, db_exc.DBError) as caught:
            error = caught
            code = retry.error_code(caught)
            if code in _ALREADY and is_done():
                return Outcome(attempt, by_us=False)
            if not _is_blocked(code):
                raise _refused(name, doing, caught) from caught
            progress(Event(name, "blocked", attempt, policy.max_attempts))
            LOG.info(
                "%s: attempt %d of %d ended after %.1f s, %s",
                name,
                attempt,
                policy.max_attempts,
                time.monotonic() - started,
                "the node did not take it"
                if galera.look(connection)
                else "the table was locked by others",
            )
        else:
            progress(Event(name, "done", attempt, policy.max_attempts))
            return Outcome(attempt, by_us=True)
    if error is not None and galera.look(connection):
        raise _not_taken(name, began, error) from error
    raise _blocked(connection, name, began, lock_timeout_s, policy) from error


def _blocked(
    connection: sa.Connection,
    name: str,
    began: float,
    lock_timeout_s: int,
    policy: retry.Policy,
) -> exceptions.MigrationBlocked:
    found = blockers.find(connection)
    attempts = (
        f"1 attempt of {lock_timeout_s} s"
        if policy.max_attempts == 1
        else f"{policy.max_attempts} attempts of {lock_timeout_s} s each"
    )
    return exceptions.MigrationBlocked(
        f"{name}: others kept the table instances locked for "
        f"{time.monotonic() - began:.0f} s, {attempts}; the index was not "
        f"changed. {found.explanation}",
        blockers=found.lines,
    )


def _not_taken(
    name: str, began: float, error: Exception
) -> exceptions.MigrationBlocked:
    text = " ".join(str(retry.driver_error(error).args[-1]).split())
    return exceptions.MigrationBlocked(
        f"{name}: for {time.monotonic() - began:.0f} s this node of a Galera "
        f"cluster took no change of the schema ({text}). The index was not "
        f"changed. A backup or a FLUSH TABLES WITH READ LOCK pauses the node, "
        f"or it has lost its cluster: run this again when {galera.STATE} "
        f"says {galera.SYNCED}, or with the URL of another node."
    )


def _is_blocked(code: int | str | None) -> bool:
    if isinstance(code, str):
        return code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
    return code in _BLOCKED


def _refused(
    name: str, doing: str, error: Exception
) -> exceptions.MigrationError:
    """Put an error that no further attempt would change into words."""
    code = retry.error_code(error)
    text = str(retry.driver_error(error))
    remedy = _REMEDIES.get(code)
    if str(code).startswith("SQLITE_READONLY"):
        remedy = _SQLITE_READ_ONLY
    if remedy is None and retry.classify(error) is not retry.Verdict.FAIL:
        return exceptions.MigrationError(
            f"{name}: the connection was lost while {doing} it ({text}). The "
            f"server either goes on by itself or has rolled it back, nothing "
            f"is ever half there. Run the same command again, for a Galera "
            f"cluster on any node: it begins where this one ended."
        )
    return exceptions.MigrationError(
        f"{name}: the database refused ({text}). The index was not changed. "
        f"{remedy or 'See the error log of the server.'}"
    )
