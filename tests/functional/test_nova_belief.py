# SPDX-License-Identifier: Apache-2.0
"""What an ``Instance`` of real Nova releases believes and writes."""

import pytest

from tests.nova_side import runner
from tests.resources import schema
from tests.resources import servers

# Dozens of servers are booted, one after the other.
pytestmark = pytest.mark.timeout(1200)

_MODULES = (
    "belief_cases",
    "guard_cases",
    "observe_cases",
    "refusal_cases",
    "tables_cases",
)

# Objects and DB API differ least between the releases in the middle.
_ON_MARIADB = (schema.RELEASES[0], schema.NEWEST)


@pytest.mark.parametrize("release", schema.RELEASES)
def test_on_sqlite(release: str) -> None:
    """Beliefs and refusals are right in every release."""
    check(runner.run(release, _MODULES, plugin=True))


@pytest.mark.parametrize("release", _ON_MARIADB)
def test_on_mariadb(mariadb_server: servers.Server, release: str) -> None:
    """And on a server whose snapshots are older than its rows."""
    check(
        runner.run(
            release,
            _MODULES,
            plugin=True,
            database="mariadb",
            mariadb_url=mariadb_server.url(),
        )
    )


def check(found: dict[str, str]) -> None:
    """Assert that tests ran, and that all of them passed."""
    assert len(found) > 40
    assert {id_: said for id_, said in found.items() if said != "ok"} == {}
