# SPDX-License-Identifier: Apache-2.0
"""Which errors are tried again, how often and how far apart."""

import sqlite3
from typing import Any

from oslo_db import exception as db_exc
import pymysql
import pytest
from sqlalchemy import exc as sa_exc

from nova_db_states import retry


def raw(code: int, message: str = "") -> sa_exc.DBAPIError:
    """Make an error as SQLAlchemy raises it under ``mariadb+pymysql``."""
    return sa_exc.OperationalError(
        "UPDATE", {}, pymysql.err.OperationalError(code, message)
    )


class Waits:
    """A clock that moves only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def policy(self, **settings: Any) -> retry.Policy:
        """Make a policy on this clock that draws the longest waits."""
        return retry.Policy(
            sleep=self.sleep,
            clock=lambda: self.now,
            jitter=lambda _low, high: high,
            **settings,
        )

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += seconds


def test_waits_double_up_to_a_cap() -> None:
    """Each wait may be twice the one before, and none exceeds the cap."""
    waits = Waits()
    policy = waits.policy(
        max_attempts=6, first_backoff_s=0.25, max_backoff_s=1.0
    )
    assert list(policy.attempts()) == [1, 2, 3, 4, 5, 6]
    assert waits.slept == [0.25, 0.5, 1.0, 1.0, 1.0]


def test_many_attempts() -> None:
    """The wait stays at its cap, however often it is doubled."""
    waits = Waits()
    policy = waits.policy(max_attempts=2000, max_backoff_s=0.5)
    assert len(list(policy.attempts())) == 2000
    assert max(waits.slept) == 0.5


def test_no_wait_without_a_second_attempt() -> None:
    """An attempt that succeeds neither sleeps nor looks at the clock."""

    def forbidden(*_: Any) -> float:
        raise AssertionError("waited")

    policy = retry.Policy(sleep=forbidden, clock=forbidden, jitter=forbidden)
    assert next(policy.attempts()) == 1


def test_elapsed_time_ends_the_attempts() -> None:
    """No attempt begins after the time that the policy allows."""
    waits = Waits()
    policy = waits.policy(
        max_attempts=100,
        first_backoff_s=1.0,
        max_backoff_s=1.0,
        max_elapsed_s=3.5,
    )
    assert list(policy.attempts()) == [1, 2, 3, 4]


def test_the_default_never_waits_a_second_in_all() -> None:
    """A caller is told what is there without a noticeable pause."""
    waits = Waits()
    assert len(list(waits.policy().attempts())) == 5
    assert sum(waits.slept) < 1.0


@pytest.mark.parametrize(
    "settings",
    [
        {"max_attempts": 2.5},
        {"max_attempts": 0},
        {"first_backoff_s": -1},
        {"max_backoff_s": -0.1},
    ],
)
def test_a_policy_that_makes_no_sense(settings: dict[str, Any]) -> None:
    """A wrong setting is named."""
    with pytest.raises(ValueError, match=next(iter(settings))):
        retry.Policy(**settings)


@pytest.mark.parametrize(
    ("code", "verdict", "translated"),
    [
        (1213, retry.Verdict.RETRY, db_exc.DBDeadlock),
        (1205, retry.Verdict.RETRY, db_exc.DBDeadlock),
        (1020, retry.Verdict.RETRY, db_exc.DBDeadlock),
        (2006, retry.Verdict.RETRY, db_exc.DBConnectionError),
        (2003, retry.Verdict.RETRY, db_exc.DBConnectionError),
        (1927, retry.Verdict.RETRY, db_exc.DBConnectionError),
        (1047, retry.Verdict.RETRY, db_exc.DBConnectionError),
        (2013, retry.Verdict.LOST, db_exc.DBConnectionError),
        (1054, retry.Verdict.FAIL, db_exc.DBError),
        (1290, retry.Verdict.RETRY, db_exc.DBConnectionError),
        (1836, retry.Verdict.RETRY, db_exc.DBConnectionError),
        (4031, retry.Verdict.RETRY, db_exc.DBConnectionError),
        (3101, retry.Verdict.RETRY, db_exc.DBDeadlock),
        (1180, retry.Verdict.LOST, db_exc.DBConnectionError),
        (1064, retry.Verdict.FAIL, db_exc.DBError),
    ],
)
def test_numbers_decide_under_either_scheme(
    code: int, verdict: retry.Verdict, translated: type[Exception]
) -> None:
    """An error means the same whether oslo.db's filters saw it or not."""
    error = raw(code)
    assert retry.classify(error) is verdict
    assert retry.error_code(error) == code
    assert isinstance(retry.as_oslo(error), translated)
    filtered = db_exc.DBError(error)
    assert retry.classify(filtered) is verdict
    assert retry.as_oslo(filtered) is filtered


def test_sqlite_busy_is_tried_again() -> None:
    """A database that another process has locked is free in a moment."""
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorname = "SQLITE_BUSY"
    error = sa_exc.OperationalError("UPDATE", {}, busy)
    assert retry.classify(error) is retry.Verdict.RETRY


def test_an_answer_that_cannot_be_read_is_a_lost_one() -> None:
    """An error that no server numbered says nothing about the statement."""
    garbled = pymysql.err.InternalError("Packet sequence number wrong")
    error = sa_exc.InternalError("UPDATE", {}, garbled)
    assert retry.classify(error) is retry.Verdict.LOST
    assert (
        retry.classify(db_exc.DBConnectionError(error)) is retry.Verdict.LOST
    )


def test_a_transaction_that_was_lost_before() -> None:
    """What follows a lost connection in a transaction says the same."""
    error = sa_exc.PendingRollbackError("invalid transaction")
    assert isinstance(error, retry.DATABASE_ERRORS)
    assert isinstance(retry.as_oslo(error), db_exc.DBConnectionError)


def test_an_exhausted_pool_is_a_connection_that_cannot_be_had() -> None:
    """It is not tried again: whoever waits has waited long already."""
    error = sa_exc.TimeoutError("QueuePool limit reached")
    assert retry.classify(error) is retry.Verdict.FAIL
    assert isinstance(retry.as_oslo(error), db_exc.DBConnectionError)


def test_what_is_not_of_the_database_fails() -> None:
    """A bug is not a reason to try again."""
    assert retry.classify(KeyError(1213)) is retry.Verdict.FAIL
    assert retry.as_oslo(KeyError("x")).args == ("x",)


def test_a_pool_that_found_only_dead_connections() -> None:
    """Nothing was sent; SQLAlchemy has no class of its own for that."""
    error = sa_exc.InvalidRequestError("This connection is closed")
    assert isinstance(error, retry.DATABASE_ERRORS)
    assert retry.classify(error) is retry.Verdict.RETRY
    assert isinstance(retry.as_oslo(error), db_exc.DBConnectionError)
    other = sa_exc.InvalidRequestError("Table is already defined")
    assert retry.classify(other) is retry.Verdict.FAIL
    assert retry.as_oslo(other) is other


@pytest.mark.parametrize(
    ("waited_s", "verdict"),
    [(0.1, retry.Verdict.RETRY), (30.0, retry.Verdict.FAIL)],
)
def test_a_node_that_is_behind(
    waited_s: float, verdict: retry.Verdict
) -> None:
    """What was found out soon is tried again, elsewhere if there is one."""
    error = retry.NodeBehind(waited_s)
    assert retry.classify(error) is verdict
    assert retry.says_elsewhere(error)
    assert isinstance(error, db_exc.DBConnectionError)
    assert f"{waited_s:.1f} s" in str(error)
    assert retry.as_oslo(error) is error
