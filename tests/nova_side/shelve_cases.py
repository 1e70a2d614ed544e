# SPDX-License-Identifier: Apache-2.0
"""A delete that meets shelving, offloading and unshelving."""

from typing import Any

from tests.nova_side import images_cases
from tests.nova_side import servers

_NEVER = -1
_AT_ONCE = 0


class Shelving(servers.Servers):
    """Servers that are shelved, and come back."""

    def setUp(self) -> None:
        """Let the driver report all steps of an upload."""
        super().setUp()
        self.replace(self.driver("host1"), "snapshot", images_cases.upload)
        self.flags(shelved_offload_time=_NEVER)

    def shelve(self, uuid: str) -> int:
        """Shelve a server."""
        return self.act(uuid, "shelve")

    def offload(self, uuid: str) -> int:
        """Take a shelved server from its host."""
        return self.act(uuid, "shelveOffload")

    def unshelve(self, uuid: str) -> int:
        """Bring a server back."""
        return self.act(uuid, "unshelve")

    def shelved(self) -> str:
        """Give a shelved server that has its host."""
        uuid = self.boot()
        self.shelve(uuid)
        self.assertEqual(("shelved", None), self.states(uuid))
        return uuid

    def offloaded(self) -> str:
        """Give a shelved server that has none."""
        uuid = self.shelved()
        self.offload(uuid)
        self.assertEqual(("shelved_offloaded", None), self.states(uuid))
        return uuid

    def test_there_and_back(self) -> None:
        """Shelves, offloads and unshelves; all its writes are accepted."""

        def every(uuid: str) -> None:
            self.shelve(uuid)
            self.unshelve(uuid)
            self.shelve(uuid)
            self.offload(uuid)
            self.assertEqual(None, self.row(uuid)["host"])
            self.unshelve(uuid)

        self.unharmed(
            every,
            ("shelved", None),
            ("shelved", "powering-on"),
            ("shelved_offloaded", None),
            ("shelved_offloaded", "spawning"),
            ("active", None),
        )

    def test_offloaded_at_once(self) -> None:
        """Shelves and offloads in one go; all its writes are accepted."""
        self.flags(shelved_offload_time=_AT_ONCE)
        self.unharmed(
            self.shelve,
            ("shelved", "shelving_offloading"),
            ("shelved_offloaded", None),
        )

    def test_shelve_at_every_write(self) -> None:
        """Keeps a delete whenever it comes during a shelve."""
        writes = self.delete_at_every_write(self.shelve)
        self.assertEqual(
            [
                "shelving",
                "shelving_image_pending_upload",
                "shelving_image_uploading",
                None,
            ],
            [one["task_state"] for one in writes],
        )

    def test_shelve_and_offload_at_every_write(self) -> None:
        """Keeps a delete whenever it comes during both in one go."""
        self.flags(shelved_offload_time=_AT_ONCE)
        writes = self.delete_at_every_write(self.shelve)
        self.assertIn("host", writes[-1])

    def test_offload_at_every_write(self) -> None:
        """Keeps a delete whenever it comes during an offload."""
        writes = self.delete_at_every_write(self.offload, self.shelved)
        self.assertEqual("shelving_offloading", writes[0]["task_state"])
        self.assertIn("host", writes[-1])

    def test_unshelve_at_every_write(self) -> None:
        """Keeps a delete whenever it comes while a server is unshelved."""
        writes = self.delete_at_every_write(self.unshelve, self.shelved)
        tasks = [one["task_state"] for one in writes]
        self.assertEqual(["unshelving", "powering-on", None], tasks)

    def test_respawn_at_every_write(self) -> None:
        """Keeps a delete whenever it comes while a guest is made again."""
        writes = self.delete_at_every_write(self.unshelve, self.offloaded)
        self.assertIn("spawning", [one.get("task_state") for one in writes])

    def test_failure_of_an_upload(self) -> None:
        """Keeps a delete where an upload fails."""
        self.fail_under_delete(self.shelve, self.driver("host1"), "snapshot")

    def test_failure_of_an_offload(self) -> None:
        """Keeps a delete where the host cannot let a guest go."""
        self.fail_under_delete(
            self.offload,
            self.manager("host1"),
            "_terminate_volume_connections",
            self.shelved,
        )

    def test_failure_of_a_spawn(self) -> None:
        """Keeps a delete where a guest cannot be made again."""
        self.fail_under_delete(
            self.unshelve, self.driver("host1"), "spawn", self.offloaded
        )

    def test_failure_of_a_spawn_without_a_race(self) -> None:
        """Takes task and host back where a guest cannot be made again."""
        uuid = self.offloaded()

        def fail(*args: Any, **kwargs: Any) -> None:
            raise ValueError

        self.when(self.driver("host1"), "spawn", fail)
        self.unshelve(uuid)
        self.assert_states(uuid, "shelved_offloaded", None)
        self.assertEqual(None, self.row(uuid)["host"])
        self.assert_accepted(uuid)

    def test_offloaded_server_keeps_its_new_host(self) -> None:
        """Does not take the host from a server that is somewhere again."""
        uuid = self.shelved()

        def unshelved(uuid: str) -> None:
            self.other(uuid, task_state="unshelving")
            self.other(uuid, task_state="spawning", host="elsewhere")

        self.when_saving(unshelved, host=None)
        self.offload(uuid)
        self.assert_reached()
        self.assertEqual("elsewhere", self.row(uuid)["host"], "DAMAGE")

    def _lost(self, uuid: str) -> None:
        instance = self.load(uuid, expected_attrs=["system_metadata"])
        image_id = instance.system_metadata["shelved_image_id"]
        self.glance.delete(None, image_id)

    def test_missing_image(self) -> None:
        """Leaves an error without a task where the image is missing."""
        uuid = self.offloaded()
        self._lost(uuid)
        self.unshelve(uuid)
        self.assert_states(uuid, "error", None)

    def test_missing_image_under_a_delete(self) -> None:
        """Keeps a delete where the image is missing."""
        uuid = self.offloaded()
        self._lost(uuid)
        self.when_saving(self.delete_accepted, vm_state="error")
        self.unshelve(uuid)
        self.assert_not_overwritten(uuid)

    def test_no_host_under_a_delete(self) -> None:
        """Keeps a delete where no host takes a server again."""
        uuid = self.offloaded()
        [service] = self.admin_api.get_services(binary="nova-compute")
        self.admin_api.put_service(service["id"], {"status": "disabled"})
        self.when_saving(self.delete_accepted, task_state=None)
        self.unshelve(uuid)
        self.assert_not_overwritten(uuid)
