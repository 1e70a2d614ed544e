# SPDX-License-Identifier: Apache-2.0
"""What a save writes, and what one that was refused leaves behind.

These are tests of the plugin, which has to be active.
"""

import threading
from typing import Any

from nova import exception
from nova import objects
from nova.network import model as network_model

from tests.nova_side import instances

PORT = "b3c4fc4c-2f5e-4b53-9d9d-4d3b6f7f5a11"
EXTRA = ("numa_topology", "pci_requests", "migration_context", "keypairs")


class Refusals(instances.Case):
    """What a refused save leaves behind."""

    def refused(self, *attributes: str, **dirty: Any) -> Any:
        """Make an object whose save is refused for a delete."""
        made = self.made("building", "networking")
        server = self.read(made, *attributes)
        self.other(made, task_state="deleting")
        server.task_state = "block_device_mapping"
        for name, value in dirty.items():
            setattr(server, name, value)
        return server

    def test_rolled_back(self) -> None:
        """The states are what they were, and clean; the rest stays dirty."""
        server = self.refused(vm_state="active", progress=4)
        self.assertRaises(
            exception.UnexpectedDeletingTaskStateError, server.save
        )
        self.assertEqual("building", server.vm_state)
        self.assertEqual("networking", server.task_state)
        self.assertEqual({"progress"}, server.obj_what_changed())
        self.assertEqual(4, server.progress)

    def test_next_save(self) -> None:
        """No later save writes what was refused, and it writes the rest."""
        server = self.refused(progress=4)
        self.assert_refused(server)
        server.save()
        self.assertEqual(("building", "deleting"), self.row(server))
        self.assertEqual(4, self.read(server).progress)
        self.assertEqual("deleting", server.task_state)

    def test_expected(self) -> None:
        """A refusal of Nova's own expectation is rolled back as well."""
        server = self.refused()
        self.assert_refused(server, expected_task_state=["networking"])
        self.assertEqual(set(), server.obj_what_changed())
        server.save()
        self.assertEqual(("building", "deleting"), self.row(server))

    def test_handler(self) -> None:
        """The handler of an error does not write it either."""
        server = self.refused()
        try:
            server.save()
        except exception.UnexpectedDeletingTaskStateError:
            server.progress = 0
            server.save()
        self.assertEqual(("building", "deleting"), self.row(server))

    def test_again(self) -> None:
        """Who tries the same again is refused again."""
        server = self.refused()
        self.assert_refused(server)
        server.task_state = "block_device_mapping"
        self.assert_refused(server)
        self.assertEqual(("building", "deleting"), self.row(server))

    def test_without_belief(self) -> None:
        """Without a belief, what was refused is no belief afterwards."""
        made = self.made("building", "deleting")
        server = objects.Instance(
            self.admin, uuid=made.uuid, vm_state="active", task_state=None
        )
        self.assert_refused(server)
        self.assertIsNone(self.seen(server))
        self.assertNotIn("vm_state", server.obj_what_changed())
        self.assertNotIn("task_state", server.obj_what_changed())

    def test_sent_back(self) -> None:
        """What was rolled back stays so when the object is sent."""
        server = self.refused()
        self.assert_refused(server)
        sent = objects.Instance.obj_from_primitive(
            server.obj_to_primitive(), self.admin
        )
        self.assertEqual(("building", "networking"), self.seen(sent))
        sent.save()
        self.assertEqual(("building", "deleting"), self.row(server))

    def test_metadata(self) -> None:
        """Metadata is not written by a refused save."""
        server = self.refused("metadata", "system_metadata")
        server.metadata["m"] = "2"
        server.system_metadata["s"] = "2"
        self.assert_refused(server)
        after = self.read(server, "metadata", "system_metadata")
        self.assertEqual({"m": "1"}, after.metadata)
        self.assertEqual({"s": "1"}, after.system_metadata)


