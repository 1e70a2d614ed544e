# SPDX-License-Identifier: Apache-2.0
"""The vocabulary and the markers of guards."""

import copy
import pickle

from nova_db_states import states
from nova_db_states import tables


def test_states_are_strings() -> None:
    """A state can be used wherever Nova uses its string."""
    assert states.VMState.SOFT_DELETED == "soft-delete"
    assert f"{states.TaskState.POWERING_OFF}" == "powering-off"


def test_every_state_fits_its_column() -> None:
    """No state is longer than the column it is written to."""
    for name, vocabulary in (
        ("vm_state", states.VMState),
        ("task_state", states.TaskState),
    ):
        width = tables.instances.c[name].type.length
        assert all(len(state) <= width for state in vocabulary)


def test_any_is_one_object() -> None:
    """ANY stays itself when copied or sent to another process."""
    assert copy.deepcopy(states.ANY) is states.ANY
    assert pickle.loads(pickle.dumps(states.ANY)) is states.ANY  # noqa: S301
    assert repr(states.ANY) == "ANY"


def test_not_takes_values_or_a_collection() -> None:
    """Not("a", "b") and Not(["b", "a"]) are equal, and hash alike."""
    assert states.Not("deleting", None) == states.Not([None, "deleting"])
    assert hash(states.Not("deleting")) == hash(
        states.Not(states.TaskState.DELETING)
    )
    assert states.Not("deleting") != states.Not("deleting", None)
    assert states.Not("deleting") != "deleting"


def test_not_shows_plain_values() -> None:
    """A state in Not is shown as the string it is in the database."""
    assert repr(states.Not(states.TaskState.DELETING)) == "Not('deleting')"
    assert repr(states.Not(None)) == "Not(None)"
