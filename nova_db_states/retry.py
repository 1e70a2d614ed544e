# SPDX-License-Identifier: Apache-2.0
"""Which errors of a database may be tried again, and how patiently.

Classification goes by the error number that the driver reports, because
oslo.db's own filters are registered for the dialect name ``mysql`` only: under
``mariadb+pymysql://`` a deadlock arrives as a plain ``OperationalError``.
"""

from collections.abc import Callable, Iterator
import dataclasses
import enum
import random
import time
from typing import Any, Final, NoReturn

from oslo_db import exception as db_exc
from sqlalchemy import exc as sa_exc

__all__ = [
    "DATABASE_ERRORS",
    "DEFAULT",
    "NodeBehind",
    "Policy",
    "Unverified",
    "Verdict",
    "as_oslo",
    "classify",
    "driver_error",
    "error_code",
    "reraise",
    "says_elsewhere",
]

DATABASE_ERRORS: Final = (
    db_exc.DBError,
    sa_exc.DBAPIError,
    sa_exc.TimeoutError,  # every connection of the pool is in use
    # The transaction was lost before this call (PendingRollbackError), or two
    # connections in a row died while a pool handed them out.
    sa_exc.InvalidRequestError,
)
"""What a statement can raise because of the database."""


class Verdict(enum.Enum):
    """What an error says about the transaction it ended."""

    RETRY = "rolled back as a whole, or never begun: run it all again"
    LOST = "the connection is gone and the server may have gone on without it"
    FAIL = "will fail the same way again"


class NodeBehind(db_exc.DBConnectionError):  # type: ignore[misc] # untyped
    """A node of a cluster could not be made to catch up with the others.

    An update matched no row there, and whether it would on the others is not
    known. Nothing was written.

    :ivar waited_s: how long the server tried, in seconds; hardly any time
        where the node is about to leave its cluster or has just come
    """

    def __init__(self, waited_s: float = 0.0) -> None:
        super().__init__()
        self.waited_s = waited_s

    def __str__(self) -> str:
        return (
            f"The node did not come to apply what others of its cluster have "
            f"committed (it tried for {self.waited_s:.1f} s; "
            f"repl.causal_read_timeout), so that a refusal could not be "
            f"verified. Nothing was written. Look at the node (SHOW STATUS "
            f"LIKE 'wsrep_local_state_comment'), or use another."
        )


class Unverified(db_exc.DBDeadlock):  # type: ignore[misc] # untyped
    """A refusal inside of a transaction could not be verified on a cluster.

    As after a deadlock, the transaction must be begun anew.
    """

    def __str__(self) -> str:
        return (
            "The update matched no row in this transaction, and whether this "
            "node of the cluster has applied everything cannot be made sure "
            "from here. Leave the transaction and begin it anew."
        )


# What took longer to be found out is not worth a second time.
_SOON_S: Final = 2.0

# Error numbers: MySQL manual, "Server Error Message Reference" and "Client
# Error Message Reference"; MariaDB adds 1927.
_DEADLOCKS: Final = frozenset(
    {
        1205,
        1213,
        3101,  # group replication: another member's write came first
    }
)
_CHANGED_RECORD: Final = 1020
# Refused by a server that cannot write now; another one may.
_ELSEWHERE: Final = frozenset(
    {
        1047,  # Galera: this node is not in the primary component
        1290,  # the server runs with read_only
        1836,  # the same, of InnoDB
    }
)
_RETRY: Final = _DEADLOCKS | {
    *_ELSEWHERE,
    _CHANGED_RECORD,
    1040,  # too many connections: refused while connecting
    1203,  # the same, of one user
    1226,  # the same, by the limits of that user
    4031,  # closed after a long idle time: said in place of an answer
    1053,  # server shutdown in progress: answered instead of executing
    1927,  # connection was killed: answered instead of executing
    2002,  # cannot connect (socket)
    2003,  # cannot connect (TCP)
    2006,  # gone away: PyMySQL could not even send the whole packet
    0,  # PyMySQL's InterfaceError for a connection closed on our side
}
_LOST: Final = frozenset(
    {
        1180,  # Galera: the node lost the others while it was committing
        2013,  # lost while waiting for the answer
        2014,  # packets out of order: the answer cannot be read
        2055,  # lost, with a system error
    }
)
_CONNECTION: Final = (_LOST | _RETRY) - _DEADLOCKS - {_CHANGED_RECORD}

