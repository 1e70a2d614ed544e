# SPDX-License-Identifier: Apache-2.0
"""Periodic tasks of nova-compute that meet an action of the API."""

from typing import Any

from nova import objects
from nova.compute import power_state

from tests.nova_side import deletion_cases
from tests.nova_side import queued


class Periodic(deletion_cases.Deleting):
    """Periodic tasks of ``host1``."""

    def run_periodic(self, name: str) -> None:
        """Run one."""
        getattr(self.manager("host1"), name)(self.admin)

    def listed(self, do: Any) -> None:
        """Do something after a periodic task has made its list."""
        self.when(
            objects.InstanceList,
            "get_by_filters",
            lambda *args, **kwargs: do(),
            after=True,
        )


class BuildTimeout(Periodic):
    """Builds that take too long."""

    def setUp(self) -> None:
        """Let the server be building for a second, and that be too long."""
        super().setUp()
        self.flags(instance_build_timeout=1)
        self.write(
            "vm_state = 'building', task_state = 'spawning',"
            " created_at = '2020-01-01 00:00:00'"
        )

    def test_without_a_race(self) -> None:
        """Sets a build that takes too long to error."""
        self.run_periodic("_check_instance_build_time")
        self.assertEqual("error", self.states(self.uuid)[0])
        self.assertEqual([], self.refused(self.uuid))

    def test_deleted_meanwhile(self) -> None:
        """Leaves a build alone that was deleted after it was listed."""
        self.listed(lambda: self.delete_accepted(self.uuid))
        self.run_periodic("_check_instance_build_time")
        self.assert_reached()
        self.assertEqual(("building", "deleting"), self.states(self.uuid))

    def test_deleted_before(self) -> None:
        """Leaves the state of a build alone that is being deleted."""
        self.delete_accepted(self.uuid)
        self.run_periodic("_check_instance_build_time")
        self.assertEqual("deleting", self.states(self.uuid)[1])

    def test_done_meanwhile(self) -> None:
        """Leaves a build alone that was done after it was listed."""
        self.listed(
            lambda: self.other(self.uuid, vm_state="active", task_state=None)
        )
        self.run_periodic("_check_instance_build_time")
        self.assertEqual(("active", None), self.states(self.uuid))


class Reclaim(Periodic):
    """Servers that were deleted softly long ago."""

    def setUp(self) -> None:
        """Delete the server softly."""
        super().setUp()
        self.softly_deleted()
        self.flags(reclaim_instance_interval=1)
        self.write("deleted_at = '2020-01-01 00:00:00'")

    def test_without_a_race(self) -> None:
        """Deletes what was deleted softly long ago."""
        self.run_periodic("_reclaim_queued_deletes")
        self.assert_gone(self.uuid)
        self.assertEqual([], self.refused(self.uuid))

    def test_restored_meanwhile(self) -> None:
        """Keeps the guest of a server that is restored after it was listed."""
        self.listed(lambda: self.ask(self.uuid, "restore"))
        self.run_periodic("_reclaim_queued_deletes")
        self.assert_reached()
        self.casts.deliver()
        self.assertEqual(("active", None), self.states(self.uuid))
        self.assertIn(
            self.uuid,
            self.driver("host1").list_instance_uuids(),
            "GUEST LOST",
        )

    def test_restored_while_the_guest_goes(self) -> None:
        """Refuses a restore of what is being reclaimed."""
        statuses: list[int] = []
        self.when(
            self.driver("host1"),
            "destroy",
            lambda *a, **k: statuses.append(self.ask(self.uuid, "restore")),
        )
        self.run_periodic("_reclaim_queued_deletes")
        self.casts.deliver()
        self.assertEqual([queued.CONFLICT], statuses)
        self.assertNotEqual(0, self.row(self.uuid)["deleted"])

    def test_deleted_hard_meanwhile(self) -> None:
        """Lets a hard delete and a reclaim end in one deletion."""
        self.listed(self.force_delete)
        self.run_periodic("_reclaim_queued_deletes")
        self.casts.deliver()
        self.assertNotEqual(0, self.row(self.uuid)["deleted"])


class PowerSync(Periodic):
    """Guests that are not in the state that their row names."""

    def sync(self, found: int) -> None:
        """Synchronise with what the hypervisor is said to have found."""
        manager = self.manager("host1")
        instance = self.load(self.uuid)
        manager.driver.power_off(instance)
        manager._sync_instance_power_state(self.admin, instance, found)

    def test_stop_without_a_race(self) -> None:
        """Stops a server whose guest has shut itself down."""
        self.sync(power_state.SHUTDOWN)
        self.casts.deliver()
        self.assertEqual(("stopped", None), self.states(self.uuid))

    def test_stop_of_a_deleted_server(self) -> None:
        """Leaves a server alone that was deleted before it is stopped."""
        self._before_the_stop(self.delete)
        self.assert_gone(self.uuid)

    def test_stop_of_a_server_being_rebuilt(self) -> None:
        """Leaves a server alone on which something was begun."""
        self._before_the_stop(
            lambda uuid: self.other(uuid, task_state="rebuilding")
        )
        self.assertEqual(("active", "rebuilding"), self.states(self.uuid))

    def test_stop_of_a_server_that_was_paused(self) -> None:
        """Leaves a server alone that was paused since it was read."""
        self._before_the_stop(lambda uuid: self.other(uuid, vm_state="paused"))
        self.assertEqual(("paused", None), self.states(self.uuid))

    def _before_the_stop(self, do: Any) -> None:
        self.when_saving(do, task_state="powering-off")
        self.sync(power_state.SHUTDOWN)
        self.casts.deliver()
        self.assert_reached()
