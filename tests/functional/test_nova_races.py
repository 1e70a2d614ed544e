# SPDX-License-Identifier: Apache-2.0
"""Races in Nova's own code: they do harm, and with the plugin none does.

Each scenario asserts what should be. Without the plugin those in the table
``DAMAGED_WITHOUT`` fail, and all others do not: they are right either way.
"""

from collections.abc import Callable, Mapping

import pytest

from tests.functional import nova_race_tables as tables
from tests.functional import nova_races
from tests.nova_side import runner

Outcomes = Callable[..., Mapping[str, str]]

pytestmark = pytest.mark.timeout(nova_races.TIMEOUT_S)


@pytest.fixture
def outcomes(request: pytest.FixtureRequest) -> Outcomes:
    """Give the outcomes of the scenarios of a module."""

    def of(
        module: str, way: nova_races.Way, *, plugin: bool
    ) -> Mapping[str, str]:
        server = None
        if way.database == "mariadb":
            server = request.getfixturevalue("mariadb_server")
        return nova_races.RACES.of(module, way, server, plugin=plugin)

    return of


@pytest.mark.parametrize("module", tables.DAMAGED_WITHOUT)
def test_no_race_does_harm_with_the_plugin(
    module: str, nova_way: nova_races.Way, outcomes: Outcomes
) -> None:
    """Every scenario ends as it should."""
    found = outcomes(module, nova_way, plugin=True)
    expected = {*tables.DAMAGED_WITHOUT[module], *tables.UNHARMED[module]}
    assert {*found} == expected
    assert {n: each for n, each in found.items() if each != runner.OK} == {}


@pytest.mark.parametrize("module", tables.DAMAGED_WITHOUT)
def test_nova_alone_is_harmed(
    module: str, control_way: nova_races.Way, outcomes: Outcomes
) -> None:
    """The listed scenarios fail with their damage, and only those."""
    found = outcomes(module, control_way, plugin=False)
    wrong = nova_races.wrong(
        found, tables.DAMAGED_WITHOUT[module], tables.UNHARMED[module]
    )
    assert [*wrong] == []
