# SPDX-License-Identifier: Apache-2.0
"""What Nova's source can judge of the map, it does judge."""

import collections
from collections.abc import Iterable
import dataclasses
import functools
from typing import Final

import pytest

from nova_db_states import machine
from nova_db_states.drift import agree
from nova_db_states.drift import compare
from nova_db_states.drift import scan
from nova_db_states.drift import sites
from nova_db_states.machine import model
from nova_db_states.machine import notation
from tests.functional import test_drift
from tests.resources import schema
from tests.unit import mutants
from tests.unit import nova_facts

_ACTIONS: Final = list(machine.MAP.actions.values())
_RELEASE: Final = int(schema.NEWEST.partition(".")[0])


class Source:
    """The source of a Nova release, function by function.

    :param release: the release
    """

    def __init__(self, release: str) -> None:
        self.number = int(release.partition(".")[0])
        self.inventory = scan.scan(test_drift.package(release))
        self._declared: dict[str, list[compare.Declared]] = {}
        for each in compare.declared_in(_ACTIONS, self.number):
            self._declared.setdefault(each.write.nova, []).append(each)

    @functools.cache  # noqa: B019 - one for the whole run
    def _part(self, place: str) -> sites.Inventory:
        return dataclasses.replace(
            self.inventory,
            sites=tuple(s for s in self.inventory.sites if s.place == place),
            saves=tuple(s for s in self.inventory.saves if s.place == place),
        )

    def drifts(
        self, place: str, declared: Iterable[compare.Declared]
    ) -> list[str]:
        """Compare one function with declarations, and give what differs."""
        found = compare.compare_writes(
            self._part(place), declared, self.number
        )
        return sorted(map(str, found))

    @functools.cache  # noqa: B019 - one for the whole run
    def before(self, place: str) -> list[str]:
        """Compare one function with the map as it is.

        What is tolerated elsewhere is missed there, of course.
        """
        return self.drifts(place, self._declared.get(place, ()))

    def notices(self, mutant: mutants.Mutant) -> bool:
        """Say whether a mutated write is seen to differ from the source."""
        assert mutant.before is not None
        place = mutant.before.nova
        others = [
            each
            for each in self._declared[place]
            if each.action != mutant.action.name
        ]
        own = [
            each
            for each in compare.declared_in([mutant.action], self.number)
            if each.write.nova == place
        ]
        return self.drifts(place, [*others, *own]) != self.before(place)

    def says_it_all(self, write: model.Write) -> bool:
        """Say whether nothing of a write is computed in the source.

        A plain ``save()`` in the same function may write what was refused
        before, and nobody knows what that is.
        """
        declared = compare.Declared("", write)
        found = [
            site
            for site in self._part(write.nova).sites
            if declared.fits(site)
            and site.via == declared.key[2]
            and site.event == write.event
        ]
        computed = any(
            sites.UNKNOWN in (values or ())
            for site in found
            for values in (site.to_vm, site.to_task, site.expected)
        )
        flushed = not write.guarded and self.saves(write.nova)
        return bool(found) and not computed and not flushed

    def saves(self, place: str) -> bool:
        """Say whether a function has a ``save()`` of nothing in particular."""
        return bool(self._part(place).saves)

    def says_elsewhere(
        self, write: model.Write, column: str, value: str | None
    ) -> bool:
        """Say whether the same function says a value at another place."""
        values: set[str | None] = set()
        for site in self._part(write.nova).sites:
            values |= {
                "from_task": site.expected or frozenset(),
                "to_vm": site.to_vm,
                "to_task": site.to_task,
            }[column]
        for each in self._declared[write.nova]:
            if each.write != write:
                values |= set(getattr(each.write.change, column) or ())
        return value in values


@pytest.fixture(scope="module")
def newest() -> Source:
    """Read the source of the newest release."""
    return Source(schema.NEWEST)


