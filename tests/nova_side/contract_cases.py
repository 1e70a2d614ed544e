# SPDX-License-Identifier: Apache-2.0
"""The functions of the DB API do what Nova's own do, argument by argument."""

from collections.abc import Callable
import datetime
from typing import Any

from nova import conf
from nova import context as nova_context
from nova.db.main import api as main_db
import sqlalchemy as sa

from tests.nova_side import contract

UTC = datetime.UTC
MISSING = "00000000-0000-4000-8000-000000000000"
JOINS: tuple[list[str] | None, ...] = (
    None,
    [],
    ["metadata"],
    ["system_metadata"],
    ["info_cache"],
    ["security_groups"],
    ["metadata", "system_metadata", "info_cache", "security_groups"],
    ["pci_devices"],
    ["tags"],
    ["services"],
    ["extra"],
    ["extra", "extra.flavor"],
    ["extra.flavor", "extra.numa_topology", "system_metadata"],
    ["tags", "services", "metadata", "info_cache"],
    ["nonsense"],
)

VALUES: tuple[dict[str, Any], ...] = (
    {},
    {"progress": 5},
    {"progress": None},
    {"task_state": "rebuilding"},
    {"vm_state": "error", "task_state": None},
    {"task_state": "rebuilding", "host": "host2"},
    {"host": None, "node": None, "compute_id": None},
    {"cleaned": 1, "locked": True, "hidden": False},
    {"metadata": {"m1": "9", "m3": "3"}},
    {"metadata": {}},
    {"metadata": None},
    {"system_metadata": {"s1": "9", "s3": None}},
    {"system_metadata": {}},
    {"metadata": {"a": "b"}, "system_metadata": {"c": "d"}, "progress": 1},
    {"launched_at": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)},
    {"launched_at": "2026-01-02T03:04:05.678900"},
    {"terminated_at": datetime.datetime(2026, 1, 2, 3, 4, 5, 999999)},
    {"updated_at": datetime.datetime(2026, 1, 2, 3, 4, 5, 600000)},
    {"updated_at": None},
    {"access_ip_v4": "10.0.0.1", "access_ip_v6": "fe80::1"},
    {"display_name": "n\u00e4me", "user_data": "x" * 5000},
    {"display_name": "", "hostname": "somewhere"},
    {"display_name": 'quo\'te "double" back\\slash\n\t\x01 %s :x'},
    {"nonsense": 1},
    {"vm_state": "never heard of"},
)

EXPECTED: tuple[dict[str, Any], ...] = (
    {"task_state": None},
    {"task_state": [None]},
    {"task_state": (None, "rebuilding")},
    {"task_state": {None, "rebuilding"}},
    {"task_state": frozenset({None})},
    {"task_state": []},
    {"task_state": "rebuilding"},
    {"task_state": ["rebuilding", "pausing"]},
    {"vm_state": "active"},
    {"vm_state": ["stopped"]},
    {"vm_state": None},
    {"vm_state": "active", "task_state": "rebuilding"},
    {"vm_state": "stopped", "task_state": None},
    {"vm_state": "stopped", "task_state": "rebuilding"},
    {"host": "host1"},
    {"host": ["host2", None]},
    {"host": None},
    {"progress": 3},
    {"progress": [None]},
    {"project_id": ["project"], "locked": False},
    {"nonsense": 1},
)


