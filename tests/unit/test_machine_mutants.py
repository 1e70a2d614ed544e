# SPDX-License-Identifier: Apache-2.0
"""Whatever one changes in a declaration, somebody notices."""

import dataclasses
import functools
import random
from typing import Final

import pytest

from nova_db_states import exceptions
from nova_db_states import machine
from nova_db_states.machine import atlas
from nova_db_states.machine import checks
from tests.unit import jury
from tests.unit import mutants

_ACTIONS: Final = machine.MAP.actions
_SAMPLES: Final = 2_000
_SEED: Final = 34


@pytest.fixture(scope="module")
def judges() -> jury.Jury:
    """Give those who judge."""
    return jury.Jury(machine.MAP)


@functools.cache
def _all() -> tuple[mutants.Mutant, ...]:
    return tuple(mutants.all_of(_ACTIONS.values()))


def _some(count: int) -> list[mutants.Mutant]:
    return random.Random(_SEED).sample(_all(), count)


def test_every_action_and_every_write_has_mutants() -> None:
    """Nothing of the map is left as it is."""
    assert {one.action.name for one in _all()} == set(_ACTIONS)
    mutated = {(one.action.name, one.before) for one in _all() if one.before}
    assert mutated == {
        (action.name, write)
        for action in _ACTIONS.values()
        for write in action.writes
    }
    assert len(_all()) > 40_000


def test_every_mutant_is_noticed(judges: jury.Jury) -> None:
    """Of many a wrong map none goes through, but those that say the same.

    Wider or narrower starts and targets, writes that are missing, guards
    that are dropped, defects that are allowed: by the checks, by the tables
    of what Nova's source says, or by the records of its tests.
    """
    survivors = [
        str(one)
        for one in _some(_SAMPLES)
        if judges.verdict(one) == jury.SURVIVES
    ]
    assert survivors == []


@pytest.mark.parametrize("what", ["allowed", "taken out", "starts dropped"])
def test_every_coarse_mutant_is_noticed(judges: jury.Jury, what: str) -> None:
    """No defect becomes an edge, no write goes, no start is dropped."""
    coarse = [one for one in _all() if one.what == what]
    assert coarse
    survivors = [
        str(one) for one in coarse if judges.verdict(one) == jury.SURVIVES
    ]
    assert survivors == []


def test_what_says_the_same_allows_the_same(judges: jury.Jury) -> None:
    """A mutant that is let pass answers as the right map does."""
    equal = [
        one for one in _some(_SAMPLES) if judges.verdict(one) == jury.EQUAL
    ]
    for one in equal:
        made = atlas.build(judges.actions(one))
        assert _edges(made) == _edges(machine.MAP), one
    assert len(equal) < _SAMPLES / 100


def _edges(made: atlas.Atlas) -> set[tuple[object, ...]]:
    return {
        (edge.from_, edge.to, edge.action, edge.write.event, edge.reserved)
        for edge in made.transitions
    }


def test_what_one_check_sees_the_whole_map_does_not_pass(
    judges: jury.Jury,
) -> None:
    """What is refused for one action alone is refused in the map, too."""
    seen = [
        one
        for one in _some(_SAMPLES)
        if judges.verdict(one) == jury.BY_ONE_ACTION
    ]
    for one in seen[:25]:
        with pytest.raises(exceptions.InvalidMap):
            checks.require(atlas.build(judges.actions(one)))


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("stop", {"starts": "active|error|paused / NULL"}),
        ("stop", {"starts": "* / *"}),
        ("stop", {"starts": "active / NULL"}),
        ("delete", {"starts": "active / *"}),
        ("trigger crash dump", {"starts": "* / NULL"}),
        ("trigger crash dump", {"launched": False}),
        ("delete", {"launched": True}),
    ],
)
def test_a_wrong_precondition_is_noticed(
    judges: jury.Jury, action: str, fields: dict[str, object]
) -> None:
    """What an action asks for before it begins is held, write or no write."""
    wrong = dataclasses.replace(
        _ACTIONS[action],
        **fields,  # type: ignore[arg-type]
    )
    mutant = mutants.Mutant(str(fields), wrong)
    assert judges.verdict(mutant) not in {jury.EQUAL, jury.SURVIVES}
