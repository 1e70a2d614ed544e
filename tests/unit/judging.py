# SPDX-License-Identifier: Apache-2.0
"""Short forms for tests of what is refused."""

from typing import Any

from nova_db_states import guards
from nova_db_states.nova import belief
from nova_db_states.nova import judgement
from nova_db_states.nova import writes

__all__ = ["admits", "write"]


def write(
    seen: Any, to: Any, tasks: Any = None, writer: str = "", **more: Any
) -> writes.Write:
    """Make a write of two states by who saw two; ``None`` saw nothing."""
    believed = belief.NONE if seen is None else belief.Belief(*seen)
    named = None if tasks is None else frozenset(tasks)
    return writes.Write(*to, believed, named, writer, **more)


def admits(write: writes.Write, *row: str | None) -> bool:
    """Say whether a write may be made to a row in two states."""
    guard = judgement.ruling(write)
    return guard is None or guard.admits(guards.state_text(*row))
