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

EXPECTED_VM_STATES = ["active", "error"]
NEW_STATE = "powering-off"


def nova_calls(url: str, servers: Sequence[str]) -> Calls:
    """Give Nova's update, with a guard that holds and one that does not."""
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
    api.configure(nova.conf.CONF)
    nova.objects.register_all()
    context = nova.context.get_admin_context()

    def update(server: str, new: str | None, expected: str | None) -> None:
        api.instance_update(
            context,
            server,
            {
                "task_state": new,
                "expected_vm_state": EXPECTED_VM_STATES,
                "expected_task_state": expected,
            },
        )

    return _both(update, servers, nova.exception.UnexpectedTaskStateError)


def our_calls(url: str, servers: Sequence[str]) -> Calls:
    """Give this project's update, with both kinds of guard."""
    from nova_db_states import api
    from nova_db_states import exceptions

    context = api.connect(url)

    def update(server: str, new: str | None, expected: str | None) -> None:
        api.instance_update(
            context,
            server,
            {"task_state": new},
            expected_vm_state=EXPECTED_VM_STATES,
            expected_task_state=expected,
        )

    return _both(update, servers, exceptions.UnexpectedTaskStateError)


def _both(
    update: Callable[[str, str | None, str | None], None],
    servers: Sequence[str],
    conflict: type[Exception],
) -> Calls:
    def hold(number: int) -> None:
        # Even numbers set the state, odd ones clear it again.
        server = servers[number // 2 % len(servers)]
        if number % 2:
            update(server, None, NEW_STATE)
        else:
            update(server, NEW_STATE, None)

    def refuse(number: int) -> None:
        try:
            update(servers[number % len(servers)], NEW_STATE, NEW_STATE)
        except conflict:
            return
        raise RuntimeError("an update was made against its guard")

    return {"hold": hold, "refuse": refuse}


def serve(calls: Calls) -> None:
    """Answer requests until standard input ends."""
    clock = time.perf_counter
    for line in sys.stdin:
        kind, count = line.split()
        call = calls[kind]
        seconds = []
        for number in range(int(count)):
            began = clock()
            call(number)
            seconds.append(clock() - began)
        print(json.dumps(seconds), flush=True)


def main(kind: str, url: str, *servers: str) -> None:
    """Serve the calls of ``nova`` or of ``ours`` by turns on some servers."""
    makers: dict[str, Any] = {"nova": nova_calls, "ours": our_calls}
    serve(makers[kind](url, servers))


if __name__ == "__main__":
    main(*sys.argv[1:])
