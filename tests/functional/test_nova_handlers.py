# SPDX-License-Identifier: Apache-2.0
"""Nova's error handlers, with the plugin and without."""

from typing import Final

import pytest

from tests.nova_side import runner
from tests.resources import schema

# Dozens of servers are booted, one after the other.
pytestmark = pytest.mark.timeout(1200)

_AS_BEFORE: Final = {
    "Claims.test_without_a_race",
    "Notified.test_expectation_that_holds",
    "Notified.test_without_a_race",
}
"""What plain Nova does right as well."""


def test_with_the_plugin(played_release: str) -> None:
    """Every scenario ends as it should."""
    found = runner.run(played_release, "handlers_cases", plugin=True)
    assert {name: said for name, said in found.items() if said != "ok"} == {}


def test_without_the_plugin() -> None:
    """Nova alone does damage wherever the plugin makes a difference."""
    found = runner.run(schema.NEWEST, "handlers_cases", plugin=False)
    assert {name for name, said in found.items() if said == "ok"} == _AS_BEFORE
