# SPDX-License-Identifier: Apache-2.0
"""Which writes of Nova's are refused, without Nova and without a database."""

import dataclasses
from typing import Any, Final

import pytest

from nova_db_states import guards
from nova_db_states import states
from nova_db_states.machine import instance
from nova_db_states.machine import model
from nova_db_states.machine import notation
from nova_db_states.nova import belief
from nova_db_states.nova import judgement
from nova_db_states.nova import participants
from nova_db_states.nova import writes
from tests.unit import judging
from tests.unit import nova_facts

_MAP: Final = instance.MAP
_API: Final = "nova/compute/api.py:API."
_ANY: Final = states.ANY
_NONE: Final = belief.NONE
_DELETING: Final = ("deleting", "soft-deleting")
_UPDATES: Final = [
    row
    for row in nova_facts.recorded()
    if row.event == model.Event.UPDATE and not row.refused
]


def _changed(from_: Any, to: Any) -> tuple[Any, Any]:
    """Set only what is different, as a save does."""
    return (
        to[0] if to[0] != from_[0] else _ANY,
        to[1] if to[1] != from_[1] else _ANY,
    )


@pytest.mark.parametrize("row", _UPDATES, ids=str)
def test_what_nova_was_seen_to_write_passes(row: nova_facts.Recorded) -> None:
    """Who believes what is there may write what Nova's own tests write."""
    to = _changed(row.from_, row.to)
    if to != (_ANY, _ANY):
        assert judging.admits(judging.write(row.from_, to), *row.from_)


@pytest.mark.parametrize(
    "edge",
    [
        edge
        for edge in _MAP.transitions
        if edge.write.event is model.Event.UPDATE
        and edge.action != "reset-state"
        and (edge.from_.task_state, edge.to.task_state)
        != ("soft-deleting", "deleting")
        and edge.from_ != edge.to
    ],
    ids=str,
)
def test_every_edge_passes(edge: model.Transition) -> None:
    """Each edge of the map can be written by who believes its beginning."""
    write = judging.write(edge.from_, _changed(edge.from_, edge.to))
    assert judging.admits(write, *edge.from_)


@pytest.mark.parametrize("task", _DELETING)
def test_a_late_writer_does_not_undo_a_delete(task: str) -> None:
    """Nothing that saw no delete writes over one, whatever it saw."""
    for edge in _MAP.transitions:
        if edge.action == "reset-state" or edge.from_.task_state in _DELETING:
            continue
        if edge.to.task_state in _DELETING or edge.to.vm_state == "deleted":
            continue
        if edge.write.event is not model.Event.UPDATE:
            continue
        to = _changed(edge.from_, edge.to)
        if to == (_ANY, _ANY):
            continue
        assert not judging.admits(
            judging.write(edge.from_, to), edge.from_.vm_state, task
        ), edge


@pytest.mark.parametrize(
    "task", [one for one in (*states.TaskState, None) if one not in _DELETING]
)
def test_belief_is_what_counts(task: str | None) -> None:
    """A settled server is written over only by who saw it as it is."""
    settled = [one for one in _MAP.states if one.task_state is None]
    for seen in _MAP.states:
        if seen.task_state == "deleting" or seen.vm_state == "deleted":
            continue
        write = judging.write(seen, (_ANY, task))
        for row in settled:
            # Who ends a task that has been ended changes nothing.
            same = task is None and row.vm_state == seen.vm_state
            if row != seen and not same:
                assert not judging.admits(write, *row), (seen, row)


def test_a_delete_may_change_everything() -> None:
    """A delete is accepted whatever its writer saw."""
    for seen in (None, ("active", None), ("building", "spawning")):
        write = judging.write(
            seen, (_ANY, "deleting"), writer=f"{_API}_delete"
        )
        assert all(judging.admits(write, *row) for row in _MAP.states)


def test_whose_answer_was_lost_may_go_on() -> None:
    """What he tried to write may be there, and he may say it has failed."""
    lost = belief.Belief("building", "spawning", tried=("active", None))
    for seen, allowed in (
        (lost, True),
        (dataclasses.replace(lost, tried=None), False),
    ):
        write = writes.Write("error", None, seen)
        assert judging.admits(write, "active", None) is allowed
        assert judging.admits(write, "building", "spawning")
        assert not judging.admits(write, "active", "deleting")


def test_who_ends_his_task_finds_it_ended() -> None:
    """An administrator's reset takes nothing from what is as it should be."""
    write = judging.write(("active", "migrating"), (_ANY, None), moves=True)
    assert judging.admits(write, "active", None)
    assert not judging.admits(write, "error", None)
    assert not judging.admits(write, "active", "rebuilding")


