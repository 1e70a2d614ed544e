# SPDX-License-Identifier: Apache-2.0
"""Questions to the map of Nova's servers, and what it answers."""

import itertools
from typing import Any, Final

import hypothesis
from hypothesis import strategies as st
import pytest

from nova_db_states import machine
from nova_db_states import states
from nova_db_states.machine import model
from nova_db_states.machine import vocabulary
from tests import strategies

_MAP: Final = machine.MAP
_PAIRS: Final = [
    machine.State(*pair)
    for pair in itertools.product(
        [*strategies.VM_STATES, None], [*strategies.TASK_STATES, None]
    )
]
_pairs = st.tuples(strategies.vm_states, strategies.task_states)
_names = st.none() | st.sampled_from(list(_MAP.actions))

_ACTIVE: Final = ("active", None)


@pytest.mark.parametrize(
    ("from_", "to", "action", "allowed"),
    [
        (_ACTIVE, ("active", "powering-off"), None, True),
        (_ACTIVE, ("active", "powering-off"), "stop", True),
        (_ACTIVE, ("active", "powering-off"), "pause", False),
        ("active", "active / powering-off", None, True),
        ("active / -", "active/ powering-off", None, True),
        (
            (states.VMState.ACTIVE, None),
            (states.VMState.ACTIVE, states.TaskState.POWERING_OFF),
            None,
            True,
        ),
        (("active", "powering-off"), ("stopped", None), "stop", True),
        (_ACTIVE, ("stopped", None), "pause", False),
        (("active", "deleting"), _ACTIVE, None, False),
        (("active", "deleting"), _ACTIVE, "reset-state", True),
        (("error", None), _ACTIVE, None, False),
        (("error", None), _ACTIVE, "reset-state", True),
        (("error", None), ("error", "deleting"), None, True),
        (("suspended", None), ("suspended", "powering-off"), None, False),
        (machine.ABSENT, ("building", "scheduling"), None, True),
        ("(none)", ("building", "scheduling"), "boot", True),
        (machine.ABSENT, _ACTIVE, None, False),
        (_ACTIVE, machine.ABSENT, None, False),
        # A row in a state that nothing leads to can be deleted, no more.
        (("shelved", "migrating"), ("shelved", "deleting"), "delete", True),
        (("shelved", "migrating"), ("shelved", None), None, False),
        ((None, None), (None, "deleting"), None, True),
        ((None, None), ("building", None), None, False),
    ],
)
def test_is_allowed(
    from_: Any, to: Any, action: str | None, *, allowed: bool
) -> None:
    """What may follow what, in every spelling, of any action or of one."""
    assert machine.is_allowed(from_, to, action=action) is allowed


@hypothesis.given(from_=_pairs, to=_pairs)
@hypothesis.example(("soft-delete", "deleting"), ("soft-delete", None))
def test_allowed_is_what_some_action_allows(from_: Any, to: Any) -> None:
    """A pair is allowed if an action does it that has it not for itself."""
    by_name = {
        name
        for name in _MAP.actions
        if machine.is_allowed(from_, to, action=name)
    }
    edges = [edge for edge in machine.leaving(from_) if edge.to == to]
    assert by_name == {edge.action for edge in edges}
    allowed = any(not edge.reserved for edge in edges)
    assert machine.is_allowed(from_, to) is allowed


@pytest.mark.parametrize("from_", _MAP.states, ids=str)
def test_delete_from_every_state(from_: machine.State) -> None:
    """Wherever a server is, it may be deleted, and the map knows the way."""
    deleting = (from_.vm_state, "deleting")
    assert machine.is_allowed(from_, deleting, action="delete")
    assert "delete" in machine.allowed_actions(from_)
    assert _way_to_deletion(deleting)


def _way_to_deletion(from_: Any) -> bool:
    """Say whether some way of the delete alone marks the row as deleted."""
    seen, new = set(), [machine.state(from_)]
    while new:
        at = new.pop()
        if at in seen:
            continue
        seen.add(at)
        for edge in machine.transitions():
            if edge.from_ == at and edge.action == "delete":
                if edge.write.event is machine.Event.DESTROY:
                    return True
                if edge.path is machine.Path.SUCCESS:
                    new.append(edge.to)
    return False


def test_delete_from_every_pair_of_the_vocabulary() -> None:
    """A row in a state that nothing leads to can be deleted all the same."""
    assert len(_PAIRS) == 13 * 43
    for pair in _PAIRS:
        deleting = (pair.vm_state, "deleting")
        assert machine.is_allowed(pair, deleting, action="delete"), pair
        assert "delete" in machine.allowed_actions(pair), pair


