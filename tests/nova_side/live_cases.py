# SPDX-License-Identifier: Apache-2.0
"""Races of live migrations."""

import threading
from typing import Any

from nova import exception
from nova import objects
from nova.compute import manager as compute_manager
from nova.conductor.tasks import live_migrate

from tests.nova_side import queued

_MIGRATED_S = 60


class Migrating(queued.Queued):
    """A server on ``host1`` that is migrated to ``host2``."""

    def setUp(self) -> None:
        """Boot the server."""
        super().setUp()
        self.uuid = self.boot()
        self.done = threading.Event()
        theirs = compute_manager.ComputeManager._do_live_migration

        def migrate(*args: Any, **kwargs: Any) -> Any:
            # In a thread of the host's, which answers before.
            try:
                return theirs(*args, **kwargs)
            finally:
                self.done.set()

        self.replace(
            compute_manager.ComputeManager, "_do_live_migration", migrate
        )

    def migrate(self) -> int:
        """Ask for the migration, and let it go on; the HTTP status."""
        status = self.ask(
            self.uuid,
            "os-migrateLive",
            {"host": None, "block_migration": "auto"},
        )
        self.casts.deliver(last="live_migrate_instance")
        if "live_migration" in self.casts.methods():
            self.casts.deliver(last="live_migration")
        if "live_migration" in self.casts.delivered:
            self.assertTrue(self.done.wait(_MIGRATED_S), "still migrating")
        return status

    def migration(self) -> Any:
        """Give the one migration there was."""
        with base_cell(self) as context:
            [found] = objects.MigrationList.get_by_filters(
                context, {"instance_uuid": self.uuid}
            )
        return found

    def assert_kept(self, status: str, host: str = "host1") -> None:
        """Assert that a delete waits for its host."""
        self.assert_not_overwritten(self.uuid)
        row = self.row(self.uuid)
        self.assertEqual("deleting", row["task_state"])
        self.assertEqual(host, row["host"])
        self.assertEqual(status, self.migration().status)
        self.casts.deliver()
        self.assert_not_overwritten(self.uuid)
        self.assertNotEqual(0, self.row(self.uuid)["deleted"])

    def failing(self, error: Exception) -> Any:
        """Give a function that deletes the server and then fails."""
        delete = self.deleting(self.uuid)

        def fail(*args: Any, **kwargs: Any) -> None:
            delete()
            raise error

        return fail


def base_cell(case: Migrating) -> Any:
    """Give a context of the cell."""
    return queued.base.nova_context.target_cell(
        case.admin, case.cell_mappings["cell1"]
    )


