# SPDX-License-Identifier: Apache-2.0
"""Deletes that meet data on its way between nova-compute and Glance."""

from collections.abc import Callable
import os
import pathlib
import sys
import tempfile
import time
from typing import Any

# Nova's functional tests decide on import what threads are.
from tests.nova_side import base  # isort: skip

from keystoneauth1 import session
from keystoneauth1 import token_endpoint
from nova.compute import task_states
from nova.image import glance as nova_glance
from nova.virt import fake
from nova.virt import images

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
        self.looked = 0
        self.moving = self.image
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

    def at_chunk(self, number: int, do: Callable[[], Any]) -> None:
        """Let something be done once while the data flows.

        :param number: of the chunk that is not yet through
        :param do: called by Glance, which goes on after it
        """
        done: list[int] = []

        def on_chunk(image: slow_glance.Image, at: int) -> None:
            if at == number and not done:
                done.append(at)
                self.moving = image
                do()
                self.looked = self.looks()

        self.slow.on_chunk = on_chunk

    def looks(self) -> int:
        """Say how often nova-compute has looked."""
        counters = sys.modules.get("nova_db_states.nova.counters")
        return int(counters.snapshot()["watched"]) if counters else 0

    def read_progress(self, uuid: str) -> list[int]:
        """Note what a user sees after each look that told a progress."""
        seen: list[int] = []

        def told(
            context: Any, name: str, new: Any, *more: Any, **kw: Any
        ) -> bool:
            del context, more, kw
            return name == uuid and bool(new.get("progress"))

        def read(*args: Any, **kwargs: Any) -> None:
            del args, kwargs
            server = base.elsewhere(self.api.get_server, uuid)
            # Nova shows it in some states only, and shelved is none of them.
            progress = self.row(uuid)["progress"]
            seen.append(server.get("progress", progress))

        self.when(
            base.main_db,
            "instance_update_and_get_original",
            read,
            if_=told,
            after=True,
            times=10**6,
        )
        return seen

    def wait(self, is_there: Callable[[], Any]) -> None:
        """Wait until something is so."""
        for _ in range(600):
            if is_there():
                return
            time.sleep(0.05)
        self.fail("waited in vain")

    def assert_stopped(self, uuid: str, *, leaks: bool = False) -> None:
        """Assert that a delete stopped the data, and was carried out.

        :param leaks: whether Nova keeps what the operation claimed until its
            next periodic task
        """
        if leaks:
            self._wait_until_deleted({"id": uuid})
            self.assert_not_overwritten(uuid)
        else:
            self.assert_gone(uuid)
        self.assertEqual([], self.slow.failures)
        self.wait(lambda: self.moving.broken)
        # Each look is one chunk: the data ended where the delete began.
        self.assertLess(self.looks() - self.looked, 3)

    def assert_rose(self, seen: list[int]) -> None:
        """Assert that a progress went up all the way."""
        self.assertEqual(sorted(seen), seen)
        self.assertGreater(len(set(seen)), 8)
        self.assertGreater(seen[-1], 85)

    def booted(self) -> str:
        """Have a server, whose image is not on the host any more."""
        uuid = self.boot()
        self.become(uuid, "ACTIVE")
        (Driver.folder / "base").unlink()
        Driver.guests.clear()
        return uuid

    def become(self, uuid: str, status: str) -> None:
        """Wait until a server has a status and nothing to do."""

        def is_so() -> bool:
            server = self.api.get_server(uuid)
            self.assertNotEqual("ERROR", server["status"])
            task = server["OS-EXT-STS:task_state"]
            return bool(server["status"] == status and task is None)

        self.wait(is_so)

    def act(self, uuid: str, **action: Any) -> Any:
        """Ask for an action, and do not wait for it."""
        return self.api.post_server_action(uuid, action)


class Boot(WatchCase):
    """The download of a build."""

    def test_alone(self) -> None:
        """Lets a download end that nobody disturbs."""
        uuid = self.boot()
        seen = self.read_progress(uuid)
        self.become(uuid, "ACTIVE")
        self.assertEqual(
            self.image.data, (Driver.folder / "base").read_bytes()
        )
        self.assertEqual([uuid], Driver.guests)
        self.assertIn(self.row(uuid)["progress"], (0, None))
        if base._PLUGIN:
            self.assert_rose(seen)

    def test_deleted(self) -> None:
        """Stops a download, and makes no guest."""
        uuids: list[str] = []
        self.at_chunk(10, lambda: self.delete(uuids[0]))
        uuids.append(self.boot())
        self.assert_stopped(uuids[0])
        self.assertEqual([], Driver.guests)
        self.assertFalse((Driver.folder / "base").exists())