def test_a_state_beside_the_map_leads_only_into_deletion() -> None:
    """From where nothing leads, nothing goes on but to its end."""
    beside = sorted(set(_PAIRS) - set(_MAP.states), key=str)
    assert len(beside) > 100
    for from_, to in itertools.product(beside[::9], _PAIRS):
        if machine.is_allowed(from_, to):
            assert to == (from_.vm_state, to.task_state)
            assert to.task_state in {"deleting", "soft-deleting"}


@pytest.mark.parametrize("at", _PAIRS[::7], ids=str)
def test_reset_state_from_everywhere(at: machine.State) -> None:
    """An administrator may always judge that a server is active or error."""
    for vm_state in ("active", "error"):
        to = (vm_state, None)
        assert machine.is_allowed(at, to, action="reset-state")
    assert "reset-state" in machine.allowed_actions(at)


def test_allowed_actions() -> None:
    """What users and administrators may ask for, in the map's order."""
    active = machine.allowed_actions("active")
    assert {"delete", "stop", "pause", "rebuild", "reset-state"} < set(active)
    assert not {"boot", "start", "unpause", "restore"} & set(active)
    assert list(active) == [one for one in _MAP.actions if one in active]
    kinds = {machine.action(name).kind for name in active}
    assert kinds <= {machine.Kind.USER, machine.Kind.ADMIN}
    assert "start" in machine.allowed_actions("stopped")
    assert "pause" not in machine.allowed_actions("active / powering-off")


def test_what_may_be_asked_for_can_begin() -> None:
    """No action is offered in a state from which its first step is none."""
    lost = []
    for at, name in itertools.product(_MAP.states, _MAP.actions):
        forward = [
            write
            for write in machine.action(name).writes
            if write.path is machine.Path.SUCCESS and not write.defect
        ]
        if not forward or name not in machine.allowed_actions(at):
            continue
        if not any(edge.change.starts_from(at) for edge in forward):
            lost.append(f"{name} from {at}")
    assert lost == []


@hypothesis.given(to=_pairs, name=_names)
def test_sources_are_the_states_that_lead_there(
    to: Any, name: str | None
) -> None:
    """sources() and is_allowed() are two views of one map."""
    assert machine.sources(to, action=name) == tuple(
        at for at in _MAP.states if machine.is_allowed(at, to, action=name)
    )


@hypothesis.given(
    vm=strategies.vm_states, task=strategies.task_states, name=_names
)
def test_sources_of_a_partial_target(
    vm: str | None, task: str | None, name: str | None
) -> None:
    """ANY stands for the column that a write leaves as it is."""
    assert machine.sources((states.ANY, task), action=name) == tuple(
        at
        for at in _MAP.states
        if machine.is_allowed(at, (at.vm_state, task), action=name)
    )
    assert machine.sources((vm, states.ANY), action=name) == tuple(
        at
        for at in _MAP.states
        if machine.is_allowed(at, (vm, at.task_state), action=name)
    )


def test_sources_of_known_targets() -> None:
    """The guard of a claim is the states that lead to it."""
    assert machine.sources((states.ANY, "powering-off"), action="stop") == (
        ("active", None),
        ("error", None),
    )
    assert machine.sources(("paused", None), action="pause") == (
        ("active", "pausing"),
    )
    every = machine.sources((states.ANY, "deleting"), action="delete")
    assert every == _MAP.states
    assert machine.sources((None, "migrating")) == ()


def test_a_state_is_stable_or_transient() -> None:
    """Every state of the map is one of both; in a stable one no task runs."""
    stable, transient = machine.stable(), machine.transient()
    assert sorted((*stable, *transient), key=str) == sorted(
        _MAP.states, key=str
    )
    assert not set(stable) & set(transient)
    assert set(stable) == {
        (str(vm), None)
        for vm in states.VMState
        if vm not in {"building", "deleted"}
    }
    assert ("building", None) in transient


def test_every_name_of_nova_is_in_the_map() -> None:
    """Only what Nova never writes is missing."""
    reached = {name for state in _MAP.states for name in state}
    every = {*strategies.VM_STATES, *strategies.TASK_STATES}
    assert every - reached == {"resize_confirming"} == set(vocabulary.UNUSED)


