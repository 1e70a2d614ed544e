# SPDX-License-Identifier: Apache-2.0
"""The notation of the map: what it says, and what it refuses to read."""

import itertools
from typing import Any

import hypothesis
from hypothesis import strategies as st
import pytest

from nova_db_states import exceptions
from nova_db_states.machine import notation
from tests import strategies

_VM: list[str | None] = [*strategies.VM_STATES, None]
_TASK: list[str | None] = [*strategies.TASK_STATES, None]
_State = notation.State


def _name(value: str | None) -> str:
    return "NULL" if value is None else value


def _names(values: list[str | None]) -> str:
    return "|".join(_name(one) for one in values)


def _some(values: list[str | None]) -> st.SearchStrategy[list[str | None]]:
    return st.lists(
        st.sampled_from(values), min_size=1, max_size=4, unique=True
    )


def _sources(change: notation.Change) -> set[_State]:
    """Ask a change about every pair of the vocabulary."""
    return {
        _State(*pair)
        for pair in itertools.product(_VM, _TASK)
        if change.starts_from(_State(*pair))
    }


def test_an_edge_as_a_log_shows_it() -> None:
    """Each part of a change is what stands at its place."""
    change = notation.parse(
        "active|error / NULL  ->  = / powering-off|powering-on"
    )
    assert change == notation.Change(
        "active|error / NULL -> = / powering-off|powering-on",
        from_vm=("active", "error"),
        from_task=(None,),
        to_vm=None,
        to_task=("powering-off", "powering-on"),
    )
    assert str(change) == change.text


def test_a_boot_starts_from_nothing() -> None:
    """(none) is where no row is, and no value of the column."""
    change = notation.parse("(none) / NULL -> building / scheduling")
    assert change.starts_from(notation.ABSENT)
    assert _sources(change) == set()
    assert list(change.targets(notation.ABSENT)) == [
        _State("building", "scheduling")
    ]


@hypothesis.given(vm=_some(_VM), task=_some(_TASK))
def test_names_mean_exactly_themselves(
    vm: list[str | None], task: list[str | None]
) -> None:
    """Names before the arrow admit every pair of them and no other state."""
    change = notation.parse(f"{_names(vm)} / {_names(task)} -> = / =")
    assert _sources(change) == set(
        itertools.starmap(_State, itertools.product(vm, task))
    )
    assert not change.universal


@hypothesis.given(vm=_some(_VM), task=_some(_TASK))
def test_an_exclamation_mark_means_all_others(
    vm: list[str | None], task: list[str | None]
) -> None:
    """Excluded names admit the rest of the vocabulary, NULL included."""
    change = notation.parse(f"!{_names(vm)} / !{_names(task)} -> = / =")
    assert _sources(change) == {
        _State(*pair)
        for pair in itertools.product(_VM, _TASK)
        if pair[0] not in vm and pair[1] not in task
    }


def test_a_star_means_whatever_is_there() -> None:
    """A star admits every value of the column, NULL included."""
    assert _sources(notation.parse("* / * -> = / deleting")) == {
        _State(*pair) for pair in itertools.product(_VM, _TASK)
    }


@pytest.mark.parametrize(
    ("text", "universal"),
    [
        ("* / * -> = / deleting", True),
        ("* / !soft-deleting -> = / deleting", True),
        ("* / NULL -> = / deleting", False),
        ("!error / * -> = / deleting", False),
        ("active / * -> = / deleting", False),
    ],
)
def test_universal_is_whatever_the_server_is(
    text: str, *, universal: bool
) -> None:
    """Only a change that asks for no vm_state at all is universal."""
    assert notation.parse(text).universal is universal


@hypothesis.given(
    before=st.tuples(strategies.vm_states, strategies.task_states),
    vm=st.none() | _some(_VM),
    task=st.none() | _some(_TASK),
)
def test_targets(
    before: tuple[Any, Any],
    vm: list[str | None] | None,
    task: list[str | None] | None,
) -> None:
    """A write leads to each of its values; what it does not set, stays."""
    halves = ["=" if one is None else _names(one) for one in (vm, task)]
    change = notation.parse(f"* / * -> {' / '.join(halves)}")
    assert list(change.targets(_State(*before))) == [
        _State(to_vm, to_task)
        for to_vm in (vm or [before[0]])
        for to_task in (task or [before[1]])
    ]


def test_null_behind_the_arrow_is_written() -> None:
    """NULL is a value to write, not the lack of one."""
    change = notation.parse("active / pausing -> paused / NULL")
    assert list(change.targets(_State("active", "pausing"))) == [
        _State("paused", None)
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("active / NULL", "there is no '->' in it"),
        ("active -> error", "'active' is not 'vm_state / task_state'"),
        ("active / -> error / NULL", "'active /' is not"),
        ("active / NULL / x -> error / NULL", "'active / NULL / x' is not"),
        (" -> error / NULL", "'' is not 'vm_state / task_state'"),
        ("actve / NULL -> = / =", "no vm_state 'actve'; did you mean 'acti"),
        ("active / pausng -> = / =", "'pausng'; did you mean 'pausing'?"),
        ("active / zzz -> = / =", "Nova has no task_state 'zzz', in"),
        ("active| / NULL -> = / =", "Nova has no vm_state ''"),
        ("active / pausing -> pausing / NULL", "no vm_state 'pausing'"),
        ("active / pausing -> * / NULL", "Nova has no vm_state '*'"),
        ("active / pausing -> !error / NULL", "Nova has no vm_state '!error'"),
        ("= / pausing -> error / NULL", "Nova has no vm_state '='"),
        ("active / (none) -> error / NULL", "no task_state '(none)'"),
        ("active / None -> error / NULL", "no task_state 'None'"),
    ],
)
def test_what_cannot_be_read(text: str, why: str) -> None:
    """The message says what is wrong and quotes what was written."""
    with pytest.raises(exceptions.InvalidMap) as caught:
        notation.parse(text)
    assert why in str(caught.value)
    assert repr(" ".join(text.split())) in str(caught.value)
    assert len(caught.value.problems) == 1


def test_a_pattern_is_the_half_before_the_arrow() -> None:
    """What an action starts from is read like what a write starts from."""
    assert notation.pattern("active|error / NULL") == (
        ("active", "error"),
        (None,),
    )
    vm_states, task_states = notation.pattern("* / !NULL")
    assert set(vm_states) == set(_VM)
    assert set(task_states) == set(strategies.TASK_STATES)
    with pytest.raises(exceptions.InvalidMap, match="did you mean 'error'"):
        notation.pattern("errr / NULL")


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (_State("active", None), "active / NULL"),
        (_State(None, "deleting"), "NULL / deleting"),
        (notation.ABSENT, "(none) / NULL"),
    ],
)
def test_a_state_is_shown_as_it_is_written(state: _State, shown: str) -> None:
    """What a message shows can be pasted into a declaration."""
    assert str(state) == shown
