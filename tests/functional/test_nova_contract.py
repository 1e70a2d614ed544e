# SPDX-License-Identifier: Apache-2.0
"""The DB API under the plugin against Nova's own, in real releases."""

import pytest

from tests.nova_side import runner
from tests.resources import schema
from tests.resources import servers

# Dozens of servers are booted, one after the other.
pytestmark = pytest.mark.timeout(1200)

_RELEASES = (schema.RELEASES[0], schema.NEWEST)
_MODULES = ("contract_cases", "edges_cases", "transaction_cases")


@pytest.mark.parametrize("release", _RELEASES)
def test_on_sqlite(release: str) -> None:
    """Every call comes to what it comes to in Nova alone."""
    check(runner.run(release, _MODULES, plugin=True))


@pytest.mark.parametrize("release", _RELEASES)
@pytest.mark.parametrize("modules", [_MODULES, "server_cases", "scheme_cases"])
def test_on_mariadb(
    mariadb_server: servers.Server, release: str, modules: str
) -> None:
    """So it does on MariaDB, where others lock, deadlock and win races."""
    check(
        runner.run(
            release,
            modules,
            plugin=True,
            database="mariadb",
            mariadb_url=mariadb_server.url(),
        )
    )


def check(found: dict[str, str]) -> None:
    """Assert that tests ran, and that all of them passed."""
    assert found
    assert {id_: said for id_, said in found.items() if said != "ok"} == {}