# SQLite has no numbers in what Python 3.10 and older report; 3.11 has names.
_SQLITE_BUSY: Final = ("SQLITE_BUSY", "SQLITE_LOCKED")


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """How often, and how far apart, a transaction is tried.

    The wait before attempt ``n + 1`` is drawn between 0 and
    ``first_backoff_s * 2 ** (n - 1)``, capped by ``max_backoff_s``. Drawing
    from 0 on spreads the losers of one deadlock best.

    :ivar max_attempts: attempts in all, the first one included; at least 1
    :ivar first_backoff_s: upper end of the first wait, in seconds
    :ivar max_backoff_s: upper end of any wait, in seconds
    :ivar max_elapsed_s: no further attempt begins later than this many
        seconds after the first; ``None`` for no limit
    :ivar sleep: waits that many seconds
    :ivar clock: seconds from any fixed point, never going back
    :ivar jitter: draws a number between the two it is given
    """

    max_attempts: int = 5
    first_backoff_s: float = 0.02
    max_backoff_s: float = 1.0
    max_elapsed_s: float | None = None
    sleep: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic
    jitter: Callable[[float, float], float] = random.uniform

    def __post_init__(self) -> None:
        if type(self.max_attempts) is not int or self.max_attempts < 1:
            raise ValueError(
                f"max_attempts={self.max_attempts!r}: give a whole number, "
                f"at least 1, which is the first attempt itself."
            )
        if self.first_backoff_s < 0 or self.max_backoff_s < 0:
            raise ValueError(
                f"first_backoff_s={self.first_backoff_s}, "
                f"max_backoff_s={self.max_backoff_s}: seconds cannot be "
                f"negative."
            )

    def attempts(self) -> Iterator[int]:
        """Count the attempts, waiting between them.

        :returns: yields 1, 2, ... and ends when the policy allows no more
        """
        # Without a limit an attempt that succeeds, as nearly all do, does
        # not pay for a clock.
        began = 0.0 if self.max_elapsed_s is None else self.clock()
        yield 1
        ceiling = self.first_backoff_s
        for number in range(2, self.max_attempts + 1):
            self.sleep(self.jitter(0.0, min(ceiling, self.max_backoff_s)))
            # Capped here as well: doubling without end overflows.
            ceiling = min(ceiling * 2, self.max_backoff_s)
            if (
                self.max_elapsed_s is not None
                and self.clock() - began > self.max_elapsed_s
            ):
                return
            yield number


DEFAULT: Final = Policy()
"""Five attempts within about a third of a second."""


def driver_error(error: BaseException) -> BaseException:
    """Unwrap an error down to what the driver raised.

    :param error: an exception of oslo.db, SQLAlchemy or a driver
    :returns: the innermost one
    """
    if isinstance(error, db_exc.DBError) and error.inner_exception is not None:
        return driver_error(error.inner_exception)
    if isinstance(error, sa_exc.DBAPIError) and error.orig is not None:
        return driver_error(error.orig)
    return error


def error_code(error: BaseException) -> int | str | None:
    """Find the number or name that the database gave an error.

    :param error: an exception of oslo.db, SQLAlchemy or a driver
    :returns: MySQL's error number, SQLite's error name, or ``None``
    """
    origin = driver_error(error)
    name: Any = getattr(origin, "sqlite_errorname", None)
    if name is not None:
        return str(name)
    if origin.args and isinstance(origin.args[0], int):
        return origin.args[0]
    return None


