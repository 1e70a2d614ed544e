# SPDX-License-Identifier: Apache-2.0
"""The map against what Nova was seen to write, and what it should not."""

import csv
import io
import json
from typing import Final

import pytest

from nova_db_states import machine
from nova_db_states.machine.render import csv as csv_
from nova_db_states.machine.render import json as json_
from nova_db_states.machine.render import parts
from tests.unit import nova_facts

_MAP: Final = machine.MAP
_RECORDED: Final = nova_facts.recorded()


def _id(row: nova_facts.Recorded) -> str:
    return str(row)


def test_there_is_something_to_compare_with() -> None:
    """The records are those of a whole run, births and ends among them."""
    events = [row.event for row in _RECORDED]
    assert events.count(machine.Event.CREATE) == 3
    assert events.count(machine.Event.DESTROY) == 7
    assert events.count(machine.Event.UPDATE) == 134
    assert sum(1 for row in _RECORDED if row.refused) == 1


@pytest.mark.parametrize("row", _RECORDED, ids=_id)
def test_what_nova_writes_is_declared(row: nova_facts.Recorded) -> None:
    """Each pair that Nova was seen to write is an edge, of that function."""
    if row.refused:
        assert not machine.is_allowed(row.from_, row.to)
        return
    for writer in row.writers:
        names = {
            edge.action for edge in nova_facts.edges_of(_MAP, row, writer)
        }
        assert names, writer
        for name in names:
            assert machine.is_allowed(row.from_, row.to, action=name)


def test_a_writer_that_is_not_there_is_missed() -> None:
    """The function has to be the one that was seen, not just the pair."""
    (row,) = (
        row
        for row in _RECORDED
        if (row.from_, row.to) == (("active", "pausing"), ("paused", None))
    )
    assert nova_facts.edges_of(_MAP, row, row.writers[0])
    assert not nova_facts.edges_of(
        _MAP, row, "nova.compute.manager:ComputeManager.unpause_instance"
    )


def test_what_novas_source_says_is_declared() -> None:
    """Starts, writes and expectations are those of Nova's functions."""
    assert list(nova_facts.problems(_MAP.actions.values())) == []
    assert len(nova_facts.starts()) > 50
    assert len(nova_facts.writes()) > 200


def test_there_are_defects() -> None:
    """Nova's unguarded writes are told, deletes overwritten among them."""
    lost = {edge.from_.task_state for edge in _MAP.defects}
    assert {"deleting", "soft-deleting"} <= lost


def test_no_defect_is_allowed() -> None:
    """What nobody may do is refused to its writer, and says why."""
    for edge in _MAP.defects:
        assert edge.write.defect.endswith("."), edge
        assert edge not in machine.transitions()
        assert not machine.is_allowed(
            edge.from_, edge.to, action=edge.action
        ), edge
        assert edge.from_ not in machine.sources(edge.to, action=edge.action)


@pytest.mark.parametrize("task", ["deleting", "soft-deleting"])
def test_only_a_deletion_leads_out_of_a_deletion(task: str) -> None:
    """Whoever does not say that it is the deletion is held off."""
    enders = {
        edge.action
        for edge in _MAP.transitions
        if edge.from_.task_state == task
        and edge.to.task_state != task
        and not edge.reserved
    }
    assert enders <= {"delete", "soft_delete"}
    for before in _MAP.states:
        if before.task_state == task and before.vm_state != "deleted":
            for after in (before.vm_state, None), ("error", None):
                done = task == "soft-deleting" and after[0] == "soft-delete"
                assert machine.is_allowed(before, after) == done, before


def test_no_defect_is_exported_as_an_edge() -> None:
    """Programs that read the map find only what is allowed."""
    whole = parts.cut(_MAP)
    forbidden = {(one.action, one.from_, one.to) for one in _MAP.defects}
    rows = list(csv.DictReader(io.StringIO(csv_.render(whole))))
    assert len(rows) > len(_MAP.states)
    exported = {
        (
            row["action"],
            machine.state(_pair(row, "from")),
            machine.state(_pair(row, "to")),
        )
        for row in rows
    }
    assert not exported & forbidden
    told = json.loads(json_.render(whole))
    assert len(told["defects"]) == len(_MAP.defects)
    assert all(edge["reason"] for edge in told["defects"])


def _pair(row: dict[str, str], end: str) -> tuple[str | None, ...]:
    return tuple(
        row[f"{end}_{column}"] or None for column in ("vm_state", "task_state")
    )
