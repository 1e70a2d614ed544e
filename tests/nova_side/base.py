# SPDX-License-Identifier: Apache-2.0
"""What the scenarios share: real Nova services, a second writer, a history.

A scenario is a test method. It brings Nova's own code to a certain point and
lets somebody else do something there (``when``, ``when_saving``); then it
asserts what should be.
"""

from collections.abc import Callable
import inspect
import os
import sys
import threading
from typing import Any

# The first of Nova that is imported: it decides what threads are, and what
# is imported before it goes on to keep things apart by another kind.
from nova.tests.functional import integrated_helpers  # isort: skip

from nova import conf
from nova import context as nova_context
from nova import objects
from nova import test
from nova.compute import task_states
from nova.db.main import api as main_db
import sqlalchemy as sa

from tests.nova_side import history

_PLUGIN = bool(os.environ.get("NOVA_DB_STATES_CONFORMANCE_PLUGIN"))


def elsewhere(do: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Do something as another process would: in a thread of its own.

    What the running code handles, holds or remembers is not seen there.
    """
    done: list[Any] = []
    failed: list[BaseException] = []

    def body() -> None:
        try:
            done.append(do(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


class Helpers:
    """Points inside Nova, second writers, and what the database has."""

    def set_up_helpers(self: Any) -> None:
        """Begin to watch; to be called in ``setUp``."""
        self.history = history.History()
        self.history.start(self)
        self.points: list[tuple[str, list[Any]]] = []
        self.admin = nova_context.get_admin_context()
        before = _guarded()
        self.addCleanup(self._prove, before)

    def _prove(self: Any, before: int) -> None:
        if _PLUGIN:
            self.assertGreater(_guarded(), before, "nothing was guarded")
        else:
            self.assertNotIn("nova_db_states.nova.counters", sys.modules)

    def when(
        self: Any,
        target: Any,
        name: str,
        do: Callable[..., Any],
        *,
        if_: Callable[..., bool] | None = None,
        after: bool = False,
        times: int = 1,
    ) -> list[Any]:
        """Let something be done at a call of a function inside Nova.

        :param target: the class, object or module that has the function
        :param name: the function
        :param do: called as the function is; an exception of it is the
            function's, which is not called then
        :param if_: called as the function is: whether this is the call
        :param after: whether to do it after the function instead of before
        :param times: at how many calls
        :returns: the calls of ``do``, filled while the test runs
        """
        theirs = getattr(target, name)
        calls: list[Any] = []

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            mine = len(calls) < times and (if_ is None or if_(*args, **kwargs))
            if mine:
                calls.append((args, kwargs))
            if mine and not after:
                do(*args, **kwargs)
            result = theirs(*args, **kwargs)
            if mine and after:
                do(*args, **kwargs)
            return result

        bound = isinstance(
            inspect.getattr_static(target, name), staticmethod | classmethod
        )
        made = staticmethod(wrapped) if bound else wrapped
        self.replace(target, name, made)
        self.points.append((name, calls))
        return calls

    def count(self: Any, target: Any, name: str) -> list[Any]:
        """Note the calls of a function; that there is none is no mistake.

        :returns: the calls, filled while the test runs
        """
        calls = self.when(
            target, name, lambda *args, **kwargs: None, times=1000
        )
        self.points.pop()
        return calls

    def replace(self: Any, target: Any, name: str, new: Any) -> None:
        """Replace an attribute until the test ends."""
        had = name in vars(target)
        own = vars(target).get(name)
        setattr(target, name, new)
        if had:
            self.addCleanup(setattr, target, name, own)
        else:
            self.addCleanup(delattr, target, name)

    def when_saving(
        self: Any,
        do: Callable[[str], Any],
        *,
        after: bool = False,
        **values: Any,
    ) -> list[Any]:
        """Let something be done around the save that writes some values.

        It is done as late as possible: the object has decided what it wants,
        and the database is asked next.

        :param do: called with the server's UUID, elsewhere
        :param after: whether to do it after the write instead of before
        :param values: columns that are to be written
        :returns: the calls of ``do``
        """

        def matches(
            context: Any, uuid: str, new: Any, *args: Any, **kwargs: Any
        ) -> bool:
            del context, uuid, args, kwargs
            return all(
                name in new and new[name] == value
                for name, value in values.items()
            )

        # A wrapped Instance.save would hide who called it.
        return self.when(
            main_db,
            "instance_update_and_get_original",
            lambda context, uuid, *args, **kwargs: elsewhere(do, uuid),
            if_=matches,
            after=after,
        )

    def load(self: Any, uuid: str, **kwargs: Any) -> Any:
        """Read a server anew, as another process would."""
        with nova_context.target_cell(self.admin, self.cell_of(uuid)) as cctxt:
            instance = objects.Instance.get_by_uuid(cctxt, uuid, **kwargs)
            instance._context = nova_context.get_admin_context()
            nova_context.set_target_cell(instance._context, self.cell_of(uuid))
            return instance

    def cell_of(self: Any, uuid: str) -> Any:
        """Give the cell that a server is in."""
        found = objects.InstanceMapping.get_by_instance_uuid(self.admin, uuid)
        return found.cell_mapping or self.cell_mappings["cell1"]

    def other(self: Any, uuid: str, /, **values: Any) -> None:
        """Be another writer: read a server anew and save some values."""

        def write() -> None:
            instance = self.load(uuid)
            for name, value in values.items():
                setattr(instance, name, value)
            instance.save()

        elsewhere(write)

    def delete_accepted(self: Any, uuid: str) -> None:
        """Accept a delete as the API does, without carrying it out."""
        self.other(uuid, progress=0, task_state=task_states.DELETING)

    def row(self: Any, uuid: str) -> dict[str, Any]:
        """Read a server's row by plain SQL, deleted or not."""
        with nova_context.target_cell(self.admin, self.cell_of(uuid)) as cctxt:
            engine = main_db.get_engine(context=cctxt)
        with engine.connect() as connection:
            found = connection.execute(
                sa.text("SELECT * FROM instances WHERE uuid = :uuid"),
                {"uuid": uuid},
            ).mappings()
            return dict(found.one())

    def states(self: Any, uuid: str) -> tuple[str | None, str | None]:
        """Read both states by plain SQL."""
        row = self.row(uuid)
        return row["vm_state"], row["task_state"]

    def assert_reached(self: Any) -> None:
        """Assert that every point of ``when`` was come to."""
        for name, calls in self.points:
            self.assertTrue(calls, f"{name} was not reached")

    def assert_not_overwritten(self: Any, uuid: str) -> None:
        """Assert that no accepted delete of a server was undone."""
        self.assert_reached()
        damage = [
            f"{before} -> {after} by {after.writer}"
            for before, after in self.history.overwritten(uuid)
        ]
        self.assertEqual([], damage, f"OVERWRITTEN: {damage}")


def _guarded() -> int:
    counters = sys.modules.get("nova_db_states.nova.counters")
    return counters.snapshot()["guarded"] if counters else 0


class Objects(Helpers, test.TestCase):  # type: ignore[misc]
    """Scenarios on objects, without services."""

    def setUp(self) -> None:
        """Watch the database."""
        super().setUp()
        self.set_up_helpers()

    def cell_of(self, uuid: str) -> Any:
        """Give the one cell there is."""
        del uuid
        return self.cell_mappings["cell1"]

    def server(
        self, vm_state: str, task_state: str | None, **more: Any
    ) -> Any:
        """Make a server's row in some state."""
        values = {"project_id": "p", "user_id": "u", "host": "compute"}
        with nova_context.target_cell(
            self.admin, self.cell_mappings["cell1"]
        ) as cctxt:
            instance = objects.Instance(
                cctxt,
                vm_state=vm_state,
                task_state=task_state,
                **{**values, **more},
            )
            instance.create()
        return self.load(instance.uuid)


class Services(Helpers, integrated_helpers._IntegratedTestBase):  # type: ignore[misc]
    """Scenarios with Nova's API, conductor, scheduler and computes.

    Casts stay casts: a delete waits for the lock of what is under way, as it
    does where each service is a process.
    """

    REQUIRES_LOCKING = False
    ADMIN_API = True
    CAST_AS_CALL = False
    compute_driver = "fake.MediumFakeDriver"
    microversion = "latest"

    def setUp(self) -> None:
        """Start the services."""
        super().setUp()
        self.set_up_helpers()
        self.manager = self.compute.manager
        self.driver = self.compute.driver

    def delete(self, uuid: str) -> None:
        """Ask the API for a delete, which is carried out when it can be."""
        elsewhere(self.api.delete_server, uuid)

    def assert_gone(self, uuid: str) -> None:
        """Assert that a server ends deleted, and that nothing leaks."""
        self._wait_until_deleted({"id": uuid})
        self.assert_not_overwritten(uuid)
        self.assert_no_leaks(uuid)

    def assert_no_leaks(self, uuid: str) -> None:
        """Assert that nothing is held for a server any more."""
        self.assertEqual({}, self._get_allocations_by_server_uuid(uuid))
        for host, compute in self.computes.items():
            self.assertNotIn(
                uuid, compute.driver.instances, f"guest on {host}"
            )
            tracker = compute.manager.rt
            self.assertNotIn(uuid, tracker.tracked_instances, f"RT of {host}")
            for node in tracker.compute_nodes.values():
                self.assertEqual(0, node.vcpus_used, f"vcpus of {host}")
                self.assertEqual(
                    conf.CONF.reserved_host_memory_mb,
                    node.memory_mb_used,
                    f"memory of {host}",
                )
        ports = [
            port["id"]
            for port in self.neutron.list_ports(is_admin=True, device_id=uuid)[
                "ports"
            ]
        ]
        self.assertEqual([], ports, "ports")
        self.assertEqual([], list(self.cinder.volume_ids_for_instance(uuid)))
