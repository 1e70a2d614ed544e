# SPDX-License-Identifier: Apache-2.0
"""Races of a resize into another cell, of its confirm and of its revert."""

from typing import Any

from nova import exception
from nova.policies import base as base_policies
from nova.policies import servers as servers_policies

from tests.nova_side import queued


class CrossCell(queued.Queued):
    """A server on ``host1`` in ``cell1``, and ``host2`` in ``cell2``."""

    NUMBER_OF_CELLS = 2

    def setUp(self) -> None:
        """Boot the server."""
        super().setUp()
        self.policy.set_rules(
            {servers_policies.CROSS_CELL_RESIZE: base_policies.RULE_ADMIN_API},
            overwrite=False,
        )
        self.uuid = self.boot()

    def start_computes(self) -> None:
        """Start one nova-compute in each cell."""
        self._start_compute("host1", cell_name="cell1")
        self._start_compute("host2", cell_name="cell2")

    def row_in(self, cell: str) -> dict[str, Any]:
        """Read the row of a cell; empty where there is none."""
        base = queued.base
        with base.nova_context.target_cell(
            self.admin, self.cell_mappings[cell]
        ) as cctxt:
            engine = base.main_db.get_engine(context=cctxt)
        with engine.connect() as connection:
            found = connection.execute(
                base.sa.text("SELECT * FROM instances WHERE uuid = :uuid"),
                {"uuid": self.uuid},
            ).mappings()
            return dict(found.first() or {})

    def states_in(self, cell: str) -> tuple[Any, Any]:
        """Read both states of the row of a cell."""
        row = self.row_in(cell)
        return row.get("vm_state"), row.get("task_state")

    def resize(self) -> int:
        """Ask for the resize, and let it be made; the HTTP status."""
        flavor = self.admin_api.get_flavors()[1]["id"]
        status = self.ask(self.uuid, "resize", {"flavorRef": flavor})
        self.casts.deliver()
        return status

    def resized(self) -> None:
        """Resize it."""
        self.resize()
        self.assertEqual([], self.casts.failed)
        self.assertEqual(("resized", None), self.states_in("cell2"))
        self.assertEqual(
            ("active", "resize_migrated"), self.states_in("cell1")
        )