class Elsewhere(instances.Case):
    """What a save writes to other tables than that of the servers."""

    def changed(self, server: Any) -> None:
        """Change a field of each kind."""
        server.numa_topology = objects.InstanceNUMATopology(
            cells=[
                objects.InstanceNUMACell(
                    id=0, cpuset={0}, pcpuset=set(), memory=512
                )
            ]
        )
        server.pci_requests = objects.InstancePCIRequests(
            instance_uuid=server.uuid,
            requests=[
                objects.InstancePCIRequest(
                    count=1, spec=[{"vendor_id": "1"}], request_id=None
                )
            ],
        )
        server.migration_context = objects.MigrationContext(
            instance_uuid=server.uuid,
            migration_id=7,
            new_numa_topology=None,
            old_numa_topology=None,
            new_pci_devices=None,
            old_pci_devices=None,
            new_pci_requests=None,
            old_pci_requests=None,
            new_resources=None,
            old_resources=None,
        )
        server.keypairs = objects.KeyPairList(
            objects=[
                objects.KeyPair(
                    name="key", type="ssh", public_key="k", user_id="user"
                )
            ]
        )
        server.flavor.memory_mb = 4321
        server.info_cache.network_info = network_model.NetworkInfo(
            [network_model.VIF(id=PORT)]
        )

    def cache(self, server: Any) -> list[Any]:
        """Read the ports that the database has."""
        found = objects.InstanceInfoCache.get_by_instance_uuid(
            self.admin, server.uuid
        )
        return [vif["id"] for vif in found.network_info or ()]

    def server(self) -> Any:
        """Make an object with all of that loaded."""
        made = self.made("building", "networking")
        return self.read(made, "flavor", "info_cache", *EXTRA)

    def test_refused(self) -> None:
        """A refused save writes none of them, and all of them stay dirty."""
        server = self.server()
        before = self.kept_elsewhere(server)
        self.changed(server)
        self.other(server, task_state="deleting")
        server.task_state = "block_device_mapping"
        self.assert_refused(server)
        self.assertEqual(before, self.kept_elsewhere(server))
        self.assertEqual([], self.cache(server))
        server.save()
        self.assert_written(server)

    def test_refused_with_expectation(self) -> None:
        """So does one that Nova's own expectation refused."""
        server = self.server()
        before = self.kept_elsewhere(server)
        self.changed(server)
        self.other(server, task_state="deleting")
        self.assert_refused(server, expected_task_state=["networking"])
        self.assertEqual(before, self.kept_elsewhere(server))
        self.assertEqual([], self.cache(server))

    def test_accepted(self) -> None:
        """One that is accepted writes all of them."""
        server = self.server()
        self.changed(server)
        server.task_state = "block_device_mapping"
        server.save()
        self.assertEqual(
            ("building", "block_device_mapping"), self.row(server)
        )
        self.assert_written(server)
        self.assertNotIn("info_cache", server.obj_what_changed())
        self.assertNotIn("task_state", server.obj_what_changed())

    def test_without_a_state(self) -> None:
        """So does one that writes no state."""
        server = self.server()
        self.changed(server)
        server.save()
        self.assert_written(server)

    def assert_written(self, server: Any) -> None:
        """Assert that the database has what ``changed`` has changed."""
        after = self.read(server, "flavor", *EXTRA)
        self.assertEqual({0}, after.numa_topology.cells[0].cpuset)
        self.assertEqual(1, len(after.pci_requests.requests))
        self.assertEqual(7, after.migration_context.migration_id)
        self.assertEqual("key", after.keypairs[0].name)
        self.assertEqual(4321, after.flavor.memory_mb)
        self.assertEqual([PORT], self.cache(server))