def test_a_soft_delete_does_not_weaken_a_delete() -> None:
    """A soft delete of what is being deleted for good is refused."""
    write = judging.write(("active", None), (_ANY, "soft-deleting"))
    assert judging.admits(write, "active", None)
    assert not judging.admits(write, "active", "deleting")


def test_the_reclaim_leaves_a_restored_server() -> None:
    """Only what is still soft-deleted, or being deleted, becomes deleted."""
    write = judging.write(("soft-delete", None), ("deleted", None))
    assert judging.admits(write, "soft-delete", None)
    assert judging.admits(write, "soft-delete", "deleting")
    assert not judging.admits(write, "soft-delete", "restoring")
    assert not judging.admits(write, "active", None)


def test_a_delete_confirms_a_resize_first() -> None:
    """The server may be idle for a moment to who carries its delete out."""
    write = judging.write(("resized", "deleting"), ("deleted", None))
    assert judging.admits(write, "active", None)
    # An administrator's reset does not bring the guest back either.
    assert judging.admits(write, "error", None)
    assert judgement.destroy_ruling(write.seen) is None
    confirm = judging.write(("resized", "deleting"), ("active", None))
    assert judging.admits(confirm, "resized", "deleting")
    late_revert = judging.write(
        ("resized", "resize_reverting"), ("active", None)
    )
    assert not judging.admits(late_revert, "resized", "deleting")


@pytest.mark.parametrize(
    ("seen", "allowed"),
    [
        (("active", None), True),
        (("active", "powering-off"), True),
        (("active", "deleting"), False),
        (("active", "rebuilding"), False),
    ],
    ids=str,
)
def test_evacuation(seen: Any, *, allowed: bool) -> None:
    """One evacuation at a time, none over a delete, from any other task."""
    write = judging.write(seen, (_ANY, "rebuilding"), writer=f"{_API}evacuate")
    assert judging.admits(write, *seen) is allowed
    assert judgement.begins(write)
    if seen != ("active", None):
        assert not judging.admits(write, "active", None)


def test_who_sees_what_is_there_may_do_with_it_what_no_map_foresees() -> None:
    """Only who begins an action, or ends a delete, needs an edge for it."""
    write = judging.write(
        ("active", None), ("shelved_offloaded", "unshelving")
    )
    assert judging.admits(write, "active", None)
    assert not judging.admits(write, "shelved_offloaded", None)
    out = judging.write(("active", "deleting"), ("active", "rebooting"))
    assert not judging.admits(out, "active", "deleting")


def test_who_has_only_heard_of_a_delete_does_not_carry_it_out() -> None:
    """An object that read of a delete by the way must not end it."""
    own = belief.Belief("active", "deleting")
    heard = belief.Belief("active", "deleting", overtaken=True)
    for to in (("active", None), ("error", _ANY), (_ANY, None)):
        for seen, allowed in ((own, True), (heard, False)):
            write = writes.Write(*to, seen)
            assert judging.admits(write, "active", "deleting") is allowed
    for seen, allowed in ((own, True), (heard, False)):
        write = writes.Write(seen=seen, moves=True)
        assert judging.admits(write, "active", "deleting") is allowed


def test_who_has_only_heard_of_an_action_takes_no_part_in_it() -> None:
    """The error of a confirm is none of the revert that came meanwhile."""
    own = belief.Belief("resized", "resize_reverting")
    heard = belief.Belief("resized", "resize_reverting", overtaken=True)
    for to in (("error", _ANY), ("error", None), (_ANY, None)):
        for seen, allowed in ((own, True), (heard, False)):
            write = writes.Write(*to, seen)
            assert judging.admits(write, *own.pair or ()) is allowed
    for to in ((_ANY, "deleting"), ("deleted", None)):
        assert judging.admits(writes.Write(*to, heard), *own.pair or ())


@pytest.mark.parametrize(
    ("seen", "now", "expected"),
    [
        (("active", "resize_prep"), ("active", "resize_migrating"), True),
        (("active", "resize_migrating"), ("resized", None), True),
        (("resized", None), ("resized", "resize_reverting"), False),
        (("active", "rebooting"), ("active", "powering-off"), False),
        (("building", "spawning"), ("building", "deleting"), False),
        (("active", "soft-deleting"), ("active", "deleting"), False),
    ],
    ids=str,
)
def test_whose_action_it_is(seen: Any, now: Any, *, expected: bool) -> None:
    """A task that the one seen leads to is of the same action."""
    states_ = (notation.State(*seen), notation.State(*now))
    assert participants.comes_from(*states_) is expected


