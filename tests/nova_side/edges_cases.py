# SPDX-License-Identifier: Apache-2.0
"""Edges of the contract: odd values, open transactions, what is told.

These are tests of the plugin, which has to be active.
"""

from typing import Any

from nova import exception
from nova import objects
from nova.db.main import api as main_db
from nova.db.main import models
import sqlalchemy as sa

from nova_db_states.nova import conflicts
from tests.nova_side import contract
from tests.nova_side import instances

JOINS: tuple[list[str] | None, ...] = (
    None,
    ["metadata", "system_metadata", "info_cache", "security_groups"],
    ["extra"],
)

ADDRESSES: tuple[dict[str, Any], ...] = (
    {"access_ip_v6": "FE80:0000:0000::0001"},
    {"access_ip_v6": "2001:DB8::1", "task_state": "rebuilding"},
    {"access_ip_v6": "::ffff:10.0.0.1", "access_ip_v4": "10.0.0.1"},
    {"access_ip_v6": "not an address"},
    {"access_ip_v6": None, "access_ip_v4": ""},
)

UNEXPECTED: tuple[
    tuple[tuple[str | None, str | None], dict[str, Any]], ...
] = (
    (("active", "deleting"), {"task_state": [None]}),
    (("active", "deleting"), {"task_state": "spawning"}),
    (("active", "deleting"), {"vm_state": "stopped"}),
    (
        ("active", "deleting"),
        {"vm_state": ["stopped"], "task_state": ["pausing"]},
    ),
    (("active", None), {"task_state": "spawning"}),
    (("active", None), {"host": "elsewhere"}),
    (("active", None), {"host": "elsewhere", "task_state": ["pausing"]}),
    (("building", "spawning"), {"task_state": (None, "networking")}),
    (("deleted", None), {"vm_state": "active"}),
    (("soft-delete", None), {"task_state": ["restoring"]}),
    ((None, None), {"vm_state": "active"}),
    (("odd", "odd"), {"task_state": [None]}),
)
"""States of a row, and expectations that do not hold of it."""

WRITES: tuple[dict[str, Any], ...] = (
    {"task_state": "rebuilding"},
    {"vm_state": "active", "task_state": None},
    {"task_state": "deleting"},
    {"progress": 5},
)


class Values(contract.Case):
    """Values that a column makes something else of."""

    def differing(self, values: dict[str, Any]) -> list[Any]:
        """List where a function makes something else of them than Nova's."""
        found: list[Any] = []
        for name in contract.FUNCTIONS:
            for joins in JOINS[: 1 if name == "instance_update" else None]:
                arguments = {} if joins is None else {"columns_to_join": joins}
                found += self.differs(
                    lambda context, uuid: getattr(main_db, name)(  # noqa: B023 - called at once
                        context,
                        uuid,
                        values,
                        **arguments,  # noqa: B023 - called at once
                    )
                )
        return found

    def test_addresses(self) -> None:
        """Addresses are kept as Nova keeps them, however they are spelt."""
        for values in ADDRESSES:
            with self.subTest(values=values):
                differing = self.differing(values)
                kept = [one for one in differing if one[0].startswith("/row")]
                self.assert_alike(kept, values)

    def test_shortened(self) -> None:
        """An address is kept in small letters and without its zeros."""
        uuid = self.made()
        main_db.instance_update(
            self.admin, uuid, {"access_ip_v6": "2001:DB8:0:0::1"}
        )
        [row] = self.rows(uuid)["instances"]
        self.assertEqual("2001:db8::1", row["access_ip_v6"])

    def test_deleted(self) -> None:
        """A row can be marked as deleted like anything else is written."""
        for values in (
            {"deleted": 99999, "task_state": None},
            {"deleted": 0, "progress": 5},
        ):
            self.assert_alike(self.differing(values), values)