def classify(error: BaseException) -> Verdict:
    """Say what an error means for the transaction that met it.

    :param error: an exception of oslo.db, SQLAlchemy or a driver
    :returns: the verdict; ``FAIL`` for anything that is not known
    """
    if _never_connected(error):
        return Verdict.RETRY
    if not isinstance(error, (db_exc.DBError, sa_exc.DBAPIError)):
        return Verdict.FAIL
    if isinstance(error, NodeBehind):
        soon = error.waited_s < _SOON_S
        return Verdict.RETRY if soon else Verdict.FAIL
    code = error_code(error)
    if isinstance(code, str):
        return Verdict.RETRY if code.startswith(_SQLITE_BUSY) else Verdict.FAIL
    if code in _RETRY or isinstance(error, db_exc.DBDeadlock):
        return Verdict.RETRY
    if code in _LOST or _is_disconnect(error) or _is_garbled(error):
        return Verdict.LOST
    return Verdict.FAIL


def says_elsewhere(error: BaseException) -> bool:
    """Say whether a server refused because it cannot write now.

    Behind a proxy a new connection may lead to one that can; those that are
    open lead to this one.

    :param error: an exception of oslo.db, SQLAlchemy or a driver
    :returns: true for a node without its cluster or behind it, and for a
        read-only server
    """
    return isinstance(error, NodeBehind) or error_code(error) in _ELSEWHERE


def as_oslo(error: Exception) -> Exception:
    """Translate an error to the class of oslo.db that stands for it.

    Callers decide by oslo.db's classes whether to begin their transaction
    anew (``oslo_db.api.wrap_db_retry``), and must be able to under
    ``mariadb+pymysql://`` too, where its own filters do not work. A pool that
    stays exhausted counts as a connection that cannot be had.

    :param error: any exception
    :returns: an exception of oslo.db; ``error`` itself where it is one
        already, or has nothing to do with a database
    """
    kind: type[Exception]
    lost = (sa_exc.TimeoutError, sa_exc.PendingRollbackError)
    if isinstance(error, lost) or _never_connected(error):
        kind = db_exc.DBConnectionError
    elif not isinstance(error, sa_exc.DBAPIError):
        return error
    elif (code := error_code(error)) in _DEADLOCKS:
        kind = db_exc.DBDeadlock
    elif code == _CHANGED_RECORD:
        # Older releases of oslo.db have no class of its own for it.
        kind = getattr(db_exc, "DBConsistencyError", db_exc.DBDeadlock)
    elif code in _CONNECTION or error.connection_invalidated:
        kind = db_exc.DBConnectionError
    elif isinstance(error, sa_exc.DataError):
        kind = db_exc.DBDataError
    else:
        # oslo.db's filters leave what they do not know as it was raised.
        kind = db_exc.DBError
    return kind(error)


def _never_connected(error: BaseException) -> bool:
    """Say whether a pool gave up looking for a connection that works.

    SQLAlchemy tries two, and has no class of its own for that.
    """
    return type(error) is sa_exc.InvalidRequestError and str(error).startswith(
        "This connection is closed"
    )


def _is_disconnect(error: BaseException) -> bool:
    return isinstance(error, db_exc.DBConnectionError) or (
        isinstance(error, sa_exc.DBAPIError) and error.connection_invalidated
    )


def _is_garbled(error: BaseException) -> bool:
    """Say whether the answer could not be read at all.

    What a server of MySQL says has a number. An error without one is the
    driver's own, for instance PyMySQL's "Packet sequence number wrong", and
    what the server made of the statement is not known.
    """
    origin = driver_error(error)
    # PEP 249 gives every driver's errors a base of this name.
    from_driver = "Error" in {base.__name__ for base in type(origin).__mro__}
    from_sqlite = type(origin).__module__.startswith("sqlite3")
    return from_driver and not from_sqlite and error_code(origin) is None


def reraise(error: Exception) -> NoReturn:
    """Raise an error of the database as the oslo.db class it stands for.

    :param error: as it was caught
    :raises oslo_db.exception.DBError: always
    """
    translated = as_oslo(error)
    if translated is error:
        raise error
    raise translated from error
