# SPDX-License-Identifier: Apache-2.0
"""A delete that meets a snapshot or a backup."""

from collections.abc import Callable
from typing import Any

from nova import exception

from tests.nova_side import servers


def upload(
    context: Any,
    instance: Any,
    image_id: str,
    update_task_state: Callable[..., None],
) -> None:
    """Go through all states of a snapshot, as the driver of libvirt does."""
    update_task_state(task_state="image_pending_upload")
    update_task_state(
        task_state="image_uploading", expected_state="image_pending_upload"
    )


class Snapshots(servers.Servers):
    """Snapshots of running guests."""

    def setUp(self) -> None:
        """Let the driver report all its steps."""
        super().setUp()
        self.replace(self.driver("host1"), "snapshot", upload)

    def snapshot(self, uuid: str) -> int:
        """Make a snapshot."""
        return self.act(uuid, "createImage", {"name": "s"})

    def backup(self, uuid: str) -> int:
        """Make a backup."""
        wanted = {"name": "b", "backup_type": "daily", "rotation": 1}
        return self.act(uuid, "createBackup", wanted)

    def test_both(self) -> None:
        """Makes images, and all that it writes is accepted."""

        def both(uuid: str) -> None:
            self.snapshot(uuid)
            self.backup(uuid)

        self.unharmed(
            both,
            ("active", "image_uploading"),
            ("active", "image_backup"),
            ("active", None),
        )

    def test_snapshot_at_every_write(self) -> None:
        """Keeps a delete whenever it comes during a snapshot."""
        writes = self.delete_at_every_write(self.snapshot)
        self.assertEqual(
            [
                "image_snapshot_pending",
                "image_snapshot",
                "image_pending_upload",
                "image_uploading",
                None,
            ],
            [one["task_state"] for one in writes],
        )

    def test_backup_at_every_write(self) -> None:
        """Keeps a delete whenever it comes during a backup."""
        writes = self.delete_at_every_write(self.backup)
        self.assertEqual(
            ["image_pending_upload", "image_uploading", None],
            [one["task_state"] for one in writes][-3:],
        )

    def test_failure_of_a_snapshot(self) -> None:
        """Keeps a delete where a snapshot fails."""
        self.fail_under_delete(self.snapshot, self.driver("host1"), "snapshot")

    def test_image_lost(self) -> None:
        """Keeps a delete where the image of a snapshot is gone."""
        self.fail_under_delete(
            self.snapshot,
            self.driver("host1"),
            "snapshot",
            error=exception.ImageNotFound(image_id="lost"),
            tells=False,
        )

    def test_failure_of_a_backup(self) -> None:
        """Keeps a delete where a backup fails."""
        self.fail_under_delete(self.backup, self.driver("host1"), "snapshot")

    def test_failure_of_a_rotation(self) -> None:
        """Keeps a delete where old backups cannot be removed."""
        self.fail_under_delete(
            self.backup, self.manager("host1"), "_rotate_backups"
        )

    def test_failure_without_a_race(self) -> None:
        """Takes the task back where a snapshot fails."""
        uuid = self.boot()

        def fail(*args: Any, **kwargs: Any) -> None:
            raise ValueError

        self.when(self.driver("host1"), "snapshot", fail)
        self.snapshot(uuid)
        self.assert_states(uuid, "active", None)
        self.assert_accepted(uuid)

    def test_reset_during_a_snapshot(self) -> None:
        """Keeps what the administrator reset while an image is made."""
        uuid = self.boot()

        def reset(uuid: str) -> None:
            self.ask(uuid, "os-resetState", {"state": "error"})

        self.when_saving(reset, task_state="image_uploading")
        self.snapshot(uuid)
        self.assert_states(uuid, "error", None)
