# SPDX-License-Identifier: Apache-2.0
"""What an ``Instance`` believes, however it came and whatever was done to it.

These are tests of the plugin, which has to be active.
"""

import copy
import datetime
from typing import Any

from nova import objects
from nova.objects import base as objects_base
from nova.objects import instance as instance_objects

from nova_db_states.nova import belief
from tests.nova_side import instances

WINDOW = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)


class Ways(instances.Case):
    """However an object came."""

    def test_created(self) -> None:
        """Who created a server believes what he wrote."""
        server = self.made("building", "scheduling")
        self.assertEqual(("building", "scheduling"), self.seen(server))

    def test_queried(self) -> None:
        """A query gives a belief."""
        server = self.read(self.made())
        self.assertEqual(("active", None), self.seen(server))
        self.assert_stale(server)

    def test_queried_by_id(self) -> None:
        """So does a query by the number of the row."""
        server = objects.Instance.get_by_id(self.admin, self.made().id)
        self.assert_stale(server)

    def test_listed(self) -> None:
        """So does every list."""
        made = self.made()
        every = objects.InstanceList
        for found in (
            every.get_all(self.admin),
            every.get_by_filters(self.admin, {"uuid": made.uuid}),
            every.get_by_filters(
                self.admin, {"uuid": made.uuid}, sort_keys=["uuid"]
            ),
            every.get_by_host(self.admin, "host1"),
            every.get_by_host_and_node(self.admin, "host1", "node1"),
            every.get_by_host_and_not_type(self.admin, "host1", 99),
            every.get_active_by_window_joined(
                self.admin, WINDOW, project_id="project"
            ),
        ):
            [server] = found
            self.other(server, vm_state="active", task_state=None)
            self.assert_stale(server)
            self.other(server, vm_state="active", task_state=None)

    def test_sent(self) -> None:
        """An object that was sent believes what it did before."""
        server = self.read(self.made())
        sent = self.sent(server)
        self.assertEqual(("active", None), self.seen(sent))
        self.assert_stale(sent)

    def test_sent_dirty(self) -> None:
        """Also where its states were changed before it was sent, twice."""
        server = self.read(self.made())
        server.task_state = "rebuilding"
        sent = self.sent(self.sent(server))
        self.assertEqual(("active", None), self.seen(sent))
        self.other(server, vm_state="stopped", task_state=None)
        self.assert_refused(sent)
        self.assertIsNone(sent.task_state)

    def test_sent_in_a_list(self) -> None:
        """So do those in a list that was sent."""
        made = self.made()
        servers = objects.InstanceList.get_all(self.admin)
        servers[0].task_state = "rebuilding"
        [sent] = self.sent(servers)
        self.assertEqual(made.uuid, sent.uuid)
        self.assertEqual(("active", None), self.seen(sent))

    def test_sent_by_nova_alone(self) -> None:
        """What Nova alone sends is believed in its clean fields only."""
        server = self.read(self.made())
        server.task_state = "rebuilding"
        primitive = server.obj_to_primitive()
        del primitive[belief.KEY]
        sent = objects.Instance.obj_from_primitive(primitive, self.admin)
        self.assertIsNone(self.seen(sent))
        self.assertEqual("active", belief.of(sent).vm_state)
        late = sent.obj_clone()
        sent.save()
        self.assertEqual(("active", "rebuilding"), self.row(server))
        self.other(server, vm_state="stopped", task_state=None)
        self.assert_refused(late)
        self.assertEqual(("stopped", None), self.row(server))

    def test_garbage_sent(self) -> None:
        """Nonsense beside the fields is no belief and no error."""
        server = self.read(self.made())
        server.task_state = "rebuilding"
        primitive = server.obj_to_primitive()
        for said in (
            None,
            7,
            "x",
            [],
            {"seen": 5},
            {"seen": {"task_state": 5, "host": "x"}},
            {"seen": {"task_state": ["a"]}, "writer": 9},
        ):
            primitive[belief.KEY] = said
            sent = objects.Instance.obj_from_primitive(primitive, self.admin)
            self.assertIsNone(self.seen(sent), said)

    def test_copied(self) -> None:
        """A copy believes what the original did, and each goes its way."""
        server = self.read(self.made())
        server.task_state = "rebuilding"
        for made in (server.obj_clone(), copy.deepcopy(server)):
            self.assertEqual(("active", None), self.seen(made))
            made.task_state = "pausing"
            self.assertEqual(("active", None), self.seen(made))
        server.save()
        self.assertEqual(("active", "rebuilding"), self.seen(server))
        self.assert_refused(made)

    def test_copied_clean(self) -> None:
        """So does a copy of an object that nobody has changed."""
        server = self.read(self.made()).obj_clone()
        self.assertEqual(("active", None), self.seen(server))
        self.assert_stale(server)

    def test_refreshed(self) -> None:
        """A refresh is a new belief, and forgets what was dirty."""
        server = self.read(self.made())
        server.task_state = "rebuilding"
        self.other(server, vm_state="stopped")
        server.refresh()
        self.assertEqual(("stopped", None), self.seen(server))
        server.task_state = "powering-on"
        server.save()
        self.assertEqual(("stopped", "powering-on"), self.row(server))

    def test_saved(self) -> None:
        """A save is a new belief, in what it wrote and what it found."""
        server = self.read(self.made())
        self.other(server, vm_state="stopped")
        server.progress = 3
        server.save()
        self.assertEqual(("stopped", None), self.seen(server))

    def test_made_by_hand(self) -> None:
        """One made by hand has no belief, and the map decides alone."""
        made = self.made("stopped", None)
        server = objects.Instance(
            self.admin, uuid=made.uuid, task_state="powering-on"
        )
        server.obj_reset_changes(["uuid"])
        self.assertIsNone(self.seen(server))
        server.save()
        self.assertEqual(("stopped", "powering-on"), self.row(made))

    def test_made_by_hand_over_a_delete(self) -> None:
        """And the map refuses what no action does."""
        made = self.made("building", "deleting")
        server = objects.Instance(
            self.admin, uuid=made.uuid, vm_state="active", task_state=None
        )
        server.obj_reset_changes(["uuid"])
        self.assert_refused(server)
        self.assertEqual(("building", "deleting"), self.row(made))
        server.save()
        self.assertEqual(("building", "deleting"), self.row(made))

    def test_lazily_loaded(self) -> None:
        """What a lazy load brings along was read, and is not to be written."""
        made = self.made()
        server = objects.Instance(self.admin, uuid=made.uuid)
        server.obj_reset_changes(["uuid"])
        self.assertEqual("host1", server.host)
        self.assertEqual(("active", None), self.seen(server))
        self.other(made, task_state="deleting")
        server.progress = 3
        server.save()
        self.assertEqual(("active", "deleting"), self.row(made))

    def test_lazily_loaded_beside_a_change(self) -> None:
        """A state that was set before the lazy load stays what is written."""
        made = self.made()
        server = objects.Instance(self.admin, uuid=made.uuid)
        server.obj_reset_changes(["uuid"])
        server.task_state = "rebuilding"
        self.assertEqual("host1", server.host)
        self.assertEqual("rebuilding", server.task_state)
        self.assertEqual("active", belief.of(server).vm_state)
        server.save()
        self.assertEqual(("active", "rebuilding"), self.row(made))

    def test_lazily_loaded_relation(self) -> None:
        """The load of something else leaves a belief as it is."""
        server = self.read(self.made())
        self.other(server, vm_state="stopped")
        self.assertEqual({"s": "1"}, server.system_metadata)
        self.assertEqual("fake_flavor", server.flavor.name)
        self.assertEqual(("active", None), self.seen(server))

    def test_subclass(self) -> None:
        """A class that takes the place of Instance is guarded as that is."""

        @objects_base.NovaObjectRegistry.register
        class Instance(instance_objects.Instance):  # type: ignore[misc]
            VERSION = "2.99"

        registry = objects_base.NovaObjectRegistry.obj_classes()
        self.addCleanup(registry["Instance"].remove, Instance)
        self.addCleanup(
            setattr, objects, "Instance", instance_objects.Instance
        )
        made = self.made()
        server = Instance.get_by_uuid(self.admin, made.uuid)
        self.assertIs(Instance, type(server))
        server.task_state = "rebuilding"
        self.assertEqual(("active", None), self.seen(server))
        self.assertEqual(("active", None), self.seen(self.sent(server)))
        self.other(made, vm_state="stopped")
        self.assert_refused(server)
        self.assertIsNone(server.task_state)


