# SPDX-License-Identifier: Apache-2.0
"""A cell on SQLite, a clock that is moved by hand, and watches on both."""

from collections.abc import Callable, Iterator
import contextlib
import pathlib
import sqlite3
from typing import Any, Final

import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import tables
from nova_db_states._actions import watch
from tests.resources import rows
from tests.resources import statements

INTERVAL_S: Final = 5.0


class Clock:
    """A clock that moves only when it is told, or somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        """Give the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.slept.append(seconds)
        self.now += seconds


class Cell:
    """A cell on SQLite with one instance, and watches on it.

    :ivar updates: every ``UPDATE`` that was sent since it was cleared
    """

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        # Nobody waits for a lock here: a locked file is a database away.
        url = f"sqlite:///{path}?timeout=0"
        self.engine = sa.create_engine(url)
        tables.metadata.create_all(self.engine)
        self.context = api.connect(url)
        self.clock = Clock()
        self.updates: list[str] = []
        self.instance = self.insert(task_state="spawning")

    def insert(self, **columns: object) -> str:
        """Add one more instance."""
        return rows.insert_instance(self.engine, **columns)

    def watch(self, **options: Any) -> watch.Watch:
        """Watch the instance on the cell's own clock."""
        return watch.watch(
            self.context,
            options.pop("instance", self.instance),
            **{"clock": self.clock, "sleep": self.clock.sleep, **options},
        )

    def write(self, **columns: object) -> None:
        """Write the instance as another service would."""
        with self.engine.begin() as connection:
            connection.execute(
                sa.update(tables.instances)
                .where(tables.instances.c.uuid == self.instance)
                .values(**columns)
            )

    def row(self, instance: str | None = None) -> dict[str, Any]:
        """Read the instance."""
        return rows.read_instance(self.engine, instance or self.instance)

    @contextlib.contextmanager
    def away(self) -> Iterator[Callable[[], None]]:
        """Lock the file for everybody else; yields what unlocks it."""
        with contextlib.closing(
            sqlite3.connect(self.path, isolation_level=None)
        ) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield other.rollback

    def note(self, sql: str) -> None:
        """Take down a statement that is about to be sent."""
        if sql.startswith("UPDATE"):
            self.updates.append(sql)


@contextlib.contextmanager
def cell(folder: pathlib.Path) -> Iterator[Cell]:
    """Make a cell in a folder, and take down what is sent to it."""
    made = Cell(folder / "cell.db")
    with statements.before_each(made.note):
        yield made
    made.context.close()
    made.engine.dispose()
