# SPDX-License-Identifier: Apache-2.0
"""An API as an author would write it, and callers that race for it."""

from collections.abc import Callable
import datetime
import threading
from typing import Any, Final

import sqlalchemy as sa

from nova_db_states import actions
from tests.resources import rows

LAUNCHED: Final = datetime.datetime(2026, 1, 1)


class API:
    """Methods that claim; their bodies are counted.

    :ivar ran: the name of each body that ran
    """

    def __init__(self) -> None:
        self.ran: list[str] = []

    def _run(self, name: str, body: Callable[[], object] | None) -> str:
        self.ran.append(name)
        if body is not None:
            body()
        return name

    @actions.instance_action("stop")
    def stop(
        self,
        context: object,  # noqa: ARG002 - the decorator's
        instance: object,  # noqa: ARG002 - the decorator's
        body: Callable[[], object] | None = None,
    ) -> str:
        """Stop."""
        return self._run("stop", body)

    @actions.instance_action("reboot hard", values={"progress": 0})
    def reboot(
        self,
        context: object,  # noqa: ARG002 - the decorator's
        instance: object,  # noqa: ARG002 - the decorator's
        body: Callable[[], object] | None = None,
    ) -> str:
        """Reboot, hard."""
        return self._run("reboot", body)

    @actions.instance_action("suspend")
    def suspend(
        self,
        context: object,  # noqa: ARG002 - the decorator's
        instance: object,  # noqa: ARG002 - the decorator's
        body: Callable[[], object] | None = None,
    ) -> str:
        """Suspend."""
        return self._run("suspend", body)

    @actions.instance_action("delete", values={"progress": 0})
    def delete(
        self,
        context: object,  # noqa: ARG002 - the decorator's
        instance: object,  # noqa: ARG002 - the decorator's
        body: Callable[[], object] | None = None,
    ) -> str:
        """Delete."""
        return self._run("delete", body)


def insert(engine: sa.Engine, **columns: object) -> str:
    """Insert a server that has run before."""
    return rows.insert_instance(engine, launched_at=LAUNCHED, **columns)


def state_of(engine: sa.Engine, instance: str) -> tuple[object, object]:
    """Read both state columns, as they are now."""
    row = rows.read_instance(engine, instance)
    return row["vm_state"], row["task_state"]


def race(count: int, body: Callable[[int], Any]) -> list[Any]:
    """Let threads begin at one moment; give what each returned or raised."""
    start = threading.Barrier(count)
    results: list[Any] = [None] * count

    def run(number: int) -> None:
        start.wait(timeout=30)
        try:
            results[number] = body(number)
        except Exception as error:  # noqa: BLE001 - handed on
            results[number] = error

    threads = [
        threading.Thread(target=run, args=(number,)) for number in range(count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    return results
