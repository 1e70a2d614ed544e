# SPDX-License-Identifier: Apache-2.0
"""A delete that meets a build."""

from typing import Any

from nova import exception

from tests.nova_side import base
from tests.nova_side import servers


class Build(servers.Servers):
    """Builds of one server on one host."""

    def deleted_before(self, **values: Any) -> list[Any]:
        """Build, with a delete before some values are written.

        :returns: calls of the driver's ``spawn``
        """
        self.when_saving(self.delete, **values)
        spawns = self.count(self.driver("host1"), "spawn")
        self.assert_gone(self.request())
        return spawns

    def test_boot_and_delete(self) -> None:
        """Boots and deletes, and all that it writes is accepted."""
        uuid = self.boot()
        self.assertEqual([], self.refused(uuid))
        self.delete(uuid)
        self.assert_gone(uuid)
        self.assertEqual([], self.refused(uuid))

    def test_before_the_build(self) -> None:
        """Does not begin a build that was deleted before."""
        self.assertEqual([], self.deleted_before(task_state=None))

    def test_before_the_claim(self) -> None:
        """Keeps a delete that came before the host is written."""
        self.deleted_before(host="host1")

    def test_before_networking(self) -> None:
        """Keeps a delete that came before networking is written."""
        spawns = self.deleted_before(task_state="networking")
        self.assertEqual([], spawns)

    def test_before_block_device_mapping(self) -> None:
        """Keeps a delete that came before block_device_mapping is written."""
        spawns = self.deleted_before(task_state="block_device_mapping")
        self.assertEqual([], spawns)

    def test_before_spawning(self) -> None:
        """Keeps a delete that came before spawning is written."""
        spawns = self.deleted_before(task_state="spawning")
        self.assertEqual([], spawns)

    def test_before_active(self) -> None:
        """Never makes active what was deleted while the guest was made."""
        # Nova's own test of its bug 1848666 asserts that it does.
        self.deleted_before(vm_state="active", task_state=None)

    def test_at_every_write(self) -> None:
        """Keeps a delete whenever it comes during a build."""
        writes = self.delete_at_every_write(
            lambda uuid: self.settle(), self.request
        )
        tasks = [one["task_state"] for one in writes if "task_state" in one]
        self.assertEqual("networking", tasks[1])
        self.assertEqual(
            ["block_device_mapping", "spawning", None], tasks[-3:]
        )


class Failures(servers.Servers):
    """Builds that fail, with a delete and without one."""

    hosts = ("host1", "host2")

    def failing(self, do: Any = None) -> list[Any]:
        """Let the first guest of all not be made.

        :param do: what is done before that
        """

        def fail(
            driver: Any, context: Any, instance: Any, *args: Any, **kwargs: Any
        ) -> None:
            if do:
                base.elsewhere(do, instance.uuid)
            raise exception.NovaException("it fails")

        return self.when(type(self.driver("host1")), "spawn", fail)

    def test_reschedule(self) -> None:
        """Builds on the other host what fails on the first."""
        self.failing()
        uuid = self.boot()
        self.assert_reached()
        self.assertEqual([], self.refused(uuid))

    def test_reschedule_under_a_delete(self) -> None:
        """Does not build again what was deleted when it failed."""
        self.failing(self.delete)
        spawns = self.count(type(self.driver("host1")), "spawn")
        self.assert_gone(self.request())
        self.assertEqual(1, len(spawns))

    def test_deleted_at_every_write_of_a_reschedule(self) -> None:
        """Keeps a delete whenever it comes during a reschedule."""

        def prepare() -> str:
            self.failing()
            return self.request()

        writes = self.delete_at_every_write(
            lambda uuid: self.settle(), prepare
        )
        self.assertIn("scheduling", [one.get("task_state") for one in writes])

    def test_deleted_before_the_conductor_schedules_again(self) -> None:
        """Builds nowhere what was deleted on its way to the next host."""
        self.failing()
        self.when_saving(self.delete, task_state="scheduling", after=True)
        spawns = self.count(type(self.driver("host1")), "spawn")
        uuid = self.request()
        self.settle()
        # Nova's conductor leaves the allocation of the next host behind here,
        # as the row was gone at once; that is none of the writes of a state.
        self.assert_not_overwritten(uuid)
        self.assertNotEqual(0, self.row(uuid)["deleted"])
        self.assertEqual(1, len(spawns))

    def _abort(self, do: Any = None) -> None:
        def fail(
            driver: Any, context: Any, instance: Any, *args: Any, **kwargs: Any
        ) -> None:
            if do:
                base.elsewhere(do, instance.uuid)
            raise exception.BuildAbortException(
                instance_uuid=instance.uuid, reason="it fails"
            )

        self.when(type(self.driver("host1")), "spawn", fail)

    def test_abort(self) -> None:
        """Leaves an error and no host where a build is given up."""
        self._abort()
        uuid = self.request()
        self.settle()
        row = self.row(uuid)
        self.assertEqual(
            ("error", None, None),
            (row["vm_state"], row["task_state"], row["host"]),
        )
        self.assertEqual([], self.refused(uuid))
        self.delete(uuid)
        self.assert_gone(uuid)

    def test_abort_under_a_delete(self) -> None:
        """Carries a delete out that came before a build was given up."""
        self._abort(self.delete)
        self.assert_gone(self.request())

    def test_every_host_fails(self) -> None:
        """Leaves an error where no host can build."""
        for _ in self.hosts:
            self.failing()
        uuid = self.request()
        self.settle()
        self.assertEqual(("error", None), self.states(uuid))
        self.assertEqual([], self.refused(uuid))

    def test_networks_fail_under_a_delete(self) -> None:
        """Carries a delete out that came before the networks failed."""

        def fail(
            manager: Any,
            context: Any,
            instance: Any,
            *args: Any,
            **kwargs: Any,
        ) -> None:
            base.elsewhere(self.delete, instance.uuid)
            raise ValueError("it fails")

        self.when(
            type(self.manager("host1")), "_build_networks_for_instance", fail
        )
        self.assert_gone(self.request())


class Volumes(servers.Servers):
    """Builds of servers with volumes."""

    def request(self, **more: Any) -> str:
        """Ask for a server that boots from a volume."""
        volume = {
            "source_type": "volume",
            "destination_type": "volume",
            "boot_index": 0,
            "uuid": "6ca404f3-d844-4169-bb96-bc792f37de98",
        }
        return super().request(
            imageRef="", block_device_mapping_v2=[volume], **more
        )

    def test_before_block_device_mapping(self) -> None:
        """Gives a volume back where a delete came before it was attached."""
        self.when_saving(self.delete, task_state="block_device_mapping")
        self.assert_gone(self.request())

    def test_before_spawning(self) -> None:
        """Gives a volume back where a delete came once it was attached."""
        self.when_saving(self.delete, task_state="spawning")
        self.assert_gone(self.request())
