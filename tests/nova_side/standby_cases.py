# SPDX-License-Identifier: Apache-2.0
"""A delete or another writer that meets pause, suspend, stop and volumes."""

from typing import Any

from nova.compute import vm_states

from tests.nova_side import queued
from tests.nova_side import servers

_ANY = (
    vm_states.BUILDING,
    vm_states.PAUSED,
    vm_states.SUSPENDED,
    vm_states.STOPPED,
    vm_states.RESCUED,
    vm_states.ERROR,
    vm_states.SHELVED,
)
_VOLUME = "6ca404f3-d844-4169-bb96-bc792f37de98"


class Standby(servers.Servers):
    """Actions that let a guest rest, and those that wake it."""

    def asleep(self, action: str) -> str:
        """Give a server that an action was carried out on."""
        uuid = self.boot()
        self.act(uuid, action)
        self.assertEqual(None, self.states(uuid)[1])
        self.assertNotEqual("active", self.states(uuid)[0])
        return uuid

    def every(self, action: str, first: str = "") -> None:
        """Delete at every write of an action."""
        writes = self.delete_at_every_write(
            lambda uuid: self.act(uuid, action),
            (lambda: self.asleep(first)) if first else None,
        )
        self.assertEqual(2, len(writes))
        self.assertEqual(None, writes[-1]["task_state"])

    def test_all_of_them(self) -> None:
        """Carries them all out, and all that they write is accepted."""

        def every(uuid: str) -> None:
            for action in (
                *("pause", "unpause", "suspend", "resume"),
                *("os-stop", "os-start"),
            ):
                self.assertEqual(queued.ACCEPTED, self.act(uuid, action))

        self.unharmed(
            every,
            ("paused", None),
            ("suspended", None),
            ("stopped", None),
            ("active", None),
        )

    def test_pause(self) -> None:
        """Keeps a delete whenever it comes during a pause."""
        self.every("pause")

    def test_unpause(self) -> None:
        """Keeps a delete whenever it comes during an unpause."""
        self.every("unpause", "pause")

    def test_suspend(self) -> None:
        """Keeps a delete whenever it comes during a suspend."""
        self.every("suspend")

    def test_resume(self) -> None:
        """Keeps a delete whenever it comes during a resume."""
        self.every("resume", "suspend")

    def test_stop(self) -> None:
        """Keeps a delete whenever it comes during a stop."""
        self.every("os-stop")

    def test_start(self) -> None:
        """Keeps a delete whenever it comes during a start."""
        self.every("os-start", "os-stop")

    def failing(self, action: str, name: str, first: str = "") -> None:
        """Delete within an action that fails then."""
        self.fail_under_delete(
            lambda uuid: self.act(uuid, action),
            self.driver("host1"),
            name,
            (lambda: self.asleep(first)) if first else None,
        )

    def test_failure_of_a_pause(self) -> None:
        """Keeps a delete where a pause fails."""
        self.failing("pause", "pause")

    def test_failure_of_an_unpause(self) -> None:
        """Keeps a delete where an unpause fails."""
        self.failing("unpause", "unpause", "pause")

    def test_failure_of_a_suspend(self) -> None:
        """Keeps a delete where a suspend fails."""
        self.failing("suspend", "suspend")

    def test_failure_of_a_resume(self) -> None:
        """Keeps a delete where a resume fails."""
        self.failing("resume", "resume", "suspend")

    def test_failure_of_a_stop(self) -> None:
        """Keeps a delete where a stop fails."""
        self.failing("os-stop", "power_off")

    def test_failure_of_a_start(self) -> None:
        """Keeps a delete where a start fails."""
        self.failing("os-start", "power_on", "os-stop")

    def test_failure_without_a_race(self) -> None:
        """Takes the task back where a pause fails."""
        uuid = self.boot()

        def fail(*args: Any, **kwargs: Any) -> None:
            raise ValueError

        self.when(self.driver("host1"), "pause", fail)
        self.act(uuid, "pause")
        self.assert_states(uuid, "active", None)
        self.assert_accepted(uuid)

    def test_suspend_of_an_error(self) -> None:
        """Refuses to suspend what became an error since it was read."""
        uuid = self.boot()
        self.when_saving(
            lambda uuid: self.other(uuid, vm_state="error"),
            task_state="suspending",
        )
        status = self.act(uuid, "suspend")
        self.assertEqual(queued.CONFLICT, status, "DAMAGE: accepted")
        self.assert_states(uuid, "error", None)

    def test_error_during_a_suspend(self) -> None:
        """Keeps an error that comes while the driver suspends."""
        uuid = self.boot()
        self.when(
            self.driver("host1"),
            "suspend",
            lambda *args, **kwargs: self.other(
                uuid, vm_state="error", task_state=None
            ),
        )
        self.act(uuid, "suspend")
        self.assert_states(uuid, "error", None)


