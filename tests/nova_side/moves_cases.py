# SPDX-License-Identifier: Apache-2.0
"""Races of a resize within a cell, of its confirm and of its revert."""

from typing import Any

from nova import exception
from nova.compute import resource_tracker
from nova.conductor.tasks import migrate

from tests.nova_side import base
from tests.nova_side import queued


class Resizing(queued.Queued):
    """A server on ``host1`` that is resized to ``host2``."""

    def setUp(self) -> None:
        """Boot the server."""
        super().setUp()
        self.uuid = self.boot()

    def resize(self) -> int:
        """Ask for the resize; give the HTTP status."""
        flavor = self.admin_api.get_flavors()[1]["id"]
        return self.ask(self.uuid, "resize", {"flavorRef": flavor})

    def resized(self) -> None:
        """Resize it."""
        self.assertEqual(queued.ACCEPTED, self.resize())
        self.casts.deliver()
        self.assertEqual(("resized", None), self.states(self.uuid))
        self.assertEqual("host2", self.row(self.uuid)["host"])

    def assert_deleted_from(self, host: str) -> None:
        """Assert that it ends deleted, and was found by its delete."""
        self.casts.deliver()
        self.assertEqual(host, self.row(self.uuid)["host"])
        self.assert_gone(self.uuid)


class Resize(Resizing):
    """Races of a resize."""

    def test_resize_and_confirm_without_a_race(self) -> None:
        """Resizes and confirms, and all that it writes is accepted."""
        self.resized()
        self.assertEqual(queued.ACCEPTED, self.ask(self.uuid, "confirmResize"))
        self.casts.deliver()
        self.assertEqual(("active", None), self.states(self.uuid))
        self.assertEqual([], self.casts.failed)
        self.assertEqual([], self.refused(self.uuid))
        self.delete(self.uuid)
        self.assert_gone(self.uuid)

    def test_resize_and_revert_without_a_race(self) -> None:
        """Resizes and reverts, and all that it writes is accepted."""
        self.resized()
        self.assertEqual(queued.ACCEPTED, self.ask(self.uuid, "revertResize"))
        self.casts.deliver()
        self.assertEqual(("active", None), self.states(self.uuid))
        self.assertEqual("host1", self.row(self.uuid)["host"])
        self.assertEqual([], self.casts.failed)
        self.assertEqual([], self.refused(self.uuid))

    def test_reschedule_without_a_race(self) -> None:
        """Tries another host, and gives up where there is none."""
        self.when(
            resource_tracker.ResourceTracker, "resize_claim", _no_resources
        )
        self.resize()
        self.casts.deliver()
        self.assertEqual(("error", None), self.states(self.uuid))

    def test_disk_copy_fails_without_a_race(self) -> None:
        """Becomes an error where the disk cannot be copied."""
        self.when(self.driver("host1"), "migrate_disk_and_power_off", _fails)
        self.resize()
        self.casts.deliver()
        self.assertEqual(("error", None), self.states(self.uuid))
        self.assertEqual([], self.refused(self.uuid))

    def test_finish_fails_without_a_race(self) -> None:
        """Becomes an error where the guest cannot be started."""
        self.when(self.driver("host2"), "finish_migration", _fails)
        self.resize()
        self.casts.deliver()
        self.assertEqual(("error", None), self.states(self.uuid))
        self.assertEqual([], self.refused(self.uuid))

    def test_deleted_before_resize_prep(self) -> None:
        """Tells the user of a conflict when a delete came before."""
        self.when_saving(self.delete, task_state="resize_prep")
        self.assertEqual(queued.CONFLICT, self.resize())
        self.assert_gone(self.uuid)

    def test_deleted_before_the_claim(self) -> None:
        """Keeps a delete that came before the destination claims."""
        self.when(
            resource_tracker.ResourceTracker,
            "resize_claim",
            self.deleting(self.uuid),
        )
        self.resize()
        self.assert_gone(self.uuid)

    def test_deleted_before_a_claim_that_fails(self) -> None:
        """Keeps a delete where another host is to try."""
        delete = self.deleting(self.uuid)

        def fail(*args: Any, **kwargs: Any) -> None:
            delete()
            _no_resources()

        self.when(resource_tracker.ResourceTracker, "resize_claim", fail)
        self.resize()
        self.assert_gone(self.uuid)

    def test_deleted_before_resize_migrating(self) -> None:
        """Keeps a delete that came before the source begins."""
        self.when_saving(self.delete, task_state="resize_migrating")
        copied = self.count(self.driver("host1"), "migrate_disk_and_power_off")
        self.resize()
        self.assert_gone(self.uuid)
        self.assertEqual([], copied)

    def test_deleted_during_the_copy(self) -> None:
        """Keeps a delete, and its host, that came while the disk is copied."""
        self.when(
            self.driver("host1"),
            "migrate_disk_and_power_off",
            self.deleting(self.uuid),
        )
        self.resize()
        self.assert_deleted_from("host1")

    def test_deleted_during_a_copy_that_fails(self) -> None:
        """Keeps a delete where the disk cannot be copied."""
        self._during_a_copy(ValueError("no space left"))

    def test_deleted_during_a_copy_that_is_refused(self) -> None:
        """Keeps a delete where the disk cannot be copied and stays."""
        self._during_a_copy(
            exception.InstanceFaultRollback(ValueError("no such thing"))
        )

    def _during_a_copy(self, error: Exception) -> None:
        delete = self.deleting(self.uuid)

        def fail(*args: Any, **kwargs: Any) -> None:
            delete()
            raise error

        self.when(self.driver("host1"), "migrate_disk_and_power_off", fail)
        self.resize()
        self.assert_deleted_from("host1")

    def test_deleted_before_resize_finish(self) -> None:
        """Keeps a delete that came before the destination begins."""
        self.when_saving(self.delete, task_state="resize_finish")
        started = self.count(self.driver("host2"), "finish_migration")
        self.resize()
        self.assert_gone(self.uuid)
        self.assertEqual([], started)

    def test_deleted_before_resized(self) -> None:
        """Keeps a delete that came while the guest was started."""
        self.when(
            self.driver("host2"),
            "finish_migration",
            self.deleting(self.uuid),
        )
        self.resize()
        self.assert_gone(self.uuid)

    def test_deleted_during_a_finish_that_fails(self) -> None:
        """Keeps a delete where the guest cannot be started."""
        delete = self.deleting(self.uuid)

        def fail(*args: Any, **kwargs: Any) -> None:
            delete()
            _fails()

        self.when(self.driver("host2"), "finish_migration", fail)
        self.resize()
        self.assert_gone(self.uuid)

    def test_deleted_when_no_host_is_found(self) -> None:
        """Keeps a delete where no host is found for the resize."""
        delete = self.deleting(self.uuid)

        def fail(*args: Any, **kwargs: Any) -> None:
            delete()
            raise exception.NoValidHost(reason="none is left")

        self.when(migrate.MigrationTask, "_execute", fail)
        self.resize()
        self.assert_gone(self.uuid)
        [(method, why)] = self.casts.failed
        self.assertEqual("migrate_server", method)
        self.assertIn("No valid host", why, "MASKED")

    def test_deleted_when_the_conductor_fails(self) -> None:
        """Keeps a delete where the conductor fails in another way."""
        delete = self.deleting(self.uuid)

        def fail(*args: Any, **kwargs: Any) -> None:
            delete()
            _fails()

        self.when(migrate.MigrationTask, "_execute", fail)
        self.resize()
        self.assert_gone(self.uuid)
        self.assertEqual(
            [("migrate_server", "it fails")],
            [
                (method, "it fails" if "it fails" in why else why)
                for method, why in self.casts.failed
            ],
        )


