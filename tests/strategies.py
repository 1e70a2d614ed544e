# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies shared by tests, and the model they are held to."""

from typing import Any, Final

from hypothesis import strategies as st

from nova_db_states import states

VM_STATES: Final = [str(state) for state in states.VMState]
TASK_STATES: Final = [str(state) for state in states.TaskState]

#: What a row's column may hold, NULL included.
vm_states = st.sampled_from([*VM_STATES, None])
task_states = st.sampled_from([*TASK_STATES, None])


def expectations(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Make expectations of every kind from the values of one column."""
    some = st.lists(values, min_size=1, max_size=5)
    return st.one_of(
        st.just(states.ANY),
        values,
        some,
        some.map(tuple),
        some.map(frozenset),
        some.map(states.Not),
        some.map(lambda items: states.Not(*items)),
        values.map(states.Not),
    )


def model_admits(expectation: Any, value: str | None) -> bool:
    """Say what an expectation means, in the words of the documentation.

    Written apart from ``Guard.admits`` on purpose: it goes by what the
    caller wrote, and knows no normal form.
    """
    if expectation is states.ANY:
        return True
    if isinstance(expectation, states.Not):
        return all(value != excluded for excluded in expectation.excluded)
    if isinstance(expectation, (list, tuple, frozenset)):
        return any(value == wanted for wanted in expectation)
    return bool(value == expectation)
