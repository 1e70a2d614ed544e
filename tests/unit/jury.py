# SPDX-License-Identifier: Apache-2.0
"""Who notices that a declaration is wrong."""

import dataclasses
from typing import Any, Final

from nova_db_states.machine import atlas
from nova_db_states.machine import checks
from nova_db_states.machine import model
from nova_db_states.machine import notation
from tests.unit import mutants
from tests.unit import nova_facts

__all__ = ["BY_ONE_ACTION", "EQUAL", "SURVIVES", "Jury"]

EQUAL: Final = "says the same in other words"
SURVIVES: Final = "survives"
BY_ONE_ACTION: Final = "checks of one action"

_OF_ONE: Final = (
    checks._first_steps_start_where_asked,
    checks._steps_follow_each_other,
)
"""The checks that look at one action and the states there are."""


def _says(made: atlas.Atlas, action: model.Action) -> Any:
    """Sum up what an action says, however it says it."""
    states = (notation.ABSENT, *made.states)
    edges = {
        (state, target, write.event, bool(write.defect), write.reserved)
        for write in action.writes
        for state in states
        if write.change.starts_from(state)
        for target in write.change.targets(state)
    }
    unguarded = {
        target
        for write in action.writes
        if not (write.guarded or write.defect)
        for state in states
        if state.task_state in atlas.DELETING
        for target in write.change.targets(state)
    }
    starts = set(filter(action.admits, states))
    return edges, unguarded, starts, action.launched


def _is_missed(made: atlas.Atlas, row: nova_facts.Recorded) -> bool:
    """Say whether a map contradicts a record of Nova."""
    if row.refused:
        return any(
            edge.to == row.to and edge.action != atlas.OVERRIDE
            for edge in made.leaving.get(row.from_, ())
        )
    return not all(
        nova_facts.edges_of(made, row, writer) for writer in row.writers
    )


class Jury:
    """Those who judge whether the map of a mutant is noticed to be wrong.

    The cheapest is asked first. None of them looks at the right map, but to
    see whether the mutant says anything else at all.

    :param made: the right map
    """

    def __init__(self, made: atlas.Atlas) -> None:
        self._made = made
        self._said = {
            name: _says(made, action) for name, action in made.actions.items()
        }

    def verdict(self, mutant: mutants.Mutant) -> str:
        """Say who notices a mutant, or why nobody does.

        :param mutant: the mutant
        :returns: the judge; ``EQUAL`` where it says the same as before, in
            other words; ``SURVIVES`` where nobody notices
        """
        action = mutant.action
        alone = dataclasses.replace(self._made, actions={action.name: action})
        if any(True for check in _OF_ONE for _ in check(alone)):
            return BY_ONE_ACTION
        if self.differs_from_nova(mutant):
            return "what Nova's source says"
        if _says(self._made, action) == self._said[action.name]:
            return EQUAL
        made = atlas.build(self.actions(mutant))
        if checks.find(made):
            return "checks of the whole map"
        if any(_is_missed(made, row) for row in nova_facts.recorded()):
            return "records of Nova"
        return SURVIVES

    def differs_from_nova(self, mutant: mutants.Mutant) -> bool:
        """Say whether a mutant says something else than Nova's source."""
        looked_at = (mutant.before or mutant.action).nova
        found = nova_facts.problems(self.actions(mutant), {looked_at})
        return any(True for _ in found)

    def actions(self, mutant: mutants.Mutant) -> list[model.Action]:
        """List the actions of a mutant's map."""
        return [
            mutant.action if one.name == mutant.action.name else one
            for one in self._made.actions.values()
        ]
