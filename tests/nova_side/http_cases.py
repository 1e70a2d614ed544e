# SPDX-License-Identifier: Apache-2.0
"""What the user of the API is told when somebody else was faster.

Each request goes through Nova's whole WSGI stack. Between the moment when the
API has read the server and the moment when it claims it, another writer
changes the server.
"""

from typing import Any

from nova import context as nova_context
from nova import exception
from nova import objects
from nova.compute import api as compute_api
from nova.db.main import api as main_db
from nova.tests.functional.api import client
from oslo_messaging._drivers import common as drivers
import sqlalchemy as sa

from tests.nova_side import base

_ACTIONS: dict[str, tuple[str, str, Any]] = {
    "os-stop": ("active", "stop", None),
    "os-start": ("stopped", "start", None),
    "pause": ("active", "pause", None),
    "unpause": ("paused", "unpause", None),
    "suspend": ("active", "suspend", None),
    "resume": ("suspended", "resume", None),
    "reboot": ("active", "reboot", {"type": "SOFT"}),
    "rescue": ("active", "rescue", {}),
    "unrescue": ("rescued", "unrescue", None),
    "shelve": ("active", "shelve", None),
    "shelveOffload": ("shelved", "shelveOffload", None),
    "resize": ("active", "resize", {"flavorRef": "2"}),
    "migrate": ("active", "migrate", None),
    "os-migrateLive": (
        "active",
        "os-migrateLive",
        {"host": None, "block_migration": "auto"},
    ),
    "changePassword": ("active", "changePassword", {"adminPass": "a"}),
    "createImage": ("active", "createImage", {"name": "i"}),
    "createBackup": (
        "active",
        "createBackup",
        {"name": "b", "backup_type": "daily", "rotation": 1},
    ),
    "restore": ("soft-delete", "restore", None),
}
"""Action to the state that it begins in, its name in the message, its body."""


class Requests(base.Services):
    """A server on one host, and a user who comes too late."""

    def setUp(self) -> None:
        """Boot the server."""
        super().setUp()
        made = self._create_server(networks="none")
        self.uuid = str(made["id"])

    def put(self, **values: Any) -> None:
        """Make the row what a scenario begins with."""
        sets = ", ".join(f"{name} = :{name}" for name in values)
        with nova_context.target_cell(
            self.admin, self.cell_of(self.uuid)
        ) as cctxt:
            engine = main_db.get_engine(context=cctxt)
        with engine.begin() as connection:
            connection.execute(
                sa.text(f"UPDATE instances SET {sets} WHERE uuid = :uuid"),
                {**values, "uuid": self.uuid},
            )

    def once_read(self, **values: Any) -> None:
        """Change the row as soon as the API has read it."""
        self.when(
            objects.Instance,
            "get_by_uuid",
            lambda *args, **kwargs: self.put(**values),
            after=True,
        )

    def ask(self, action: str, body: Any) -> tuple[int, str]:
        """Post an action; give the HTTP status and the message."""
        return self._answer(
            self.api.post_server_action, self.uuid, {action: body}
        )

    def delete_it(self) -> tuple[int, str]:
        """Send a DELETE; give the HTTP status and the message."""
        return self._answer(self.api.delete_server, self.uuid)

    def _answer(self, call: Any, *args: Any) -> tuple[int, str]:
        try:
            call(*args)
        except client.OpenStackApiException as error:
            body = error.response.json()
            return error.response.status_code, next(iter(body.values()))[
                "message"
            ]
        return 202, ""

    def assert_conflict(
        self, answer: tuple[int, str], action: str, state: str
    ) -> None:
        """Assert that an answer is Nova's own for a state that is wrong."""
        said = f"Cannot '{action}' instance {self.uuid} while it is in {state}"
        self.assertEqual((409, said), answer)


class Late(Requests):
    """A delete, or an error, came between the look and the claim."""

    def _over_a_delete(self, action: str) -> None:
        vm_state, name, body = _ACTIONS[action]
        self.put(vm_state=vm_state)
        self.once_read(task_state="deleting")
        self.assert_conflict(
            self.ask(action, body), name, "task_state deleting"
        )
        self.assertEqual((vm_state, "deleting"), self.states(self.uuid))
        self.assert_reached()

    def test_over_an_error(self) -> None:
        """Names the vm_state where no task is under way."""
        self.once_read(vm_state="error")
        self.assert_conflict(
            self.ask("suspend", None), "suspend", "vm_state error"
        )
        self.assertEqual(("error", None), self.states(self.uuid))

    def test_over_another_task(self) -> None:
        """Names the task that was claimed before."""
        self.once_read(task_state="powering-off")
        self.assert_conflict(
            self.ask(
                "rebuild",
                {"imageRef": self.glance.auto_disk_config_enabled_image["id"]},
            ),
            "rebuild",
            "task_state powering-off",
        )

    def test_from_elsewhere(self) -> None:
        """Lets whoever is not the API see Nova's own exception."""
        instance = self.load(self.uuid)
        self.put(task_state="deleting")
        self.assertRaises(
            exception.UnexpectedDeletingTaskStateError,
            compute_api.API().stop,
            instance._context,
            instance,
        )


