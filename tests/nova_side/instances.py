# SPDX-License-Identifier: Apache-2.0
"""Servers in Nova's database, objects of them, and a second writer."""

from typing import Any

from nova import context as nova_context
from nova import exception
from nova import objects
from nova import test
from nova.db.main import api as main_db
from nova.objects import base as objects_base
from nova.tests.unit import fake_flavor
import sqlalchemy as sa

from nova_db_states.nova import belief


def change(context: Any, uuid: str, **values: Any) -> None:
    """Change a row by plain SQL, whatever it is."""
    assigned = ", ".join(f"{name} = :{name}" for name in values)
    with main_db.get_context_manager(context).writer.using(context) as session:
        session.execute(
            sa.text(f"UPDATE instances SET {assigned} WHERE uuid = :uuid"),
            {**values, "uuid": uuid},
        )


class Case(test.TestCase):
    """A server in the database, and a second writer."""

    def setUp(self) -> None:
        """Make nothing yet."""
        super().setUp()
        self.admin = nova_context.get_admin_context()

    def made(
        self, vm_state: str | None = "active", task_state: str | None = None
    ) -> Any:
        """Create a server through the object, which is given."""
        server = objects.Instance(
            self.admin,
            project_id="project",
            user_id="user",
            vm_state=vm_state,
            task_state=task_state,
            host="host1",
            node="node1",
            compute_id=1,
            instance_type_id=1,
            metadata={"m": "1"},
            system_metadata={"s": "1"},
            flavor=fake_flavor.fake_flavor_obj(self.admin),
        )
        server.create()
        return server

    def read(self, server: Any, *attributes: str, **kwargs: Any) -> Any:
        """Read a server into an object of its own."""
        return objects.Instance.get_by_uuid(
            self.admin, server.uuid, expected_attrs=[*attributes], **kwargs
        )

    def sent(self, thing: Any) -> Any:
        """Send an object as Nova's RPC does."""
        serializer = objects_base.NovaObjectSerializer()
        return serializer.deserialize_entity(
            self.admin, serializer.serialize_entity(self.admin, thing)
        )

    def other(self, server: Any, **values: Any) -> None:
        """Let somebody else have changed the row, whatever it was."""
        change(self.admin, server.uuid, **values)

    def row(self, server: Any) -> tuple[str | None, str | None]:
        """Give the states that the database has."""
        with main_db.get_context_manager(self.admin).writer.using(
            self.admin
        ) as session:
            found = session.execute(
                sa.text(
                    "SELECT vm_state, task_state FROM instances "
                    "WHERE uuid = :uuid"
                ),
                {"uuid": server.uuid},
            ).one()
        return found[0], found[1]

    def kept_elsewhere(self, server: Any) -> dict[str, Any]:
        """Give what ``instance_extra`` has of a server."""
        with main_db.get_context_manager(self.admin).writer.using(
            self.admin
        ) as session:
            found = session.execute(
                sa.text(
                    "SELECT * FROM instance_extra WHERE instance_uuid = :uuid"
                ),
                {"uuid": server.uuid},
            ).one()
        return dict(found._mapping)

    def seen(self, server: Any) -> tuple[str | None, str | None] | None:
        """Say what an object believes."""
        return belief.of(server).pair

    def assert_refused(self, server: Any, **expected: Any) -> Exception:
        """Assert that a save is refused; give the refusal."""
        refusal: Exception = self.assertRaises(
            exception.UnexpectedTaskStateError, server.save, **expected
        )
        return refusal

    def assert_stale(self, server: Any) -> None:
        """Assert that an object's save is compared with what it saw.

        The row has meanwhile gone on to where the map, asked alone, would let
        this write happen.
        """
        self.other(server, vm_state="stopped", task_state=None)
        server.task_state = "rebuilding"
        self.assert_refused(server)
        self.assertEqual(("stopped", None), self.row(server))
