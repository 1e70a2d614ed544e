# SPDX-License-Identifier: Apache-2.0
"""Error handlers of Nova whose writes of a state come too late."""

from typing import Any

from nova import exception
from nova import objects
from nova.compute import manager as compute_manager
from nova.compute import resource_tracker
from nova.conductor import manager as conductor_manager
from nova.scheduler import utils
from nova.tests import fixtures as nova_fixtures
from nova.tests.unit import fake_flavor

from tests.nova_side import base

_ERROR: dict[str, Any] = {"vm_state": "error", "task_state": None}


@compute_manager.reverts_task_state
def _overtaken(manager: Any, context: Any, instance: Any, do: Any) -> None:
    """Fail, after somebody else has done something."""
    do(instance.uuid)
    raise exception.ImageNotFound(image_id="i")


def _raise(error: Exception) -> None:
    raise error


class Notified(base.Objects):
    """``set_vm_state_and_notify``, which writes with an object of its own."""

    def setUp(self) -> None:
        """Hear the notifications."""
        super().setUp()
        self.heard = self.useFixture(nova_fixtures.NotificationFixture(self))

    def fail(self, instance: Any, **updates: Any) -> None:
        """Do what nova-conductor does when something failed."""
        try:
            _raise(exception.NoValidHost(reason="none"))
        except exception.NoValidHost as error:
            utils.set_vm_state_and_notify(
                instance._context,
                instance.uuid,
                "compute_task",
                "build_instances",
                updates,
                error,
                {"instance_properties": {"uuid": instance.uuid}},
            )

    def assert_told(self, instance: Any) -> None:
        """Assert that the fault is kept and the notification sent."""
        fault = objects.InstanceFault.get_latest_for_instance(
            instance._context, instance.uuid
        )
        self.assertIn("No valid host", fault.message)
        self.assertIn(
            "compute_task.build_instances",
            [one.event_type for one in self.heard.notifications],
        )

    def test_over_a_delete(self) -> None:
        """Leaves a delete alone, and tells of the failure all the same."""
        instance = self.server("building", "scheduling", host=None)
        self.delete_accepted(instance.uuid)
        self.fail(instance, **_ERROR)
        self.assertEqual(("building", "deleting"), self.states(instance.uuid))
        self.assert_told(instance)

    def test_without_a_race(self) -> None:
        """Sets what failed to error."""
        instance = self.server("building", "scheduling", host=None)
        self.fail(instance, **_ERROR)
        self.assertEqual(("error", None), self.states(instance.uuid))
        self.assert_told(instance)

    def test_expectation_among_the_values(self) -> None:
        """Holds the writer to what he put among the values."""
        for expected in ("migrating", ["migrating"], ("migrating", "x")):
            instance = self.server("active", None)
            self.fail(instance, expected_task_state=expected, **_ERROR)
            self.assertEqual(("active", None), self.states(instance.uuid))
            self.assert_told(instance)

    def test_expectation_that_holds(self) -> None:
        """Writes where what is expected is there."""
        instance = self.server("active", "migrating")
        self.fail(instance, expected_task_state="migrating", **_ERROR)
        self.assertEqual(("error", None), self.states(instance.uuid))

    def test_failed_live_migration(self) -> None:
        """Ends a live migration that failed when the server was deleted."""
        instance = self.server("active", "migrating")
        instance.flavor = objects.Flavor(id=1)
        instance.obj_reset_changes(["flavor"])

        def fail(*args: Any, **kwargs: Any) -> None:
            self.delete_accepted(instance.uuid)
            raise exception.MigrationPreCheckError(reason="no")

        made: list[Any] = []
        self.when(
            objects.Migration,
            "create",
            made.append,
        )
        task = conductor_manager.live_migrate.LiveMigrationTask
        self.replace(task, "execute", fail)
        conductor = conductor_manager.ComputeTaskManager()
        self.assertRaises(
            exception.MigrationPreCheckError,
            conductor._live_migrate,
            instance._context,
            instance,
            {"host": "other"},
            False,
            False,
            None,
        )
        self.assertEqual("error", made[0].status)
        self.assertEqual(("active", "deleting"), self.states(instance.uuid))
        self.assert_not_overwritten(instance.uuid)


