# SPDX-License-Identifier: Apache-2.0
"""One normal form for every way to write an expectation.

A guard is a pure value: it knows nothing of SQL or of a connection.
``_update/statement.py`` turns it into a WHERE term, and :meth:`Guard.admits`
says in Python what that term means.
"""

from collections.abc import Iterable, Mapping
import dataclasses
import functools
from typing import Any, Final

from nova_db_states import columns
from nova_db_states import exceptions
from nova_db_states import states

__all__ = ["BETWEEN", "STATE", "Guard", "normalise", "on_states", "state_text"]

STATE: Final = "state"
"""Stands for a column in a guard on both states at once."""

BETWEEN: Final = "/"
"""Between the two states in the one text that such a guard looks at."""


@dataclasses.dataclass(frozen=True, slots=True)
class Guard:
    """What one column must hold for the update to match.

    :ivar column: the column's name
    :ivar values: the values meant, checked against the column, none twice
    :ivar null: whether NULL is meant too
    :ivar negated: whether the values (and NULL) are excluded instead
    """

    column: str
    values: tuple[Any, ...]
    null: bool = False
    negated: bool = False

    def admits(self, value: Any) -> bool:
        """Say whether a value satisfies this guard.

        :param value: a value of the column, ``None`` for NULL
        :returns: true where the guard holds
        """
        meant = self.null if value is None else value in self.values
        return meant != self.negated

    @property
    def expectation(self) -> tuple[Any, ...] | states.Not:
        """The guard as a caller would write it, for messages and errors."""
        every = (*self.values, None) if self.null else self.values
        return states.Not(*every) if self.negated else every

    def __str__(self) -> str:
        expectation = self.expectation
        if isinstance(expectation, states.Not):
            return repr(expectation)
        return " or ".join(
            "NULL" if value is None else states.plain(value)
            for value in expectation
        )


def on_states(
    pairs: Iterable[tuple[str | None, str | None]], *, negated: bool = False
) -> Guard:
    """Make a guard on ``vm_state`` and ``task_state`` together.

    The pairs that an action may start from are hardly ever a product: a task
    belongs to some vm_states only.

    :param pairs: the states meant, ``None`` for NULL
    :param negated: whether these are excluded instead
    :returns: the guard
    """
    return Guard(
        STATE,
        tuple(sorted({state_text(*pair) for pair in pairs})),
        False,
        negated,
    )


def state_text(vm_state: str | None, task_state: str | None) -> str:
    """Write a pair of states as a guard on both compares it.

    :param vm_state: ``None`` for NULL
    :param task_state: ``None`` for NULL
    :returns: one text
    """
    return f"{vm_state or ''}{BETWEEN}{task_state or ''}"


def normalise(
    expected_vm_state: Any = states.ANY,
    expected_task_state: Any = states.ANY,
    expected: Mapping[str, Any] | None = None,
) -> tuple[Guard, ...]:
    """Bring the expectations of a call to their normal form.

    :param expected_vm_state: a state, ``None`` for NULL, a collection of
        these, ``Not(...)``, or ``ANY`` for no guard
    :param expected_task_state: the same
    :param expected: the same for any other columns, by name; ``None`` for
        none
    :returns: one guard for each guarded column, ``vm_state`` first, then
        ``task_state``, then the others by name
    :raises InvalidGuard: unknown column, a column guarded twice, an empty
        collection, or a value that the column cannot hold
    :raises InvalidState: a state that no Nova release has
    """
    found = {}
    for name, expectation in (
        ("vm_state", expected_vm_state),
        ("task_state", expected_task_state),
    ):
        if expectation is not states.ANY:
            found[name] = _state_guard(name, expectation)
    if expected is None:
        return tuple(found.values())
    if not isinstance(expected, Mapping):
        raise exceptions.InvalidGuard(
            f"expected={expected!r} is not a mapping. Give column names and "
            f"what each must hold, like {{'host': 'compute1'}}."
        )
    for name in sorted(expected, key=str):
        columns.column(name)
        if name in found:
            raise exceptions.InvalidGuard(
                f"{name} is guarded twice, by expected_{name}= and in "
                f"expected=. Keep one."
            )
        if expected[name] is not states.ANY:
            found[name] = _guard(name, expected[name])
    return tuple(found.values())


def _guard(name: str, expectation: Any) -> Guard:
    negated = isinstance(expectation, states.Not)
    if isinstance(expectation, states.Not):
        wanted = list(expectation.excluded)
    elif isinstance(expectation, Mapping):
        raise exceptions.InvalidGuard(
            f"The guard on {name} is the mapping {expectation!r}. Give a "
            f"value, a collection of values, None, Not(...) or ANY."
        )
    elif states.is_collection(expectation):
        wanted = list(expectation)
    else:
        wanted = [expectation]
    if not wanted:
        raise exceptions.InvalidGuard(
            f"The guard on {name} is empty: no row could "
            f"{'fail' if negated else 'satisfy'} it. Give at least one value "
            f"(None for NULL), or ANY for no guard."
        )
    for item in wanted:
        if item is states.ANY or isinstance(item, states.Not):
            raise exceptions.InvalidGuard(
                f"The guard on {name} has {item!r} inside a collection. ANY "
                f"and Not(...) stand alone: give the values themselves."
            )
    checked = dict.fromkeys(
        columns.value(name, item) for item in wanted if item is not None
    )
    return Guard(name, tuple(checked), None in wanted, negated)


# What a call site expects of a state hardly ever varies, and is checked value
# by value; other columns are guarded by what varies.
_remembered: Final = functools.lru_cache(maxsize=1024)(_guard)

# Immutable, and equal only to what makes an equal guard. A generator would be
# remembered as exhausted.
_MEMORABLE: Final = frozenset(
    {
        str,
        type(None),
        tuple,
        frozenset,
        states.Not,
        states.VMState,
        states.TaskState,
    }
)


def _state_guard(name: str, expectation: Any) -> Guard:
    if type(expectation) is list:
        expectation = tuple(expectation)
    if type(expectation) not in _MEMORABLE:
        return _guard(name, expectation)
    try:
        guard: Guard = _remembered(name, expectation)
    except TypeError:
        # Something inside cannot be hashed, and so is no state.
        return _guard(name, expectation)
    return guard
