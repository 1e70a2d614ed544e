# SPDX-License-Identifier: Apache-2.0
"""Races of evacuations, and of what conductor does when one fails."""

from typing import Any
from unittest import mock

from nova import exception
from nova.compute import resource_tracker
from nova.conductor import manager as conductor_manager
from nova.conductor.tasks import migrate
from nova.scheduler.client import query

from tests.nova_side import queued


class Evacuating(queued.Queued):
    """A server on ``host1``, which is down."""

    hosts = ("host1", "host2", "host3")
    # To force a host is of old.
    microversion = "2.67"

    def setUp(self) -> None:
        """Boot the server and lose its host."""
        super().setUp()
        self.uuid = self.boot()
        self.kill("host1")

    def boot(self, host: str = "host1", **wanted: Any) -> str:
        """Boot a server on a host."""
        with mock.patch.object(self.admin_api, "microversion", "2.92"):
            return super().boot(host, **wanted)

    def evacuate(self, *args: Any, **kwargs: Any) -> int:
        """Ask for an evacuation; give the HTTP status."""
        return self.ask(self.uuid, "evacuate", {})

    def evacuations(self) -> list[Any]:
        """List the evacuations that were begun."""
        found = self.admin_api.api_get("/os-migrations").body["migrations"]
        return [one for one in found if one["instance_uuid"] == self.uuid]

    def guest_hosts(self) -> list[str]:
        """List the hosts that live and have the guest."""
        return [
            host
            for host in ("host2", "host3")
            if self.uuid in self.driver(host).list_instance_uuids()
        ]


class Evacuate(Evacuating):
    """Races of the claim."""

    def test_evacuation_without_a_race(self) -> None:
        """Evacuates, and all that it writes is accepted."""
        self.assertEqual(queued.ACCEPTED, self.evacuate())
        self.casts.deliver()
        self.assertEqual(("active", None), self.states(self.uuid))
        self.assertEqual(1, len(self.guest_hosts()))
        self.assertEqual([], self.refused(self.uuid))

    def test_one_of_two_at_once_wins(self) -> None:
        """Begins one of two evacuations that are asked for at once."""
        others: list[int] = []
        self.when_saving(
            lambda uuid: others.append(self.evacuate()),
            task_state="rebuilding",
        )
        self.assertEqual(queued.CONFLICT, self.evacuate())
        self.assertEqual([queued.ACCEPTED], others)
        self._one()

    def test_one_of_two_after_each_other_wins(self) -> None:
        """Refuses an evacuation while another is under way."""
        self.assertEqual(queued.ACCEPTED, self.evacuate())
        self.assertEqual(queued.CONFLICT, self.evacuate())
        self._one()

    def _one(self) -> None:
        self.casts.deliver()
        self.assertEqual(1, len(self.evacuations()), "TWO")
        self.assertEqual(1, len(self.guest_hosts()), "TWO GUESTS")
        self.assertEqual(("active", None), self.states(self.uuid))

    def test_stuck_in_powering_off(self) -> None:
        """Evacuates a server that its dead host never switched off."""
        self.other(self.uuid, task_state="powering-off")
        self.assertEqual(queued.ACCEPTED, self.evacuate())
        self.casts.deliver()
        self.assertEqual(("active", None), self.states(self.uuid))

    def test_error(self) -> None:
        """Evacuates a server in error."""
        self.other(self.uuid, vm_state="error")
        self.assertEqual(queued.ACCEPTED, self.evacuate())
        self.casts.deliver()
        self.assertEqual(("active", None), self.states(self.uuid))

    def test_stopped(self) -> None:
        """Evacuates a server that is stopped, and stops it again."""
        self.other(self.uuid, vm_state="stopped", power_state=4)
        self.assertEqual(queued.ACCEPTED, self.evacuate())
        self.casts.deliver()
        self.assertEqual(("stopped", None), self.states(self.uuid))
        self.assertEqual([], self.refused(self.uuid))

    def test_refused_over_a_delete(self) -> None:
        """Refuses to evacuate what is being deleted."""
        self.delete_accepted(self.uuid)
        self.assertEqual(queued.CONFLICT, self.evacuate())
        self.assertEqual(("active", "deleting"), self.states(self.uuid))
        self.assertEqual([], self.evacuations())

    def test_refused_over_a_soft_delete(self) -> None:
        """Refuses to evacuate what is being deleted softly."""
        self.other(self.uuid, task_state="soft-deleting")
        self.assertEqual(queued.CONFLICT, self.evacuate())
        self.assertEqual(("active", "soft-deleting"), self.states(self.uuid))

    def test_deleted_before_the_claim(self) -> None:
        """Refuses an evacuation that a delete was faster than."""
        self.when_saving(self.delete_accepted, task_state="rebuilding")
        self.assertEqual(queued.CONFLICT, self.evacuate())
        self.assert_not_overwritten(self.uuid)

    def test_stopped_before_the_claim(self) -> None:
        """Refuses an evacuation if something else began meanwhile."""
        self.when_saving(
            lambda uuid: self.other(uuid, task_state="powering-off"),
            task_state="rebuilding",
        )
        self.assertEqual(queued.CONFLICT, self.evacuate())


