# SPDX-License-Identifier: Apache-2.0
"""What the users of Nova's API are told, with the plugin and without."""

from typing import Final

import pytest

from tests.nova_side import runner
from tests.resources import schema

# Dozens of servers are booted, one after the other.
pytestmark = pytest.mark.timeout(1200)

_AS_BEFORE: Final = {
    "Deletes.test_delete_of_what_is_gone",
    "Deletes.test_delete_over_a_soft_delete",
    "Deletes.test_delete_over_a_task",
    "Deletes.test_delete_twice",
    "Deletes.test_show_of_what_is_gone",
    "Evacuations.test_out_of_powering_off",
    "Late.test_createimage_over_a_delete",
    "Late.test_from_elsewhere",
}
"""What plain Nova does right as well."""


def test_with_the_plugin(played_release: str) -> None:
    """Every scenario ends as it should."""
    found = runner.run(played_release, "http_cases", plugin=True)
    assert {name: said for name, said in found.items() if said != "ok"} == {}


def test_without_the_plugin() -> None:
    """Nova alone does damage wherever the plugin makes a difference."""
    found = runner.run(schema.NEWEST, "http_cases", plugin=False)
    assert {name for name, said in found.items() if said == "ok"} == _AS_BEFORE
