# SPDX-License-Identifier: Apache-2.0
"""A delete that meets a rebuild."""

from typing import Any

from nova import exception
from nova.scheduler.client import query

from tests.nova_side import servers

_IMAGE = "a2459075-d96c-40d5-893e-577ff92e721c"


class Rebuild(servers.Servers):
    """Rebuilds on the same host."""

    def rebuild(self, uuid: str) -> int:
        """Rebuild a server from another image."""
        return self.act(uuid, "rebuild", {"imageRef": _IMAGE})

    def stopped(self) -> str:
        """Give a server that is switched off."""
        uuid = self.boot()
        self.act(uuid, "os-stop")
        self.assertEqual(("stopped", None), self.states(uuid))
        return uuid

    def test_rebuild(self) -> None:
        """Rebuilds, and all that it writes is accepted."""

        def both(uuid: str) -> None:
            self.rebuild(uuid)
            self.act(uuid, "os-stop")
            self.rebuild(uuid)

        self.unharmed(
            both,
            ("active", "rebuild_spawning"),
            ("stopped", "rebuild_spawning"),
            ("stopped", None),
        )

    def test_at_every_write(self) -> None:
        """Keeps a delete whenever it comes during a rebuild."""
        writes = self.delete_at_every_write(self.rebuild)
        tasks = [one["task_state"] for one in writes if "task_state" in one]
        self.assertEqual(
            [
                *("rebuilding", "rebuilding"),
                "rebuild_block_device_mapping",
                *("rebuild_spawning", None),
            ],
            tasks,
        )

    def test_stopped_at_every_write(self) -> None:
        """Keeps a delete whenever it comes, also when it is stopped again."""
        writes = self.delete_at_every_write(self.rebuild, self.stopped)
        tasks = [one["task_state"] for one in writes if "task_state" in one]
        self.assertEqual(["powering-off", None], tasks[-2:])

    def test_not_spawned_again(self) -> None:
        """Does not make the guest again once a delete has come."""
        uuid = self.boot()
        self.when_saving(
            self.delete, task_state="rebuild_block_device_mapping"
        )
        spawns = self.count(self.driver("host1"), "spawn")
        self.rebuild(uuid)
        self.assert_gone(uuid)
        self.assertEqual([], spawns)

    def test_failure_of_a_destroy(self) -> None:
        """Keeps a delete where the old guest cannot be removed."""
        self.fail_under_delete(self.rebuild, self.driver("host1"), "destroy")

    def test_failure_of_a_spawn(self) -> None:
        """Keeps a delete where the new guest cannot be made."""
        self.fail_under_delete(self.rebuild, self.driver("host1"), "spawn")

    def test_failure_before_it_begins(self) -> None:
        """Keeps a delete where nothing was changed yet."""
        self.fail_under_delete(
            self.rebuild, self.manager("host1"), "_do_rebuild_instance"
        )

    def test_failure_in_the_conductor(self) -> None:
        """Keeps a delete where no host is found for a rebuild."""
        self.fail_under_delete(
            self.rebuild,
            query.SchedulerQueryClient,
            "select_destinations",
            error=exception.NoValidHost(reason="all is taken"),
        )

    def test_failure_of_a_stop(self) -> None:
        """Keeps a delete where the guest cannot be stopped again."""
        self.fail_under_delete(
            self.rebuild, self.driver("host1"), "power_off", self.stopped
        )

    def test_failure_without_a_race(self) -> None:
        """Leaves an error where the new guest cannot be made."""
        uuid = self.boot()

        def fail(*args: Any, **kwargs: Any) -> None:
            raise ValueError

        self.when(self.driver("host1"), "spawn", fail)
        self.rebuild(uuid)
        self.assert_states(uuid, "error", None)
        self.assert_accepted(uuid)

    def test_stale(self) -> None:
        """Refuses a rebuild of a server that was shelved since it was read."""
        uuid = self.boot()
        self.when_saving(
            lambda uuid: self.other(uuid, vm_state="shelved"),
            task_state="rebuilding",
        )
        self.rebuild(uuid)
        self.assert_states(uuid, "shelved", None)
