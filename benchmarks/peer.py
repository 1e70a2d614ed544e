# SPDX-License-Identifier: Apache-2.0
"""Calls made by the Python of another virtualenv, timed there.

Run as a script by Nova's Python it measures Nova's own ``instance_update``,
and this project's in Nova's surroundings. It reads a line with the kind of
call and a count, makes the calls, and answers with a line of JSON: the
seconds of each.

Nothing of this project is imported unless it is what is measured.
"""

from collections.abc import Callable, Sequence
import json
import sys
import time
from typing import Any

Call = Callable[[int], object]
Calls = dict[str, Call]
Update = Callable[[str, dict[str, Any], str | None], None]
"""Takes a server, what to write, and the task it must have."""

EXPECTED_VM_STATES = ["active", "error"]
NEW_STATE = "powering-off"


def nova_update(
    url: str, connections: int | None = None
) -> tuple[Update, type[Exception]]:
    """Give Nova's update, and what it raises where the guard fails.

    :param url: of the cell
    :param connections: of its pool; ``None`` for Nova's default
    """
    import nova.conf
    import nova.config
    import nova.context
    from nova.db.main import api
    import nova.exception
    import nova.objects

    nova.config.parse_args(
        ["nova"], default_config_files=[], configure_db=False, init_rpc=False
    )
    nova.conf.CONF.set_override("connection", url, "database")
    if connections is not None:
        nova.conf.CONF.set_override("max_pool_size", connections, "database")
    api.configure(nova.conf.CONF)
    nova.objects.register_all()
    context = nova.context.get_admin_context()

    def update(
        server: str, values: dict[str, Any], expected: str | None
    ) -> None:
        api.instance_update(
            context,
            server,
            {
                **values,
                "expected_vm_state": EXPECTED_VM_STATES,
                "expected_task_state": expected,
            },
        )

    return update, nova.exception.UnexpectedTaskStateError


def our_update(
    url: str, connections: int | None = None
) -> tuple[Update, type[Exception]]:
    """Give this project's update, and what it raises.

    :param url: of the cell
    :param connections: of its pool; ``None`` for the default
    """
    from nova_db_states import api
    from nova_db_states import exceptions

    options: dict[str, Any] = {}
    if connections is not None:
        options["max_connections"] = connections
    context = api.connect(url, **options)

    def update(
        server: str, values: dict[str, Any], expected: str | None
    ) -> None:
        api.instance_update(
            context,
            server,
            values,
            expected_vm_state=EXPECTED_VM_STATES,
            expected_task_state=expected,
        )

    return update, exceptions.UnexpectedTaskStateError


def our_calls(url: str, servers: Sequence[str]) -> Calls:
    """Give this project's update, with both kinds of guard."""
    return calls(*our_update(url), servers)


def calls(
    update: Update, conflict: type[Exception], servers: Sequence[str]
) -> Calls:
    """Give an update with a guard that holds and one that does not.

    :param update: whose
    :param conflict: what it raises where the guard fails
    :param servers: taken by turns
    """

    def hold(number: int) -> None:
        # Even numbers set the state, odd ones clear it again.
        server = servers[number // 2 % len(servers)]
        if number % 2:
            update(server, {"task_state": None}, NEW_STATE)
        else:
            update(server, {"task_state": NEW_STATE}, None)

    def refuse(number: int) -> None:
        server = servers[number % len(servers)]
        try:
            update(server, {"task_state": NEW_STATE}, NEW_STATE)
        except conflict:
            return
        raise RuntimeError("an update was made against its guard")

    return {"hold": hold, "refuse": refuse}


def serve(served: Calls) -> None:
    """Answer requests until standard input ends."""
    clock = time.perf_counter
    for line in sys.stdin:
        kind, count = line.split()
        call = served[kind]
        seconds = []
        for number in range(int(count)):
            began = clock()
            call(number)
            seconds.append(clock() - began)
        print(json.dumps(seconds), flush=True)


def main(kind: str, url: str, *servers: str) -> None:
    """Serve the calls of ``nova`` or of ``ours`` by turns on some servers."""
    makers = {"nova": nova_update, "ours": our_update}
    serve(calls(*makers[kind](url), servers))


if __name__ == "__main__":
    main(*sys.argv[1:])
