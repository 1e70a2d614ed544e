# SPDX-License-Identifier: Apache-2.0
"""Watched data in a process that is nova-compute: no database, real threads.

``rpc_watch.py URL OTHER_PYTHON SIDES``, as ``rpc_compute.py``.
"""

from collections.abc import Iterator
from typing import Any

# What activates the plugin comes before Nova.
from tests.nova_side import rpc_compute  # isort: skip

from nova.compute import manager
from oslo_messaging import exceptions as messaging
import sqlalchemy as sa

from nova_db_states.nova import counters
from nova_db_states.nova import settings
from nova_db_states.nova import transfers

_CHUNKS = 4


class _Chunks:
    """As glanceclient gives them."""

    wrapped = True

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"data"] * _CHUNKS)

    def __len__(self) -> int:
        return 4 * _CHUNKS


class Scenarios(rpc_compute.Scenarios):
    """What happens while data is on its way."""

    def _step(self) -> tuple[Any, Any]:
        server = self._made("building", "spawning")
        return server, transfers.Step(manager, server, {"spawning"}, "image")

    def _stored(self, server: Any) -> tuple[Any, ...]:
        with self.engine.begin() as connection:
            row = connection.execute(
                sa.text(
                    "SELECT progress, task_state, display_name "
                    "FROM instances WHERE uuid = :key"
                ),
                {"key": server.uuid},
            ).one()
        return tuple(row)

    def _pass(self, step: Any, server: Any, at: Any) -> list[Any]:
        """Let data pass, and say what the row has at each chunk."""
        said: list[Any] = []
        try:
            step.begin()
            for number, _ in enumerate(step.download(_Chunks(), "image")):
                said.append(self._stored(server)[0])
                at(number)
            step.end()
        except manager.exception.NovaException as error:
            said.append(type(error).__name__.removesuffix("_Remote"))
        return said

    def undisturbed(self) -> list[Any]:
        """Let all of it pass, and leave the object of the step alone."""
        server, step = self._step()
        server.display_name = "dirty"
        said = self._pass(step, server, lambda number: None)
        return [*said, self._stored(server), self._dirty(server)]

    def deleted(self) -> list[Any]:
        """Delete the server when the second chunk is there."""
        server, step = self._step()

        def delete(number: int) -> None:
            if number == 1:
                self._other(server, task_state="deleting", progress=0)

        said = self._pass(step, server, delete)
        return [*said, self._stored(server)[:2]]

    def gone(self) -> list[Any]:
        """Take the row away."""
        server, step = self._step()
        self._other(server, deleted=1)
        return self._pass(step, server, lambda number: None)

    def reset(self) -> list[Any]:
        """Reset the state of a server that is built."""
        server, step = self._step()
        self._other(server, vm_state="error", task_state=None)
        said = self._pass(step, server, lambda number: None)
        return [*said, self._row(server)]

    def away(self) -> list[Any]:
        """Have a conductor that does not answer."""
        server, step = self._step()
        theirs = self.pipe.call

        def call(*args: Any, **kwargs: Any) -> Any:
            raise messaging.MessagingTimeout

        before = counters.snapshot()["skipped"]
        self.pipe.call = call  # type: ignore[method-assign]
        try:
            said = self._pass(step, server, lambda number: None)
        finally:
            self.pipe.call = theirs  # type: ignore[method-assign]
        skipped = counters.snapshot()["skipped"] - before
        return [*said, skipped > _CHUNKS]


if __name__ == "__main__":
    settings.watch_interval_s = lambda: 0.0
    rpc_compute.Scenarios = Scenarios  # type: ignore[misc]
    rpc_compute.main()
