# SPDX-License-Identifier: Apache-2.0
"""Which writes of a host are refused, without Nova and without a database."""

from typing import Any, Final

import pytest

from nova_db_states import states
from nova_db_states.nova import belief
from nova_db_states.nova import judgement
from nova_db_states.nova import places
from tests.unit import judging

_ANY: Final = states.ANY


@pytest.mark.parametrize(
    ("seen", "there", "allowed"),
    [
        ("source", "source", True),
        ("source", "dest", True),
        ("source", "third", False),
        ("source", None, False),
        (None, None, True),
        (None, "third", False),
        (belief.UNKNOWN, "third", True),
    ],
)
def test_a_host_that_belongs_to_a_state(
    seen: Any, there: Any, *, allowed: bool
) -> None:
    """It is written where the server still is on the host that was seen."""
    write = judging.write(("active", "migrating"), (_ANY, None), moves=True)
    guard = places.ruling(write, seen, "dest")
    assert (guard is None or guard.admits(there)) is allowed
    assert places.ruling(judging.write(None, (_ANY, _ANY)), seen, "d") is None
    deletes = judging.write(None, ("deleted", None))
    assert places.ruling(deletes, seen, None) is None


def test_a_host_is_not_taken_from_under_a_delete() -> None:
    """Moving a server by itself leaves one that is being deleted alone."""
    moves = judging.write(("building", "spawning"), (_ANY, _ANY), moves=True)
    assert judging.admits(moves, "building", "spawning")
    assert judging.admits(moves, "active", None)
    assert not judging.admits(moves, "building", "deleting")
    # An offload that is done must not take away the host of an unshelve.
    offload = judging.write(
        ("shelved_offloaded", None),
        (_ANY, _ANY),
        writer="nova/compute/manager.py:"
        "ComputeManager._shelve_offload_instance",
        moves=True,
    )
    assert judging.admits(offload, "shelved_offloaded", "unshelving")
    assert not judging.admits(offload, "shelved_offloaded", "spawning")
    assert not judging.admits(offload, "shelved_offloaded", "deleting")
    own = judging.write(("building", "deleting"), (_ANY, _ANY), moves=True)
    assert judgement.ruling(own) is None
    idle = judging.write(("active", None), (_ANY, _ANY))
    assert judgement.ruling(idle) is None
