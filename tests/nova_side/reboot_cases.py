# SPDX-License-Identifier: Apache-2.0
"""A delete or another action that meets a reboot or a rescue."""

from typing import Any

from nova.compute import power_state

from tests.nova_side import queued
from tests.nova_side import servers


class Reboot(servers.Servers):
    """Reboots."""

    def hard(self, uuid: str) -> int:
        """Reboot a server the hard way."""
        return self.act(uuid, "reboot", {"type": "HARD"})

    def soft(self, uuid: str) -> int:
        """Reboot a server the soft way."""
        return self.act(uuid, "reboot", {"type": "SOFT"})

    def test_both_ways(self) -> None:
        """Reboots, and all that it writes is accepted."""

        def both(uuid: str) -> None:
            self.soft(uuid)
            self.hard(uuid)

        self.unharmed(
            both,
            ("active", "reboot_started"),
            ("active", "reboot_started_hard"),
            ("active", None),
        )

    def test_hard_at_every_write(self) -> None:
        """Keeps a delete whenever it comes during a hard reboot."""
        writes = self.delete_at_every_write(self.hard)
        self.assertEqual(
            [
                "rebooting_hard",
                "reboot_pending_hard",
                "reboot_started_hard",
                None,
            ],
            [one["task_state"] for one in writes],
        )

    def test_soft_at_every_write(self) -> None:
        """Keeps a delete whenever it comes during a soft reboot."""
        writes = self.delete_at_every_write(self.soft)
        self.assertEqual(4, len(writes))

    def test_before_the_driver(self) -> None:
        """Does not reboot the guest of a server that was deleted."""
        uuid = self.boot()
        self.when_saving(self.delete, task_state="reboot_started_hard")
        reboots = self.count(self.driver("host1"), "reboot")
        self.hard(uuid)
        self.assert_gone(uuid)
        self.assertEqual([], reboots)

    def test_during_the_driver(self) -> None:
        """Keeps a delete that comes while the driver reboots."""
        uuid = self.boot()
        self.when(self.driver("host1"), "reboot", self.deleting(uuid))
        self.soft(uuid)
        self.assert_gone(uuid)

    def test_failure_of_a_running_guest(self) -> None:
        """Keeps a delete where a reboot fails and the guest runs on."""
        # Nova swallows the failure here, and goes on as after a success.
        self.fail_under_delete(
            self.soft, self.driver("host1"), "reboot", tells=False
        )

    def test_failure_of_a_stopped_guest(self) -> None:
        """Keeps a delete where a reboot fails and the guest is off."""
        driver = self.driver("host1")

        def first(uuid: str) -> None:
            driver.instances[uuid].state = power_state.SHUTDOWN
            self.delete(uuid)

        self.fail_under_delete(self.hard, driver, "reboot", first=first)

    def test_failure_without_a_race(self) -> None:
        """Leaves an error where a reboot fails and the guest is off."""
        uuid = self.boot()
        driver = self.driver("host1")

        def fail(*args: Any, **kwargs: Any) -> None:
            driver.instances[uuid].state = power_state.SHUTDOWN
            raise ValueError

        self.when(driver, "reboot", fail)
        self.hard(uuid)
        self.assert_states(uuid, "error", None)
        self.assert_accepted(uuid)

    def test_stale_after_a_pause(self) -> None:
        """Refuses a reboot of a server that was paused since it was read."""
        uuid = self.boot()
        self.when_saving(self._paused, task_state="rebooting")
        self.assertEqual(queued.CONFLICT, self.soft(uuid), "DAMAGE: accepted")
        self.assert_states(uuid, "paused", None)

    def _paused(self, uuid: str) -> None:
        self.other(uuid, vm_state="paused")

    def test_paused_before_the_host_begins(self) -> None:
        """Does not begin on a host what a delete of a task has overtaken."""
        uuid = self.boot()
        self.ask(uuid, "reboot", {"type": "SOFT"})
        self.other(uuid, vm_state="error", task_state=None)
        self.settle()
        self.assert_states(uuid, "error", None)


class Rescue(servers.Servers):
    """Rescues and their ends."""

    def rescue(self, uuid: str) -> int:
        """Rescue a server."""
        return self.act(uuid, "rescue", {})

    def unrescue(self, uuid: str) -> int:
        """End a rescue."""
        return self.act(uuid, "unrescue")

    def rescued(self) -> str:
        """Give a server that is rescued."""
        uuid = self.boot()
        self.rescue(uuid)
        self.assertEqual("rescued", self.states(uuid)[0])
        return uuid

    def test_there_and_back(self) -> None:
        """Rescues and ends it, and all that it writes is accepted."""

        def both(uuid: str) -> None:
            self.rescue(uuid)
            self.unrescue(uuid)

        self.unharmed(both, ("rescued", None), ("active", None))

    def test_rescue_at_every_write(self) -> None:
        """Keeps a delete whenever it comes during a rescue."""
        writes = self.delete_at_every_write(self.rescue)
        self.assertEqual(
            ["rescuing", None], [one["task_state"] for one in writes]
        )

    def test_unrescue_at_every_write(self) -> None:
        """Keeps a delete whenever it comes while a rescue ends."""
        writes = self.delete_at_every_write(self.unrescue, self.rescued)
        self.assertEqual(
            ["unrescuing", None], [one["task_state"] for one in writes]
        )

    def test_failure_of_a_rescue(self) -> None:
        """Keeps a delete where a rescue fails."""
        self.fail_under_delete(self.rescue, self.driver("host1"), "rescue")

    def test_failure_of_an_unrescue(self) -> None:
        """Keeps a delete where the end of a rescue fails."""
        self.fail_under_delete(
            self.unrescue, self.driver("host1"), "unrescue", self.rescued
        )