class Volumes(servers.Servers):
    """Volumes that cannot be attached."""

    def attach(self, uuid: str) -> int:
        """Attach a volume."""
        try:
            self.api.post_server_volume(
                uuid, {"volumeAttachment": {"volumeId": _VOLUME}}
            )
        except queued.api_client.OpenStackApiException as error:
            return int(error.response.status_code)
        finally:
            self.settle()
        return queued.ACCEPTED

    def test_attach_under_a_delete(self) -> None:
        """Keeps a delete that comes while a volume is attached."""
        uuid = self.boot()
        self.when(self.driver("host1"), "attach_volume", self.deleting(uuid))
        self.attach(uuid)
        self.assert_gone(uuid)

    def test_failed_attach_under_a_delete(self) -> None:
        """Keeps a delete where a volume cannot be attached."""
        self.fail_under_delete(
            self.attach, self.driver("host1"), "attach_volume"
        )

    def test_no_device_name_under_a_delete(self) -> None:
        """Keeps a delete where no name for a device can be reserved."""
        self.fail_under_delete(
            self.attach,
            self.manager("host1"),
            "_get_device_name_for_instance",
        )

    def test_no_device_name_during_a_reboot(self) -> None:
        """Leaves the task of an action alone that began meanwhile."""
        uuid = self.boot()

        def fail(*args: Any, **kwargs: Any) -> None:
            self.other(uuid, task_state="rebooting")
            raise ValueError

        self.when(self.manager("host1"), "_get_device_name_for_instance", fail)
        self.attach(uuid)
        self.assert_states(uuid, "active", "rebooting")


class Overruling(servers.Servers):
    """Who may always write."""

    def test_reset_during_a_task(self) -> None:
        """Lets the administrator reset a server in the middle of a task."""
        uuid = self.boot()
        self.ask(uuid, "pause")
        self.assertEqual(("active", "pausing"), self.states(uuid))
        status = self.ask(uuid, "os-resetState", {"state": "error"})
        self.assertEqual(queued.ACCEPTED, status)
        self.assert_states(uuid, "error", None)
        self.settle()
        self.assert_states(uuid, "error", None)

    def test_reset_under_a_delete(self) -> None:
        """Lets the administrator reset a server that is being deleted."""
        uuid = self.boot()
        self.delete_accepted(uuid)
        status = self.ask(uuid, "os-resetState", {"state": "active"})
        self.assertEqual(queued.ACCEPTED, status)
        self.assert_states(uuid, "active", None)
        self.assert_accepted(uuid)

    def test_save_without_a_state(self) -> None:
        """Lets a save without a state through whatever happened."""
        uuid = self.boot()
        mine = self.load(uuid)
        self.delete_accepted(uuid)
        mine.display_name = "new"
        mine.save()
        self.assertEqual("new", self.row(uuid)["display_name"])
        self.assert_states(uuid, "active", "deleting")
        self.assert_accepted(uuid)

    def test_delete_from_every_state(self) -> None:
        """Deletes a server whatever its state."""
        tasks = ("rebooting", "powering-off", "image_snapshot", "suspending")
        for vm_state, task_state in (
            *((vm_state, None) for vm_state in _ANY),
            *((vm_states.ACTIVE, task_state) for task_state in tasks),
        ):
            uuid = self.boot()
            self.put(uuid, vm_state, task_state)
            self.assertEqual(queued.ACCEPTED, self.delete(uuid))
            self.assert_gone(uuid)
            self.assert_accepted(uuid)
