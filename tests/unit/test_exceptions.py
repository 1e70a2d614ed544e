# SPDX-License-Identifier: Apache-2.0
"""Exceptions: one root, facts as attributes, safe to send."""

import inspect
import pickle

import pytest

from nova_db_states import exceptions
from nova_db_states import states

ABOUT_AN_INSTANCE = [
    kind
    for _, kind in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(kind, exceptions.InstanceError)
]


def test_one_root() -> None:
    """One except clause catches everything this project raises."""
    for name in exceptions.__all__:
        kind = getattr(exceptions, name)
        assert issubclass(kind, exceptions.NovaDBStatesError), name


def test_the_tree_of_conflicts() -> None:
    """A more precise class is caught by the less precise ones."""
    assert exceptions.UnexpectedDeletingTaskStateError.__mro__[1:4] == (
        exceptions.UnexpectedTaskStateError,
        exceptions.InstanceUpdateConflict,
        exceptions.InstanceError,
    )
    assert issubclass(
        exceptions.UnexpectedVMStateError, exceptions.InstanceUpdateConflict
    )
    # Nothing is known to have been refused, so neither is a conflict.
    for kind in (
        exceptions.UnknownInstanceUpdateConflict,
        exceptions.UnknownUpdateOutcome,
    ):
        assert not issubclass(kind, exceptions.InstanceUpdateConflict)


@pytest.mark.parametrize("kind", ABOUT_AN_INSTANCE)
def test_facts_survive_a_process_boundary(
    kind: type[exceptions.InstanceError],
) -> None:
    """A worker's error reaches its parent whole."""
    error = kind(
        "what happened",
        instance_uuid="u",
        expected={
            "task_state": states.Not("deleting"),
            "vm_state": ("a", None),
        },
        actual={"task_state": "deleting"},
    )
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - its own bytes
    assert type(copy) is kind
    assert str(copy) == "what happened"
    assert copy.instance_uuid == "u"
    assert copy.expected == error.expected
    assert copy.actual == {"task_state": "deleting"}


def test_what_a_conflict_found_survives_it_too() -> None:
    """So do the state, what is allowed from there, and what was noted."""
    error = exceptions.UnexpectedDeletingTaskStateError(
        "m",
        instance_uuid="u",
        state=("active", "deleting"),
        allowed_actions=("delete",),
    )
    error.add_note("the claim was kept")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - its own bytes
    assert type(copy) is exceptions.UnexpectedDeletingTaskStateError
    assert copy.state == ("active", "deleting")
    assert copy.allowed_actions == ("delete",)
    assert copy.__notes__ == ["the claim was kept"]


def test_a_transition_that_is_not_allowed_survives_it_too() -> None:
    """It names the action, where it is, and where it may go."""
    error = exceptions.TransitionNotAllowed(
        "m",
        instance_uuid="u",
        action="stop",
        states=(("active", "powering-off"),),
        declared=(("stopped", None),),
    )
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - its own bytes
    assert copy.action == "stop"
    assert copy.states == (("active", "powering-off"),)
    assert copy.declared == (("stopped", None),)


def test_a_partial_update_survives_it_too() -> None:
    """The counts are what the caller goes on with."""
    error = exceptions.PartialUpdate("m", changed_so_far=7, in_doubt=100)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - its own bytes
    assert (str(copy), copy.changed_so_far, copy.in_doubt) == ("m", 7, 100)


def test_an_invalid_state_survives_it_too() -> None:
    """A worker's wrong argument is reported as what it is."""
    error = exceptions.InvalidState(
        "m", field="vm_state", value="ACTIV", nearest="active"
    )
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - its own bytes
    assert (str(copy), copy.field, copy.value, copy.nearest) == (
        "m",
        "vm_state",
        "ACTIV",
        "active",
    )


def test_facts_cannot_be_changed() -> None:
    """A handler cannot alter what the next one reads."""
    error = exceptions.InstanceNotFound("m", instance_uuid="u")
    with pytest.raises(TypeError):
        error.actual["vm_state"] = "active"  # type: ignore[index]
