# SPDX-License-Identifier: Apache-2.0
"""What an ``Instance`` of real Nova releases believes and writes."""

import pytest

from tests.functional import nova_races
from tests.nova_side import runner
from tests.resources import servers

# Dozens of servers are booted, one after the other.
_AT_LEAST = 40

pytestmark = pytest.mark.timeout(1200)

_MODULES = (
    "belief_cases",
    "guard_cases",
    "observe_cases",
    "refusal_cases",
    "tables_cases",
)

# Objects and DB API differ least between the releases in the middle.


def test_beliefs_and_refusals(
    mariadb_server: servers.Server, nova_way: nova_races.Way
) -> None:
    """They are right, also on a server whose snapshots are older than rows."""
    found = runner.run(
        nova_way.release,
        _MODULES,
        plugin=True,
        database=nova_way.database,
        mariadb_url=nova_way.url_on(mariadb_server),
    )
    assert len(found) > _AT_LEAST
    assert {id_: said for id_, said in found.items() if said != "ok"} == {}
