# SPDX-License-Identifier: Apache-2.0
"""The plugin, broken on purpose inside Nova: tests of ours notice.

That the same tests pass otherwise is what ``test_nova_belief.py`` shows.
"""

from typing import Final

import pytest

from tests.nova_side import runner
from tests.resources import schema

# Dozens of servers are booted, one after the other.
pytestmark = pytest.mark.timeout(1200)

_GUARDS: Final = (
    "Between.test_made_by_hand",
    "Between.test_save",
    "Refusals.test_handler",
    "Refusals.test_next_save",
    "Replicas.test_over_a_delete",
    "Saves.test_expected_none",
    "Ways.test_copied",
    "Ways.test_listed",
    "Ways.test_made_by_hand_over_a_delete",
    "Ways.test_queried",
)

NOTICED: Final = {
    "no_guard": _GUARDS,
    "every_source": _GUARDS,
    "check_then_write": (
        "Between.test_and_get_original",
        "Between.test_made_by_hand",
        "Between.test_metadata",
        "Between.test_save",
        "Between.test_save_with_expectation",
    ),
    "no_rollback": (
        "Elsewhere.test_refused",
        "Refusals.test_expected",
        "Refusals.test_handler",
        "Refusals.test_next_save",
        "Refusals.test_rolled_back",
        "Refusals.test_without_belief",
    ),
    "no_belief_sent": (
        "Replicas.test_copied_and_sent",
        "Ways.test_sent_dirty",
        "Ways.test_sent_in_a_list",
    ),
}
"""Mutant to tests that fail with it."""

_UNHARMED: Final = "Saves.test_chain"
"""Passes with each of them: what is right is not refused by any."""


@pytest.mark.parametrize("mutant", NOTICED)
def test_is_noticed(mutant: str) -> None:
    """Each mutant fails the tests that are there for what it breaks."""
    names = NOTICED[mutant]
    found = runner.run(
        schema.NEWEST,
        f"mutants.{mutant}",
        plugin=True,
        only=(*names, _UNHARMED),
    )
    verdicts = {
        id_.removeprefix(f"{mutant}."): said.split(":", maxsplit=2)[0]
        for id_, said in found.items()
    }
    assert verdicts == dict.fromkeys(names, "FAIL") | {_UNHARMED: "ok"}
