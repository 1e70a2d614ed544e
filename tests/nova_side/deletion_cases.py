# SPDX-License-Identifier: Apache-2.0
"""Races of one delete with another, with a restore and with a host."""

from typing import Any

from nova import conf
from nova import context as nova_context
from nova import exception
from nova import objects
from nova.compute import resource_tracker
from nova.db.main import api as main_db
import sqlalchemy as sa

from tests.nova_side import queued


class Deleting(queued.Queued):
    """A server on ``host1``."""

    def setUp(self) -> None:
        """Boot the server."""
        super().setUp()
        self.uuid = self.boot()

    def soft_delete(self) -> int:
        """Ask for a soft delete, which is on its way then."""
        with self.reclaiming():
            return self.delete(self.uuid)

    def force_delete(self) -> int:
        """Ask for a hard delete."""
        return self.ask(self.uuid, "forceDelete")

    def reclaiming(self) -> Any:
        """Let deletes be soft for a time."""
        return _Flag(self, "reclaim_instance_interval", 3600)

    def softly_deleted(self) -> None:
        """Delete the server softly."""
        self.assertEqual(queued.ACCEPTED, self.soft_delete())
        self.casts.deliver()
        self.assertEqual(("soft-delete", None), self.states(self.uuid))

    def write(self, assignment: str) -> None:
        """Change the row by plain SQL.

        :param assignment: ``column = value``
        """
        with nova_context.target_cell(
            self.admin, self.cell_of(self.uuid)
        ) as cctxt:
            engine = main_db.get_engine(context=cctxt)
        with engine.begin() as connection:
            connection.execute(
                sa.text(
                    f"UPDATE instances SET {assignment} WHERE uuid = :uuid"
                ),
                {"uuid": self.uuid},
            )


class Hard(Deleting):
    """A delete, which is never refused because of a race."""

    def test_delete_without_a_race(self) -> None:
        """Deletes, and all that it writes is accepted."""
        self.assertEqual(queued.ACCEPTED, self.delete(self.uuid))
        self.assert_gone(self.uuid)
        self.assertEqual([], self.refused(self.uuid))

    def test_delete_that_fails(self) -> None:
        """Becomes an error where the guest cannot be destroyed."""
        self.when(self.driver("host1"), "destroy", _fails)
        self.delete(self.uuid)
        self.casts.deliver()
        self.assertEqual(("error", None), self.states(self.uuid))
        self.assertEqual([], self.refused(self.uuid))
        self.delete(self.uuid)
        self.casts.deliver()
        self.assertNotEqual(0, self.row(self.uuid)["deleted"])

    def test_delete_whose_ports_stay(self) -> None:
        """Becomes an error where the network cannot be taken down."""
        self.when(
            self.manager("host1").network_api,
            "deallocate_for_instance",
            _fails,
        )
        self.delete(self.uuid)
        self.casts.deliver()
        self.assertEqual(("error", None), self.states(self.uuid))
        self.assertEqual([], self.refused(self.uuid))

    def test_two_deletes(self) -> None:
        """Accepts a delete while another is on its way."""
        self.assertEqual(queued.ACCEPTED, self.delete(self.uuid))
        self.assertEqual(queued.ACCEPTED, self.delete(self.uuid))
        self.assert_gone(self.uuid)
        self.assertEqual([], self.refused(self.uuid))

    def test_delete_whose_save_comes_late(self) -> None:
        """Accepts a delete that another one was faster than."""
        self.when_saving(self.delete, task_state="deleting")
        self.assertEqual(queued.ACCEPTED, self.delete(self.uuid))
        self.assert_gone(self.uuid)

    def test_delete_over_any_task(self) -> None:
        """Accepts a delete whatever began since the server was read."""
        self.when_saving(
            lambda uuid: self.other(uuid, task_state="rebuilding"),
            task_state="deleting",
        )
        self.assertEqual(queued.ACCEPTED, self.delete(self.uuid))
        self.assert_gone(self.uuid)

    def test_delete_of_a_server_that_becomes_an_error(self) -> None:
        """Carries a delete out although the server has failed meanwhile."""
        self.delete(self.uuid)
        self.other(self.uuid, vm_state="error")
        self.assert_gone(self.uuid)

    def test_host_down(self) -> None:
        """Deletes a server in the API where its host is down."""
        self.kill("host1")
        self.assertEqual(queued.ACCEPTED, self.delete(self.uuid))
        self.assertNotEqual(0, self.row(self.uuid)["deleted"])
        self.assertEqual([], self.refused(self.uuid))

    def test_failed_destroy_is_begun_again(self) -> None:
        """Ends a delete of which only the row was left."""
        self.write("vm_state = 'deleted'")
        self.manager("host1")._complete_partial_deletion(
            self.admin, self.load(self.uuid)
        )
        self.assertNotEqual(0, self.row(self.uuid)["deleted"])


