# SPDX-License-Identifier: Apache-2.0
"""The comparison: what the source and the declarations must agree in."""

import dataclasses

import pytest

from nova_db_states.drift import compare
from nova_db_states.drift import findings
from nova_db_states.drift import repeats
from nova_db_states.drift import sites
from nova_db_states.drift import tolerated
from nova_db_states.machine import model
from tests.unit import drift_snippets

Kind = findings.Kind
NOVA = drift_snippets.NOVA
scanned = drift_snippets.scanned
RELEASE = 34
TABLE = tolerated.TABLE


@pytest.fixture(autouse=True)
def _nothing_tolerated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tolerated, "TABLE", ())


def kinds(found: sites.Inventory, *declared: model.Write) -> list[Kind]:
    """Compare; give the kinds of what is apart."""
    action = model.Action("a", "A.", "* / *", NOVA, declared)
    every = compare.declared_in([action], RELEASE)
    return [
        drift.kind for drift in compare.compare_writes(found, every, RELEASE)
    ]


STOP = """instance.vm_state = 'stopped'
instance.task_state = None
instance.save(expected_task_state=[None, 'powering-off'])"""


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        (["active / NULL|powering-off -> stopped / NULL"], []),
        (
            [
                "active / powering-off -> stopped / NULL",
                "error / NULL -> stopped / NULL",
            ],
            [],
        ),
        (["stopped / NULL|powering-off -> = / NULL"], []),
        (["active / powering-off -> stopped / NULL"], [Kind.GUARD]),
        (
            ["active / NULL|powering-off|deleting -> stopped / NULL"],
            [Kind.GUARD],
        ),
        (["active / NULL|powering-off -> paused / NULL"], [Kind.VALUES]),
        (["active / NULL|powering-off -> = / NULL"], [Kind.VALUES]),
        ([], [Kind.UNDECLARED]),
    ],
)
def test_guarded_write(declared: list[str], expected: list[Kind]) -> None:
    """Together the declarations say what is written and the whole guard."""
    writes = [model.step(change, NOVA) for change in declared]
    assert kinds(scanned(STOP), *writes) == expected


def test_lost_guard() -> None:
    """A write that Nova no longer guards is not the declared one."""
    declared = model.step("active / powering-off -> stopped / NULL", NOVA)
    body = STOP.replace("[None, 'powering-off']", "None")
    assert kinds(scanned(body), declared) == [Kind.GUARD]


def test_new_guard() -> None:
    """A write that Nova has begun to guard is not the declared one."""
    declared = model.step(
        "active / NULL|powering-off -> stopped / NULL", NOVA, guarded=False
    )
    assert kinds(scanned(STOP), declared) == [Kind.GUARD]


def test_new_guard_of_vm_state() -> None:
    """A guard on the other column counts as well."""
    declared = model.step("active / NULL|powering-off -> stopped / NULL", NOVA)
    body = STOP.replace("save(", "save(expected_vm_state=['active'], ")
    assert kinds(scanned(body), declared) == []
    body = STOP.replace("save(", "save(expected_vm_state=['error'], ")
    assert kinds(scanned(body), declared) == [Kind.GUARD]


def test_removed_write() -> None:
    """A declaration without a place in the source is out of date."""
    declared = model.fails("active / pausing -> error / =", NOVA)
    assert kinds(scanned("pass"), declared) == [Kind.GONE]


def test_declaration_of_other_releases() -> None:
    """A declaration counts for its own releases only."""
    old = model.fails(
        "active / pausing -> error / =", NOVA, releases=(None, 33)
    )
    new = model.fails("active / pausing -> = / NULL", NOVA, releases=(34, 34))
    body = "instance.task_state = None\ninstance.save()"
    assert kinds(scanned(body), old, new) == []


def test_write_of_a_helper() -> None:
    """The helper is part of what is declared; its class does not matter."""
    body = "self._set_instance_obj_error_state(instance)"
    change = "active / pausing -> error / ="
    via = "ComputeManager._set_instance_obj_error_state"
    assert kinds(scanned(body), model.fails(change, NOVA, via=via)) == []
    assert kinds(scanned(body), model.fails(change, NOVA)) == [
        Kind.GONE,
        Kind.UNDECLARED,
    ]