class Replicas(instances.Case):
    """What comes from a replica may be old, and is no belief."""

    def every_reader(self, made: Any) -> list[Any]:
        """Read with everything that may ask a replica."""
        every = objects.InstanceList
        return [
            self.read(made, use_slave=True),
            objects.Instance.get_by_uuid(self.admin, made.uuid, [], True),
            *every.get_by_filters(
                self.admin, {"uuid": made.uuid}, use_slave=True
            ),
            *every.get_by_host(self.admin, "host1", use_slave=True),
            *every.get_by_host(self.admin, "host1", None, True),
            *every.get_active_by_window_joined(
                self.admin,
                WINDOW,
                project_id="project",
                use_slave=True,
            ),
        ]

    def test_replica(self) -> None:
        """The map decides alone: a stale object may be right all the same."""
        made = self.made()
        servers = self.every_reader(made)
        self.assertEqual(6, len(servers))
        for server in servers:
            self.assertIsNone(self.seen(server))
            self.other(made, vm_state="stopped", task_state=None)
            server.task_state = "rebuilding"
            server.save()
            self.assertEqual(("stopped", "rebuilding"), self.row(made))

    def test_over_a_delete(self) -> None:
        """And it refuses what no action does."""
        made = self.made()
        for server in self.every_reader(made):
            self.other(made, task_state="deleting")
            server.task_state = "rebuilding"
            self.assert_refused(server)
            self.assertEqual(("active", "deleting"), self.row(made))

    def test_copied_and_sent(self) -> None:
        """A copy, and what was sent, is as old."""
        server = self.read(self.made(), use_slave=True)
        self.assertIsNone(self.seen(server.obj_clone()))
        sent = objects.Instance.obj_from_primitive(
            server.obj_to_primitive(), self.admin
        )
        self.assertIsNone(self.seen(sent))

    def test_refreshed(self) -> None:
        """A refresh from the database itself is a belief again."""
        server = self.read(self.made(), use_slave=True)
        server.refresh()
        self.assertEqual(("active", None), self.seen(server))
        server.refresh(use_slave=True)
        self.assertIsNone(self.seen(server))
        server.refresh(False)
        self.assertEqual(("active", None), self.seen(server))

    def test_saved(self) -> None:
        """So is what a save gave back."""
        server = self.read(self.made(), use_slave=True)
        server.progress = 3
        server.save()
        self.assertEqual(("active", None), self.seen(server))

    def test_saved_nothing(self) -> None:
        """A save that had nothing to write gave nothing back."""
        made = self.made()
        server = self.read(made, use_slave=True)
        self.other(made, vm_state="stopped")
        server.save()
        self.assertIsNone(self.seen(server))
        server.task_state = "rebuilding"
        server.save()
        self.assertEqual(("stopped", "rebuilding"), self.row(made))
