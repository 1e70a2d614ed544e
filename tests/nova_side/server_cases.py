# SPDX-License-Identifier: Apache-2.0
"""The functions of the DB API and a server that has more than one client.

These need MariaDB, and the plugin.
"""

import contextlib
import threading
import time
from typing import Any
from unittest import mock

from nova import context as nova_context
from nova import exception
from nova.db.main import api as main_db
from oslo_db import exception as db_exc
import pymysql
import sqlalchemy as sa

from tests.nova_side import contract

_WAIT_S = 20.0

_RENEWED_S = 0.12
"""InnoDB renews innodb_trx only when nobody has read it for 0.1 s."""

_YIELD_S = 0.05
"""Up to this it is to let other threads run."""


class Server(contract.Case):
    """A second client of the same database."""

    def setUp(self) -> None:
        """Connect."""
        super().setUp()
        self.slept: list[float] = []
        self.note_sleeps()
        self.url = main_db.get_engine().url
        self.second = self.connect()

    def note_sleeps(self) -> None:
        """Note how long retries would sleep, and do not wait for it."""
        real = time.sleep

        def sleep(seconds: float) -> None:
            if seconds > _YIELD_S:
                self.slept.append(seconds)
            else:
                real(seconds)

        patch = mock.patch("time.sleep", sleep)
        patch.start()
        self.addCleanup(patch.stop)

    def connect(self) -> Any:
        """Open a connection of somebody else's, in autocommit."""
        made = pymysql.connect(
            host=self.url.host or "",
            port=self.url.port or 3306,
            user=self.url.username,
            password=self.url.password or "",
            database=self.url.database,
            autocommit=True,
        )
        self.addCleanup(made.close)
        return made

    def execute(self, statement: str, *values: Any) -> Any:
        """Run a statement of somebody else's."""
        with self.second.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()

    def started(self, uuid: str, values: Any, **arguments: Any) -> Any:
        """Start an update in a thread; give it and what comes of it."""
        came: list[Any] = []

        def body() -> None:
            context = nova_context.get_admin_context()
            try:
                main_db.instance_update_and_get_original(
                    context, uuid, values, **arguments
                )
                came.append("passed")
            except Exception as error:  # noqa: BLE001 - is looked at
                came.append(error)

        thread = threading.Thread(target=body)
        thread.start()
        self.wait_for_a_waiter()
        return thread, came

    def wait_for_a_waiter(self) -> None:
        """Wait until somebody waits for a lock."""
        other = self.connect()
        until = time.monotonic() + _WAIT_S
        while time.monotonic() < until:
            with other.cursor() as cursor:
                cursor.execute(
                    "SELECT COUNT(*) FROM information_schema.innodb_trx t "
                    "JOIN information_schema.processlist p "
                    "ON p.id = t.trx_mysql_thread_id "
                    "WHERE t.trx_state = 'LOCK WAIT' AND p.db = %s",
                    (self.url.database,),
                )
                if cursor.fetchone()[0]:
                    return
            threading.Event().wait(_RENEWED_S)
        self.fail("nobody waits for a lock")


