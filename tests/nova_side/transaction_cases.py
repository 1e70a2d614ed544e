# SPDX-License-Identifier: Apache-2.0
"""The functions of the DB API inside a transaction of their caller."""

from typing import Any

from nova import context as nova_context
from nova import exception
from nova.db.main import api as main_db
from nova.db.main import models

from tests.nova_side import contract


class Given(Exception):
    """What a caller raises to have all undone."""


class Nested(contract.Case):
    """Calls in an open transaction, compared with Nova's own."""

    def writing(self, context: Any) -> Any:
        """Open a transaction that writes."""
        return main_db.get_context_manager(context).writer.using(context)

    def load(self, context: Any, uuid: str) -> Any:
        """Put an instance into the session of a context."""
        return (
            context.session.query(models.Instance).filter_by(uuid=uuid).one()
        )

    def flush(self, context: Any) -> None:
        """Send what was changed: on MySQL Nova alone would forget it."""
        context.session.flush()

    def assert_same(self, call: Any, **arguments: Any) -> None:
        """Assert that it comes to what it comes to in Nova alone."""
        for name in contract.FUNCTIONS:
            update = getattr(main_db, name)
            self.assert_alike(
                self.differs(
                    lambda context, uuid: call(update, context, uuid),  # noqa: B023
                    **arguments,
                ),
                name,
            )

    def test_in_a_transaction(self) -> None:
        """It gives the same, and what is in the session is up to date."""

        def call(update: Any, context: Any, uuid: str) -> Any:
            with self.writing(context):
                loaded = self.load(context, uuid)
                loaded.display_name = "changed by the caller"
                self.flush(context)
                given = update(
                    context,
                    uuid,
                    {"task_state": "rebuilding", "metadata": {"m1": "8"}},
                    expected={"task_state": [None]},
                )
                new = (
                    given
                    if "get_original" not in update.__name__
                    else (given[1])
                )
                return [
                    loaded.task_state,
                    loaded.display_name,
                    loaded is new,
                    new.vm_state,
                    sorted((one.key, one.value) for one in new.metadata),
                    new.tags[0].tag,
                    new.extra.instance_uuid,
                ]

        self.assert_same(lambda *given: repr(call(*given)))

    def test_changed_and_not_sent_yet(self) -> None:
        """What the caller changed in the session before is not forgotten."""
        for name in contract.FUNCTIONS:
            update = getattr(main_db, name)
            context = nova_context.get_admin_context()
            uuid = self.made()
            with self.writing(context):
                self.load(context, uuid).display_name = "changed"
                update(context, uuid, {"task_state": "rebuilding"})
            [row] = self.rows(uuid)["instances"]
            self.assertEqual(
                ("changed", "rebuilding"),
                (row["display_name"], row["task_state"]),
            )

    def test_twice(self) -> None:
        """A second call of the same transaction sees the first."""

        def call(update: Any, context: Any, uuid: str) -> Any:
            with self.writing(context):
                update(context, uuid, {"task_state": "rebuilding"})
                update(
                    context,
                    uuid,
                    {"task_state": None, "progress": 4},
                    expected={"task_state": "rebuilding"},
                )

        self.assert_same(call)

    def test_undone(self) -> None:
        """What the caller undoes is undone, metadata too."""

        def call(update: Any, context: Any, uuid: str) -> Any:
            with self.writing(context):
                update(
                    context,
                    uuid,
                    {"task_state": "rebuilding", "metadata": {"a": "b"}},
                )
                raise Given

        self.assert_same(call)

    def test_refused(self) -> None:
        """A refusal leaves the caller's own writes to the caller."""

        def call(update: Any, context: Any, uuid: str) -> Any:
            with self.writing(context):
                self.load(context, uuid).progress = 77
                try:
                    update(
                        context,
                        uuid,
                        {"task_state": "rebuilding", "metadata": {"a": "b"}},
                        expected={"task_state": ["pausing"]},
                    )
                except exception.UnexpectedTaskStateError as error:
                    return str(error.kwargs["actual"])
                return "passed"

        self.assert_same(call)

    def test_in_a_reader(self) -> None:
        """A transaction that reads cannot be made to write."""

        def call(update: Any, context: Any, uuid: str) -> Any:
            with main_db.get_context_manager(context).reader.using(context):
                update(context, uuid, {"task_state": "rebuilding"})

        self.assert_same(call)

    def test_gone(self) -> None:
        """What the same transaction deleted is not there any more."""

        def call(update: Any, context: Any, uuid: str) -> Any:
            with self.writing(context):
                loaded = self.load(context, uuid)
                loaded.deleted = loaded.id
                self.flush(context)
                update(context, uuid, {"task_state": "rebuilding"})

        self.assert_same(call)
