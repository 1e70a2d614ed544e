# SPDX-License-Identifier: Apache-2.0
"""What nova-compute does by itself, with servers that others have by then."""

import datetime
from typing import Any

from nova import exception
from nova import objects
from nova.compute import manager as compute_manager
from oslo_utils import timeutils

from tests.nova_side import base


class Alone(base.Services):
    """One compute service, and servers that it finds."""

    def setUp(self) -> None:
        """Boot a server, which is read before others change it."""
        super().setUp()
        self.uuid = self.boot()

    def boot(self) -> str:
        """Boot a server."""
        return str(self._create_server(networks="none")["id"])

    def put(self, uuid: str, **values: Any) -> Any:
        """Make a row what a scenario begins with, and read it as a host does.

        The administrator may write whatever he likes.
        """
        instance = self.load(uuid)
        for name, value in values.items():
            setattr(instance, name, value)
        instance.save(admin_state_reset=True)
        return self.load(
            uuid,
            expected_attrs=[
                "info_cache",
                "metadata",
                "system_metadata",
                "flavor",
            ],
        )

    def begin(self, instance: Any) -> None:
        """Do what the start of nova-compute does with a server."""
        self.manager._init_instance(instance._context, instance)


class Starts(Alone):
    """The start of nova-compute."""

    def test_interrupted_build_deleted(self) -> None:
        """Carries the delete of an interrupted build out."""
        old = self.put(self.uuid, vm_state="building", task_state="spawning")
        self.delete_accepted(self.uuid)
        self.begin(old)
        self.assert_gone(self.uuid)

    def test_interrupted_rebuild_deleted(self) -> None:
        """Carries the delete of an interrupted rebuild out."""
        old = self.put(self.uuid, task_state="rebuilding")
        self.delete_accepted(self.uuid)
        self.begin(old)
        self.assert_gone(self.uuid)

    def test_interrupted_snapshot_deleted(self) -> None:
        """Carries the delete of a server that a snapshot was made of out."""
        old = self.put(self.uuid, task_state="image_uploading")
        self.delete_accepted(self.uuid)
        self.begin(old)
        self.assert_gone(self.uuid)

    def test_deleted_before_it_was_listed(self) -> None:
        """Carries the delete of a build that was accepted before out."""
        old = self.put(self.uuid, vm_state="building", task_state="deleting")
        self.begin(old)
        self.assert_gone(self.uuid)

    def test_reclaim_was_interrupted(self) -> None:
        """Goes on with what was being reclaimed."""
        old = self.put(
            self.uuid, vm_state="soft-delete", task_state="deleting"
        )
        self.begin(old)
        self.assert_gone(self.uuid)

    def test_interrupted_build(self) -> None:
        """Makes an error of an interrupted build, as ever."""
        old = self.put(self.uuid, vm_state="building", task_state="spawning")
        self.begin(old)
        self.assertEqual(("error", None), self.states(self.uuid))

    def test_another_one_has_it(self) -> None:
        """Begins with a server as it is by now."""
        old = self.put(self.uuid, task_state="rebuilding")
        self.put(self.uuid, vm_state="paused", task_state=None)
        self.begin(old)
        self.assertEqual(("paused", None), self.states(self.uuid))

    def test_gone(self) -> None:
        """Passes over a server that is gone."""
        old = self.put(self.uuid, task_state="image_uploading")
        self.delete(self.uuid)
        self._wait_until_deleted({"id": self.uuid})
        self.begin(old)

    def test_start_comes_to_its_end(self) -> None:
        """Starts although others change what it begins with."""
        other = self.boot()
        self.put(self.uuid, task_state="image_uploading")
        self.put(other, task_state="image_uploading")

        def change(manager: Any, context: Any, instance: Any) -> None:
            self.put(instance.uuid, vm_state="error", task_state=None)

        self.when(
            compute_manager.ComputeManager, "_init_instance", change, times=2
        )
        self.restart_compute_service(self.compute)
        self.assertEqual(("error", None), self.states(self.uuid))
        self.assertEqual(("error", None), self.states(other))
        self.assert_reached()


