# SPDX-License-Identifier: Apache-2.0
"""What functions select servers by, and what became of that."""

import textwrap

import pytest

from nova_db_states.drift import conditions
from nova_db_states.drift import findings
from nova_db_states.drift import sites
from nova_db_states.drift import source
from tests.unit import drift_snippets

PLACE = "nova/file.py:f"


def read(body: str, place: str = PLACE) -> list[str]:
    """Scan the body of ``f``; give its conditions."""
    text = "def f(self, instance, filters):\n"
    text += textwrap.indent(textwrap.dedent(body), "    ")
    scanned = source.Source("nova/file.py", text, drift_snippets.WORDS)
    scanned.writes()
    return sorted(dict(scanned.conditions()).get(place, ()))


@pytest.mark.parametrize(
    ("test", "told"),
    [
        ("instance.vm_state == vm_states.ERROR", "vm_state in error"),
        ("instance.vm_state != vm_states.ERROR", "vm_state not in error"),
        ("vm_states.ERROR == instance.vm_state", "vm_state in error"),
        ("not instance.vm_state == 'error'", "vm_state not in error"),
        ("not (x or instance.vm_state != 'error')", "vm_state in error"),
        (
            "instance.task_state in [None, task_states.PAUSING]",
            "task_state in NULL|pausing",
        ),
        (
            "instance.task_state not in task_states.ALLOW_REBOOT",
            "task_state not in NULL|rebooting",
        ),
        ("instance.task_state is None", "task_state in NULL"),
        ("instance.task_state is not None", "task_state not in NULL"),
        ("instance.task_state", "task_state not in NULL"),
        ("x and not instance.task_state", "task_state in NULL"),
        ("instance['task_state'] == 'pausing'", "task_state in pausing"),
        ("getattr(i, 'task_state') == 'pausing'", "task_state in pausing"),
        ("state in (vm_states.ACTIVE, other)", "state in ?|active"),
        ("instance.vm_state == compute()", "vm_state in ?"),
        ("'x' == instance.vm_state == 'error'", "vm_state in error"),
    ],
)
def test_condition(test: str, told: str) -> None:
    """A condition is a column and the states that it is compared with."""
    assert told in read(f"if {test}:\n    instance.save()")


@pytest.mark.parametrize(
    "test",
    [
        "'task_state' in updates",
        "clean_task_state",
        "instance.power_state == power_state.RUNNING",
        "migration.status == 'error'",
        "instance.vm_state == other.vm_state",
        "instance.vm_state > 'a'",
        "instance.save()",
    ],
)
def test_what_is_no_condition(test: str) -> None:
    """Flags, names of columns and other things are left out."""
    assert read(f"if {test}:\n    instance.save()") == []


def test_names_of_lists_and_of_states() -> None:
    """A list may have a name and grow, and so may the state."""
    body = """
        wanted = [vm_states.ACTIVE]
        wanted.append(vm_states.STOPPED)
        wanted += vm_states.ALLOW
        current: str = instance.task_state
        if current in (task_states.PAUSING,) or instance.vm_state in wanted:
            instance.save()
        for state in (task_states.DELETING, task_states.REBOOTING):
            if state == current:
                return
        if current:
            return
    """
    assert read(body) == [
        "task_state in deleting|rebooting",
        "task_state in pausing",
        "task_state not in NULL",
        "vm_state in active|stopped",
    ]


def test_conditions_of_all_kinds() -> None:
    """Every statement and expression that can select is looked at."""
    body = """
        match instance.task_state:
            case task_states.PAUSING | 'deleting' | None:
                instance.save()
            case _:
                pass
        while instance.vm_state == 'active':
            pass
        assert not instance.task_state
        every = [i for i in found if i.task_state and i.vm_state != 'error']
        work = {'stopped': stop}[instance.vm_state]
        done = 1 if instance.vm_state is None else 2
    """
    assert read(body) == [
        "task_state in NULL",
        "task_state in NULL|deleting|pausing",
        "task_state not in NULL",
        "vm_state in NULL",
        "vm_state in active",
        "vm_state in stopped",
        "vm_state not in error",
    ]


def test_filters() -> None:
    """What servers are looked up by is a condition as well."""
    body = """
        filters = {'vm_state': vm_states.ERROR, 'task_state': None, 'host': 1}
        filters['task_state'] = task_states.PAUSING
        filters['host'] = 2
        found = get_by_filters(filters={'vm_state': [vm_states.ACTIVE]})
        for other in get_by_filters(filters=filters):
            other.save()
        filters = compute()
    """
    assert read(body) == [
        "task_state in NULL",
        "task_state in pausing",
        "vm_state in active",
        "vm_state in error",
    ]


def compared(
    monkeypatch: pytest.MonkeyPatch, *said: str, guard: str = ""
) -> list[str]:
    """Compare what ``f`` selects by; give what is reported."""
    entry = conditions.Selection(PLACE, said)
    monkeypatch.setattr(conditions, "TABLE", (entry,) if said else ())
    text = "def f(self, instance):\n"
    text += "    if instance.vm_state == 'error':\n"
    text += (
        f"        instance.task_state = None\n        instance.save({guard})"
    )
    scanned = source.Source("nova/file.py", text, drift_snippets.WORDS)
    inventory = sites.Inventory(
        sites=tuple(scanned.writes()),
        saves=(),
        functions=frozenset(scanned.places()),
        conditions=dict(scanned.conditions()),
        checks=(),
        vm_states={},
        task_states={},
        statuses={},
    )
    drifts = list(conditions.compare_conditions(inventory, 34))
    assert {drift.kind for drift in drifts} <= {findings.Kind.CONDITION}
    return [f"{each.where}: {each.found}, {each.declared}" for each in drifts]


def test_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was added and what is gone is told, both for one function."""
    assert compared(monkeypatch, "vm_state in error") == []
    nothing = "nothing more"
    assert compared(monkeypatch) == [
        f"{PLACE}: also vm_state in error, {nothing}"
    ]
    assert compared(monkeypatch, "vm_state in active|error") == [
        f"{PLACE}: also vm_state in error, also vm_state in active|error"
    ]
    both = ("vm_state in error", "task_state in NULL")
    assert compared(monkeypatch, *both) == [
        f"{PLACE}: {nothing}, also task_state in NULL"
    ]


def test_guarded_write_says_itself_where_it_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Conditions around a write with a guard are Nova's own business."""
    guard = "expected_task_state=['pausing']"
    assert compared(monkeypatch, guard=guard) == []


def test_table_is_of_its_releases() -> None:
    """An entry may begin and end with a release."""
    entry = conditions.Selection(PLACE, (), (32, 33))
    assert [entry.is_in(release) for release in (31, 32, 33, 34)] == [
        False,
        True,
        True,
        False,
    ]
