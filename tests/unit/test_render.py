# SPDX-License-Identifier: Apache-2.0
"""The state map for programs: what is cut out of it, CSV and JSON."""

import csv
import io
import json

import pytest

from nova_db_states.machine import instance
from nova_db_states.machine import model
from nova_db_states.machine import notation
from nova_db_states.machine import power_sync
from nova_db_states.machine import queries
from nova_db_states.machine import status
from nova_db_states.machine import vocabulary
from nova_db_states.machine.render import csv as csv_text
from nova_db_states.machine.render import json as json_text
from nova_db_states.machine.render import parts
from nova_db_states.machine.render import wording

MAP = instance.MAP
WHOLE = parts.cut(MAP)
ACTIVE = notation.State("active", None)


def _rows(part: parts.Part) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csv_text.render(part))))


def _pair(row: dict[str, str | None], end: str) -> notation.State:
    vm_state, task_state = row[f"{end}_vm_state"], row[f"{end}_task_state"]
    return notation.State(vm_state or None, task_state or None)


def test_csv_has_its_columns() -> None:
    """Programs rely on the header."""
    header = csv_text.render(WHOLE).splitlines()[0]
    assert header == (
        "from_vm_state,from_task_state,to_vm_state,to_task_state,action,path,"
        "nova"
    )


def test_csv_has_every_allowed_edge_once_and_sorted() -> None:
    """One line for each edge, action, path and function; no defect."""
    rows = _rows(WHOLE)
    found = [
        (_pair(row, "from"), _pair(row, "to"), *list(row.values())[4:])
        for row in rows
    ]
    assert len(found) == len(set(found))
    assert set(found) == {
        (edge.from_, edge.to, edge.action, edge.path, edge.nova)
        for edge in MAP.transitions
    }
    assert [*map(tuple, map(dict.values, rows))] == sorted(
        tuple(row.values()) for row in rows
    )


def test_csv_has_no_edge_that_is_only_a_defect() -> None:
    """What nobody may do is not among what may follow what."""
    pairs = {(_pair(row, "from"), _pair(row, "to")) for row in _rows(WHOLE)}
    forbidden = {(edge.from_, edge.to) for edge in MAP.defects}
    deleting = notation.State("shelved_offloaded", "deleting")
    spawning = notation.State("shelved_offloaded", "spawning")
    assert (deleting, spawning) in forbidden
    assert (deleting, spawning) not in pairs


def test_csv_starts_a_boot_from_no_row() -> None:
    """The ``vm_state`` before a boot is ``(none)``, its task empty."""
    first = _rows(parts.cut(MAP, action="boot"))[0]
    assert (first["from_vm_state"], first["from_task_state"]) == ("(none)", "")


def test_csv_keeps_the_states_of_a_row_that_is_deleted() -> None:
    """A destroyed row is an edge from a state to itself."""
    destroying = {
        (edge.from_, edge.nova)
        for edge in MAP.transitions
        if edge.write.event is model.Event.DESTROY
    }
    same = {
        (_pair(row, "from"), row["nova"])
        for row in _rows(WHOLE)
        if _pair(row, "from") == _pair(row, "to")
    }
    assert destroying
    assert destroying <= same


def test_json_round_trip() -> None:
    """What was written is what the map has."""
    read = json.loads(json_text.render(WHOLE))
    assert list(read) == [
        "states",
        "actions",
        "transitions",
        "defects",
        "power_rules",
    ]
    for kind, edges in (
        ("transitions", WHOLE.transitions),
        ("defects", WHOLE.defects),
    ):
        assert [
            (_pair(row, "from"), _pair(row, "to"), row["action"], row["nova"])
            for row in read[kind]
        ] == [(edge.from_, edge.to, edge.action, edge.nova) for edge in edges]
    assert [row["name"] for row in read["actions"]] == list(MAP.actions)
    assert len(read["power_rules"]) == len(power_sync.POWER_RULES)


def test_json_tells_all_of_a_state() -> None:
    """A state has its meaning, its status and its limit."""
    for row, state in zip(
        json_text.as_mapping(WHOLE)["states"], MAP.states, strict=True
    ):
        assert row == {
            "vm_state": state.vm_state,
            "task_state": state.task_state,
            "status": status.reported_status(*state),
            "stable": vocabulary.is_settled(state),
            "max_age_s": queries.max_age_s(state),
            "description": vocabulary.describe(state),
            "stranded": vocabulary.stranded(state),
        }