class Values(contract.Case):
    """What is written, and what is given back."""

    def test_values(self) -> None:
        """Every kind of value is written and given back as by Nova."""
        for values in VALUES:
            for name in contract.FUNCTIONS:
                with self.subTest(values=values, function=name):
                    self.compare(name, values)

    def test_joins(self) -> None:
        """Every join gives the same, before and after."""
        for joins in JOINS:
            with self.subTest(joins=joins):
                self.compare(
                    "instance_update_and_get_original",
                    {"task_state": "rebuilding"},
                    columns_to_join=joins,
                )

    def test_joins_of_what_is_written(self) -> None:
        """Metadata that is joined is given back as it was and as it is."""
        for joins in JOINS:
            values = {
                name: {f"{name[0]}1": "9"}
                for name in ("metadata", "system_metadata")
                if joins is None or name in joins
            }
            with self.subTest(joins=joins):
                self.compare(
                    "instance_update_and_get_original",
                    {"vm_state": "error", **values},
                    columns_to_join=joins,
                )

    def test_metadata_that_is_not_joined(self) -> None:
        """Metadata is what it shall be, where Nova alone doubles its keys."""
        uuid = self.made()
        main_db.instance_update_and_get_original(
            self.admin,
            uuid,
            {"metadata": {"m1": "9"}, "system_metadata": {}},
            columns_to_join=[],
        )
        rows = self.rows(uuid)
        self.assertEqual(
            [("m1", "9")],
            [
                (row["key"], row["value"])
                for row in rows["instance_metadata"]
                if not row["deleted"]
            ],
        )
        self.assertEqual([], rows["instance_system_metadata"])

    def test_what_is_stored(self) -> None:
        """What is given back has the types of its columns."""
        before, after = main_db.instance_update_and_get_original(
            self.admin, self.made(), {"progress": "7", "locked": 1}
        )
        self.assertIsNone(before.progress)
        self.assertEqual((7, True), (after.progress, after.locked))
        self.assertEqual(
            str(self.rows(after.uuid)["instances"][0]["updated_at"]),
            str(after.updated_at),
        )

    def test_without_a_cache(self) -> None:
        """An instance without an info cache has its old values too."""
        for name in contract.FUNCTIONS:
            differs = self.differs(
                lambda context, uuid: getattr(main_db, name)(  # noqa: B023
                    context, uuid, {"task_state": "rebuilding"}
                ),
                cache=False,
            )
            self.assert_alike(differs)

    def test_arguments_stay(self) -> None:
        """What a caller hands in is as it was afterwards."""
        values = {
            "task_state": "rebuilding",
            "expected_task_state": [None],
            "metadata": {"a": "b"},
            "access_ip_v4": "10.0.0.1",
        }
        joins = ["metadata"]
        expected = {"vm_state": "active"}
        for name in contract.FUNCTIONS:
            given = {**values}
            arguments: dict[str, Any] = {"expected": expected}
            if "original" in name:
                arguments["columns_to_join"] = joins
            getattr(main_db, name)(self.admin, self.made(), given, **arguments)
            self.assertEqual(values, given)
            self.assertEqual({"vm_state": "active"}, expected)
            self.assertEqual(["metadata"], joins)

    def test_unique_names(self) -> None:
        """A name that has to be unique is refused where it is taken."""
        conf.CONF.set_override(
            "osapi_compute_unique_server_name_scope", "global"
        )
        self.made(hostname="taken")
        for hostname in ("Taken", "taken", "free"):
            for name in contract.FUNCTIONS:
                differs = self.differs(self.renamed(name, hostname))
                self.assert_alike(differs)

    def renamed(self, name: str, hostname: str) -> Callable[..., Any]:
        """Rename, and back, so that the next one finds it free."""

        def call(context: Any, uuid: str) -> Any:
            try:
                return getattr(main_db, name)(
                    context, uuid, {"hostname": hostname}
                )
            finally:
                with main_db.get_context_manager(self.admin).writer.using(
                    self.admin
                ) as session:
                    session.execute(
                        sa.text(
                            "UPDATE instances SET hostname = NULL "
                            "WHERE uuid = :uuid"
                        ),
                        {"uuid": uuid},
                    )

        return call

    def compare(
        self, name: str, values: dict[str, Any], **arguments: Any
    ) -> None:
        """Assert that a call comes to the same both ways."""
        differs = self.differs(
            lambda context, uuid: getattr(main_db, name)(
                context, uuid, values, **arguments
            )
        )
        self.assert_alike(differs, name, values, arguments)