class Resize(CrossCell):
    """Races of the resize."""

    def test_confirm_without_a_race(self) -> None:
        """Resizes and confirms, and all that it writes is accepted."""
        self.resized()
        self.assertEqual(queued.ACCEPTED, self.ask(self.uuid, "confirmResize"))
        self.casts.deliver()
        self.assertEqual({}, self.row_in("cell1"))
        self.assertEqual(("active", None), self.states_in("cell2"))
        self.assertEqual([], self.refused(self.uuid))

    def test_revert_without_a_race(self) -> None:
        """Resizes and reverts, and all that it writes is accepted."""
        self.resized()
        self.assertEqual(queued.ACCEPTED, self.ask(self.uuid, "revertResize"))
        self.casts.deliver()
        self.assertEqual(("active", None), self.states_in("cell1"))
        self.assertEqual({}, self.row_in("cell2"))
        self.assertEqual([], self.refused(self.uuid))

    def test_delete_without_a_race(self) -> None:
        """Deletes what was resized into another cell."""
        self.resized()
        self.assertEqual(queued.ACCEPTED, self.delete(self.uuid))
        self.casts.deliver()
        self.assertEqual({}, self.row_in("cell1"))
        self.assertNotEqual(0, self.row_in("cell2")["deleted"])
        self.assertEqual([], self.refused(self.uuid))

    def test_spawn_fails_without_a_race(self) -> None:
        """Gives up the target's row where the guest cannot be built."""
        self.when(self.driver("host2"), "spawn", _fails)
        self.resize()
        self.assertEqual(("error", None), self.states_in("cell1"))
        self.assertEqual({}, self.row_in("cell2"))
        self.assertEqual([], self.refused(self.uuid))
        [(_, why)] = self.casts.failed
        self.assertIn("it fails", why, "MASKED")

    def test_refused_spawn_without_a_race(self) -> None:
        """Gives up the target's row where the driver builds no such guest."""

        def refuse(*args: Any, **kwargs: Any) -> None:
            # What drivers raise for a guest that they cannot build.
            raise NotImplementedError

        self.when(self.driver("host2"), "spawn", refuse)
        self.resize()
        self.assertEqual({}, self.row_in("cell2"), "TARGET ROW LEFT")
        self.assertEqual([], self.refused(self.uuid))

    def test_snapshot_fails_without_a_race(self) -> None:
        """Gives up the target's row where the source cannot be saved."""
        self.when(self.driver("host1"), "snapshot", _fails)
        self.resize()
        self.assertIsNone(self.states_in("cell1")[1])
        self.assertEqual({}, self.row_in("cell2"))
        self.assertEqual([], self.refused(self.uuid))

    def test_deleted_before_resize_migrating(self) -> None:
        """Keeps a delete that came before the source is touched."""
        saved = self.count(self.driver("host1"), "snapshot")
        self.when_saving(self.delete, task_state="resize_migrating")
        self._deleted()
        self.assertEqual([], saved)

    def test_deleted_during_the_snapshot(self) -> None:
        """Keeps a delete that came while the source is saved."""
        self.when(self.driver("host1"), "snapshot", self.deleting(self.uuid))
        self._deleted()

    def test_deleted_during_a_snapshot_that_fails(self) -> None:
        """Keeps a delete where the source cannot be saved."""
        self._deleted_in("host1", "snapshot", ValueError("it fails"))

    def test_deleted_during_a_spawn_that_fails(self) -> None:
        """Keeps a delete where the guest cannot be built."""
        self._deleted_in("host2", "spawn", ValueError("it fails"))

    def test_deleted_during_a_spawn_that_is_refused(self) -> None:
        """Keeps a delete where the driver cannot build such a guest."""
        self._deleted_in("host2", "spawn", NotImplementedError())

    def _deleted_in(self, host: str, name: str, error: Exception) -> None:
        delete = self.deleting(self.uuid)

        def fail(*args: Any, **kwargs: Any) -> None:
            delete()
            raise error

        self.when(self.driver(host), name, fail)
        self._deleted()

    def _deleted(self) -> None:
        self.resize()
        self.assert_not_overwritten(self.uuid)
        self.assertNotEqual(0, self.row_in("cell1")["deleted"])
        self.assertEqual({}, self.row_in("cell2"), "TARGET ROW LEFT")


class Resized(CrossCell):
    """Races of a server that waits for its confirm or its revert."""

    def setUp(self) -> None:
        """Resize it."""
        super().setUp()
        self.resized()

    def test_deleted_during_a_revert(self) -> None:
        """Keeps a delete that came while the target is given up."""
        self.when(self.driver("host2"), "destroy", self._accepted)
        self.ask(self.uuid, "revertResize")
        self.casts.deliver()
        self.assert_not_overwritten(self.uuid)
        # The user sees the row of the source already.
        self.assertEqual("deleting", self.states_in("cell1")[1])

    def test_deleted_during_a_revert_that_fails(self) -> None:
        """Keeps a delete where the target cannot be given up."""

        def fail(*args: Any, **kwargs: Any) -> None:
            self._accepted()
            _fails()

        self.when(self.driver("host2"), "destroy", fail)
        self.ask(self.uuid, "revertResize")
        self.casts.deliver()
        self.assert_not_overwritten(self.uuid)
        self.assertEqual("deleting", self.states_in("cell1")[1])

    def test_deleted_during_a_confirm_that_fails(self) -> None:
        """Keeps a delete where the source cannot be given up."""

        def fail(*args: Any, **kwargs: Any) -> None:
            self._accepted()
            raise exception.HypervisorUnavailable(host="host1")

        self.when(self.driver("host1"), "cleanup", fail)
        self.ask(self.uuid, "confirmResize")
        self.casts.deliver()
        self.assert_not_overwritten(self.uuid)
        self.assertEqual("deleting", self.states_in("cell2")[1])

    def test_revert_that_a_delete_was_faster_than(self) -> None:
        """Refuses a revert that a delete was faster than."""
        self.when_saving(self.delete_accepted, task_state="resize_reverting")
        self.assertEqual(queued.CONFLICT, self.ask(self.uuid, "revertResize"))
        self.assertEqual(("resized", "deleting"), self.states_in("cell2"))

    def _accepted(self, *args: Any, **kwargs: Any) -> None:
        self.delete_accepted(self.uuid)


def _fails(*args: Any, **kwargs: Any) -> None:
    raise ValueError("it fails")
