# SPDX-License-Identifier: Apache-2.0
"""What is refused to writers of whom little or nothing is known."""

from typing import Any, Final

import pytest

from nova_db_states import states
from nova_db_states.nova import belief
from nova_db_states.nova import writes
from tests.unit import judging

_ANY: Final = states.ANY


def test_rows_that_the_map_does_not_know_refuse_nothing_to_the_blind() -> None:
    """Without a belief only a state of the map can refuse a write."""
    write = judging.write(None, ("active", None))
    assert judging.admits(write, "stopped", "spawning")
    assert judging.admits(write, None, None)
    assert not judging.admits(write, "active", "deleting")


@pytest.mark.parametrize(
    ("row", "allowed"),
    [
        (("active", "deleting"), False),
        (("error", "deleting"), True),
        (("active", "reboot_started"), True),
    ],
    ids=str,
)
def test_a_revert_of_whom_nothing_is_known(row: Any, *, allowed: bool) -> None:
    """A host without the plugin may revert a delete only once it failed."""
    assert judging.admits(judging.write(None, (_ANY, None)), *row) is allowed


@pytest.mark.parametrize(
    ("seen", "to", "row", "allowed"),
    [
        # A plain host sets an error; its task was clean.
        ((None, "spawning"), ("error", _ANY), ("building", "spawning"), True),
        ((None, "spawning"), ("error", _ANY), ("active", None), False),
        ((None, "resize_prep"), ("error", _ANY), ("active", None), True),
        # It takes its task away; its vm_state was clean.
        (("active", None), (_ANY, None), ("active", "rebooting"), True),
        (("paused", None), (_ANY, None), ("active", "rebooting"), False),
        (("active", None), (_ANY, None), ("active", "deleting"), False),
    ],
    ids=str,
)
def test_half_a_belief_counts(
    seen: Any, to: Any, row: Any, *, allowed: bool
) -> None:
    """What a host without the plugin left alone is what it saw."""
    half = belief.Belief(
        *(
            belief.UNKNOWN if new is not _ANY else old
            for old, new in zip(seen, to, strict=True)
        )
    )
    assert judging.admits(writes.Write(*to, half), *row) is allowed


@pytest.mark.parametrize(
    ("to", "row", "allowed"),
    [
        (("shelved", "powering-off"), ("active", None), True),
        ((_ANY, "scheduling"), ("active", "rebuilding"), True),
        (("stopped", _ANY), ("active", "rebuilding"), True),
        (("active", _ANY), ("building", "spawning"), True),
        (("active", None), ("building", "networking"), False),
        ((_ANY, "scheduling"), ("active", "deleting"), False),
        (("stopped", _ANY), ("active", "deleting"), False),
        ((_ANY, "spawning"), ("active", None), True),
        ((_ANY, "rebooting"), ("active", "rebuilding"), False),
    ],
    ids=str,
)
def test_what_the_map_is_not_about(
    to: Any, row: Any, *, allowed: bool
) -> None:
    """A state that no action leads to is written, but over no delete."""
    assert judging.admits(judging.write(None, to), *row) is allowed