class Soft(Deleting):
    """Soft deletes."""

    def test_soft_delete_and_restore_without_a_race(self) -> None:
        """Deletes softly and restores; all that is written is accepted."""
        self.softly_deleted()
        self.assertEqual(queued.ACCEPTED, self.ask(self.uuid, "restore"))
        self.casts.deliver()
        self.assertEqual(("active", None), self.states(self.uuid))
        self.assertEqual([], self.refused(self.uuid))

    def test_hard_delete_of_a_softly_deleted_server(self) -> None:
        """Deletes what was deleted softly."""
        self.softly_deleted()
        self.assertEqual(queued.ACCEPTED, self.force_delete())
        self.assert_gone(self.uuid)
        self.assertEqual([], self.refused(self.uuid))

    def test_soft_delete_over_a_hard_one(self) -> None:
        """Does not weaken a hard delete."""
        self.assertEqual(queued.ACCEPTED, self.delete(self.uuid))
        self.assertEqual(queued.CONFLICT, self.soft_delete())
        self.assertEqual(("active", "deleting"), self.states(self.uuid))
        self.assert_gone(self.uuid)

    def test_soft_delete_that_a_hard_one_was_faster_than(self) -> None:
        """Does not weaken a hard delete that came between."""
        self.when_saving(self.delete_accepted, task_state="soft-deleting")
        self.assertEqual(queued.CONFLICT, self.soft_delete())
        self.assertEqual(("active", "deleting"), self.states(self.uuid))

    def test_delete_during_a_soft_delete(self) -> None:
        """Carries a delete out that came during a soft delete."""
        self.soft_delete()
        self.assertEqual(queued.ACCEPTED, self.force_delete())
        self.assertEqual(("active", "deleting"), self.states(self.uuid))
        self.assert_gone(self.uuid)

    def test_delete_of_a_stuck_soft_delete(self) -> None:
        """Carries a delete out where a soft delete was lost on its way."""
        self.soft_delete()
        self.casts.waiting.clear()
        self.assertEqual(queued.ACCEPTED, self.force_delete())
        self.assert_gone(self.uuid)

    def test_delete_over_a_soft_one_whose_host_is_down(self) -> None:
        """Deletes in the API where a soft delete waits for a dead host."""
        self.soft_delete()
        self.kill("host1")
        self.assertEqual(queued.ACCEPTED, self.delete(self.uuid))
        self.assertNotEqual(0, self.row(self.uuid)["deleted"])
        self.assertEqual([], self.refused(self.uuid))

    def test_delete_just_before_the_end_of_a_soft_delete(self) -> None:
        """Keeps a hard delete that read the server before a soft one."""
        mine = self.load(self.uuid)
        self.soft_delete()

        def delete(*args: Any, **kwargs: Any) -> None:
            mine.task_state = "deleting"
            mine.save()

        self.when(self.driver("host1"), "soft_delete", delete)
        self.casts.deliver()
        self.assert_not_overwritten(self.uuid)
        self.assertEqual(("active", "deleting"), self.states(self.uuid))

    def test_delete_just_before_the_claim_of_a_soft_delete(self) -> None:
        """Accepts a delete that a soft delete was faster than."""
        statuses: list[int] = []
        self.when_saving(
            lambda uuid: statuses.append(self.soft_delete()),
            task_state="deleting",
        )
        self.assertEqual(queued.ACCEPTED, self.delete(self.uuid))
        self.assertEqual([queued.ACCEPTED], statuses)
        self.assert_gone(self.uuid)

    def test_soft_delete_that_fails(self) -> None:
        """Goes back to what it was where the host cannot do it."""
        self.when(self.driver("host1"), "soft_delete", _fails)
        self.soft_delete()
        self.casts.deliver()
        self.assertEqual(("active", None), self.states(self.uuid))
        self.assertEqual([], self.refused(self.uuid))


