# SPDX-License-Identifier: Apache-2.0
"""The state that is judged is the one that the write itself finds.

These are tests of the plugin, which has to be active.
"""

from collections.abc import Callable
from typing import Any

from nova import exception
from nova.db.main import api as main_db
import sqlalchemy as sa

from tests.nova_side import instances


class Between(instances.Case):
    """Somebody else writes at the last moment before the write."""

    def at_the_last_moment(self, server: Any, **values: Any) -> list[str]:
        """Let the next update of a server find another state.

        It comes in the same transaction, behind the back of whoever has read
        before, and so goes with it when that is rolled back.
        """
        came: list[str] = []
        engine = main_db.get_engine()

        def before(
            connection: Any, cursor: Any, statement: str, *_: Any
        ) -> None:
            del connection
            if came or not statement.startswith("UPDATE instances "):
                return
            came.append(statement)
            settings = ", ".join(
                f"{name} = '{value}'" for name, value in values.items()
            )
            cursor.execute(
                f"UPDATE instances SET {settings} WHERE uuid = '{server.uuid}'"
            )

        event = (engine, "before_cursor_execute", before)
        sa.event.listen(*event)
        self.addCleanup(sa.event.remove, *event)
        return came

    def assert_late(self, server: Any, write: Callable[[], Any]) -> None:
        """Assert that a write is refused for a delete that comes then."""
        came = self.at_the_last_moment(server, task_state="deleting")
        self.assertRaises(exception.UnexpectedDeletingTaskStateError, write)
        self.assertEqual(1, len(came))

    def test_save(self) -> None:
        """A save that believes something else is refused."""
        server = self.read(self.made("building", "networking"))
        server.task_state = "block_device_mapping"
        self.assert_late(server, server.save)

    def test_save_with_expectation(self) -> None:
        """So is one that expects something else."""
        server = self.read(self.made("building", "networking"))
        server.task_state = "block_device_mapping"
        self.assert_late(
            server, lambda: server.save(expected_task_state=["networking"])
        )

    def test_made_by_hand(self) -> None:
        """So is a write that nobody but the map judges."""
        server = self.made("building", "spawning")
        self.assert_late(
            server,
            lambda: main_db.instance_update(
                self.admin,
                server.uuid,
                {"vm_state": "active", "task_state": None},
            ),
        )

    def test_and_get_original(self) -> None:
        """So is one that gives back what was there."""
        server = self.made("building", "spawning")
        self.assert_late(
            server,
            lambda: main_db.instance_update_and_get_original(
                self.admin,
                server.uuid,
                {"vm_state": "active", "task_state": None},
                expected={"task_state": ["spawning"]},
            ),
        )

    def test_metadata(self) -> None:
        """So is one of metadata, which stays as it was."""
        server = self.made("active", None)
        self.assert_late(
            server,
            lambda: main_db.instance_update(
                self.admin,
                server.uuid,
                {"metadata": {"m": "2"}, "progress": 1},
                expected={"task_state": [None]},
            ),
        )
        self.assertEqual({"m": "1"}, self.read(server, "metadata").metadata)