class Live(Migrating):
    """Deletes at each point of a live migration."""

    def test_migration_without_a_race(self) -> None:
        """Migrates, and all that it writes is accepted."""
        self.migrate()
        self.assertEqual(("active", None), self.states(self.uuid))
        self.assertEqual("host2", self.row(self.uuid)["host"])
        self.assertEqual("completed", self.migration().status)
        self.assertEqual([], self.refused(self.uuid))

    def test_failure_without_a_race(self) -> None:
        """Becomes an error where the driver fails."""
        self.when(self.driver("host1"), "live_migration", _fails)
        self.migrate()
        self.assertEqual(("error", None), self.states(self.uuid))
        self.assertEqual([], self.refused(self.uuid))

    def test_source_fallback_without_a_race(self) -> None:
        """Names the destination where the source cannot clean up."""
        self.when(self.manager("host1"), "_post_live_migration", _fails)
        self.migrate()
        self.assertEqual("host2", self.row(self.uuid)["host"])
        self.assertEqual(("error", None), self.states(self.uuid))
        self.assertEqual([], self.refused(self.uuid))

    def test_rollback_without_a_race(self) -> None:
        """Stays where it is where the destination is not ready."""
        self.when(self.driver("host2"), "pre_live_migration", _fails)
        self.migrate()
        self.assertEqual(("active", None), self.states(self.uuid))
        self.assertEqual("host1", self.row(self.uuid)["host"])
        self.assertEqual([], self.refused(self.uuid))

    def test_no_host_without_a_race(self) -> None:
        """Stays as it is where no host is found."""
        self.when(
            live_migrate.LiveMigrationTask,
            "_execute",
            _raises(exception.NoValidHost(reason="none")),
        )
        self.migrate()
        self.assertEqual(("active", None), self.states(self.uuid))
        self.assertEqual([], self.refused(self.uuid))

    def test_deleted_before_the_claim(self) -> None:
        """Tells the user of a conflict when a delete came before."""
        self.when_saving(self.delete, task_state="migrating")
        self.assertEqual(queued.CONFLICT, self.migrate())
        self.assert_gone(self.uuid)

    def test_deleted_when_no_host_is_found(self) -> None:
        """Keeps a delete where no host is found, and says why."""
        self.when(
            live_migrate.LiveMigrationTask,
            "_execute",
            self.failing(exception.NoValidHost(reason="none is left")),
        )
        self.migrate()
        self.assertIn("none is left", str(self.casts.failed), "MASKED")
        self.assert_kept("error")

    def test_deleted_when_the_conductor_fails(self) -> None:
        """Keeps a delete where the conductor fails otherwise."""
        self.when(
            live_migrate.LiveMigrationTask,
            "_execute",
            self.failing(ValueError("it fails")),
        )
        self.migrate()
        self.assertIn("it fails", str(self.casts.failed), "MASKED")
        self.assert_kept("error")

    def test_deleted_before_the_destination_is_ready(self) -> None:
        """Keeps a delete where the destination does not get ready."""
        self.when(
            self.driver("host2"),
            "pre_live_migration",
            self.failing(ValueError("it fails")),
        )
        self.migrate()
        self.assert_not_overwritten(self.uuid)
        self.assertEqual("deleting", self.states(self.uuid)[1])

    def test_deleted_while_memory_is_copied(self) -> None:
        """Keeps a delete, and its host, that came during the copy."""
        self.when(
            self.driver("host1"),
            "live_migration",
            self.deleting(self.uuid),
        )
        self.migrate()
        self.assert_kept("error")

    def test_deleted_while_the_driver_fails(self) -> None:
        """Keeps a delete where the driver fails."""
        self.when(
            self.driver("host1"),
            "live_migration",
            self.failing(ValueError("it fails")),
        )
        self.migrate()
        self.assert_kept("error")

    def test_deleted_before_the_source_fallback(self) -> None:
        """Keeps a delete, and its host, where the source cannot clean up."""
        self.when(
            self.manager("host1"),
            "_post_live_migration",
            self.failing(ValueError("it fails")),
        )
        self.migrate()
        self.assert_kept("error")

    def test_deleted_before_a_rollback(self) -> None:
        """Keeps a delete that came before a rollback."""
        delete = self.deleting(self.uuid)

        def roll_back(
            context: Any,
            instance: Any,
            dest: Any,
            post: Any,
            recover: Any,
            block_migration: Any,
            migrate_data: Any,
        ) -> None:
            delete()
            recover(context, instance, dest, migrate_data)

        self.replace(self.driver("host1"), "live_migration", roll_back)
        self.migrate()
        self.assert_not_overwritten(self.uuid)
        self.assertEqual("deleting", self.states(self.uuid)[1])

    def test_progress_during_a_delete(self) -> None:
        """Lets progress be written, and nothing else, during a delete."""

        def progress(*args: Any, **kwargs: Any) -> None:
            instance = args[1]
            self.delete(self.uuid)
            instance.progress = 42
            instance.save()

        self.when(self.driver("host1"), "live_migration", progress)
        self.migrate()
        self.assert_not_overwritten(self.uuid)
        self.assertEqual(42, self.row(self.uuid)["progress"])

    def test_deleted_before_the_end_at_the_destination(self) -> None:
        """Keeps a delete that came while the destination takes over."""
        self.when(
            self.driver("host2"),
            "post_live_migration_at_destination",
            self.deleting(self.uuid),
        )
        self.migrate()
        self.assert_not_overwritten(self.uuid)
        self.assertEqual("deleting", self.states(self.uuid)[1])

    def test_deleted_before_a_failure_at_the_destination(self) -> None:
        """Keeps a delete where the destination fails to take over."""
        self.when(
            self.driver("host2"),
            "post_live_migration_at_destination",
            self.failing(ValueError("it fails")),
        )
        self.migrate()
        self.assert_not_overwritten(self.uuid)
        self.assertEqual("deleting", self.states(self.uuid)[1])


class Reset(Migrating):
    """An administrator resets the state while the guest moves."""

    def reset_during_the_copy(self) -> None:
        """Let the state be reset while the memory is copied."""
        statuses: list[int] = []
        self.when(
            self.driver("host1"),
            "live_migration",
            lambda *a, **k: statuses.append(
                self.ask(self.uuid, "os-resetState", {"state": "active"})
            ),
        )
        self.migrate()
        self.assert_reached()
        self.assertEqual([queued.ACCEPTED], statuses)

    def test_end_of_a_migration(self) -> None:
        """Names the host that the guest is on, whatever was reset."""
        self.reset_during_the_copy()
        self.assertEqual("host2", self.row(self.uuid)["host"], "STRANDED")
        self.assertIsNone(self.states(self.uuid)[1])

    def test_source_fallback(self) -> None:
        """Names it too where the source cannot clean up."""
        self.when(self.manager("host1"), "_post_live_migration", _fails)
        self.reset_during_the_copy()
        self.assertEqual("host2", self.row(self.uuid)["host"], "STRANDED")
        self.assertIsNone(self.states(self.uuid)[1])


def _raises(error: Exception) -> Any:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise error

    return fail


def _fails(*args: Any, **kwargs: Any) -> None:
    raise ValueError("it fails")