class Rebuild(WatchCase):
    """The download of a rebuild."""

    def rebuild(self, uuid: str) -> None:
        """Ask for a rebuild of another image."""
        name = self.slow.add(os.urandom(_SIZE)).facts["id"]
        self.act(uuid, rebuild={"imageRef": name})

    def test_alone(self) -> None:
        """Lets a rebuild end that nobody disturbs."""
        uuid = self.booted()
        seen = self.read_progress(uuid)
        self.rebuild(uuid)
        self.become(uuid, "ACTIVE")
        self.assertEqual([uuid], Driver.guests)
        self.assertEqual(0, self.row(uuid)["progress"])
        if base._PLUGIN:
            self.assert_rose(seen)

    def test_deleted(self) -> None:
        """Stops the download of a rebuild, and makes no guest."""
        uuid = self.booted()
        self.at_chunk(10, lambda: self.delete(uuid))
        self.rebuild(uuid)
        self.assert_stopped(uuid)
        self.assertEqual([], Driver.guests)


class Resize(WatchCase):
    """The download of a resize, where the image is not on the host yet."""

    def resize(self, uuid: str) -> None:
        """Ask for another flavor, on the same host."""
        self.flags(allow_resize_to_same_host=True)
        flavor = self.api.get_flavors()[1]["id"]
        self.act(uuid, resize={"flavorRef": flavor})

    def test_alone(self) -> None:
        """Lets a resize end that nobody disturbs."""
        uuid = self.booted()
        seen = self.read_progress(uuid)
        self.resize(uuid)
        self.become(uuid, "VERIFY_RESIZE")
        self.assertEqual([uuid], Driver.guests)
        self.assertIn(self.row(uuid)["progress"], (0, None))
        if base._PLUGIN:
            self.assert_rose(seen)

    def test_deleted(self) -> None:
        """Stops the download of a resize, and makes no guest."""
        uuid = self.booted()
        self.at_chunk(10, lambda: self.delete(uuid))
        self.resize(uuid)
        self.assert_stopped(uuid, leaks=True)
        self.assertEqual([], Driver.guests)


class Snapshot(WatchCase):
    """The upload of a snapshot."""

    def test_alone(self) -> None:
        """Lets an upload end that nobody disturbs."""
        uuid = self.booted()
        seen = self.read_progress(uuid)
        self.act(uuid, createImage={"name": "snap"})
        self.become(uuid, "ACTIVE")
        [image] = (
            each for each in self.slow.images.values() if each != self.image
        )
        self.assertEqual(bytes(_SIZE), image.data)
        self.assertEqual(("active", None), self.states(uuid))
        self.assertIn(self.row(uuid)["progress"], (0, None))
        if base._PLUGIN:
            self.assert_rose(seen)

    def test_deleted(self) -> None:
        """Stops an upload, and leaves no image behind."""
        uuid = self.booted()
        self.at_chunk(3, lambda: self.delete(uuid))
        self.act(uuid, createImage={"name": "snap"})
        self.assert_stopped(uuid)
        self.wait(lambda: self.slow.deleted)
        self.assertEqual([self.image], list(self.slow.images.values()))


class Shelve(Snapshot):
    """The upload of a shelve, and the download of an unshelve."""

    def test_alone(self) -> None:
        """Lets a shelve and an unshelve end that nobody disturbs."""
        uuid = self.booted()
        seen = self.read_progress(uuid)
        self.act(uuid, shelve=None)
        self.become(uuid, "SHELVED_OFFLOADED")
        self.assertIn(self.row(uuid)["progress"], (0, None))
        if base._PLUGIN:
            self.assert_rose(seen)
        seen.clear()
        self.act(uuid, unshelve=None)
        self.become(uuid, "ACTIVE")
        self.assertEqual([uuid], Driver.guests)
        self.assertIn(self.row(uuid)["progress"], (0, None))
        if base._PLUGIN:
            self.assert_rose(seen)

    def test_deleted(self) -> None:
        """Stops the upload of a shelve."""
        uuid = self.booted()
        self.at_chunk(3, lambda: self.delete(uuid))
        self.act(uuid, shelve=None)
        self.assert_stopped(uuid)

    def test_deleted_in_unshelve(self) -> None:
        """Stops the download of an unshelve, and makes no guest."""
        uuid = self.booted()
        self.act(uuid, shelve=None)
        self.become(uuid, "SHELVED_OFFLOADED")
        self.at_chunk(10, lambda: self.delete(uuid))
        self.act(uuid, unshelve=None)
        self.assert_stopped(uuid)
        self.assertEqual([], Driver.guests)