def _is_judged(mutant: mutants.Mutant, source: Source) -> bool:
    """Say whether the source can tell a mutant from what is right.

    It says what is written and what is expected. What a row may hold before
    a write without an expectation it does not say, what is written over the
    same value is the same, and what one function says at two places could be
    meant at either.
    """
    before, after = mutant.before, mutant.after
    if before is None or after is None or not before.is_in(source.number):
        return False
    if before.event is not model.Event.UPDATE or before.dirty:
        return False
    if not source.says_it_all(before):
        return False
    column, _, change = mutant.what.partition(" ")
    if column not in {"from_task", "to_vm", "to_task"}:
        # A plain save() would do for a write without a guard.
        return mutant.what == "guarded turned" and not (
            before.via or source.saves(before.nova)
        )
    name = change.rpartition(" ")[2]
    value = None if name == "NULL" else name
    if source.says_elsewhere(before, column, value):
        return False
    if column == "from_task":
        return before.guarded
    kept = getattr(before.change, column.replace("to", "from"))
    return value not in kept


def test_novas_source_notices_what_it_can_tell(newest: Source) -> None:
    """Each wrong value, and each wrong expectation, differs from the source.

    The tables and checks of this project have no say here.
    """
    judged = [
        mutant
        for mutant in mutants.all_of(_ACTIONS)
        if _is_judged(mutant, newest)
    ]
    assert len(judged) > 15_000
    missed = [str(one) for one in judged if not newest.notices(one)]
    assert missed == []


def test_novas_decorators_notice_every_wrong_start(newest: Source) -> None:
    """Each wrong start of a method with a decorator differs from that.

    But for one: what was launched is no longer being built.
    """
    checked = {
        check.place: check
        for check in newest.inventory.checks
        if not check.rejects
        and check.vm_states is not None
        and check.task_states is not None
    }
    # What one method accepts for two actions, either may have.
    shared = collections.Counter(action.nova for action in _ACTIONS)
    missed = []
    for action in _ACTIONS:
        if action.nova not in checked or shared[action.nova] > 1:
            continue
        for mutant in mutants.of_action(action):
            if mutant.what == "starts + building" and action.launched:
                continue
            actions = [
                mutant.action if one is action else one for one in _ACTIONS
            ]
            if not any(agree.compare_checks(newest.inventory, actions)):
                missed.append(str(mutant))
    assert len(checked) > 25
    assert missed == []


def _of_table() -> list[compare.Declared]:
    """Make declarations of the table of what Nova's functions write."""
    return [
        compare.Declared(
            "table",
            model.Write(
                notation.parse(
                    f"{_half([state.vm_state], [state.task_state])} -> "
                    f"{_half(row.to_vm, row.to_task)}"
                ),
                row.function,
                via=row.via,
                event=row.event,
                guarded=bool(row.expected),
                releases=row.releases,
                dirty=row.dirty,
            ),
        )
        for row in nova_facts.writes()
        for state in row.found | row.wrong
    ]


def _half(*columns: Iterable[str | None] | None) -> str:
    return " / ".join(
        notation.KEEP if values is None else _names(values)
        for values in columns
    )


def _names(values: Iterable[str | None]) -> str:
    return "|".join("NULL" if one is None else one for one in values)


def test_the_table_of_writes_is_novas(nova_release: str) -> None:
    """What the unit tests hold the map to is what the source says."""
    number = int(nova_release.partition(".")[0])
    inventory = scan.scan(test_drift.package(nova_release))
    declared = [one for one in _of_table() if one.write.is_in(number)]
    drifts = compare.compare_writes(inventory, declared, number)
    assert [str(each) for each in drifts] == []


def test_the_table_of_starts_is_novas(newest: Source) -> None:
    """The starts in the table are those that the decorators let pass."""
    starts = nova_facts.starts()
    for check in newest.inventory.checks:
        said = starts[check.place]
        vm = {state.vm_state for state in said.states}
        task = {state.task_state for state in said.states}
        for values, given in (
            (check.vm_states, vm),
            (check.task_states, task),
        ):
            if values is None:
                continue
            assert set(values) == given or (
                check.rejects and not set(values) & given
            ), check.place
        assert said.launched is check.must_have_launched, check.place