class Saves(instances.Case):
    """Saves of all kinds."""

    def test_equal_and_different(self) -> None:
        """Of two states the one that is there already is guarded as well."""
        server = self.read(self.made("active", None))
        server.vm_state = "active"
        server.task_state = "rebuilding"
        self.assertEqual(("active", None), self.seen(server))
        self.other(server, vm_state="stopped")
        self.assert_refused(server)
        self.assertEqual(("stopped", None), self.row(server))

    def test_only_equal(self) -> None:
        """A state set to what it was does not bring it back."""
        server = self.read(self.made("active", None))
        self.other(server, task_state="deleting")
        server.vm_state = "active"
        server.task_state = None
        server.progress = 5
        server.save()
        self.assertEqual(("active", "deleting"), self.row(server))
        self.assertEqual(5, self.read(server).progress)

    def test_there_and_back(self) -> None:
        """What was changed and changed back is as if it had not been."""
        server = self.read(self.made("active", None))
        server.task_state = "rebuilding"
        server.task_state = None
        self.other(server, task_state="deleting")
        server.save()
        self.assertEqual(("active", "deleting"), self.row(server))

    def test_changed_twice(self) -> None:
        """The belief is what was seen, not what was written in between."""
        server = self.read(self.made("active", None))
        server.task_state = "rebuilding"
        server.task_state = "pausing"
        self.assertEqual(("active", None), self.seen(server))
        server.save()
        self.assertEqual(("active", "pausing"), self.row(server))

    def test_expected_none(self) -> None:
        """An expectation of None is none, so the belief is what guards."""
        server = self.read(self.made("active", None))
        self.other(server, vm_state="stopped")
        server.task_state = "rebuilding"
        self.assert_refused(server, expected_task_state=None)

    def test_nothing_changed(self) -> None:
        """An expectation is looked at also where nothing is to be written."""
        server = self.read(self.made("active", None))
        server.save(expected_task_state=[None])
        self.other(server, task_state="deleting")
        self.assertRaises(
            exception.UnexpectedDeletingTaskStateError,
            server.save,
            expected_task_state=[None],
        )
        server.save()

    def test_nothing_changed_vm_state(self) -> None:
        """That on ``vm_state`` too, and both of them."""
        server = self.read(self.made("active", None))
        server.save(expected_vm_state=["active"], expected_task_state=[None])
        self.assert_refused(server, expected_vm_state="stopped")
        self.assert_refused(
            server,
            expected_vm_state=("stopped", "error"),
            expected_task_state=[None],
        )

    def test_nothing_changed_and_gone(self) -> None:
        """Of a row that is gone it stays the nothing that it was."""
        server = self.read(self.made("active", None))
        self.read(server).destroy()
        server.save(expected_task_state=["spawning"])

    def test_gone(self) -> None:
        """A change of a row that is gone is of a server that is not there."""
        server = self.read(self.made("active", None))
        self.read(server).destroy()
        server.task_state = "rebuilding"
        self.assertRaises(exception.InstanceNotFound, server.save)

    def test_chain(self) -> None:
        """One object may go through a whole action."""
        server = self.made("building", "scheduling")
        for vm_state, task_state, expected in (
            ("building", None, ["scheduling", None]),
            ("building", "networking", [None]),
            ("building", "block_device_mapping", None),
            ("building", "spawning", ["block_device_mapping"]),
            ("active", None, ["spawning"]),
        ):
            server.vm_state = vm_state
            server.task_state = task_state
            server.save(expected_task_state=expected)
            self.assertEqual((vm_state, task_state), self.row(server))

    def test_threads(self) -> None:
        """Threads that share an object write no state that is refused."""
        server = self.read(self.made("active", None), "metadata")
        self.other(server, task_state="deleting")
        barrier = threading.Barrier(3)
        outcomes: list[str] = []

        def write(state: str) -> None:
            barrier.wait()
            try:
                server.task_state = state
                server.save()
            except exception.UnexpectedTaskStateError:
                outcomes.append("refused")
            except Exception as error:  # noqa: BLE001 - what it is, is told
                outcomes.append(repr(error))
            else:
                outcomes.append("nothing to write")

        threads = [
            threading.Thread(target=write, args=(state,))
            for state in ("rebuilding", "pausing", "suspending")
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(("active", "deleting"), self.row(server))
        self.assertEqual(3, len(outcomes))
        self.assertLessEqual({*outcomes}, {"refused", "nothing to write"})