class Restore(Deleting):
    """Restores of a server that was deleted softly."""

    def setUp(self) -> None:
        """Delete the server softly."""
        super().setUp()
        self.softly_deleted()

    def test_deleted_before_the_claim(self) -> None:
        """Refuses a restore that a delete was faster than."""
        self.when_saving(
            lambda uuid: self.force_delete(), task_state="restoring"
        )
        self.assertEqual(queued.CONFLICT, self.ask(self.uuid, "restore"))
        self.assert_gone(self.uuid)

    def test_deleted_while_restored(self) -> None:
        """Keeps a delete that came while the host restores."""
        self.ask(self.uuid, "restore")
        self.when(
            self.driver("host1"),
            "restore",
            lambda *a, **k: self.force_delete(),
        )
        self.casts.deliver(last="restore_instance")
        self.assert_not_overwritten(self.uuid)
        self.assertEqual("deleting", self.states(self.uuid)[1])
        self.assert_gone(self.uuid)

    def test_deleted_while_a_restore_fails(self) -> None:
        """Keeps a delete where the host cannot restore."""

        def fail(*args: Any, **kwargs: Any) -> None:
            self.force_delete()
            _fails()

        self.ask(self.uuid, "restore")
        self.when(self.driver("host1"), "restore", fail)
        self.casts.deliver(last="restore_instance")
        self.assert_not_overwritten(self.uuid)
        self.assert_gone(self.uuid)

    def test_restore_without_a_host(self) -> None:
        """Refuses a restore of a server without host over a delete."""
        self.other(self.uuid, host=None)
        self.when_saving(
            self.delete_accepted, vm_state="active", task_state=None
        )
        self.assertEqual(queued.CONFLICT, self.ask(self.uuid, "restore"))
        self.assertEqual("deleting", self.states(self.uuid)[1])


class Unscheduled(Deleting):
    """Servers that are on no host, or just about to be."""

    def test_offloaded_against_unshelve(self) -> None:
        """Does not unshelve what was deleted in the API meanwhile."""
        self._shelve()
        self.when_saving(self.delete, task_state="unshelving")
        # The row is gone, which Nova's API takes for a mistake of its own.
        self.assertNotEqual(queued.ACCEPTED, self.ask(self.uuid, "unshelve"))
        self.assert_gone(self.uuid)

    def test_unshelve_against_local_delete(self) -> None:
        """Builds no guest of a server that is deleted in the API."""
        self._shelve()
        self.assertEqual(queued.ACCEPTED, self.ask(self.uuid, "unshelve"))
        self.when(
            resource_tracker.ResourceTracker,
            "instance_claim",
            self.deleting(self.uuid),
        )
        self.assert_gone(self.uuid)

    def _shelve(self) -> None:
        self.flags(shelved_offload_time=0)
        self.ask(self.uuid, "shelve")
        self.casts.deliver()
        self.assertEqual(("shelved_offloaded", None), self.states(self.uuid))

    def test_host_claimed_before_destroy(self) -> None:
        """Does not destroy a row whose host was claimed meanwhile."""
        self.write("vm_state = 'building', host = NULL")
        mine = self.load(self.uuid)
        self.other(self.uuid, host="host1")
        self.assertRaises(exception.ObjectActionError, mine.destroy)
        self.assertEqual(0, self.row(self.uuid)["deleted"])

    def test_destroy_of_an_unscheduled_server(self) -> None:
        """Destroys the row of a server that is on no host."""
        self.write("vm_state = 'building', host = NULL")
        self.load(self.uuid).destroy()
        self.assertNotEqual(0, self.row(self.uuid)["deleted"])

    def test_destroy_of_what_was_restored(self) -> None:
        """Does not destroy a row that was restored meanwhile."""
        self.write("vm_state = 'soft-delete'")
        mine = self.load(self.uuid)
        self.write("vm_state = 'active'")
        self.assertRaises(exception.UnexpectedTaskStateError, mine.destroy)
        self.assertEqual(0, self.row(self.uuid)["deleted"])

    def test_destroy_of_what_is_being_restored(self) -> None:
        """Does not destroy a row that is being restored."""
        self.write("vm_state = 'soft-delete'")
        mine = self.load(self.uuid)
        self.write("vm_state = 'soft-delete', task_state = 'restoring'")
        self.assertRaises(exception.UnexpectedTaskStateError, mine.destroy)

    def test_destroy_of_another_cells_row(self) -> None:
        """Destroys by UUID without a look, as cross-cell moves do."""
        self.write("task_state = 'resize_migrated'")
        self.load(self.uuid).destroy(hard_delete=True)
        with nova_context.target_cell(
            self.admin, self.cell_mappings["cell1"]
        ) as cctxt:
            self.assertRaises(
                exception.InstanceNotFound,
                objects.Instance.get_by_uuid,
                cctxt.elevated(read_deleted="yes"),
                self.uuid,
            )


class _Flag:
    """An option that has a value for a time."""

    def __init__(self, case: Any, name: str, value: Any) -> None:
        self._case, self._name, self._value = case, name, value

    def __enter__(self) -> None:
        self._case.flags(**{self._name: self._value})

    def __exit__(self, *args: object) -> None:
        conf.CONF.clear_override(self._name)


def _fails(*args: Any, **kwargs: Any) -> None:
    raise ValueError("it fails")
