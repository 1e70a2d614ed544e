# SPDX-License-Identifier: Apache-2.0
"""Watching a server build an index."""

import time

from tests.resources import mariadb


def wait_for_build(server: mariadb.MariaDBServer, state: str) -> int:
    """Wait until an index is being built, and give its connection."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = server.execute(
            "SELECT id FROM information_schema.processlist"
            " WHERE info LIKE 'ALTER TABLE instances ADD%%' AND state LIKE %s",
            state,
        )
        if found:
            return int(str(found[0][0]))
        time.sleep(0.002)
    raise AssertionError(f"no ALTER TABLE was seen in the state {state}")


def wait_until_quiet(server: mariadb.MariaDBServer) -> None:
    """Wait until no statement changes the table any more."""
    deadline = time.monotonic() + 20
    while server.execute(
        "SELECT 1 FROM information_schema.processlist"
        " WHERE info LIKE 'ALTER TABLE instances%%'"
    ):
        assert time.monotonic() < deadline
        time.sleep(0.05)