def test_wrapper_of_the_conductor() -> None:
    """The conductor's wrappers and the helper behind them are one."""
    body = "self._set_vm_state_and_notify(c, u, 'm', compute(), ex, spec)"
    declared = model.fails(
        "active / migrating -> = / NULL", NOVA, via="set_vm_state_and_notify"
    )
    assert kinds(scanned(body), declared) == []


def test_computed_value_needs_a_declaration() -> None:
    """What the source computes may be anything, but must be declared."""
    body = "instance.vm_state = compute()\ninstance.save()"
    assert kinds(scanned(body)) == [Kind.UNDECLARED]
    for change in "active / NULL -> error / =", "active / NULL -> = / =":
        declared = model.step(change, NOVA, guarded=False)
        assert kinds(scanned(body), declared) == []


def test_named_value_of_a_computed_one_must_be_declared() -> None:
    """Where the source gives a default, the map must know it."""
    body = """instance.vm_state = old.pop('old_vm_state', 'active')
instance.save(expected_task_state=['resuming'])"""
    active = model.step("suspended / resuming -> active / =", NOVA)
    other = model.step("suspended / resuming -> paused / =", NOVA)
    assert kinds(scanned(body), active) == []
    assert kinds(scanned(body), other) == [Kind.VALUES]


def test_plain_save_may_flush_what_was_refused() -> None:
    """A save without a state needs no declaration, and may have one."""
    declared = model.fails("active / deleting -> error / NULL", NOVA)
    assert kinds(scanned("instance.save()")) == []
    assert kinds(scanned("instance.save()"), declared) == []


def test_write_of_what_was_left_in_the_object() -> None:
    """What was refused before may reach a column that the source leaves."""
    body = "instance.vm_state = 'error'\ninstance.save()"
    clean = model.fails("active / * -> error / =", NOVA)
    change = "active / deleting -> error / resize_migrating"
    dirty = model.fails(change, NOVA, defect="Because.", dirty=True)
    assert kinds(scanned(body), clean, dirty) == []
    assert kinds(scanned(body), dirty) == [Kind.UNDECLARED]
    assert kinds(scanned(body), clean, model.fails(change, NOVA)) == [
        Kind.GONE
    ]
    other = model.fails("active / = -> stopped / =".replace("=", "NULL"), NOVA)
    assert kinds(scanned(body), clean, other) == [Kind.GONE]


def test_column_that_is_set_is_not_what_was_left() -> None:
    """What the source sets is what it writes, whatever was left there."""
    body = "instance.vm_state = 'error'\ninstance.task_state = None\n"
    body += "instance.save()"
    clean = model.fails("active / * -> error / NULL", NOVA)
    change = "active / deleting -> error / resize_migrating"
    dirty = model.fails(change, NOVA, defect="Because.", dirty=True)
    assert kinds(scanned(body), clean, dirty) == [Kind.GONE]


def test_guard_of_what_was_left_in_the_object() -> None:
    """A guard holds for what was left in the object as well."""
    body = "instance.vm_state = 'error'\n"
    body += "instance.save(expected_task_state=['deleting'])"
    clean = model.step("active / deleting -> error / =", NOVA)
    for before, expected in ("deleting", []), ("rebuilding", [Kind.GUARD]):
        change = f"active / {before} -> error / resize_migrating"
        dirty = model.step(change, NOVA, defect="Because.", dirty=True)
        assert kinds(scanned(body), clean, dirty) == expected


def test_rows_that_come_and_go() -> None:
    """A creation and a destruction are declared as such, without a guard."""
    create = model.step(
        "(none) / NULL -> building / scheduling",
        NOVA,
        event=model.Event.CREATE,
    )
    destroy = model.destroys("deleted / NULL", NOVA)
    body = "instance.create()\ninstance.destroy()"
    assert kinds(scanned(body), create, destroy) == []
    assert kinds(scanned(body), create) == [Kind.UNDECLARED]