class Resized(Resizing):
    """Races of a server that waits for its confirm or its revert."""

    def setUp(self) -> None:
        """Resize the server."""
        super().setUp()
        self.resized()

    def test_delete_of_a_resized_server(self) -> None:
        """Deletes a resized server, which confirms it first."""
        self.assertEqual(queued.ACCEPTED, self.delete(self.uuid))
        self.casts.deliver()
        self.assertNotEqual(0, self.row(self.uuid)["deleted"])
        self.assertEqual([], self.refused(self.uuid))

    def test_revert_after_the_confirm_of_a_delete(self) -> None:
        """Refuses a revert that read the server before a delete confirmed."""
        self.when_saving(self.delete, task_state="resize_reverting")
        self.assertEqual(queued.CONFLICT, self.ask(self.uuid, "revertResize"))
        self.casts.deliver()
        self.assert_reached()
        self.assertNotEqual(0, self.row(self.uuid)["deleted"])

    def test_error_of_a_confirm_during_a_delete(self) -> None:
        """Keeps a delete where the confirm of a user fails."""

        def fail(*args: Any, **kwargs: Any) -> None:
            base.elsewhere(self.delete_accepted, self.uuid)
            _fails()

        self.when(self.driver("host1"), "confirm_migration", fail)
        self.ask(self.uuid, "confirmResize")
        self.casts.deliver()
        self.assert_reached()
        self.assertEqual("deleting", self.states(self.uuid)[1], "OVERWRITTEN")

    def test_revert_during_a_confirm(self) -> None:
        """Leaves a revert that was accepted meanwhile to itself."""
        self.when(
            self.driver("host1"),
            "confirm_migration",
            lambda *a, **k: self.other(
                self.uuid, task_state="resize_reverting"
            ),
        )
        self.ask(self.uuid, "confirmResize")
        self.casts.deliver()
        self.assert_reached()
        self.assertEqual(
            ("resized", "resize_reverting"), self.states(self.uuid)
        )

    def test_delete_before_the_revert_at_the_destination(self) -> None:
        """Keeps a delete that came while the destination is cleaned."""
        self.when(self.driver("host2"), "destroy", self._accepted)
        self._reverted_under_a_delete()

    def test_delete_before_the_revert_at_the_source(self) -> None:
        """Keeps a delete that came while the source starts the guest."""
        self.when(
            self.driver("host1"), "finish_revert_migration", self._accepted
        )
        self._reverted_under_a_delete()

    def test_delete_after_the_last_guard_of_a_revert(self) -> None:
        """Keeps a delete that came before the revert ends it all."""
        self.when_saving(
            self.delete_accepted, vm_state="active", task_state=None
        )
        self._reverted_under_a_delete()

    def test_error_of_a_revert_during_a_delete(self) -> None:
        """Keeps a delete where the guest cannot be started again."""

        def fail(*args: Any, **kwargs: Any) -> None:
            self._accepted()
            _fails()

        self.when(self.driver("host1"), "finish_revert_migration", fail)
        self._reverted_under_a_delete()

    def _accepted(self, *args: Any, **kwargs: Any) -> None:
        self.delete_accepted(self.uuid)

    def _reverted_under_a_delete(self) -> None:
        self.ask(self.uuid, "revertResize")
        self.casts.deliver()
        self.assert_not_overwritten(self.uuid)
        self.assertEqual("deleting", self.states(self.uuid)[1])


def _no_resources(*args: Any, **kwargs: Any) -> None:
    raise exception.ComputeResourcesUnavailable(reason="all is taken")


def _fails(*args: Any, **kwargs: Any) -> None:
    raise ValueError("it fails")
