# SPDX-License-Identifier: Apache-2.0
"""The DB API under the plugin against Nova's own, in real releases."""

import pytest

from tests.functional import nova_races
from tests.nova_side import runner
from tests.resources import servers

# Dozens of servers are booted, one after the other.
pytestmark = pytest.mark.timeout(1200)

_MODULES = ("contract_cases", "edges_cases", "transaction_cases")


_ON_A_SERVER = ("row_cases", "scheme_cases", "server_cases")


def test_every_call(
    mariadb_server: servers.Server, nova_way: nova_races.Way
) -> None:
    """Every call comes to what it comes to in Nova alone.

    So it does on MariaDB, where others lock, deadlock and win races; and what
    is read there in one piece is what Nova reads.
    """
    modules = [*_MODULES]
    if nova_way.database == "mariadb":
        modules += _ON_A_SERVER
    check(
        runner.run(
            nova_way.release,
            modules,
            plugin=True,
            database=nova_way.database,
            mariadb_url=nova_way.url_on(mariadb_server),
        )
    )


def check(found: dict[str, str]) -> None:
    """Assert that tests ran, and that all of them passed."""
    assert found
    assert {id_: said for id_, said in found.items() if said != "ok"} == {}