class Periodics(Alone):
    """Periodic tasks, whose lists are old."""

    def listed(self, *listed: Any) -> None:
        """Let every list be an old one, as from a replica."""
        theirs = objects.instance._make_instance_list

        def make(context: Any, into: Any, *args: Any, **kwargs: Any) -> Any:
            made = theirs(context, into, *args, **kwargs)
            made.objects = [one.obj_clone() for one in listed]
            for one in made.objects:
                one._context = context
            return made

        self.replace(objects.instance, "_make_instance_list", make)

    def run_task(self, name: str) -> None:
        """Run a periodic task as the service does, and alone."""
        tasks = dict(type(self.manager)._periodic_tasks)
        tasks[name](self.manager, self.cell_context())

    def cell_context(self) -> Any:
        """Give a context that has the cell."""
        return self.load(self.uuid)._context

    def soft_deleted(self) -> Any:
        """Make the server one that is old enough to be reclaimed."""
        self.flags(reclaim_instance_interval=60)
        past = timeutils.utcnow() - datetime.timedelta(hours=1)
        return self.put(
            self.uuid, vm_state="soft-delete", task_state=None, deleted_at=past
        )

    def test_restored_before_it_is_reclaimed(self) -> None:
        """Leaves its guest to a server that was restored meanwhile."""
        old = self.soft_deleted()
        self.put(
            self.uuid, vm_state="active", task_state=None, deleted_at=None
        )
        self.listed(old)
        destroyed = self.count(self.driver, "destroy")
        self.run_task("_reclaim_queued_deletes")
        self.assertEqual([], destroyed)
        self.assertEqual(("active", None), self.states(self.uuid))

    def test_restore_begins_before_it_is_reclaimed(self) -> None:
        """Leaves a server alone that is being restored."""
        old = self.soft_deleted()
        self.put(self.uuid, task_state="restoring")
        self.listed(old)
        destroyed = self.count(self.driver, "destroy")
        self.run_task("_reclaim_queued_deletes")
        self.assertEqual([], destroyed)
        self.assertEqual(("soft-delete", "restoring"), self.states(self.uuid))

    def test_reclaimed(self) -> None:
        """Reclaims what is old enough."""
        self.listed(self.soft_deleted())
        self.run_task("_reclaim_queued_deletes")
        self.assert_gone(self.uuid)

    def test_reclaim_fails(self) -> None:
        """Lets the next turn reclaim what this one could not."""
        self.listed(self.soft_deleted())

        def fail(*args: Any, **kwargs: Any) -> None:
            raise exception.NovaException("broken")

        self.when(self.driver, "destroy", fail)
        self.run_task("_reclaim_queued_deletes")
        self.assertEqual(("soft-delete", None), self.states(self.uuid))
        self.listed(self.load(self.uuid))
        self.run_task("_reclaim_queued_deletes")
        self.assert_gone(self.uuid)

    def building(self) -> Any:
        """Make the server one whose build takes too long."""
        self.flags(instance_build_timeout=1)
        past = timeutils.utcnow() - datetime.timedelta(hours=1)
        return self.put(
            self.uuid,
            vm_state="building",
            task_state="spawning",
            created_at=past,
        )

    def test_build_timed_out(self) -> None:
        """Makes an error of a build that takes too long."""
        self.listed(self.building())
        self.run_task("_check_instance_build_time")
        self.assertEqual(("error", "spawning"), self.states(self.uuid))

    def test_built_before_it_timed_out(self) -> None:
        """Leaves a server alone that was built by now, and does the next."""
        old = self.building()
        self.put(self.uuid, vm_state="active", task_state=None)
        built, self.uuid = self.uuid, self.boot()
        self.listed(old, self.building())
        self.run_task("_check_instance_build_time")
        self.assertEqual(("active", None), self.states(built))
        self.assertEqual(("error", "spawning"), self.states(self.uuid))

    def test_deleted_before_it_timed_out(self) -> None:
        """Leaves a delete of what took too long alone."""
        old = self.building()
        self.delete_accepted(self.uuid)
        self.listed(old)
        self.run_task("_check_instance_build_time")
        self.assertEqual(("building", "deleting"), self.states(self.uuid))

    def test_build_interrupted_before_its_claim(self) -> None:
        """Makes no error of a build that came to its end meanwhile."""
        other = self.boot()
        old = self.put(self.uuid, vm_state="building", task_state=None)
        older = self.put(other, vm_state="building", task_state=None)
        self.put(self.uuid, vm_state="active", task_state=None)
        self.listed(old, older)
        self.manager._error_out_instances_whose_build_was_interrupted(
            self.cell_context(), set(), list(self.manager.rt.compute_nodes)
        )
        self.assertEqual(("active", None), self.states(self.uuid))

    def test_rescues_time_out(self) -> None:
        """Unrescues the next one where it comes too late for the first."""
        self.flags(rescue_timeout=1)
        past = timeutils.utcnow() - datetime.timedelta(hours=1)
        other = self.boot()
        first = self.put(self.uuid, vm_state="rescued", launched_at=past)
        self.delete_accepted(self.uuid)
        second = self.put(other, vm_state="rescued", launched_at=past)
        self.listed(first, second)
        calls = self.count(
            self.manager.compute_api.compute_rpcapi, "unrescue_instance"
        )
        self.run_task("_poll_rescued_instances")
        self.assertEqual(("rescued", "deleting"), self.states(self.uuid))
        self.assertEqual(1, len(calls))

    def test_power_sync(self) -> None:
        """Stops nothing that is being deleted."""
        old = self.put(self.uuid, power_state=1)

        def change(*args: Any, **kwargs: Any) -> None:
            self.delete_accepted(self.uuid)

        self.when(objects.Instance, "refresh", change, after=True)
        self.manager._sync_instance_power_state(
            old._context, old, 7, use_slave=True
        )
        self.assertEqual(("active", "deleting"), self.states(self.uuid))
