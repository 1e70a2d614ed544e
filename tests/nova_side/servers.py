# SPDX-License-Identifier: Apache-2.0
"""Servers with networks, and a delete that comes at any point of an action."""

from collections.abc import Callable
import contextlib
import itertools
from typing import Any

from nova import conf
from nova import context as nova_context
from nova.db.main import api as main_db
from nova.tests import fixtures as nova_fixtures
import sqlalchemy as sa

from tests.nova_side import queued

_PLACE = frozenset({"vm_state", "task_state", "host", "node"})
_MOST_WRITES = 40
_FAILURE = "it fails"


class Servers(queued.Queued):
    """Scenarios with one host, or with more."""

    hosts = ("host1",)

    def setUp(self) -> None:
        """Follow writes."""
        super().setUp()
        self.cinder = self.useFixture(nova_fixtures.CinderFixture(self))
        # What a service does aside is done within the message: what is asked
        # for meanwhile comes after it, as behind the lock of the server.
        self.useFixture(nova_fixtures.SpawnIsSynchronousFixture())
        self._armed: dict[str, Any] | None = None
        self._watch_writes()

    # Boot, settle, delete

    def request(self, **more: Any) -> str:
        """Ask for a server, and deliver nothing."""
        networks = [{"uuid": self.neutron.network_1["id"]}]
        body = self._build_server(networks=networks) | more
        return str(self.admin_api.post_server({"server": body})["id"])

    def boot(self, host: str = "host1", **wanted: Any) -> str:
        """Boot a server, wait for it and give its UUID."""
        del host
        uuid = self.request(**wanted)
        self.settle()
        self.assertEqual(("active", None), self.states(uuid))
        return uuid

    def settle(self) -> None:
        """Let everything be carried out that was asked for."""
        self.casts.deliver()

    def act(self, uuid: str, action: str, value: Any = None) -> int:
        """Ask for an action and let it be carried out; the HTTP status."""
        status = self.ask(uuid, action, value)
        self.settle()
        return status

    def assert_gone(self, uuid: str) -> None:
        """Assert that a server ends deleted, and that nothing leaks."""
        self.settle()
        super().assert_gone(uuid)
        self.assert_no_leaks(uuid)
        moved = [
            f"{before} -> {after} by {after.writer}"
            for before, after in self.history.stranded(uuid)
        ]
        self.assertEqual([], moved, f"STRANDED: {moved}")

    def assert_no_leaks(self, uuid: str) -> None:
        """Assert that no host, network or volume holds anything for it."""
        for host, compute in self.computes.items():
            tracker = compute.manager.rt
            self.assertNotIn(uuid, tracker.tracked_instances, f"LEAK: {host}")
            for node in tracker.compute_nodes.values():
                self.assertEqual(
                    (0, conf.CONF.reserved_host_memory_mb),
                    (node.vcpus_used, node.memory_mb_used),
                    f"LEAK: vcpus and memory of {host}",
                )
        ports = self.neutron.list_ports(is_admin=True, device_id=uuid)["ports"]
        self.assertEqual([], ports, "LEAK: ports")
        volumes = list(self.cinder.volume_ids_for_instance(uuid))
        self.assertEqual([], volumes, "LEAK: volumes")

    # A delete at the n-th write

    def _watch_writes(self) -> None:
        theirs = main_db.instance_update_and_get_original

        def update(
            context: Any, uuid: str, values: Any, *args: Any, **kw: Any
        ) -> Any:
            armed = self._armed
            if armed and not _PLACE.isdisjoint(values):
                armed["left"] -= 1
                if armed["left"] == 0:
                    self._armed = None
                    armed["at"] = {
                        name: values[name] for name in _PLACE & set(values)
                    }
                    armed["do"](uuid)
            return theirs(context, uuid, values, *args, **kw)

        self.replace(main_db, "instance_update_and_get_original", update)

    @contextlib.contextmanager
    def armed(self, number: int, do: Callable[[str], Any]) -> Any:
        """Let something be done before the n-th write of states or host.

        :param number: from 1
        :param do: called with the server's UUID
        :returns: yields a dict that gets ``at``: what was about to be written
        """
        self._armed = armed = {"left": number, "do": do}
        try:
            yield armed
        finally:
            self._armed = None

    def delete_at_every_write(
        self,
        act: Callable[[str], Any],
        prepare: Callable[[], str] | None = None,
    ) -> list[dict[str, Any]]:
        """Carry out an action again and again, and delete within it.

        First the delete comes before the action's first write of a state or
        a host, then before its second, and so on until there are no more.

        :param act: carries out the action; given the UUID, and what it
            returns is of no matter
        :param prepare: makes a server; a plain boot where it is left out
        :returns: what was about to be written each time
        """
        found: list[dict[str, Any]] = []
        for number in itertools.count(1):
            self.assertLess(number, _MOST_WRITES)
            uuid = (prepare or self.boot)()
            # What the preparation waits for may not come to pass.
            self.points.clear()
            with self.armed(number, self.delete) as armed:
                act(uuid)
                self.settle()
            if "at" not in armed:
                self.delete(uuid)
                self.assert_gone(uuid)
                return found
            found.append(armed["at"])
            try:
                self.assert_gone(uuid)
            except Exception as error:
                raise AssertionError(
                    f"delete before write {number}, {armed['at']}: {error}"
                ) from error
        raise AssertionError

    def fail_under_delete(
        self,
        act: Callable[[str], Any],
        target: Any,
        name: str,
        prepare: Callable[[], str] | None = None,
        *,
        error: Exception | None = None,
        first: Callable[[str], Any] | None = None,
        tells: bool = True,
    ) -> None:
        """Let a delete come, and then a function of an action fail.

        The delete must be kept and carried out, and who failed must hear of
        the failure and not of the delete.

        :param act: carries out the action
        :param target: what has the function
        :param name: the function
        :param prepare: makes a server
        :param error: how it fails
        :param first: what is done before it fails; a delete if left out
        :param tells: whether Nova tells the caller of the failure
        """
        uuid = (prepare or self.boot)()
        self.casts.failed.clear()
        failure = error or ValueError(_FAILURE)

        def fail(*args: Any, **kwargs: Any) -> None:
            (first or self.delete)(uuid)
            raise failure

        self.when(target, name, fail)
        act(uuid)
        self.assert_gone(uuid)
        for method, said in self.casts.failed if tells else ():
            self.assertIn(str(failure), said, f"MASKED in {method}")

    def put(
        self, uuid: str, vm_state: str | None, task_state: str | None
    ) -> None:
        """Put a row into some state by plain SQL."""
        cell = self.cell_of(uuid)
        with nova_context.target_cell(self.admin, cell) as context:
            engine = main_db.get_engine(context=context)
        with engine.begin() as connection:
            connection.execute(
                sa.text(
                    "UPDATE instances SET vm_state = :vm, task_state = :task "
                    "WHERE uuid = :uuid"
                ),
                {"uuid": uuid, "vm": vm_state, "task": task_state},
            )

    def assert_states(
        self, uuid: str, vm_state: str | None, task_state: str | None
    ) -> None:
        """Assert what the row has."""
        self.assert_reached()
        found = self.states(uuid)
        self.assertEqual((vm_state, task_state), found, f"DAMAGE: {found}")

    def assert_accepted(self, uuid: str) -> None:
        """Assert that no write of a server was refused."""
        self.assertEqual([], self.refused(uuid), "REFUSED")

    def unharmed(
        self, act: Callable[[str], Any], *ends: tuple[str, str | None]
    ) -> None:
        """Carry actions out without a race: all their writes are accepted.

        :param act: carries out all actions, one after another
        :param ends: the states after which each ends
        """
        uuid = self.boot()
        act(uuid)
        self.assert_states(uuid, *ends[-1])
        [rows] = self.history.of(uuid)
        pairs = [row.pair for row in rows]
        for end in ends:
            self.assertIn(end, pairs)
        self.assert_accepted(uuid)
        self.delete(uuid)
        self.assert_gone(uuid)
        self.assert_accepted(uuid)