class Races(Server):
    """What others do meanwhile."""

    def test_waits_and_passes(self) -> None:
        """An update waits for another one, and judges what that left."""
        uuid = self.made()
        self.execute("BEGIN")
        self.execute("UPDATE instances SET progress = 5 WHERE uuid=%s", uuid)
        thread, came = self.started(
            uuid,
            {"task_state": "rebuilding"},
            expected={"task_state": [None]},
        )
        self.execute("COMMIT")
        thread.join(_WAIT_S)
        self.assertEqual(["passed"], came)
        self.assertEqual([], self.slept)

    def test_waits_and_is_refused(self) -> None:
        """And it is refused at once for what that left."""
        uuid = self.made()
        self.execute("BEGIN")
        self.execute(
            "UPDATE instances SET task_state = 'deleting' WHERE uuid=%s", uuid
        )
        thread, came = self.started(
            uuid,
            {"task_state": "rebuilding"},
            expected={"task_state": [None]},
        )
        self.execute("COMMIT")
        thread.join(_WAIT_S)
        [error] = came
        self.assertIsInstance(
            error, exception.UnexpectedDeletingTaskStateError
        )
        self.assertEqual({"task_state": "deleting"}, error.kwargs["actual"])
        self.assertEqual([], self.slept)

    def test_lost_inside_a_snapshot(self) -> None:
        """In a caller's transaction that has read before, it is the same."""
        uuid = self.made()
        context = nova_context.get_admin_context()
        with (
            contextlib.suppress(exception.InstanceUpdateConflict),
            main_db.get_context_manager(context).writer.using(context),
        ):
            main_db.instance_get_by_uuid(context, uuid)
            self.execute(
                "UPDATE instances SET task_state = 'pausing' WHERE uuid = %s",
                uuid,
            )
            error = self.assertRaises(
                exception.UnexpectedTaskStateError,
                main_db.instance_update_and_get_original,
                context,
                uuid,
                {"task_state": "rebuilding"},
                expected={"task_state": [None]},
            )
        self.assertEqual({"task_state": "pausing"}, error.kwargs["actual"])
        self.assertEqual([], self.slept)

    def test_deadlock(self) -> None:
        """A real deadlock is retried, and nothing of it is left."""
        uuid = self.made()
        self.execute("BEGIN")
        # The server ends the transaction that has changed less.
        for number in range(50):
            self.execute(
                "INSERT INTO tags (resource_id, tag) VALUES (%s, %s)",
                uuid,
                f"t{number}",
            )
        self.execute(
            "UPDATE instance_metadata SET value = 'x' "
            "WHERE instance_uuid = %s",
            uuid,
        )
        thread, came = self.started(
            uuid,
            {"task_state": "rebuilding", "metadata": {"m1": "9"}},
            expected={"task_state": [None]},
        )
        self.execute(
            "SELECT id FROM instances WHERE uuid = %s FOR UPDATE", uuid
        )
        self.execute("COMMIT")
        thread.join(_WAIT_S)
        self.assertEqual(["passed"], came)
        rows = self.rows(uuid)
        self.assertEqual("rebuilding", rows["instances"][0]["task_state"])
        self.assertEqual(
            [("m1", "9")],
            [
                (row["key"], row["value"])
                for row in rows["instance_metadata"]
                if not row["deleted"]
            ],
        )

    def test_lost_connection(self) -> None:
        """A connection that was lost while nobody used it is no loss."""
        uuid = self.made()
        for (number,) in self.execute(
            "SELECT id FROM information_schema.processlist "
            "WHERE db = %s AND id <> CONNECTION_ID()",
            self.url.database,
        ):
            with contextlib.suppress(pymysql.err.OperationalError):
                self.execute(f"KILL {number}")
        old, new = main_db.instance_update_and_get_original(
            self.admin, uuid, {"task_state": "rebuilding"}
        )
        self.assertEqual(
            (None, "rebuilding"), (old.task_state, new.task_state)
        )


class Snapshots(Races):
    """The same where a row newer than the snapshot is an error (1020)."""

    def setUp(self) -> None:
        """Set it for every connection of Nova's."""
        super().setUp()
        engine = main_db.get_engine()
        sa.event.listen(engine, "checkout", self.isolate)
        self.addCleanup(sa.event.remove, engine, "checkout", self.isolate)

    def isolate(self, connection: Any, *_: Any) -> None:
        """Set it for a connection that is about to be used."""
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION innodb_snapshot_isolation = ON")
        self.addCleanup(self.free, connection)

    def free(self, connection: Any) -> None:
        """Take it back."""
        with (
            contextlib.suppress(pymysql.err.Error),
            connection.cursor() as cursor,
        ):
            cursor.execute("SET SESSION innodb_snapshot_isolation = OFF")

    def test_lost_inside_a_snapshot(self) -> None:
        """Inside a caller's transaction, all of that has to be begun anew."""
        uuid = self.made()
        context = nova_context.get_admin_context()
        with (
            contextlib.suppress(db_exc.DBError),
            main_db.get_context_manager(context).writer.using(context),
        ):
            main_db.instance_get_by_uuid(context, uuid)
            self.execute(
                "UPDATE instances SET task_state = 'pausing' WHERE uuid = %s",
                uuid,
            )
            try:
                main_db.instance_update_and_get_original(
                    context,
                    uuid,
                    {"task_state": "rebuilding"},
                    expected={"task_state": [None]},
                )
            except (
                db_exc.DBDeadlock,
                exception.UnexpectedTaskStateError,
            ) as error:
                said = type(error).__name__
        self.assertIn(
            said,
            {"DBDeadlock", "DBConsistencyError", "UnexpectedTaskStateError"},
        )
        row = self.rows(uuid)["instances"][0]
        self.assertEqual("pausing", row["task_state"])