def _over_a_delete(action: str) -> Any:
    def test(self: Late) -> None:
        self._over_a_delete(action)

    test.__doc__ = f"Answers {action} over a delete with 409."
    return test


for _action in _ACTIONS:
    _name = _action.lower().replace("-", "_")
    setattr(Late, f"test_{_name}_over_a_delete", _over_a_delete(_action))


class Deletes(Requests):
    """Deletes that meet deletes."""

    def test_soft_delete_over_a_delete(self) -> None:
        """Refuses a soft delete of what is being deleted for good."""
        self.flags(reclaim_instance_interval=300)
        self.once_read(task_state="deleting")
        self.assert_conflict(self.delete_it(), "delete", "task_state deleting")
        self.assertEqual(("active", "deleting"), self.states(self.uuid))

    def test_delete_during_a_soft_delete(self) -> None:
        """Carries a delete out that finds a soft delete under way."""
        self.put(task_state="soft-deleting")
        self.assertEqual(202, self.delete_it()[0])
        self._wait_until_deleted({"id": self.uuid})

    def test_force_delete_during_a_soft_delete(self) -> None:
        """Carries a forced delete out that finds one under way."""
        self.put(task_state="soft-deleting")
        self.assertEqual(202, self.ask("forceDelete", None)[0])
        self._wait_until_deleted({"id": self.uuid})

    def test_delete_over_a_soft_delete(self) -> None:
        """Carries a delete out that was accepted before the soft delete."""
        self.once_read(task_state="soft-deleting")
        self.assertEqual((202, ""), self.delete_it())
        self._wait_until_deleted({"id": self.uuid})

    def test_delete_twice(self) -> None:
        """Takes a second delete as the first."""
        self.once_read(task_state="deleting")
        self.assertEqual(202, self.delete_it()[0])
        self._wait_until_deleted({"id": self.uuid})

    def test_delete_over_a_task(self) -> None:
        """Takes a delete whatever came between."""
        self.once_read(task_state="powering-off")
        self.assertEqual(202, self.delete_it()[0])
        self._wait_until_deleted({"id": self.uuid})

    def test_delete_of_what_is_gone(self) -> None:
        """Answers a delete as it always did where the row is gone."""
        other = self.load(self.uuid)
        self.when(
            objects.Instance,
            "get_by_uuid",
            lambda *args, **kwargs: base.elsewhere(other.destroy),
            after=True,
        )
        self.assertEqual((202, ""), self.delete_it())

    def test_show_of_what_is_gone(self) -> None:
        """Answers 404 where the server is gone before."""
        self.delete_it()
        self._wait_until_deleted({"id": self.uuid})
        self.assertEqual(404, self.delete_it()[0])

    def test_conflict_from_a_compute_host(self) -> None:
        """Answers 409 also for a conflict that came over RPC."""
        self.put(vm_state="resized")
        error = exception.UnexpectedTaskStateError(
            instance_uuid=self.uuid,
            expected={"task_state": [None]},
            actual={"task_state": "powering-off"},
        )
        sent = drivers.serialize_remote_exception((type(error), error, None))
        received = drivers.deserialize_remote_exception(
            sent, ["nova.exception"]
        )

        def fail(*args: Any, **kwargs: Any) -> None:
            raise received

        self.when(compute_api.API, "_confirm_resize_on_deleting", fail)
        self.assert_conflict(
            self.delete_it(), "delete", "task_state powering-off"
        )


class Evacuations(Requests):
    """Evacuations from a host that is down."""

    def setUp(self) -> None:
        """Let the host be down, and do not carry evacuations out."""
        super().setUp()
        service = self.api.get_services(host="compute", binary="nova-compute")
        self.api.put_service_force_down(service[0]["id"], True)
        # Newer ones want a compute service that is up, whichever.
        self.api.microversion = "2.94"
        self.evacuated: list[Any] = []
        self.replace(
            compute_api.conductor.ComputeTaskAPI,
            "rebuild_instance",
            lambda *args, **kwargs: self.evacuated.append(kwargs),
        )

    def test_over_a_delete(self) -> None:
        """Refuses to evacuate what is being deleted."""
        self.once_read(task_state="deleting")
        self.assert_conflict(
            self.ask("evacuate", {}), "evacuate", "task_state deleting"
        )
        self.assertEqual(("active", "deleting"), self.states(self.uuid))
        self.assertEqual([], self.evacuated)

    def test_of_what_is_being_deleted(self) -> None:
        """Refuses to evacuate what the API saw being deleted."""
        self.put(task_state="deleting")
        self.assert_conflict(
            self.ask("evacuate", {}), "evacuate", "task_state deleting"
        )
        self.assertEqual(("active", "deleting"), self.states(self.uuid))

    def test_twice(self) -> None:
        """Evacuates once where two ask for it."""
        self.once_read(task_state="rebuilding")
        self.assert_conflict(
            self.ask("evacuate", {}), "evacuate", "task_state rebuilding"
        )
        self.assertEqual([], self.evacuated)

    def test_out_of_powering_off(self) -> None:
        """Evacuates a server that its host left in powering-off."""
        self.put(task_state="powering-off")
        self.assertEqual((202, ""), self.ask("evacuate", {}))
        self.assertEqual(("active", "rebuilding"), self.states(self.uuid))
        self.assertEqual(1, len(self.evacuated))
