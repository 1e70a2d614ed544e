# SPDX-License-Identifier: Apache-2.0
"""The comparison: names, statuses, functions and where actions start."""

import ast

import pytest

from nova_db_states.drift import agree
from nova_db_states.drift import decorators
from nova_db_states.drift import findings
from nova_db_states.drift import functions
from nova_db_states.drift import sites
from nova_db_states.drift import tolerated
from nova_db_states.drift import values
from nova_db_states.drift import vocabulary
from nova_db_states.machine import instance
from nova_db_states.machine import model
from tests.unit import drift_snippets

Kind = findings.Kind
NOVA = drift_snippets.NOVA
RELEASE = 34

inventory = drift_snippets.inventory
replaced = drift_snippets.replaced


def checks(above: str) -> tuple[sites.Check, ...]:
    """Scan the decorators of ``f`` in ``nova/file.py``."""
    heads = "vm_state=None, task_state=(None,), must_have_launched=True"
    tree = ast.parse(
        f"def check_instance_state({heads}): pass\n"
        "def reject_instance_state(vm_state=None, task_state=None): pass\n"
        f"{above}\ndef f(self, instance): pass\n"
    )
    every = functions.collect(tree)
    named = {function.name: function for function in every}
    evaluator = values.Evaluator(drift_snippets.WORDS.constants)
    applied = decorators.Decorators(tree)
    return tuple(
        vocabulary.checks("nova/file.py", every, named, evaluator, applied)
    )


REJECTING = """@check_instance_state(task_state=None)
@reject_instance_state(task_state=[task_states.DELETING])"""


@pytest.mark.parametrize(
    ("above", "starts", "launched", "agrees"),
    [
        ("@check_instance_state()", "* / NULL", True, True),
        ("@check_instance_state()", "* / NULL", False, False),
        ("@check_instance_state()", "* / NULL|pausing", True, False),
        ("@check_instance_state()", "active / NULL", True, False),
        (
            "@check_instance_state(vm_state=[vm_states.ACTIVE])",
            "active / NULL",
            True,
            True,
        ),
        (
            "@check_instance_state(vm_state=[vm_states.ACTIVE])",
            "active|error / NULL",
            True,
            False,
        ),
        (
            "@check_instance_state(vm_state=vm_states.ALLOW)",
            "active / NULL",
            True,
            False,
        ),
        (
            "@check_instance_state(None, None, must_have_launched=False)",
            "* / *",
            False,
            True,
        ),
        (
            REJECTING,
            "* / !deleting",
            True,
            True,
        ),
        (
            REJECTING,
            "* / *",
            True,
            False,
        ),
    ],
)
def test_check(
    above: str, starts: str, *, launched: bool, agrees: bool
) -> None:
    """Where an action starts is what Nova's decorators let through."""
    found = inventory(checks=checks(above))
    action = model.Action("a", "A.", starts, NOVA, launched=launched)
    drifts = list(agree.compare_checks(found, [action]))
    assert [drift.kind for drift in drifts] == [Kind.CHECK] * (not agrees)


def test_actions_share_a_check() -> None:
    """What one decorator admits may be divided between actions."""
    found = inventory(
        checks=checks("@check_instance_state(['active', 'error'])")
    )
    actions = [
        model.Action(name, "A.", f"{name} / NULL", NOVA)
        for name in ("active", "error")
    ]
    assert list(agree.compare_checks(found, actions)) == []
    (drift,) = agree.compare_checks(found, actions[:1])
    assert drift.found == "admits active|error / NULL, launched"
    assert drift.declared == "active / NULL, launched (active)"


def test_check_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An action whose function no longer looks at the state is told."""
    action = model.Action("a", "A.", "active / NULL", NOVA)
    (drift,) = agree.compare_checks(inventory(), [action])
    assert (drift.kind, drift.where) == (Kind.CHECK, NOVA)
    assert drift.found == "no such check"
    assert drift.declared == "active / NULL, launched (a)"
    entry = tolerated.Unchecked(NOVA, "Because.")
    monkeypatch.setattr(tolerated, "UNCHECKED", (entry,))
    assert list(agree.compare_checks(inventory(), [action])) == []


def test_check_that_is_gone_from_a_second_function(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each function that accepts an action has to look at the state."""
    found = inventory(checks=checks("@check_instance_state()"))
    second = "nova/file.py:g"
    found = replaced(found, functions=frozenset({NOVA, second}))
    monkeypatch.setattr(tolerated, "SAME_ACTION", {second: NOVA})
    action = model.Action("a", "A.", "* / NULL", NOVA)
    (drift,) = agree.compare_checks(found, [action])
    assert (drift.kind, drift.where) == (Kind.CHECK, second)


def test_function_that_is_gone() -> None:
    """Where an action and its gaps begin and end must be in the source."""
    gap = model.Gap("active / NULL", "nova/x.py:since", NOVA, (), "Because.")
    gone = "nova/x.py:accept"
    action = model.Action("a", "A.", "* / *", gone, gaps=(gap,))
    drifts = list(agree.compare_functions(inventory(), [action], RELEASE))
    assert [(drift.kind, drift.where) for drift in drifts] == [
        (Kind.GONE, gone),
        (Kind.GONE, "nova/x.py:since"),
    ]
    assert drifts[0].declared == "accepts a"
    assert drifts[1].declared == "since it, a gap of a"
    # It is not one of those that stopped looking at the state.
    assert list(agree.compare_checks(inventory(), [action])) == []


def test_function_of_some_releases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function may stand for another one, release by release."""
    action = model.Action("a", "A.", "* / *", "nova/new.py:accept")
    entry = tolerated.Unchecked(action.nova, "Because.", (35, None), NOVA)
    monkeypatch.setattr(tolerated, "UNCHECKED", (entry,))
    for release, gone in (34, 0), (35, 1):
        drifts = agree.compare_functions(inventory(), [action], release)
        assert len(list(drifts)) == gone


def test_every_unchecked_function_is_of_an_action() -> None:
    """Nothing is excused that is not declared."""
    known = {action.nova for action in instance.MAP.actions.values()}
    assert {entry.place for entry in tolerated.UNCHECKED} <= known
    assert all(entry.why.endswith(".") for entry in tolerated.UNCHECKED)


def test_check_of_no_action() -> None:
    """A method that checks the state is an action that the map must have."""
    found = inventory(checks=checks("@check_instance_state()"))
    (drift,) = agree.compare_checks(found, [])
    assert drift.where == "nova/file.py:f, line 3"
    assert drift.declared == "no such action"


def test_names() -> None:
    """A state that only one side has is named."""
    found = inventory()
    assert list(agree.compare_names(found)) == []
    names = {**found.task_states, "WARPING": "warping"}
    del names["MIGRATING"]
    (drift,) = agree.compare_names(replaced(found, task_states=names))
    assert drift.where == "nova/objects/fields.py:InstanceTaskState"
    assert (drift.found, drift.declared) == (
        "also warping",
        "also migrating",
    )


def test_statuses() -> None:
    """A status that Nova reports for a pair is the map's, for every pair."""
    found = inventory()
    assert list(agree.compare_statuses(found)) == []
    rows = {key: dict(row) for key, row in found.statuses.items()}
    rows["active"]["pausing"] = "PAUSING"
    (drift,) = agree.compare_statuses(replaced(found, statuses=rows))
    assert (drift.found, drift.declared) == (
        "PAUSING for active / pausing",
        "ACTIVE",
    )