class Failing(Evacuating):
    """A delete while an evacuation goes on, or goes wrong."""

    def deleted_when(self, place: Any, name: str, error: Any = None) -> None:
        """Delete the server, whose host is down, at a point of Nova's."""

        def delete(*args: Any, **kwargs: Any) -> None:
            self.delete_accepted(self.uuid)
            if error is not None:
                raise error

        self.when(place, name, delete)
        self.evacuate()
        self.casts.deliver()
        self.assert_not_overwritten(self.uuid)
        self.assertEqual("deleting", self.states(self.uuid)[1])

    def test_no_valid_host(self) -> None:
        """Keeps a delete where no host is found."""
        self.deleted_when(
            query.SchedulerQueryClient,
            "select_destinations",
            exception.NoValidHost(reason="none is left"),
        )
        [(_, why)] = self.casts.failed
        self.assertIn("No valid host", why, "MASKED")
        [one] = self.evacuations()
        self.assertEqual("error", one["status"])

    def test_allocation_fails(self) -> None:
        """Keeps a delete where a forced host has no room."""
        self._forced(
            exception.AllocationUpdateFailed(
                consumer_uuid=self.uuid, error="no room"
            ),
            "no room",
        )

    def test_forced_host_is_invalid(self) -> None:
        """Keeps a delete where a forced host cannot take the server."""
        self._forced(exception.NoValidHost(reason="none"), "No valid host")

    def _forced(self, error: Exception, text: str) -> None:
        self.evacuate = lambda: self.ask(  # type: ignore[method-assign]
            self.uuid, "evacuate", {"host": "host2", "force": True}
        )
        self.deleted_when(
            conductor_manager.scheduler_utils,
            "claim_resources_on_destination",
            error,
        )
        [(_, why)] = self.casts.failed
        self.assertIn(text, why, "MASKED")
        [one] = self.evacuations()
        self.assertEqual("error", one["status"])

    def test_deleted_before_the_worker_begins(self) -> None:
        """Keeps a delete that came before the worker claims."""
        self.deleted_when(resource_tracker.ResourceTracker, "rebuild_claim")
        self.assertEqual([], self.guest_hosts())

    def test_claim_fails(self) -> None:
        """Keeps a delete where the worker has no room."""
        self.deleted_when(
            resource_tracker.ResourceTracker,
            "rebuild_claim",
            exception.ComputeResourcesUnavailable(reason="none"),
        )

    def test_spawn(self) -> None:
        """Keeps a delete that came while the guest was built."""
        self.deleted_when(self._any_driver(), "spawn")

    def test_spawn_fails(self) -> None:
        """Keeps a delete where the guest cannot be built."""
        self.deleted_when(self._any_driver(), "spawn", ValueError("broken"))

    def _any_driver(self) -> Any:
        return type(self.driver("host2"))


class Migrating(queued.Queued):
    """A server on ``host1``, which goes down while the server migrates."""

    hosts = ("host1", "host2", "host3")

    def setUp(self) -> None:
        """Boot the server."""
        super().setUp()
        self.uuid = self.boot()

    def evacuated_when_it_fails(self, error: Exception) -> None:
        """Let a cold migration fail once an evacuation was accepted."""

        def fail(*args: Any, **kwargs: Any) -> None:
            self.kill("host1")
            status = self.ask(self.uuid, "evacuate", {})
            self.assertEqual(queued.ACCEPTED, status)
            raise error

        self.when(migrate.MigrationTask, "execute", fail)
        self.assertEqual(queued.ACCEPTED, self.ask(self.uuid, "migrate"))
        self.casts.deliver()
        self.assert_reached()
        self.assertNotEqual("host1", self.row(self.uuid)["host"], "STAYED")
        self.assertEqual(("active", None), self.states(self.uuid))

    def test_no_valid_host(self) -> None:
        """Keeps an evacuation where no host is found for a migration."""
        self.evacuated_when_it_fails(exception.NoValidHost(reason="none"))
        [(method, why)] = self.casts.failed
        self.assertEqual("migrate_server", method)
        self.assertIn("No valid host", why, "MASKED")

    def test_conductor_fails(self) -> None:
        """Keeps an evacuation where the conductor fails otherwise."""
        self.evacuated_when_it_fails(ValueError("it fails"))
        [(method, why)] = self.casts.failed
        self.assertEqual("migrate_server", method)
        self.assertIn("it fails", why, "MASKED")
