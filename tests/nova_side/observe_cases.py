# SPDX-License-Identifier: Apache-2.0
"""In the mode observe Nova does what it does, and the harm is counted.

These are tests of the plugin, which has to be active.
"""

from collections.abc import Callable
import json
from typing import Any

from nova import context as nova_context
from nova import exception
from nova import objects
from nova.scheduler import utils
from nova.tests import fixtures as nova_fixtures

from nova_db_states.nova import conflicts
from nova_db_states.nova import counters
from tests.nova_side import contract
from tests.nova_side import instances

_Call = Callable[[Any, str], Any]


class Observing(contract.Case):
    """Calls in the mode observe, compared with Nova's own."""

    def setUp(self) -> None:
        """Refuse nothing, and hear the notifications."""
        super().setUp()
        self.set_mode("observe")
        self.heard = self.useFixture(nova_fixtures.NotificationFixture(self))

    def set_mode(self, mode: str) -> None:
        """Change the mode, as a reload of the configuration does."""
        self.mode = mode
        self.flags(mode=mode, group="nova_db_states")

    def overtaken(
        self, write: Callable[[Any], Any], **meanwhile: Any
    ) -> _Call:
        """Give a call that writes after the row has changed.

        :param write: is called with the object
        :param meanwhile: what has changed since the object was read
        """

        def call(context: Any, uuid: str) -> Any:
            server = objects.Instance.get_by_uuid(context, uuid)
            instances.change(self.admin, uuid, **meanwhile)
            write(server)
            return [server.vm_state, server.task_state, server.host]

        return call

    def counted(self, call: _Call, **values: Any) -> tuple[int, int]:
        """Assert that a call does what Nova alone does.

        :returns: how much was observed, and how much was refused
        """
        before = counters.snapshot()
        self.assert_alike(self.differs(call, **values))
        after = counters.snapshot()
        return (
            after["observed"] - before["observed"],
            after["refused"] - before["refused"],
        )

    def assert_only_counted(self, call: _Call, **values: Any) -> None:
        """Assert that a call is let through, which enforce refuses."""
        self.assertEqual((1, 0), self.counted(call, **values))
        context, uuid = nova_context.get_admin_context(), self.made(**values)
        self.set_mode("enforce")
        self.assertRaises(
            exception.UnexpectedTaskStateError, call, context, uuid
        )

    def assert_passed(self, call: _Call, **values: Any) -> None:
        """Assert that a call is let through, and that enforce does so too."""
        self.assertEqual((0, 0), self.counted(call, **values))
        context, uuid = nova_context.get_admin_context(), self.made(**values)
        self.set_mode("enforce")
        call(context, uuid)


def _save(**values: Any) -> Callable[[Any], None]:
    """Give what saves an object with some values."""

    def save(server: Any) -> None:
        for name, value in values.items():
            setattr(server, name, value)
        server.save()

    return save


_GIVEN_UP = _save(
    vm_state="error", task_state=None, expected_task_state="migrating"
)
"""As set_vm_state_and_notify does for a live migration."""


class Saves(Observing):
    """Saves that plain Nova makes, and that do harm."""

    def test_stale(self) -> None:
        """A state is written over another one."""
        self.assert_only_counted(
            self.overtaken(
                _save(task_state="rebuilding"), task_state="deleting"
            )
        )

    def test_host_under_a_delete(self) -> None:
        """A server that is being deleted is taken to another host."""
        self.assert_only_counted(
            self.overtaken(_save(host="host2"), task_state="deleting")
        )

    def test_idle_expectation(self) -> None:
        """An expectation is not looked at where nothing is written."""
        self.assert_only_counted(
            self.overtaken(
                lambda server: server.save(expected_task_state=[None]),
                task_state="deleting",
            )
        )

    def test_idle_expectation_of_vm_state(self) -> None:
        """Neither is one on ``vm_state``."""
        self.assert_only_counted(
            self.overtaken(
                lambda server: server.save(expected_vm_state="active"),
                vm_state="stopped",
            )
        )

    def test_idle_expectation_that_holds(self) -> None:
        """One that holds is nothing to speak of."""
        self.assert_passed(
            self.overtaken(
                lambda server: server.save(expected_task_state=[None]),
                progress=7,
            )
        )

    def test_expectation_among_the_values(self) -> None:
        """One that was put among the values is no expectation."""
        self.assert_only_counted(
            self.overtaken(
                _GIVEN_UP,
                progress=7,
            )
        )

    def test_expectation_among_the_values_that_holds(self) -> None:
        """One that holds there is nothing to speak of either."""
        self.assert_passed(
            self.overtaken(
                _GIVEN_UP,
                progress=7,
            ),
            task_state="migrating",
        )

    def test_reclaim_of_what_was_restored(self) -> None:
        """A reclaim says that a server is deleted which was restored."""
        self.assert_only_counted(
            self.overtaken(
                _save(vm_state="deleted", task_state=None),
                vm_state="active",
            ),
            vm_state="soft-delete",
        )

    def test_destroy(self) -> None:
        """The row of a server is destroyed that something else began with."""
        self.assert_only_counted(
            self.overtaken(
                lambda server: server.destroy(), task_state="rebuilding"
            )
        )

    def test_without_a_race(self) -> None:
        """Who writes what nobody has changed is not counted."""
        self.assert_passed(
            self.overtaken(_save(task_state="rebuilding"), progress=7)
        )

    def test_set_to_what_it_was(self) -> None:
        """Who says again what he saw writes it, as in plain Nova.

        Enforce leaves such columns out and refuses nothing.
        """
        self.assert_passed(
            self.overtaken(
                _save(vm_state="active", task_state=None),
                vm_state="building",
                task_state="spawning",
            )
        )


