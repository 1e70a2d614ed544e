# SPDX-License-Identifier: Apache-2.0
"""Deletes that meet data on its way between nova-compute and Glance."""

import os
import pathlib
import sys
import tempfile
from typing import Any

from keystoneauth1 import session
from keystoneauth1 import token_endpoint
from nova.compute import task_states
from nova.image import glance as nova_glance
from nova.virt import fake
from nova.virt import images

from tests.nova_side import base
from tests.nova_side import slow_glance

_CHUNKS = 192
_SIZE = _CHUNKS * slow_glance.CHUNK

# Nova's fixture puts something else in its place.
_SERVICE = nova_glance.get_default_image_service


class Driver(fake.MediumFakeDriver):  # type: ignore[misc]
    """A driver that fetches images and sends snapshots as libvirt's does.

    :cvar folder: where the images go
    :cvar guests: UUIDs of the servers that a guest was made for
    """

    folder = pathlib.Path()
    guests: list[str] = []  # noqa: RUF012 - a test begins with a new one

    def spawn(
        self,
        context: Any,
        instance: Any,
        image_meta: Any,
        *args: Any,
        **kw: Any,
    ) -> None:
        """Fetch the image, then make the guest."""
        images.fetch(context, image_meta.id, str(self.folder / "base"))
        super().spawn(context, instance, image_meta, *args, **kw)
        self.guests.append(instance.uuid)

    def snapshot(
        self,
        context: Any,
        instance: Any,
        image_id: str,
        update_task_state: Any,
    ) -> None:
        """Send a file to Glance."""
        update_task_state(task_state=task_states.IMAGE_PENDING_UPLOAD)
        path = self.folder / "snapshot"
        path.write_bytes(bytes(_SIZE))
        update_task_state(
            task_state=task_states.IMAGE_UPLOADING,
            expected_state=task_states.IMAGE_PENDING_UPLOAD,
        )
        metadata = {
            "status": "active",
            "disk_format": "raw",
            "container_format": "bare",
            "properties": {"image_location": "snapshot"},
        }
        with path.open("rb") as file:
            nova_glance.API().update(context, image_id, metadata, file)


# load_compute_driver looks for drivers here and nowhere else.
sys.modules["nova.virt.watch_cases"] = sys.modules[__name__]


class WatchCase(base.Services):
    """A cloud with a slow Glance, whose nova-compute is watched."""

    def setUp(self) -> None:
        """Start Glance first."""
        self.slow = slow_glance.SlowGlance()
        self.slow.start()
        self.addCleanup(self.slow.stop)
        super().setUp()
        self.stub_out("nova.image.glance.get_default_image_service", _SERVICE)
        self.flags(api_servers=[self.slow.url], group="glance")
        self.stub_out(
            "nova.image.glance._session_and_auth",
            lambda context: (
                session.Session(),
                token_endpoint.Token(self.slow.url, "token"),
            ),
        )
        self.image = self.slow.add(os.urandom(_SIZE))
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        Driver.folder = pathlib.Path(folder.name)
        Driver.guests = []
        self.seen: list[tuple[Any, ...]] = []
        if base._PLUGIN:
            self.stub_out(
                "nova_db_states.nova.settings.watch_interval_s", lambda: 0.0
            )

    def _setup_compute_service(self) -> Any:
        self.flags(compute_driver="watch_cases.Driver")
        return super()._setup_compute_service()

    def boot(self) -> str:
        """Ask for a server, and do not wait for it."""
        request = self._build_server(
            networks="none", image_uuid=self.image.facts["id"]
        )
        return str(self.api.post_server({"server": request})["id"])

    def at_chunk(self, number: int, do: Any) -> None:
        """Let something be done while the data flows."""

        def on_chunk(image: slow_glance.Image, at: int) -> None:
            if at == number:
                do()

        self.slow.on_chunk = on_chunk

    def fetched(self) -> int:
        """Say how many bytes of an image are on the disk of the host."""
        path = Driver.folder / "base"
        return path.stat().st_size if path.exists() else 0


class Boot(WatchCase):
    """The download of a build."""

    def test_alone(self) -> None:
        """Lets a download end that nobody disturbs."""
        uuid = self.boot()
        self._wait_for_state_change({"id": uuid}, "ACTIVE")
        self.assertEqual(_SIZE, self.fetched())
        self.assertEqual([uuid], Driver.guests)
        self.assertIn(self.row(uuid)["progress"], (0, None))

    def test_deleted(self) -> None:
        """Stops a download, and makes no guest."""
        uuids: list[str] = []
        self.at_chunk(10, lambda: self.delete(uuids[0]))
        uuids.append(self.boot())
        self.assert_gone(uuids[0])
        self.assertEqual([], Driver.guests)
        self.assertEqual(1, self.image.broken)
        self.assertEqual([], self.slow.failures)
