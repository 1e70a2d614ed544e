# SPDX-License-Identifier: Apache-2.0
"""What nova-compute does by itself, with the plugin and without."""

from typing import Final

import pytest

from tests.nova_side import runner
from tests.resources import schema

# Dozens of servers are booted, one after the other.
pytestmark = pytest.mark.timeout(1200)

_AS_BEFORE: Final = {
    "Periodics.test_build_interrupted_before_its_claim",
    "Periodics.test_build_timed_out",
    "Periodics.test_power_sync",
    "Periodics.test_reclaim_fails",
    "Periodics.test_reclaimed",
    "Starts.test_interrupted_build",
    "Starts.test_start_comes_to_its_end",
}
"""What plain Nova does right as well."""


def test_with_the_plugin(played_release: str) -> None:
    """Every scenario ends as it should."""
    found = runner.run(played_release, "startup_cases", plugin=True)
    assert {name: said for name, said in found.items() if said != "ok"} == {}


def test_without_the_plugin() -> None:
    """Nova alone does damage wherever the plugin makes a difference."""
    found = runner.run(schema.NEWEST, "startup_cases", plugin=False)
    assert {name for name, said in found.items() if said == "ok"} == _AS_BEFORE