def test_what_would_have_been_right_is_told() -> None:
    """A refusal that nothing could prevent names where one may begin."""
    write = judging.write(
        ("active", "deleting"), (_ANY, "rebuilding"), writer=f"{_API}evacuate"
    )
    guard = judgement.ruling(write)
    assert guard is judgement.NOWHERE
    told = judgement.explained(write, guard)
    assert told.admits("active/powering-off")
    assert not told.admits("active/deleting")


def test_who_is_ahead_within_an_action_may_be_written_over() -> None:
    """Several take part in a resize; the error of one holds for all."""
    error = judging.write(("active", "resize_prep"), ("error", _ANY))
    assert judging.admits(error, "active", "resize_migrating")
    assert judging.admits(error, "error", "resize_prep")
    assert not judging.admits(error, "active", "resize_reverting")
    assert not judging.admits(error, "active", "powering-off")
    # The conductor, asked for other hosts, had taken the task away already.
    assert judging.admits(error, "active", None)
    for task in ("reboot_started", "rebuilding"):
        other = judging.write(("active", task), ("error", _ANY))
        assert not judging.admits(other, "active", None)


def test_what_is_as_wanted_is_no_reason_to_refuse() -> None:
    """A vm_state that is there already under one's own task passes."""
    write = judging.write(("active", "rebuilding"), ("stopped", _ANY))
    assert judging.admits(write, "stopped", "rebuilding")
    assert not judging.admits(write, "stopped", None)
    assert not judging.admits(write, "stopped", "deleting")


@pytest.mark.parametrize(
    ("seen", "to", "writer", "idle"),
    [
        (("active", None), ("active", None), "", ("vm_state", "task_state")),
        (("active", None), ("active", "rebooting"), "", ("vm_state",)),
        (("active", "resize_prep"), (_ANY, "resize_prep"), "", ()),
        (None, ("active", None), "", ()),
        (
            ("active", "rebuilding"),
            (_ANY, "rebuilding"),
            f"{_API}evacuate",
            (),
        ),
    ],
    ids=str,
)
def test_what_was_seen_so_need_not_be_set(
    seen: Any, to: Any, writer: str, idle: Any
) -> None:
    """A state that is set to what it was says nothing, but to begin."""
    assert judgement.idle(judging.write(seen, to, writer=writer)) == idle
    assert judgement.idle(judging.write(seen, to, resets=True)) == ()


def test_an_action_is_not_begun_ahead_of_itself() -> None:
    """The API's own writers have to find just what they saw."""
    write = judging.write(
        ("active", None), (_ANY, "rebooting"), writer=f"{_API}_soft_reboot"
    )
    assert judging.admits(write, "active", None)
    assert not judging.admits(write, "active", "rebooting")


def test_an_expectation_takes_the_vm_state_along() -> None:
    """A suspend of a server that became error is refused."""
    write = judging.write(("active", None), (_ANY, "suspending"), [None])
    assert judging.admits(write, "active", None)
    assert not judging.admits(write, "error", None)


def test_reset_state_always_passes() -> None:
    """The administrator's judgement needs no guard."""
    write = judging.write(
        ("active", "deleting"), ("active", None), resets=True
    )
    assert judgement.ruling(write) is None


def test_foreign_states_pass() -> None:
    """A name that no Nova has is written as Nova would."""
    for to in (("weird", None), (_ANY, "weird")):
        write = judging.write(("active", None), to)
        assert writes.is_foreign(write) == "weird"
        assert judgement.ruling(write) is None


def test_destroy() -> None:
    """What is destroyed is being deleted, was never built, or was seen so."""
    assert judgement.destroy_ruling(_NONE) is None
    guard = judgement.destroy_ruling(belief.Belief("soft-delete", None))
    assert guard is not None
    for row, allowed in (
        (("soft-delete", None), True),
        (("deleted", None), True),
        (("active", "deleting"), True),
        (("building", "scheduling"), True),
        (("active", None), False),
        (("soft-delete", "restoring"), False),
    ):
        assert guard.admits(guards.state_text(*row)) is allowed


@pytest.mark.parametrize(
    ("to", "gives_up"),
    [
        (("error", _ANY), True),
        ((_ANY, None), True),
        (("active", None), True),
        ((_ANY, "scheduling"), False),
        ((_ANY, _ANY), False),
    ],
    ids=str,
)
def test_giving_up(to: Any, *, gives_up: bool) -> None:
    """An error, or the end of a task, brings nothing forward."""
    assert writes.is_giving_up(judging.write(None, to)) is gives_up
