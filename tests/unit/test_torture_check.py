# SPDX-License-Identifier: Apache-2.0
"""The checker, on histories made by hand."""

import pathlib
from typing import Any

import pytest

from tests.torture import check
from tests.torture import history

OK = history.Outcome.OK
CONFLICT = history.Outcome.CONFLICT
UNKNOWN = history.Outcome.UNKNOWN
NOT_APPLIED = history.Outcome.NOT_APPLIED
ERROR = history.Outcome.ERROR


def done(
    op: int,
    expected: int,
    when: tuple[int, int | None],
    outcome: history.Outcome = OK,
    **more: Any,
) -> history.Operation:
    """Make an operation on instance 0."""
    return history.Operation(
        op=op,
        worker="w",
        node=0,
        instance=0,
        expected=expected,
        start=when[0],
        end=when[1],
        outcome=outcome,
        **{"way": "single", **more},
    )


def refused(
    op: int, expected: int, actual: int, when: tuple[int, int]
) -> history.Operation:
    """Make one that was refused, and says so as it should."""
    states = history.state_of(actual), history.state_of(expected)
    return done(
        op,
        expected,
        when,
        CONFLICT,
        actual=actual,
        state=states[0],
        error="InstanceUpdateConflict"
        if states[0] == states[1]
        else "UnexpectedTaskStateError",
    )


def broken(*operations: history.Operation, final: int) -> list[str]:
    """Name the rules that a history on one instance breaks."""
    recorded = history.History(list(operations), [[final, final]])
    return [each.rule for each in check.check(recorded)]


def test_an_empty_history() -> None:
    """Nobody wrote, and nothing was written."""
    assert broken(final=0) == []


def test_a_chain_with_everything_in_it() -> None:
    """Successes, an unknown one that was applied and one that was not."""
    assert (
        broken(
            done(1, 0, (0, 10)),
            done(2, 1, (5, 20), UNKNOWN),
            done(3, 2, (30, 40)),
            done(4, 1, (5, 20), UNKNOWN),
            done(5, 1, (0, 50), NOT_APPLIED, error="DBDeadlock"),
            refused(6, 1, 2, (12, 25)),
            refused(7, 0, 3, (35, 60)),
            final=3,
        )
        == []
    )


def test_two_winners() -> None:
    """Of two that replaced one token only one is in the chain."""
    history_ = [done(1, 0, (0, 10)), done(2, 0, (0, 10))]
    found = check.check(history.History(history_, [[2]]))
    assert [each.rule for each in found] == ["two winners"]
    assert found[0].operations == (1, 2)


def test_a_lost_success() -> None:
    """A success that the row does not show, and nobody replaced."""
    assert broken(done(1, 0, (0, 10)), final=0) == ["lost success"]


@pytest.mark.parametrize("outcome", [CONFLICT, NOT_APPLIED])
def test_a_refusal_that_was_none(outcome: history.Outcome) -> None:
    """What said that it wrote nothing has written."""
    one = done(1, 0, (0, 10))
    two = done(2, 1, (20, 30), outcome)
    if outcome is CONFLICT:
        two.actual, two.error = 0, "UnexpectedTaskStateError"
    assert "no refusal" in broken(one, two, final=2)


def test_an_error_nobody_expected() -> None:
    """It is a violation by itself, written or not."""
    one = done(1, 0, (0, 10), ERROR, error="KeyError", text="'x'")
    assert broken(one, final=0) == ["error"]


def test_a_token_nobody_wrote() -> None:
    """The chain has a gap."""
    assert broken(done(2, 9, (0, 10)), final=2) == ["gap"]
    assert broken(final=9) == ["gap"]


def test_a_token_that_came_back() -> None:
    """A chain that bites its own tail is not walked for ever."""
    two = [done(1, 2, (0, 10)), done(2, 1, (0, 10))]
    assert broken(*two, final=2) == ["gap"]


def test_nodes_that_do_not_agree() -> None:
    """In the end every node must hold the same."""
    found = check.check(history.History([], [[0, 1, 0]]))
    assert [each.rule for each in found] == ["nodes"]


def test_an_instance_nobody_read() -> None:
    """Nothing is passed over because its end is not known."""
    found = check.check(history.History([done(1, 0, (0, 10))], []))
    assert [each.rule for each in found] == ["final"]


def test_a_conflict_with_what_it_expected() -> None:
    """A refusal must name something else than was asked for."""
    one = done(1, 0, (0, 10))
    assert broken(one, refused(2, 1, 1, (5, 15)), final=1) == [
        "false conflict"
    ]
    assert broken(one, done(2, 1, (5, 15), CONFLICT), final=1) == [
        "false conflict"
    ]


def test_a_conflict_with_what_was_never_there() -> None:
    """Neither a token of nobody nor one that was rolled back can be found."""
    one = done(1, 0, (0, 10), NOT_APPLIED)
    assert broken(one, refused(2, 7, 1, (5, 15)), final=0) == ["never there"]
    assert broken(refused(2, 7, 9, (5, 15)), final=0) == ["never there"]


def test_a_conflict_of_the_wrong_class() -> None:
    """The class depends on which of the two columns differ."""
    one = refused(2, 7, 0, (5, 15))
    one.error = "InstanceUpdateConflict"
    assert broken(one, final=0) == ["class"]


def test_a_row_that_was_never_written_so() -> None:
    """A token is found with the state that was written together with it."""
    one = refused(2, 8, 0, (5, 15))
    one.state = "rebooting"
    assert broken(one, final=0) == ["torn"]


def test_a_stale_conflict() -> None:
    """A conflict may not find what had been replaced when it began."""
    chain = [done(1, 0, (0, 10)), done(2, 1, (20, 30))]
    assert broken(*chain, refused(3, 2, 1, (30, 40)), final=2) == []
    assert broken(*chain, refused(3, 2, 1, (31, 40)), final=2) == ["real time"]