class Handling(base.Objects):
    """Handlers in nova-compute."""

    def setUp(self) -> None:
        """Have a manager whose driver does nothing."""
        super().setUp()
        self.flags(compute_driver="fake.FakeDriver", host="compute")
        self.manager = compute_manager.ComputeManager()

    def test_error_outside_of_a_handler(self) -> None:
        """Goes on where a server cannot be set to error any more."""
        instance = self.server("active", "rebuilding")
        self.delete_accepted(instance.uuid)
        self.manager._set_instance_obj_error_state(
            instance, clean_task_state=True
        )
        self.assertEqual(("active", "deleting"), self.states(instance.uuid))
        self.assertEqual("active", instance.vm_state)
        self.assertEqual(set(), instance.obj_what_changed())

    def test_what_failed_is_raised(self) -> None:
        """Raises what went wrong, not that it was overtaken."""
        instance = self.server("active", "rebuilding")

        def fail() -> None:
            with self.manager._error_out_instance_on_exception(
                instance._context, instance
            ):
                self.delete_accepted(instance.uuid)
                raise exception.ImageNotFound(image_id="i")

        self.assertRaises(exception.ImageNotFound, fail)
        self.assertEqual(("active", "deleting"), self.states(instance.uuid))

    def test_rolled_back_over_a_delete(self) -> None:
        """Raises what a roll-back is about, and rolls nothing back."""
        instance = self.server("active", "resize_prep")

        def fail() -> None:
            with self.manager._error_out_instance_on_exception(
                instance._context, instance
            ):
                self.delete_accepted(instance.uuid)
                raise exception.InstanceFaultRollback(
                    inner_exception=exception.ImageNotFound(image_id="i")
                )

        self.assertRaises(exception.ImageNotFound, fail)
        self.assertEqual(("active", "deleting"), self.states(instance.uuid))

    def test_task_reverted_over_a_delete(self) -> None:
        """Raises what went wrong where the task cannot be reverted."""
        instance = self.server("active", "rebuilding")

        self.assertRaises(
            exception.ImageNotFound,
            _overtaken,
            self.manager,
            instance._context,
            instance,
            self.delete_accepted,
        )
        self.assertEqual(("active", "deleting"), self.states(instance.uuid))

    def test_confirmed_over_a_task(self) -> None:
        """Keeps the last flush of a confirmed resize free of states."""
        flavor = fake_flavor.fake_flavor_obj(
            self.admin, expected_attrs=["extra_specs"]
        )
        made = self.server("resized", None, flavor=flavor)
        instance = self.load(
            made.uuid, expected_attrs=["system_metadata", "flavor"]
        )
        self.other(instance.uuid, task_state="resize_reverting")
        instance.vm_state = "active"
        instance.task_state = None
        self.assertRaises(
            exception.UnexpectedTaskStateError,
            instance.save,
            expected_task_state=[None, "deleting", "soft-deleting"],
        )
        self.manager._delete_stashed_flavor_info(instance)
        self.assertEqual(
            ("resized", "resize_reverting"), self.states(instance.uuid)
        )


class Claims(base.Objects):
    """The end of a claim."""

    def setUp(self) -> None:
        """Have a tracker."""
        super().setUp()
        self.tracker = resource_tracker.ResourceTracker("compute", None)

    def test_under_a_delete(self) -> None:
        """Leaves a server on its host where it is being deleted."""
        instance = self.server("building", "spawning", node="n", compute_id=1)
        self.delete_accepted(instance.uuid)
        self.tracker._unset_instance_host_and_node(instance)
        row = self.row(instance.uuid)
        self.assertEqual(("compute", "n"), (row["host"], row["node"]))
        self.assertEqual(set(), instance.obj_what_changed())
        self.assertEqual("compute", instance.host)

    def test_refused_state_is_not_written(self) -> None:
        """Takes a server from its host without the state it was refused."""
        instance = self.server("building", "block_device_mapping")
        self.other(instance.uuid, vm_state="error", task_state=None)
        instance.task_state = "spawning"
        self.assertRaises(
            exception.UnexpectedTaskStateError,
            instance.save,
            expected_task_state="block_device_mapping",
        )
        self.tracker._unset_instance_host_and_node(instance)
        self.assertEqual(("error", None), self.states(instance.uuid))
        self.assertIsNone(self.row(instance.uuid)["host"])

    def test_without_a_race(self) -> None:
        """Takes a server from its host."""
        instance = self.server("building", "spawning")
        self.tracker._unset_instance_host_and_node(instance)
        self.assertIsNone(self.row(instance.uuid)["host"])


class Builds(base.Services):
    """Builds that fail while the server is deleted."""

    def fail_to_spawn(self, error: Exception) -> list[Any]:
        """Let the driver fail, once a delete has been accepted."""

        def spawn(context: Any, instance: Any, *a: Any, **k: Any) -> None:
            self.delete(instance.uuid)
            raise error

        return self.when(self.driver, "spawn", spawn)

    def boot(self) -> str:
        """Ask for a server."""
        request = self._build_server(networks="none")
        return str(self.api.post_server({"server": request})["id"])

    def test_no_other_try(self) -> None:
        """Does not schedule anew what is being deleted."""
        self.fail_to_spawn(RuntimeError("broken"))
        again = self.count(
            compute_manager.conductor.ComputeTaskAPI, "build_instances"
        )
        self.assert_gone(self.boot())
        self.assertEqual([], again)

    def test_aborted(self) -> None:
        """Aborts a build of what is being deleted, which ends deleted."""
        self.fail_to_spawn(
            exception.BuildAbortException(instance_uuid="", reason="no")
        )
        self.assert_gone(self.boot())
