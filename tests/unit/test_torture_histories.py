# SPDX-License-Identifier: Apache-2.0
"""The checker against a search through every order, on small histories.

The search knows nothing of chains: it tries all orders that real time allows
on one register. What it cannot do is a history longer than a few operations.
"""

import collections
import dataclasses
import functools
from typing import Final

import hypothesis
from hypothesis import strategies as st

from tests.torture import check
from tests.torture import history

_FOREVER: Final = 10**9
_FIRST_TOKEN: Final = 10
# Times of neighbours are this far apart, so that a few steps make them meet.
_STEP: Final = 10


@dataclasses.dataclass(frozen=True)
class Event:
    """What takes effect at one moment: a write, or a read of a token."""

    start: int
    end: int
    token: int
    replaced: int | None
    optional: bool = False

    def applied(self, register: int) -> int | None:
        """Give what the register holds after it; ``None``: it cannot be."""
        if self.replaced is None:
            return register if register == self.token else None
        return self.token if register == self.replaced else None


def events_of(operation: history.Operation) -> list[Event]:
    """Say what must have happened, and what may have."""
    found = []
    start, outcome = operation.start, operation.outcome
    end = _FOREVER if operation.end is None else operation.end
    if outcome is history.Outcome.OK and operation.writes:
        found.append(Event(start, end, operation.op, operation.expected))
    if outcome is history.Outcome.UNKNOWN and operation.writes:
        found.append(
            Event(start, _FOREVER, operation.op, operation.expected, True)
        )
    if operation.actual is not None:
        found.append(Event(start, end, operation.actual, None))
    return found


def can_be(operations: list[history.Operation], final: int) -> bool:
    """Search for an order that explains everything."""
    if any(
        each.outcome is history.Outcome.CONFLICT
        and each.actual == each.expected
        for each in operations
    ):
        return False
    events = [event for each in operations for event in events_of(each)]

    @functools.cache
    def search(left: frozenset[int], register: int) -> bool:
        musts = [events[i] for i in left if not events[i].optional]
        if not musts and register == final:
            return True
        before = min((each.end for each in musts), default=_FOREVER)
        for number in left:
            event = events[number]
            after = event.applied(register)
            if (
                event.start <= before
                and after is not None
                and search(left - {number}, after)
            ):
                return True
        return False

    return search(frozenset(range(len(events))), history.INITIAL)


def saying(operation: history.Operation, actual: int) -> history.Operation:
    """Let an operation say what it found."""
    return dataclasses.replace(
        operation, actual=actual, state=history.state_of(actual)
    )


def conflict(operation: history.Operation, actual: int) -> history.Operation:
    """Let an operation be refused, as it would be for a token."""
    state = history.state_of(actual)
    return dataclasses.replace(
        operation,
        outcome=history.Outcome.CONFLICT,
        actual=actual,
        state=state,
        error="InstanceUpdateConflict"
        if state == history.state_of(operation.expected)
        else "UnexpectedTaskStateError",
    )


@st.composite
def simulated(
    draw: st.DrawFn, most: int = 7
) -> tuple[list[history.Operation], int]:
    """Let clients work on one register; give what they saw, and its end."""
    register = history.INITIAL
    tokens = [register]
    operations = []
    for number in range(draw(st.integers(0, most))):
        moment = (number + 3) * _STEP
        spread = st.integers(0, 3 * _STEP)
        one = history.Operation(
            op=_FIRST_TOKEN + number,
            worker="w",
            node=0,
            instance=0,
            expected=draw(st.sampled_from([register, *tokens])),
            way=draw(st.sampled_from(["single", "single", "read: it"])),
            start=moment - draw(spread),
            end=moment + draw(spread),
        )
        fits = one.expected == register
        told = draw(st.sampled_from(["plainly", "not at all", "an error"]))
        if told == "plainly" and fits:
            one.outcome = history.Outcome.OK
            if not one.writes:
                one = saying(one, register)
        elif told == "plainly":
            one = conflict(one, register)
        elif told == "not at all":
            # Its caller may have given up long before it is applied.
            one.end = draw(st.none() | st.integers(one.start, moment + _STEP))
            fits = fits and draw(st.booleans())
        else:
            one.outcome = history.Outcome.NOT_APPLIED
            fits = False
        if fits and one.writes:
            register = one.op
            tokens.append(register)
        operations.append(one)
    return operations, register


@st.composite
def disturbed(draw: st.DrawFn) -> tuple[list[history.Operation], int]:
    """Change a few things in what was simulated."""
    operations, final = draw(simulated(6))
    tokens = st.sampled_from([0, 9, *(each.op for each in operations)])
    for _ in range(draw(st.integers(1, 3)) if operations else 0):
        place = draw(st.integers(0, len(operations) - 1))
        one = operations[place]
        change = draw(st.sampled_from(["times", "refuse", "ok", "expect"]))
        if change == "times":
            start = one.start + draw(st.integers(-3, 3)) * _STEP
            end = start + draw(st.integers(0, 3 * _STEP))
            one = dataclasses.replace(one, start=start, end=end)
        elif change == "refuse":
            one = conflict(one, draw(tokens))
        elif change == "expect" and one.actual is None:
            one = dataclasses.replace(one, expected=draw(tokens))
        elif change == "ok":
            one = dataclasses.replace(
                one,
                outcome=history.Outcome.OK,
                actual=None,
                end=one.start if one.end is None else one.end,
            )
            if not one.writes:
                one = saying(one, draw(tokens))
        operations[place] = one
    return operations, draw(st.just(final) | tokens)


@hypothesis.given(simulated(30))
def test_what_one_register_did_is_accepted(
    made: tuple[list[history.Operation], int],
) -> None:
    """No false alarm."""
    operations, final = made
    assert check.check(history.History(operations, [[final]])) == []


@hypothesis.given(simulated(7))
def test_the_search_accepts_it_too(
    made: tuple[list[history.Operation], int],
) -> None:
    """The search is one to be trusted."""
    assert can_be(*made)


@hypothesis.settings(max_examples=1000)
@hypothesis.given(disturbed())
def test_nothing_else_is_accepted(
    made: tuple[list[history.Operation], int],
) -> None:
    """The checker finds something wrong exactly where the search does."""
    operations, final = made
    found = check.check(history.History(operations, [[final]]))
    hypothesis.event(f"violations: {sorted({each.rule for each in found})}")
    assert (found == []) == can_be(operations, final), found


def test_disturbing_makes_both_kinds() -> None:
    """What is compared is neither always right nor always wrong."""
    seen: collections.Counter[bool] = collections.Counter()

    @hypothesis.settings(max_examples=300, database=None)
    @hypothesis.given(disturbed())
    def count(made: tuple[list[history.Operation], int]) -> None:
        seen[can_be(*made)] += 1

    count()
    assert seen[True] > 30
    assert seen[False] > 30
