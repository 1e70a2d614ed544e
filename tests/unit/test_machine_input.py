# SPDX-License-Identifier: Apache-2.0
"""What questions to the map refuse, and the rules of power_state."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from nova_db_states import exceptions
from nova_db_states import machine
from nova_db_states import states
from nova_db_states.machine import power_sync

_Ask = Callable[[Any], Any]

_QUESTIONS: Final[dict[str, _Ask]] = {
    "state": machine.state,
    "is_allowed from": lambda at: machine.is_allowed(at, "active"),
    "is_allowed to": lambda at: machine.is_allowed("active", at),
    "allowed_actions": machine.allowed_actions,
    "path from": lambda at: machine.path(at, "active"),
    "path to": lambda at: machine.path("active", at),
    "max_age_s": machine.max_age_s,
    "describe": machine.describe,
    "gaps": machine.gaps,
}
_BAD_STATES: Final = [
    (("actve", None), exceptions.InvalidState, "Did you mean 'active'"),
    ("activ", exceptions.InvalidState, "Did you mean 'active'"),
    (("active", "pausng"), exceptions.InvalidState, "mean 'pausing'"),
    ("active / NUL", exceptions.InvalidState, "task_state 'NUL'"),
    (("pausing", "active"), exceptions.InvalidState, "vm_state 'pausing'"),
    (("(none)", "deleting"), exceptions.InvalidState, r"vm_state '\(none\)'"),
    (("active",), exceptions.InvalidRequest, "is no state"),
    (("active", None, None), exceptions.InvalidRequest, "is no state"),
    (None, exceptions.InvalidRequest, "None is no state"),
    (7, exceptions.InvalidRequest, "7 is no state"),
    ("", exceptions.InvalidRequest, "'' is no state"),
    (" / deleting", exceptions.InvalidRequest, "is no state"),
    ("active / NULL / NULL", exceptions.InvalidRequest, "is no state"),
    ({"active": 1, "pausing": 2}, exceptions.InvalidRequest, "is no state"),
    ({"active", "pausing"}, exceptions.InvalidRequest, "is no state"),
]


@pytest.mark.parametrize("ask", _QUESTIONS.values(), ids=_QUESTIONS.keys())
@pytest.mark.parametrize(("given", "kind", "says"), _BAD_STATES)
def test_a_wrong_state_is_refused(
    ask: _Ask, given: Any, kind: type[Exception], says: str
) -> None:
    """No question guesses what state was meant; it names the nearest."""
    with pytest.raises(kind, match=says):
        ask(given)


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ("active", ("active", None)),
        ("active/pausing", ("active", "pausing")),
        (" active /  NULL ", ("active", None)),
        ("active / None", ("active", None)),
        ("NULL / NULL", (None, None)),
        ("error/", ("error", None)),
        (["error", "deleting"], ("error", "deleting")),
        ((states.VMState.SOFT_DELETED, None), ("soft-delete", None)),
        ("(none)", machine.ABSENT),
        (("(none)", None), machine.ABSENT),
    ],
)
def test_a_state_in_every_spelling(given: Any, state: Any) -> None:
    """A state is a pair, or the text in which states are shown."""
    read = machine.state(given)
    assert read == state
    assert {type(one) for one in read} <= {str, type(None)}


@pytest.mark.parametrize("state", machine.MAP.states, ids=str)
def test_what_is_shown_can_be_asked_for(state: machine.State) -> None:
    """The text of a state is read as that state."""
    assert machine.state(str(state)) == state


@pytest.mark.parametrize(
    "ask",
    [
        machine.action,
        lambda name: machine.is_allowed("active", "error", action=name),
        lambda name: machine.sources(("active", None), action=name),
    ],
)
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("stops", "no action 'stops'. Did you mean one of stop"),
        ("Pause", "Did you mean one of pause"),
        ("qqqqq", "no action 'qqqqq'. Did you mean one of boot"),
        ("", "no action ''"),
        (["stop"], r"no action \['stop'\]"),
    ],
)
def test_an_unknown_action_is_refused(ask: _Ask, name: str, says: str) -> None:
    """The message names those that come near, or all of them."""
    with pytest.raises(exceptions.InvalidRequest, match=says):
        ask(name)


@pytest.mark.parametrize(
    ("to", "kind", "says"),
    [
        (("active",), exceptions.InvalidRequest, "is no state"),
        (None, exceptions.InvalidRequest, "None is no state"),
        (("actve", states.ANY), exceptions.InvalidState, "'active'"),
        ((states.ANY, "pausng"), exceptions.InvalidState, "'pausing'"),
    ],
)
def test_a_wrong_target_is_refused(
    to: Any, kind: type[Exception], says: str
) -> None:
    """A target is a pair, in which ANY may stand."""
    with pytest.raises(kind, match=says):
        machine.sources(to)


_RUNNING: Final = power_sync.PowerState.RUNNING
_STOPS: Final = {
    ("active", 4): "stop",
    ("active", 6): "stop",
    ("active", 7): "stop",
    ("stopped", 1): "force_stop",
    ("stopped", 3): "force_stop",
    ("stopped", 7): "force_stop",
    ("paused", 4): "force_stop",
    ("paused", 6): "force_stop",
}


@pytest.mark.parametrize("vm_state", [*map(str, states.VMState), None])
@pytest.mark.parametrize("reading", power_sync.PowerState)
def test_power_rule(
    vm_state: str | None, reading: power_sync.PowerState
) -> None:
    """The sync stops a server in the cases listed, and in no other."""
    rule = machine.power_rule(vm_state, reading)
    called = _STOPS.get((vm_state or "", int(reading)))
    assert rule.stops is (called is not None)
    assert rule.nova == (f"nova/compute/api.py:API.{called}" if called else "")
    assert reading in rule.readings
    assert vm_state is None or vm_state in rule.vm_states
    assert rule.why.endswith(".")
    assert machine.power_rule(vm_state, int(reading)) == rule


def test_what_the_sync_does_the_map_allows() -> None:
    """Whatever the sync may stop, stop may be begun there."""
    for vm_state, _ in _STOPS:
        stopping = (vm_state, "powering-off")
        assert machine.is_allowed((vm_state, None), stopping), vm_state


@pytest.mark.parametrize(
    ("vm_state", "reading", "kind", "says"),
    [
        ("actve", _RUNNING, exceptions.InvalidState, "'active'"),
        ("active", 2, exceptions.InvalidRequest, r"power_state 2 .* 4 \(SHUT"),
        ("active", None, exceptions.InvalidRequest, "power_state None"),
        ("active", "on", exceptions.InvalidRequest, "power_state 'on'"),
    ],
)
def test_a_wrong_reading_is_refused(
    vm_state: str, reading: Any, kind: type[Exception], says: str
) -> None:
    """A number that Nova does not know is no reading."""
    with pytest.raises(kind, match=says):
        machine.power_rule(vm_state, reading)