def test_path() -> None:
    """The shortest way, its edges in order."""
    way = machine.path("active", "suspended")
    assert way is not None
    assert [(edge.action, edge.from_, edge.to) for edge in way] == [
        ("suspend", ("active", None), ("active", "suspending")),
        ("suspend", ("active", "suspending"), ("suspended", None)),
    ]
    assert machine.path("active", "active") == ()
    boot = machine.path("(none)", ("building", "spawning"))
    assert boot is not None
    assert boot[0].from_ == machine.ABSENT
    assert {edge.action for edge in boot} == {"boot"}


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("active", machine.ABSENT),
        ("active", ("building", "scheduling")),
        ("active", ("shelved", "migrating")),
    ],
)
def test_no_path(start: Any, end: Any) -> None:
    """Nothing leads back before a boot, nor to what is beside the map."""
    assert machine.path(start, end) is None


def test_nothing_comes_back_from_deletion() -> None:
    """A server whose guest is destroyed is active only by reset-state."""
    assert machine.path(("deleted", None), ("active", None)) is None


def test_a_path_avoids_failures() -> None:
    """A long way without a failure comes before a short one with one."""
    way = machine.path(("active", "pausing"), ("active", None))
    assert way is not None
    assert all(edge.path is machine.Path.SUCCESS for edge in way)
    assert len(way) > 1
    broken = machine.path("active", "error")
    assert broken is not None
    assert [edge.path for edge in broken].count(machine.Path.FAILURE) == 1


@hypothesis.given(
    start=st.sampled_from(_MAP.states), end=st.sampled_from(_MAP.states)
)
def test_a_path_is_connected(start: machine.State, end: machine.State) -> None:
    """Every way begins and ends where it was asked to, edge by edge."""
    way = machine.path(start, end)
    if way is None:
        return
    at = start
    for edge in way:
        assert edge.from_ == at
        assert edge.action != "reset-state"
        assert machine.is_allowed(edge.from_, edge.to, action=edge.action)
        at = edge.to
    assert at == end


@pytest.mark.parametrize("at", _MAP.states, ids=str)
def test_max_age(at: machine.State) -> None:
    """What passes has an age at which it counts as stuck; what stays, none."""
    age = machine.max_age_s(at)
    if at in machine.stable():
        assert age is None
    else:
        ages = [
            edge.write.at_most_s or 0
            for edge in machine.transitions()
            if edge.to == at
        ]
        assert age == max(ages) > 0


def test_max_age_beside_the_map() -> None:
    """Where nothing leads, a task is given as long as it ever takes."""
    assert machine.max_age_s(("shelved", "pausing")) == machine.max_age_s(
        ("active", "pausing")
    )
    assert machine.max_age_s((None, None)) == machine.max_age_s("building")
    assert machine.max_age_s(("active", "resize_confirming")) == model.MOMENT_S


def test_describe() -> None:
    """Each state is described in words of its own, both columns in them."""
    told = {pair: machine.describe(pair) for pair in _PAIRS}
    assert all(text.endswith(".") for text in told.values())
    assert len(set(told.values())) == len(_PAIRS)
    assert told[machine.State("active", "pausing")] == (
        "The guest runs, as far as Nova knows. It is being paused."
    )
    assert "host was chosen" in told[machine.State("building", None)]
    assert "Nothing is being done" not in told[machine.State("deleted", None)]


def test_gaps_name_what_the_row_does_not_say() -> None:
    """A gap is found in the states that look like it, and there only."""
    found = {
        (action.name, gap.states)
        for pair in _PAIRS
        for action, gap in machine.gaps(pair)
    }
    assert found == {
        (action.name, gap.states)
        for action in _MAP.actions.values()
        for gap in action.gaps
    }
    for action, gap in machine.gaps(("building", None)):
        assert gap in action.gaps
    assert machine.gaps(("paused", "unpausing")) == ()


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (("active", None), "ACTIVE"),
        (("active", "rebooting"), "REBOOT"),
        (("active", "reboot_started_hard"), "HARD_REBOOT"),
        (("active", "resize_finish"), "RESIZE"),
        (("active", "deleting"), "ACTIVE"),
        (("building", "spawning"), "BUILD"),
        (("stopped", "rebuilding"), "REBUILD"),
        (("error", "rebuild_spawning"), "REBUILD"),
        (("resized", None), "VERIFY_RESIZE"),
        (("resized", "resize_reverting"), "REVERT_RESIZE"),
        (("paused", "migrating"), "MIGRATING"),
        (("shelved_offloaded", "unshelving"), "SHELVED_OFFLOADED"),
        ((None, None), "UNKNOWN"),
    ],
)
def test_reported_status(state: Any, status: str) -> None:
    """Users see one word for both columns."""
    assert machine.reported_status(*state) == status
