# SPDX-License-Identifier: Apache-2.0
"""What a save writes into other tables when the save of the row fails.

These are tests of the plugin, which has to be active.
"""

from collections.abc import Callable
import json
import time
from typing import Any
from unittest import mock

from nova import objects
from nova.db.main import api as main_db
from nova.network import model as network_model
from nova.tests.unit import fake_flavor
from oslo_db import exception as db_exc
import sqlalchemy as sa

from tests.nova_side import contract
from tests.nova_side import instances

PORT = "b3c4fc4c-2f5e-4b53-9d9d-4d3b6f7f5a11"


class Failing(instances.Case):
    """Statements that a server answers with an error."""

    def setUp(self) -> None:
        """Note how long retries would sleep, and do not wait for it."""
        super().setUp()
        self.slept: list[float] = []
        real = time.sleep

        def sleep(seconds: float) -> None:
            if seconds:
                self.slept.append(seconds)
            else:
                real(0)

        patch = mock.patch("time.sleep", sleep)
        patch.start()
        self.addCleanup(patch.stop)

    def fail(self, table: str, error: Exception, times: int = 1) -> list[str]:
        """Let updates of a table fail before they come to the server.

        :returns: the statements, filled while the test runs
        """
        came: list[str] = []
        engine = main_db.get_engine()

        def before(
            connection: Any, cursor: Any, statement: str, *_: Any
        ) -> None:
            if len(came) < times and statement.startswith(f"UPDATE {table} "):
                came.append(statement)
                raise error

        event = (engine, "before_cursor_execute", before)
        sa.event.listen(*event)
        self.addCleanup(sa.event.remove, *event)
        return came

    def resizing(self) -> Any:
        """Give an object with a state and a flavor to be saved."""
        server = self.read(self.made("active", None), "flavor")
        server.old_flavor = fake_flavor.fake_flavor_obj(self.admin)
        model = objects.VirtCPUModel(model="model")
        # Nova leaves it at what changed in the model itself.
        model.obj_reset_changes()
        server.vcpu_model = model
        server.task_state = "resize_prep"
        return server

    def has_extra(self, server: Any) -> tuple[bool, bool]:
        """Say whether the old flavor and the model of the CPU are kept."""
        kept = self.kept_elsewhere(server)
        return (
            json.loads(kept["flavor"])["old"] is not None,
            kept["vcpu_model"] is not None,
        )


class Extra(Failing):
    """What is kept in ``instance_extra``."""

    def test_refused_in_observe(self) -> None:
        """What Nova refuses in the mode observe is written, as in Nova."""
        self.flags(mode="observe", group="nova_db_states")
        server = self.resizing()
        self.assert_refused(server, expected_task_state=["resize_migrating"])
        self.assertEqual((True, True), self.has_extra(server))
        self.assertEqual(("active", None), self.row(server))

    def test_row_fails(self) -> None:
        """Where the row cannot be written, the next save writes all of it."""
        server = self.resizing()
        came = self.fail("instances", db_exc.DBError("broken"))
        self.assertRaises(db_exc.DBError, server.save)
        self.assertEqual(1, len(came))
        self.assertEqual((False, False), self.has_extra(server))
        server.save()
        self.assertEqual((True, True), self.has_extra(server))
        self.assertEqual(("active", "resize_prep"), self.row(server))
        self.assertEqual(set(), server.obj_what_changed())

    def test_extra_fails(self) -> None:
        """Where that cannot be written, nothing of the save is there."""
        server = self.resizing()
        came = self.fail("instance_extra", db_exc.DBError("broken"))
        self.assertRaises(db_exc.DBError, server.save)
        self.assertEqual(1, len(came))
        self.assertEqual(("active", None), self.row(server))
        self.assertEqual((False, False), self.has_extra(server))

    def test_again_after_extra_failed(self) -> None:
        """Who tries again with his expectation then writes all of it."""
        server = self.resizing()
        self.fail("instance_extra", db_exc.DBError("broken"))
        self.assertRaises(
            db_exc.DBError, server.save, expected_task_state=[None]
        )
        server.save(expected_task_state=[None])
        self.assertEqual(("active", "resize_prep"), self.row(server))
        self.assertEqual((True, True), self.has_extra(server))
        self.assertEqual(set(), server.obj_what_changed())

    def test_deadlock(self) -> None:
        """A deadlock there is tried again with the row, and then accepted."""
        server = self.resizing()
        came = self.fail("instance_extra", db_exc.DBDeadlock())
        server.save(expected_task_state=[None])
        self.assertEqual(1, len(came))
        self.assertEqual(("active", "resize_prep"), self.row(server))
        self.assertEqual((True, True), self.has_extra(server))
        self.assertEqual(1, len(self.slept))

    def test_deadlock_that_stays(self) -> None:
        """One that comes each time leaves nothing of the save behind."""
        server = self.resizing()
        came = self.fail("instance_extra", db_exc.DBDeadlock(), times=99)
        self.assertRaises(db_exc.DBDeadlock, server.save)
        self.assertEqual(6, len(came))
        self.assertEqual(("active", None), self.row(server))
        self.assertEqual((False, False), self.has_extra(server))

    def test_deadlock_without_a_state(self) -> None:
        """Without a column to write it is as in Nova, which gives up."""
        server = self.read(self.made("active", None), "flavor")
        server.vcpu_model = objects.VirtCPUModel(model="model")
        self.fail("instance_extra", db_exc.DBDeadlock())
        self.assertRaises(db_exc.DBDeadlock, server.save)
        server.save()
        self.assertEqual((False, True), self.has_extra(server))