def test_a_conflict_from_the_future() -> None:
    """Nor may it find what was only begun after its end."""
    chain = [done(1, 0, (0, 10)), done(2, 1, (20, 30))]
    assert broken(*chain, refused(3, 1, 2, (15, 20)), final=2) == []
    assert broken(*chain, refused(3, 1, 2, (15, 19)), final=2) == ["real time"]


def test_two_conflicts_that_found_the_row_going_back() -> None:
    """What one has found, one that begins later cannot find replaced by."""
    chain = [done(1, 0, (0, 100)), done(2, 1, (0, 100))]
    newer, older = refused(3, 0, 2, (10, 20)), refused(4, 0, 1, (30, 40))
    assert broken(*chain, newer, older, final=2) == ["real time"]
    older.start = 20
    assert broken(*chain, newer, older, final=2) == []


def test_a_write_before_the_one_it_replaced() -> None:
    """A success that had ended before its predecessor began."""
    chain = [done(1, 0, (20, 30)), done(2, 1, (0, 10))]
    assert broken(*chain, final=2) == ["real time"]


def test_an_unknown_one_may_come_late() -> None:
    """It has no end, however early its caller gave up."""
    chain = [done(1, 0, (20, 30)), done(2, 1, (0, 10), UNKNOWN)]
    assert broken(*chain, final=2) == []
    chain[1].start = 31
    assert broken(*chain, done(3, 2, (0, 30)), final=3) == ["real time"]


def test_what_an_unknown_one_has_found() -> None:
    """It reads the row before it gives up, and that is a read like others."""
    one = done(1, 0, (0, 10))
    given_up = done(2, 1, (20, 30), UNKNOWN, actual=0)
    assert broken(one, given_up, final=1) == ["real time"]
    given_up.actual, given_up.state = 1, "rebooting"
    assert broken(one, given_up, final=1) == []
    given_up.actual = 3
    assert broken(one, given_up, final=1) == ["never there"]


def asked(op: int, token: int, when: tuple[int, int]) -> history.Operation:
    """Make one that only found what it expected."""
    state = history.state_of(token)
    way = f"{history.READ}it"
    return done(op, token, when, actual=token, state=state, way=way)


def test_what_only_reads() -> None:
    """A read that succeeds is in no chain, and must be of its time."""
    chain = [done(1, 0, (0, 10)), done(2, 1, (20, 30))]
    assert broken(*chain, asked(3, 1, (12, 30)), final=2) == []
    assert broken(*chain, asked(3, 1, (31, 40)), final=2) == ["real time"]
    assert broken(*chain, asked(3, 7, (12, 30)), final=2) == ["never there"]


def test_a_read_that_wrote() -> None:
    """What only reads leaves no token."""
    assert broken(asked(1, 0, (0, 10)), final=1) == ["no refusal"]


def test_one_that_came_too_late_is_named_once() -> None:
    """However many others it is in the way of."""
    chain = [done(n, n - 1, (n * 10, n * 10 + 5)) for n in range(1, 9)]
    late = refused(99, 5, 1, (100, 110))
    found = check.check(history.History([*chain, late], [[8]]))
    assert [each.operations for each in found] == [(99, 2)]
    assert "op 99 began 0.000 ms after op 2 had ended" in found[0].text


def test_a_token_given_out_twice() -> None:
    """Then nothing could be said, and that is said."""
    twice = [done(1, 0, (0, 10)), done(1, 0, (0, 10))]
    assert broken(*twice, final=1) == ["token"]


def test_outcomes_are_counted() -> None:
    """Also those that did not occur."""
    counted = check.outcomes([done(1, 0, (0, 1)), done(2, 0, (0, 1))])
    assert counted == {
        "ok": 2,
        "conflict": 0,
        "unknown": 0,
        "not_applied": 0,
        "error": 0,
    }


def test_a_history_is_read_back(tmp_path: pathlib.Path) -> None:
    """Two lines make an operation; one alone is one that never returned."""
    begin = {
        "op": 7,
        "worker": "w",
        "node": 0,
        "instance": 0,
        "expected": 0,
        "way": "single",
        "start": 1,
    }
    end = {"op": 7, "outcome": "conflict", "end": 2, "actual": 5}
    lines = [
        history.line(begin),
        history.line({**begin, "op": 8}),
        history.line(end),
        history.line({**begin, "op": 9})[:-5],
    ]
    tmp_path.joinpath("w.jsonl").write_bytes(b"".join(lines))
    fault = history.Fault("kill", 1, 5, 6)
    history.write_run(
        tmp_path, history.History([], [[0]], [fault], {"seed": 1})
    )
    found = history.read(tmp_path)
    assert (found.finals, found.faults, found.facts) == (
        [[0]],
        [fault],
        {"seed": 1},
    )
    seven, eight = found.operations
    assert (seven.outcome, seven.actual, seven.end) == (CONFLICT, 5, 2)
    assert (eight.outcome, eight.actual, eight.end) == (UNKNOWN, None, None)


def test_a_line_with_something_else_in_it(tmp_path: pathlib.Path) -> None:
    """Nothing that a worker says is passed over."""
    begin = {
        "op": 7,
        "worker": "w",
        "node": 0,
        "instance": 0,
        "expected": 0,
        "way": "single",
        "start": 1,
    }
    end = {"op": 7, "outcome": "ok", "end": 2, "mood": "good"}
    tmp_path.joinpath("w.jsonl").write_bytes(
        history.line(begin) + history.line(end)
    )
    with pytest.raises(ValueError, match="mood"):
        history.read_operations(tmp_path)