def test_tolerated_site(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tolerated site is that one only, and must be there."""
    entry = tolerated.Tolerated(NOVA, "update = / NULL", "Because.")
    monkeypatch.setattr(tolerated, "TABLE", (entry,))
    body = "instance.task_state = None\ninstance.save()"
    assert kinds(scanned(body)) == []
    other = body.replace("None", "'pausing'")
    assert kinds(scanned(other)) == [Kind.UNDECLARED, Kind.GONE]
    later = tolerated.Tolerated(NOVA, entry.what, entry.why, (35, None))
    monkeypatch.setattr(tolerated, "TABLE", (later,))
    assert kinds(scanned(body)) == [Kind.UNDECLARED]


def test_state_that_is_named_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A state that never occurs at a place is left out of both sides."""
    declared = model.step("active / powering-off -> stopped / NULL", NOVA)
    entry = tolerated.Spare(
        place=NOVA, expected=frozenset({None}), why="Because."
    )
    monkeypatch.setattr(tolerated, "SPARE", (entry,))
    assert kinds(scanned(STOP), declared) == []


def test_every_entry_has_a_reason() -> None:
    """Nobody is asked to tolerate something without being told why."""
    for entry in (*TABLE, *tolerated.SPARE):
        assert entry.why.endswith(".")


def test_drift_is_a_sentence_with_a_remedy() -> None:
    """A report says where, what is there, what was declared, what to do."""
    every = compare.declared_in([], RELEASE)
    (drift,) = compare.compare_writes(scanned(STOP), every, RELEASE)
    assert str(drift) == (
        "undeclared write: nova/file.py:f, line 4: Nova has update stopped / "
        "NULL if NULL|powering-off, the map has nothing like it. Look at it "
        "and declare it, or say why it needs none."
    )


TWICE = "instance.task_state = None\ninstance.save()\n" * 2


def counted(body: str, apart: tuple[str, ...] = ()) -> list[str]:
    """Count what the body of ``f`` writes; give what is reported."""
    found = scanned(body).sites
    return [
        f"{drift.where}: {drift.found}, not {drift.declared}"
        for drift in repeats.compare_counts(found, apart, RELEASE)
    ]


def test_write_that_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A further line with a write that is known is told."""
    monkeypatch.setattr(repeats, "TABLE", ())
    what = "update = / NULL"
    assert counted(TWICE) == [
        f"{NOVA}, lines 3, 5: 2 x {what}, not 1 x {what}"
    ]
    assert counted(TWICE, (f"{NOVA}, line 3",)) == []
    for body in (
        "self._set_instance_error_state(i)\n" * 2,
        "self._set_instance_error_state(i); self._set_instance_error_state(i)",
    ):
        (told,) = counted(body)
        assert ": 2 x update error / NULL through" in told


def test_write_that_is_known_to_be_repeated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is repeated is said, exactly, and for its releases."""
    entry = repeats.Repeated(NOVA, "update = / NULL", 2)
    monkeypatch.setattr(repeats, "TABLE", (entry,))
    assert counted(TWICE) == []
    assert len(counted(TWICE + TWICE)) == 1
    assert len(counted("instance.task_state = None\ninstance.save()")) == 1
    assert counted("pass") == [
        f"{NOVA}: 0 x {entry.what}, not 2 x {entry.what}"
    ]
    later = dataclasses.replace(entry, releases=(35, None))
    monkeypatch.setattr(repeats, "TABLE", (later,))
    assert len(counted(TWICE)) == 1


def test_one_declaration_too_many() -> None:
    """What the guard does not admit is told beside what it does."""
    right = model.step("active / NULL|powering-off -> stopped / NULL", NOVA)
    wrong = model.step("active / deleting -> stopped / NULL", NOVA)
    assert kinds(scanned(STOP), right, wrong) == [Kind.GUARD]


def test_all_that_is_gone_from_one_place_is_one_report() -> None:
    """Many actions may share a write; when it goes, that is one thing."""
    writes = [
        model.fails(f"{vm} / pausing -> error / =", NOVA)
        for vm in ("active", "paused", "stopped")
    ]
    assert kinds(scanned("pass"), *writes) == [Kind.GONE]