class Cache(contract.Case):
    """Network information, and servers that have no row for it."""

    def saved(self, prepare: Callable[[Any], Any]) -> Callable[..., Any]:
        """Give a call that saves a state with network information."""

        def call(context: Any, uuid: str) -> Any:
            server = objects.Instance.get_by_uuid(
                context, uuid, expected_attrs=["info_cache"]
            )
            prepare(server)
            server.info_cache.network_info = network_model.NetworkInfo(
                [network_model.VIF(id=PORT)]
            )
            server.task_state = "rebuilding"
            server.save()
            return [
                server.task_state,
                sorted(server.obj_what_changed()),
                [vif["id"] for vif in server.info_cache.network_info],
            ]

        return call

    def assert_saved(self, call: Callable[..., Any], **values: Any) -> None:
        """Assert that all is written, just as in Nova."""
        self.assert_alike(self.differs(call, **values))
        uuid = self.made(**values)
        said = call(self.admin, uuid)
        self.assertEqual(["rebuilding", [], [PORT]], said)
        rows = self.rows(uuid)
        self.assertEqual("rebuilding", rows["instances"][0]["task_state"])
        [cache] = rows["instance_info_caches"]
        self.assertIn(PORT, cache["network_info"])

    def test_row(self) -> None:
        """Where there is a row, it is written."""
        self.assert_saved(self.saved(lambda server: None))

    def test_no_row(self) -> None:
        """A server that never had a row for it gets one."""

        def prepare(server: Any) -> None:
            server.info_cache = objects.InstanceInfoCache.new(
                server._context, server.uuid
            )

        self.assert_saved(self.saved(prepare), cache=False)

    def test_row_gone(self) -> None:
        """So does one whose row went after it was read."""

        def prepare(server: Any) -> None:
            with main_db.get_context_manager(self.admin).writer.using(
                self.admin
            ) as session:
                session.execute(
                    sa.text(
                        "DELETE FROM instance_info_caches "
                        "WHERE instance_uuid = :uuid"
                    ),
                    {"uuid": server.uuid},
                )

        self.assert_saved(self.saved(prepare))


class Host(instances.Case):
    """A host that was to be written with a state that was refused."""

    def refused(self) -> Any:
        """Give an object whose state and host were refused."""
        made = self.made("active", "resize_migrating")
        server = self.read(made)
        self.other(made, task_state=None)
        server.host = server.node = "host2"
        server.compute_id = 2
        server.task_state = "resize_migrated"
        self.assert_refused(server, expected_task_state="resize_migrating")
        return server

    def where(self, server: Any) -> tuple[str, str, int]:
        """Read where a server is."""
        found = self.read(server)
        return found.host, found.node, found.compute_id

    def test_object(self) -> None:
        """It is taken back in the object, and clean."""
        server = self.refused()
        self.assertEqual(
            ("host1", "node1", 1),
            (server.host, server.node, server.compute_id),
        )
        self.assertEqual(set(), server.obj_what_changed())

    def test_later_save(self) -> None:
        """A later save without a state does not write it."""
        server = self.refused()
        server.progress = 5
        server.save()
        self.assertEqual(("host1", "node1", 1), self.where(server))
        self.assertEqual(5, self.read(server).progress)

    def test_without_a_state(self) -> None:
        """A host that is written by itself is written."""
        server = self.refused()
        server.host = server.node = "host3"
        server.compute_id = 3
        server.save()
        self.assertEqual(("host3", "host3", 3), self.where(server))

    def moved(self, *, there: str) -> Any:
        """Give an object that was sent with another host and no task.

        The row has meanwhile got a host of somebody else's.
        """
        server = self.read(self.made("active", "migrating"))
        server.host = server.node = "host2"
        server.compute_id = 2
        server.task_state = None
        sent = self.sent(server)
        self.other(server, host=there)
        return sent

    def test_taken_by_another(self) -> None:
        """It is not written with a state over the host of somebody else."""
        server = self.moved(there="host3")
        refusal = self.assert_refused(server)
        self.assertEqual({"host": "host3"}, refusal.kwargs["actual"])
        self.assertEqual("host3", self.read(server).host)

    def test_there_already(self) -> None:
        """It is written where it is already what it is to be."""
        server = self.moved(there="host2")
        server.save()
        found = self.read(server)
        self.assertEqual(("host2", None), (found.host, found.task_state))