class Refusals(Observing):
    """What Nova itself refuses."""

    def refused(
        self, expected: dict[str, Any], **meanwhile: Any
    ) -> tuple[Exception, Any]:
        """Let a save be refused; give the refusal and the object."""
        server = objects.Instance.get_by_uuid(self.admin, self.made())
        instances.change(self.admin, server.uuid, **meanwhile)
        server.task_state = "rebuilding"
        error: Exception = self.assertRaises(
            exception.InstanceUpdateConflict, server.save, **expected
        )
        return error, server

    def test_expectation(self) -> None:
        """An expectation is kept, and what Nova refuses is not counted."""
        call = self.overtaken(
            lambda server: _expecting(server, expected_task_state=[None]),
            task_state="deleting",
        )
        self.assertEqual((0, 0), self.counted(call))

    def test_expectation_of_vm_state(self) -> None:
        """One on ``vm_state`` is refused with Nova's own exception."""
        error, _ = self.refused(
            {"expected_vm_state": "active"}, vm_state="stopped"
        )
        self.assertIs(exception.InstanceUpdateConflict, type(error))

    def test_object(self) -> None:
        """The object is left as Nova leaves it."""
        _, server = self.refused(
            {"expected_task_state": [None]}, task_state="pausing"
        )
        self.assertEqual("rebuilding", server.task_state)
        self.assertEqual({"task_state"}, server.obj_what_changed())


def _expecting(server: Any, **expected: Any) -> None:
    server.task_state = "rebuilding"
    server.save(**expected)


class Told(Observing):
    """What is told of it."""

    def fail(self, context: Any, uuid: str) -> Any:
        """Do what nova-conductor does when a migration failed."""
        try:
            raise exception.NoValidHost(reason="none")  # noqa: TRY301 - as there
        except exception.NoValidHost as error:
            utils.set_vm_state_and_notify(
                context,
                uuid,
                "compute_task",
                "migrate_server",
                {
                    "vm_state": "error",
                    "task_state": None,
                    "expected_task_state": "migrating",
                },
                error,
                {"instance_properties": {"uuid": uuid}},
            )
        fault = objects.InstanceFault.get_latest_for_instance(context, uuid)
        return fault.message

    def test_failure(self) -> None:
        """A failure is written, kept as a fault and notified, as in Nova."""
        self.assertEqual((1, 0), self.counted(self.fail))
        types = [one.event_type for one in self.heard.notifications]
        self.assertEqual(2, types.count("compute_task.migrate_server"))

    def test_line(self) -> None:
        """Each time there is a line with who wrote what over what."""
        call = self.overtaken(
            _save(task_state="rebuilding"), task_state="deleting"
        )
        uuid = self.made()
        call(nova_context.get_admin_context(), uuid)
        [line] = [
            line.partition(conflicts.MARK)[2]
            for line in self.stdlog.logger.output.splitlines()
            if conflicts.MARK in line
        ]
        facts = json.loads(line)
        self.assertEqual("observed", facts["outcome"])
        self.assertEqual(uuid, facts["instance"])
        self.assertEqual(["active", "deleting"], facts["from"])
        self.assertEqual(["active", "rebuilding"], facts["to"])
        self.assertEqual(["active", None], facts["believed"])