class Expectations(contract.Case):
    """What is refused, and how."""

    def test_expected(self) -> None:
        """Every kind of expectation is judged as by Nova."""
        for expected in EXPECTED:
            for values in ({"progress": 5}, {"task_state": "rebuilding"}):
                for name in contract.FUNCTIONS:
                    with self.subTest(expected=expected, function=name):
                        differs = self.differs(
                            lambda context, uuid: getattr(main_db, name)(  # noqa: B023
                                context,
                                uuid,
                                values,  # noqa: B023
                                expected=expected,  # noqa: B023
                            )
                        )
                        self.assert_alike(differs)

    def test_expected_of_a_delete(self) -> None:
        """What is being deleted is told apart."""
        for expected in (
            {"task_state": None},
            {"vm_state": "stopped"},
            {"vm_state": "stopped", "task_state": [None]},
        ):
            for name in contract.FUNCTIONS:
                differs = self.differs(
                    lambda context, uuid: getattr(main_db, name)(  # noqa: B023
                        context,
                        uuid,
                        {"progress": 1},
                        expected=expected,  # noqa: B023
                    ),
                    task_state="deleting",
                )
                self.assert_alike(differs)

    def test_expected_among_the_values(self) -> None:
        """So is one that is among the values, as ``save`` has it."""
        for expected in (
            {"expected_task_state": None},
            {"expected_task_state": "rebuilding"},
            {"expected_task_state": (None, "pausing")},
            {"expected_vm_state": ["active"]},
            {"expected_vm_state": "stopped", "expected_task_state": [None]},
        ):
            for name in contract.FUNCTIONS:
                for more in (None, {"task_state": "rebuilding"}):
                    differs = self.differs(
                        lambda context, uuid: getattr(main_db, name)(  # noqa: B023
                            context,
                            uuid,
                            {"task_state": "rebuilding", **expected},  # noqa: B023
                            expected=more,  # noqa: B023
                        )
                    )
                    self.assert_alike(differs, (expected, name, more))


class Contexts(contract.Case):
    """Who may see which row."""

    def test_read_deleted(self) -> None:
        """Deleted rows are there for those who ask for them."""
        for read_deleted in ("no", "yes", "only"):
            for is_deleted in (False, True):
                for name in contract.FUNCTIONS:
                    with self.subTest(
                        read_deleted=read_deleted, is_deleted=is_deleted
                    ):
                        self.assert_alike(
                            self.differs(
                                lambda context, uuid: getattr(main_db, name)(  # noqa: B023
                                    context,
                                    uuid,
                                    {"progress": 5},
                                    expected={"vm_state": "active"},
                                ),
                                context=lambda: nova_context.get_admin_context(
                                    read_deleted=read_deleted  # noqa: B023
                                ),
                                prepare=(self.delete if is_deleted else None),
                            ),
                        )

    def delete(self, uuid: str) -> None:
        """Mark a row as deleted."""
        with main_db.get_context_manager(self.admin).writer.using(
            self.admin
        ) as session:
            session.execute(
                sa.text("UPDATE instances SET deleted = id WHERE uuid = :u"),
                {"u": uuid},
            )

    def test_projects(self) -> None:
        """Users change what is of their project, and see nothing else."""
        for project in ("project", "another"):
            for name in contract.FUNCTIONS:
                for values in ({"progress": 5}, {"metadata": {"x": "y"}}):
                    differs = self.differs(
                        lambda context, uuid: getattr(main_db, name)(  # noqa: B023
                            context,
                            uuid,
                            values,  # noqa: B023
                            expected={"vm_state": ["active"]},
                        ),
                        context=lambda: nova_context.RequestContext(
                            user_id="user",
                            project_id=project,  # noqa: B023
                        ),
                    )
                    self.assert_alike(differs, (project, name, values))

    def test_nobody(self) -> None:
        """A context of nobody may do nothing."""
        for name in contract.FUNCTIONS:
            differs = self.differs(
                lambda context, uuid: getattr(main_db, name)(  # noqa: B023
                    context, uuid, {"progress": 5}
                ),
                context=nova_context.RequestContext,
            )
            self.assert_alike(differs)

    def test_keys(self) -> None:
        """A key that is none, or of nothing, is told apart."""
        for key in ("nonsense", "", 7, MISSING, MISSING.replace("-", "")):
            for name in contract.FUNCTIONS:
                differs = self.differs(
                    lambda context, _uuid: getattr(main_db, name)(  # noqa: B023
                        context,
                        key,  # noqa: B023
                        {"progress": 5},
                        expected={"task_state": None},
                    )
                )
                self.assert_alike(differs, key)

    def test_spelling_of_keys(self) -> None:
        """A key in other letters is what the database takes it for."""
        for spelt in (str.upper, lambda uuid: uuid.replace("-", "")):
            for name in contract.FUNCTIONS:
                differs = self.differs(
                    lambda context, uuid: getattr(main_db, name)(  # noqa: B023
                        context,
                        spelt(uuid),  # noqa: B023
                        {"progress": 5},
                    )
                )
                differs = [one for one in differs if "kwargs" not in one[0]]
                self.assert_alike(differs)
