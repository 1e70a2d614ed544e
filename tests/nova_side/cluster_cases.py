# SPDX-License-Identifier: Apache-2.0
"""Nova on one node of a Galera cluster, and somebody who writes to another.

These need the plugin, and a URL that leads to a node of a cluster. Each case
holds the node back, so that Nova is sure to find an old row, and lets it go on
a moment later.
"""

import contextlib
import threading
import time
from typing import Any

from nova import exception
from nova import objects
from nova.db.main import api as main_db
import pymysql

from tests.nova_side import server_cases

_HELD_S = 0.5
_LOOK_S = 0.02
_MOST_LOOKS = 500


class Behind(server_cases.Server):
    """A node that has not applied what another one committed."""

    def setUp(self) -> None:
        """Find another node, and make what the appliers can wait for."""
        super().setUp()
        [(_, addresses)] = self.execute(
            "SHOW STATUS LIKE 'wsrep_incoming_addresses'"
        )
        ports = {int(each.rpartition(":")[2]) for each in addresses.split(",")}
        self.assertEqual(3, len(ports))
        self.other = pymysql.connect(
            host=self.url.host or "",
            port=(ports - {self.url.port}).pop(),
            user=self.url.username,
            password=self.url.password or "",
            database=self.url.database,
            autocommit=True,
        )
        self.addCleanup(self.other.close)
        self.execute(
            "CREATE TABLE gate (id INTEGER PRIMARY KEY, passed INTEGER)"
        )
        self.addCleanup(self.execute, "DROP TABLE gate")
        self.execute("INSERT INTO gate VALUES (1, 0)")

    def write(self, statement: str, *values: Any) -> None:
        """Write to the other node, which has what this one wrote before."""
        with self.other.cursor() as cursor:
            cursor.execute("SET SESSION wsrep_sync_wait = 7")
            cursor.execute(statement, values or None)

    @contextlib.contextmanager
    def held_back(self) -> Any:
        """Let this node apply nothing, until a moment after the block began.

        A write for a table that is locked waits, and all others behind it.
        """
        locker = self.connect().cursor()
        locker.execute("LOCK TABLES gate READ")
        self.write("UPDATE gate SET passed = passed + 1")
        self._wait_for_the_applier()
        gone_on = threading.Timer(_HELD_S, locker.execute, ["UNLOCK TABLES"])
        gone_on.start()
        try:
            yield
        finally:
            gone_on.join()

    def _wait_for_the_applier(self) -> None:
        for _ in range(_MOST_LOOKS):
            found = self.execute(
                "SELECT COUNT(*) FROM information_schema.processlist "
                "WHERE user = 'system user' AND state LIKE '%%metadata lock%%'"
            )
            if found[0][0]:
                return
            threading.Event().wait(_LOOK_S)
        self.fail("the applier does not wait")

    def states(self, uuid: str) -> tuple[Any, ...]:
        """Give the states that this node has."""
        [row] = self.execute(
            "SELECT vm_state, task_state FROM instances WHERE uuid = %s", uuid
        )
        return tuple(row)

    def set_task(self, uuid: str, task_state: str | None) -> None:
        """Write a task state to the other node; this one keeps its own."""
        before = self.states(uuid)
        self.write(
            "UPDATE instances SET task_state = %s WHERE uuid = %s",
            task_state,
            uuid,
        )
        self.assertEqual(before, self.states(uuid), "it was not held back")
        self.assertNotEqual(before[1], task_state)

    def loaded(self, uuid: str) -> Any:
        """Read an instance into an object."""
        return objects.Instance.get_by_uuid(self.admin, uuid)

    def test_an_update_of_the_db_api(self) -> None:
        """What was committed elsewhere is what the guard is judged by."""
        uuid = self.made()
        for function in (
            main_db.instance_update,
            main_db.instance_update_and_get_original,
        ):
            with self.held_back():
                self.set_task(uuid, "rebuilding")
                function(
                    self.admin,
                    uuid,
                    {"task_state": None},
                    expected={"task_state": ["rebuilding"]},
                )
            self.assertEqual(("active", None), self.states(uuid))

    def test_a_save(self) -> None:
        """So it is in a save of an object."""
        server = self.loaded(self.made())
        with self.held_back():
            self.set_task(server.uuid, "rebuilding")
            server.task_state = "rebuild_spawning"
            server.save(expected_task_state=["rebuilding"])
        self.assertEqual(
            ("active", "rebuild_spawning"), self.states(server.uuid)
        )

    def test_a_save_of_nothing(self) -> None:
        """A save that only asks gets the right answer."""
        server = self.loaded(self.made())
        with self.held_back():
            self.set_task(server.uuid, "rebuilding")
            server.save(expected_task_state=["rebuilding"])

    def test_a_destroy(self) -> None:
        """A destroy is judged by what the cluster has."""
        uuid = self.made(vm_state="soft-delete", task_state=None)
        server = self.loaded(uuid)
        self.execute(
            "UPDATE instances SET task_state = 'restoring' WHERE uuid = %s",
            uuid,
        )
        with self.held_back():
            self.set_task(uuid, None)
            server.destroy()
        [(deleted,)] = self.execute(
            "SELECT deleted FROM instances WHERE uuid = %s", uuid
        )
        self.assertNotEqual(0, deleted)

    def test_a_conflict_is_still_one(self) -> None:
        """What the cluster has decides against a writer too, and soon."""
        server = self.loaded(self.made())
        with self.held_back():
            self.set_task(server.uuid, "deleting")
            server.task_state = "rebuilding"
            began = time.monotonic()
            # The node has not the delete, and no lock tells of it: that the
            # write passes here is found out when it is certified.
            error = self.assertRaises(
                exception.UnexpectedDeletingTaskStateError,
                server.save,
                expected_task_state=[None],
            )
        self.assertIn("deleting", str(error))
        self.assertLess(time.monotonic() - began, 10 * _HELD_S)
        self.assertEqual(("active", "deleting"), self.states(server.uuid))

    def test_a_conflict_with_what_is_there(self) -> None:
        """A refusal on a node that has everything is one."""
        server = self.loaded(self.made())
        self.write(
            "UPDATE instances SET task_state = 'deleting' WHERE uuid = %s",
            server.uuid,
        )
        server.task_state = "rebuilding"
        self.assertRaises(
            exception.UnexpectedDeletingTaskStateError,
            server.save,
            expected_task_state=[None],
        )
