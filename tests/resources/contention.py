# SPDX-License-Identifier: Apache-2.0
"""Other sessions on a server: locks they hold, waits, and their end."""

from collections.abc import Callable, Iterator
import contextlib
import threading
import time
from typing import Any

import sqlalchemy as sa

from nova_db_states import retry
from nova_db_states import tables

_T = tables.instances


class Counted:
    """A policy that counts its waits and does not wait long."""

    def __init__(self, **settings: Any) -> None:
        self.waits = 0
        self.policy = retry.Policy(sleep=self._sleep, **settings)

    def _sleep(self, seconds: float) -> None:
        self.waits += 1
        time.sleep(min(seconds, 0.05))


def update_row(connection: sa.Connection, instance: str, value: int) -> None:
    """Write a row as any other client would."""
    connection.execute(
        sa.update(_T).where(_T.c.uuid == instance).values(progress=value)
    )


@contextlib.contextmanager
def in_background(work: Callable[[], object]) -> Iterator[None]:
    """Run something beside the block; what it raises is raised here."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - handed on below
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(timeout=30)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until the server shows what a test is waiting for."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "never came about"
        # InnoDB renews innodb_trx only when nobody has read it for 0.1 s.
        time.sleep(0.15)


def lock_waits(
    engine: sa.Engine, like: str = "UPDATE instances%"
) -> list[int]:
    """Give the ids of sessions that wait for a row lock."""
    with engine.connect() as connection:
        found = connection.execute(
            sa.text(
                "SELECT p.id FROM information_schema.processlist p "
                "JOIN information_schema.innodb_trx t "
                "ON t.trx_mysql_thread_id = p.id "
                "WHERE t.trx_state = 'LOCK WAIT' AND p.info LIKE :like"
            ),
            {"like": like},
        )
        return list(found.scalars())


def sessions(engine: sa.Engine) -> list[int]:
    """Give the ids of all other sessions on the test's database."""
    with engine.connect() as connection:
        found = connection.execute(
            sa.text(
                "SELECT id FROM information_schema.processlist "
                "WHERE db = DATABASE() AND id != CONNECTION_ID()"
            )
        )
        return list(found.scalars())


def kill(engine: sa.Engine, session: int) -> None:
    """End a session on the server's side."""
    with engine.connect() as connection:
        connection.execute(sa.text(f"KILL {session}"))
