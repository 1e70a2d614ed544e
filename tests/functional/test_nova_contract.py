# SPDX-License-Identifier: Apache-2.0
"""The DB API under the plugin against Nova's own, in real releases."""

import pytest

from tests.nova_side import runner
from tests.resources import schema
from tests.resources import servers

_RELEASES = (schema.RELEASES[0], schema.NEWEST)
_SCHEMES = ("mysql+pymysql", "mariadb+pymysql")


@pytest.mark.parametrize("release", _RELEASES)
def test_on_sqlite(release: str) -> None:
    """Every call comes to what it comes to in Nova alone."""
    check(runner.run(release, "contract_cases", plugin=True))


@pytest.mark.parametrize("release", _RELEASES)
@pytest.mark.parametrize("scheme", _SCHEMES)
def test_on_mariadb(
    mariadb_server: servers.Server, release: str, scheme: str
) -> None:
    """And so it does on MariaDB under both schemes."""
    check(
        runner.run(
            release,
            "contract_cases",
            plugin=True,
            database="mariadb",
            mariadb_url=mariadb_server.url(scheme=scheme),
        )
    )


def check(found: dict[str, str]) -> None:
    """Assert that tests ran, and that all of them passed."""
    assert found
    assert {id_: said for id_, said in found.items() if said != "ok"} == {}