def test_json_tells_all_of_an_edge_and_an_action() -> None:
    """Every field of the declarations is there, and so is every gap."""
    read = json_text.as_mapping(WHOLE)
    for row, edge in zip(read["transitions"], WHOLE.transitions, strict=True):
        write = edge.write
        assert (row["event"], row["via"], row["when"], row["guarded"]) == (
            write.event,
            write.via,
            write.when,
            write.guarded,
        )
        assert row["at_most_s"] == write.at_most_s
        assert row["releases"] == list(write.releases)
    assert all(row["reason"] for row in read["defects"])
    for row, action in zip(read["actions"], MAP.actions.values(), strict=True):
        assert row["starts"] == action.starts
        assert row["overruled_by"] == list(action.overruled_by)
        assert [gap["why"] for gap in row["gaps"]] == [
            gap.why for gap in action.gaps
        ]


def test_part_of_an_action() -> None:
    """Nothing but the action, and the states it touches."""
    part = parts.cut(MAP, action="stop")
    assert not part.is_whole
    assert {edge.action for edge in part.transitions} == {"stop"}
    assert [action.name for action in part.actions] == ["stop"]
    assert set(part.states) < set(MAP.states)
    assert part.power_rules == ()


def test_part_of_a_state() -> None:
    """Everything that leads out of it, whoever does it."""
    part = parts.cut(MAP, from_=ACTIVE)
    assert {edge.from_ for edge in part.transitions} == {ACTIVE}
    assert {"stop", "delete", "reboot soft"} <= {
        edge.action for edge in part.transitions
    }


def test_part_of_a_state_that_nothing_leads_to() -> None:
    """A damaged row can be deleted like any other."""
    damaged = notation.State(None, None)
    assert damaged not in MAP.states
    part = parts.cut(MAP, from_=damaged)
    assert {edge.action for edge in part.transitions} >= {"delete"}


def test_part_of_an_action_and_a_state() -> None:
    """Both at once narrow it down."""
    part = parts.cut(MAP, action="stop", from_=ACTIVE)
    assert {(edge.from_, edge.action) for edge in part.transitions} == {
        (ACTIVE, "stop")
    }


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (45, "45 s"),
        (60, "1 min"),
        (90, "90 s"),
        (7200, "2 h"),
        (86_400, "1 d"),
    ],
)
def test_duration(seconds: int, text: str) -> None:
    """A time is said in the largest unit that divides it."""
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("bounds", "text"),
    [
        ((None, None), ""),
        ((34, None), "from Nova 34"),
        ((None, 33), "up to Nova 33"),
        ((32, 33), "Nova 32 to 33"),
        ((33, 33), "Nova 33"),
    ],
)
def test_releases(bounds: tuple[int | None, int | None], text: str) -> None:
    """The releases that have a write are named, unless all have it."""
    write = model.step("active / NULL -> = / pausing", "f:g", releases=bounds)
    assert wording.releases(write) == text


def test_numbers_in_a_row_are_shortened() -> None:
    """Two stay as they are, three and more become a range."""
    assert wording.ranges(["1", "2", "4"]) == ["1", "2", "4"]
    assert wording.ranges(["F1", "F3", "F4", "F5"]) == ["F1", "F3-F5"]


def test_states_with_the_same_tasks_are_one_line() -> None:
    """Several states are named in as few lines as they take."""
    some = [
        notation.State(vm_state, task_state)
        for vm_state in ("stopped", "active")
        for task_state in (None, "pausing")
    ]
    some.append(notation.State("error", None))
    assert wording.states(some) == [
        "active, stopped / NULL, pausing",
        "error / NULL",
    ]


def test_all_but_a_few_states_are_summed_up() -> None:
    """Where nearly all are meant, the few that are not are named."""
    universe = [
        notation.State(vm_state, "deleting")
        for vm_state in notation.VM_STATES
        if vm_state
    ]
    assert wording.states(universe, universe) == ["any / deleting"]
    assert wording.states(universe[1:], universe) == [
        "any but active / deleting"
    ]


def test_a_pattern_is_read_out() -> None:
    """The notation becomes words."""
    assert (
        wording.pattern("active|error / !deleting|NULL")
        == "active, error / any but deleting, NULL"
    )
    assert wording.pattern("* / =") == "any / ="


def test_lists_of_actions_are_wrapped_between_names() -> None:
    """A name is never broken, and may have a comma in it."""
    names = ["resize, cross-cell", "stop", "a name that is too long"]
    assert wording.wrapped(names, 20) == [
        "resize, cross-cell;",
        "stop;",
        "a name that is too long",
    ]
    assert wording.wrapped([], 20) == [""]
