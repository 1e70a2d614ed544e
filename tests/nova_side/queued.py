# SPDX-License-Identifier: Apache-2.0
"""Whole Nova services in one process, whose casts wait to be delivered.

What a service casts is kept in a queue until the test delivers it, one after
another: so what the user asks for in the middle of an operation is on its
way while that goes on, as it is in a real cloud, and every run takes the same
turns.
"""

from collections.abc import Callable
import pathlib
import sys
from typing import Any

from nova.tests.functional import integrated_helpers
from nova.tests.functional.api import client as api_client
from oslo_messaging.rpc import client as rpc_client

from tests.nova_side import base

ACCEPTED = 202
CONFLICT = 409

_DELIVERY_TIMEOUT_S = 60

_Cast = tuple[Any, Any, dict[str, Any]]


class Queue:
    """The casts that were sent and not delivered.

    :ivar waiting: what was sent, oldest first
    :ivar delivered: the methods that were carried out
    :ivar failed: the methods that ended in an exception, with its text
    :ivar dead: hosts that receive nothing
    """

    def __init__(self) -> None:
        self.waiting: list[_Cast] = []
        self.delivered: list[str] = []
        self.failed: list[tuple[str, str]] = []
        self.dead: set[str] = set()
        self._direct = rpc_client._BaseCallContext.cast

    def send(self, via: Any, context: Any, method: str, **args: Any) -> None:
        """Stand in for ``cast``."""
        if via.target.fanout:
            self._direct(via, context, method, **args)
            return
        # As it is now: what the caller changes later is not in the message.
        message = via._make_message(context, method, args)
        made = via.serializer.serialize_context(context)
        self.waiting.append((via, made, message))

    def methods(self) -> list[str]:
        """Name what waits, oldest first."""
        return [message["method"] for _, _, message in self.waiting]

    def deliver(self, *, last: str = "") -> None:
        """Deliver until nothing waits.

        :param last: the method after which the rest is to wait; empty for
            none
        """
        while (found := self._next()) is not None:
            via, context, message = found
            method = message["method"]
            try:
                via.transport._send(
                    via.target,
                    context,
                    message,
                    wait_for_reply=True,
                    timeout=_DELIVERY_TIMEOUT_S,
                )
            except Exception as error:  # noqa: BLE001 - as of any cast
                self.failed.append((method, str(error)))
            self.delivered.append(method)
            if method == last:
                return

    def _next(self) -> _Cast | None:
        for at, one in enumerate(self.waiting):
            if one[0].target.server not in self.dead:
                return self.waiting.pop(at)
        return None


class Queued(  # type: ignore[misc]
    base.Helpers, integrated_helpers.ProviderUsageBaseTestCase
):
    """Scenarios with API, conductor, scheduler and some computes."""

    compute_driver = "fake.MediumFakeDriver"
    microversion = "2.92"
    hosts: tuple[str, ...] = ("host1", "host2")

    def setUp(self) -> None:
        """Start the services."""
        # Nova's fixtures look for it where its source tree would have it.
        paste = pathlib.Path(sys.prefix, "etc", "nova", "api-paste.ini")
        self.flags(api_paste_config=str(paste), group="wsgi")
        super().setUp()
        self.set_up_helpers()
        self.start_computes()
        self.casts = queue = Queue()

        def cast(via: Any, context: Any, method: str, **args: Any) -> None:
            queue.send(via, context, method, **args)

        self.replace(rpc_client._BaseCallContext, "cast", cast)

    def start_computes(self) -> None:
        """Start nova-compute on every host."""
        for host in self.hosts:
            self._start_compute(host)

    def manager(self, host: str) -> Any:
        """Give the manager of a nova-compute."""
        return self.computes[host].manager

    def driver(self, host: str) -> Any:
        """Give the hypervisor of a host."""
        return self.manager(host).driver

    def kill(self, host: str) -> None:
        """Let a host be down, and seen to be."""
        self.computes[host].stop()
        self.casts.dead.add(host)
        [service] = self.admin_api.get_services(
            binary="nova-compute", host=host
        )
        self.admin_api.put_service(service["id"], {"forced_down": True})

    def boot(self, host: str = "host1", **wanted: Any) -> str:
        """Boot a server on a host and give its UUID."""
        body = self._build_server(networks="none", host=host, **wanted)
        server = self.admin_api.post_server({"server": body})
        self.casts.deliver()
        self._wait_for_state_change(server, "ACTIVE")
        self.casts.deliver()
        uuid: str = server["id"]
        self.assertEqual([], self.casts.failed)
        return uuid

    def sweep(self) -> None:
        """Run what takes away the remains of deleted servers."""
        self.flags(running_deleted_instance_action="reap")
        self.flags(running_deleted_instance_timeout=0)
        for host, service in self.computes.items():
            if host not in self.casts.dead:
                manager = service.manager
                manager._cleanup_running_deleted_instances(self.admin)
                manager.update_available_resource(self.admin)

    def ask(self, uuid: str, action: str, value: Any = None) -> int:
        """Ask for an action on a server; give the HTTP status."""
        return base.elsewhere(
            self._status,
            self.admin_api.post_server_action,
            uuid,
            {action: value},
        )

    def delete(self, uuid: str) -> int:
        """Ask for a delete, whose way to the host begins; the status."""
        return base.elsewhere(self._status, self.admin_api.delete_server, uuid)

    def _status(self, call: Callable[..., Any], *args: Any) -> int:
        try:
            call(*args)
        except api_client.OpenStackApiException as error:
            return int(error.response.status_code)
        return ACCEPTED

    def deleting(self, uuid: str) -> Callable[..., None]:
        """Give a function that deletes, whatever it is called with."""

        def delete(*args: Any, **kwargs: Any) -> None:
            del args, kwargs
            self.assertEqual(ACCEPTED, self.delete(uuid))

        return delete

    def refused(self, uuid: str) -> list[str]:
        """List the lines of the log about refused writes of a server."""
        return [
            line
            for line in self.stdlog.logger.output.splitlines()
            if "nova_db_states conflict" in line and uuid in line
        ]

    def assert_gone(self, uuid: str) -> None:
        """Deliver what waits; then the server must be gone.

        What is left on a host that the delete did not know is taken away by
        the periodic tasks of that host, as ever.
        """
        self.casts.deliver()
        self.sweep()
        self.assert_not_overwritten(uuid)
        row = self.row(uuid)
        self.assertNotEqual(0, row["deleted"], f"NOT DELETED: {row}")
        for host, service in self.computes.items():
            there = service.manager.driver.list_instance_uuids()
            self.assertNotIn(uuid, there, f"GUEST LEFT on {host}")
        held = self._get_allocations_by_server_uuid(uuid)
        self.assertEqual({}, held, "ALLOCATION LEFT")