class Told(contract.Case):
    """What a refusal says was expected, and what was there."""

    def refusal(self, name: str, row: Any, values: Any, expected: Any) -> Any:
        """Let a write be refused; give the refusal."""
        vm_state, task_state = row
        uuid = self.made(vm_state=vm_state, task_state=task_state)
        return self.assertRaises(
            exception.InstanceUpdateConflict,
            getattr(main_db, name),
            self.admin,
            uuid,
            values,
            expected=expected,
        )

    def test_expected(self) -> None:
        """It is what the caller named, whatever else is against it."""
        for row, expected in UNEXPECTED:
            for values in WRITES:
                for name in contract.FUNCTIONS:
                    call = (name, row, values, expected)
                    with self.subTest(call=call):
                        ours = self.refusal(*call)
                        with self.nova_alone():
                            alone = self.refusal(*call)
                        self.assert_says(alone, ours)

    def assert_says(self, alone: Any, ours: Any) -> None:
        """Assert that a refusal says all that another one does."""
        # Who handles Nova's exception handles this one.
        self.assertIsInstance(ours, type(alone))
        for what in ("expected", "actual"):
            says = contract.kind(ours.kwargs[what])
            wanted = contract.kind(alone.kwargs[what])
            self.assertEqual(wanted, {name: says.get(name) for name in wanted})

    def test_late_save(self) -> None:
        """A save that a delete was faster than says what it waited for."""
        uuid = self.made(vm_state="building", task_state="spawning")
        server = objects.Instance.get_by_uuid(self.admin, uuid)
        main_db.instance_update(self.admin, uuid, {"task_state": "deleting"})
        server.vm_state, server.task_state = "active", None
        error = self.assertRaises(
            exception.UnexpectedDeletingTaskStateError,
            server.save,
            expected_task_state="spawning",
        )
        self.assertEqual(
            {"task_state": ["spawning"]}, error.kwargs["expected"]
        )
        self.assertEqual({"task_state": "deleting"}, error.kwargs["actual"])

    def test_without_an_expectation(self) -> None:
        """Where none was named it says from where the write can be made."""
        uuid = self.made(vm_state="building", task_state="spawning")
        server = objects.Instance.get_by_uuid(self.admin, uuid)
        main_db.instance_update(self.admin, uuid, {"task_state": "deleting"})
        server.vm_state, server.task_state = "active", None
        error = self.assertRaises(
            exception.UnexpectedDeletingTaskStateError, server.save
        )
        self.assertEqual(["spawning"], error.kwargs["expected"]["task_state"])
        self.assertEqual("deleting", error.kwargs["actual"]["task_state"])


class Destroy(contract.Case):
    """The end of a row."""

    def writing(self, context: Any) -> Any:
        """Open a transaction that writes."""
        return main_db.get_context_manager(context).writer.using(context)

    def begin(self, session: Any, uuid: str, task_state: str) -> None:
        """Let something have begun, which the session has not seen."""
        session.execute(
            sa.text(
                "UPDATE instances SET task_state = :task WHERE uuid = :uuid"
            ),
            {"uuid": uuid, "task": task_state},
        )

    def test_without_an_object(self) -> None:
        """Who names a server is not asked what he has seen of it."""
        host = main_db.constraint(host=main_db.equal_any("host1"))
        nowhere = main_db.constraint(host=main_db.equal_any(None))
        for arguments in (
            {},
            {"hard_delete": True},
            {"constraint": host},
            {"constraint": nowhere},
        ):
            with self.subTest(arguments=arguments):
                differs = self.differs(
                    lambda context, uuid: main_db.instance_destroy(
                        context,
                        uuid,
                        **arguments,  # noqa: B023 - called at once
                    ),
                    task_state="rebuilding",
                )
                self.assert_alike(differs, arguments)

    def test_in_a_transaction(self) -> None:
        """An open transaction that has the row makes no difference."""

        def call(context: Any, uuid: str) -> Any:
            with self.writing(context) as session:
                loaded = (
                    session.query(models.Instance).filter_by(uuid=uuid).one()
                )
                server = objects.Instance.get_by_uuid(context, uuid)
                server.destroy()
                return [loaded.uuid, bool(server.deleted)]

        self.assert_alike(self.differs(call))
        self.assert_alike(self.differs(call, task_state="deleting"))

    def test_refused_in_a_transaction(self) -> None:
        """A refusal there tells the states, and not of a changed host."""
        uuid = self.made()
        with self.writing(self.admin) as session:
            loaded = session.query(models.Instance).filter_by(uuid=uuid).one()
            server = objects.Instance.get_by_uuid(self.admin, uuid)
            self.begin(session, uuid, "rebuilding")
            self.assertIsNone(loaded.task_state)
            error = self.assertRaises(
                exception.UnexpectedTaskStateError, server.destroy
            )
        self.assertEqual("rebuilding", error.kwargs["actual"]["task_state"])
        [line] = [
            line
            for line in self.stdlog.logger.output.splitlines()
            if conflicts.MARK in line
        ]
        self.assertIn('"outcome": "refused"', line)
        [row] = self.rows(uuid)["instances"]
        self.assertEqual(
            (0, "rebuilding"), (row["deleted"], row["task_state"])
        )


class Reader(instances.Case):
    """Saves of nothing inside of a transaction that only reads."""

    def reading(self) -> Any:
        """Open one."""
        return main_db.get_context_manager(self.admin).reader.using(self.admin)

    def test_expectation_that_holds(self) -> None:
        """An expectation is looked at, and the object is as it was."""
        server = self.made()
        with self.reading():
            mine = self.read(server)
            mine.save(expected_task_state=[None])
            mine.save(expected_vm_state="active")
        self.assertEqual(set(), mine.obj_what_changed())
        self.assertEqual(("active", None), self.row(server))

    def test_expectation_that_does_not_hold(self) -> None:
        """One that does not hold is refused there as well."""
        server = self.made("active", "pausing")
        with self.reading():
            mine = self.read(server)
            self.assert_refused(mine, expected_task_state=[None])
