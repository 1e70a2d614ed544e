# SPDX-License-Identifier: Apache-2.0
"""A delete that meets a build, at each of the build's writes of a state."""

from tests.nova_side import base


class Build(base.Services):
    """Builds of one server on one host."""

    def boot(self) -> str:
        """Ask for a server, and do not wait for it."""
        request = self._build_server(networks="none")
        return str(self.api.post_server({"server": request})["id"])

    def test_boot_without_a_race(self) -> None:
        """Boots, and all that it writes is accepted."""
        uuid = self.boot()
        self._wait_for_state_change({"id": uuid}, "ACTIVE")
        self.assertEqual(("active", None), self.states(uuid))
        self.delete(uuid)
        self.assert_gone(uuid)

    def test_deleted_before_networking(self) -> None:
        """Keeps a delete that came before networking is written."""
        self.when_saving(self.delete, task_state="networking")
        spawns = self.count(self.driver, "spawn")
        self.assert_gone(self.boot())
        self.assertEqual([], spawns)

    def test_deleted_before_block_device_mapping(self) -> None:
        """Keeps a delete that came before block_device_mapping is written."""
        self.when_saving(self.delete, task_state="block_device_mapping")
        spawns = self.count(self.driver, "spawn")
        self.assert_gone(self.boot())
        self.assertEqual([], spawns)

    def test_deleted_before_spawning(self) -> None:
        """Keeps a delete that came before spawning is written."""
        self.when_saving(self.delete, task_state="spawning")
        spawns = self.count(self.driver, "spawn")
        self.assert_gone(self.boot())
        self.assertEqual([], spawns)

    def test_deleted_before_active(self) -> None:
        """Keeps a delete that came while the guest was made."""
        self.when_saving(self.delete, vm_state="active", task_state=None)
        self.assert_gone(self.boot())
