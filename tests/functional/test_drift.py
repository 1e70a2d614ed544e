# SPDX-License-Identifier: Apache-2.0
"""The declared map, held to the source of every supported Nova release."""

from collections.abc import Callable, Iterator
import pathlib
import shutil

import pytest

from nova_db_states import drift
from nova_db_states.drift import scan
from tests.resources import schema
from tools import nova_venvs

Plant = Callable[[str, str, str], list[tuple[str, str]]]

_MANAGER = "compute/manager.py"
_API = "compute/api.py"
_FIELDS = "objects/fields.py"


def package(release: str) -> pathlib.Path:
    """Give the package ``nova`` of a release's virtualenv."""
    nova_venvs.ensure(release)
    folder = nova_venvs.FOLDER / release
    (found,) = folder.glob("lib/python3*/site-packages/nova")
    return found


def test_the_map_is_right(nova_release: str) -> None:
    """Every write, check, name and status of the release is declared."""
    made = drift.verify(nova_venvs.FOLDER / nova_release)
    assert [str(each) for each in made.drifts] == []
    assert made.tree.version == nova_release
    assert made.tree.root == package(nova_release)


def test_enough_is_found() -> None:
    """The scanner has not lost its eyes: a release writes much and often."""
    found = scan.scan(package(schema.NEWEST))
    assert len(found.sites) >= 250
    assert len(found.checks) == 43
    guarded = [site for site in found.sites if site.expected is not None]
    assert len(guarded) >= 90
    helpers = [site for site in found.sites if site.via]
    assert len(helpers) >= 95


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Copy what the scanner reads of the newest release."""
    root = package(schema.NEWEST)
    copy = tmp_path_factory.mktemp("source") / "nova"
    for path in root.rglob("*.py"):
        inside = path.relative_to(root)
        if inside.parts[0] == "tests":
            continue
        (copy / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy / inside)
    return copy


@pytest.fixture
def plant(copied: pathlib.Path) -> Iterator[Plant]:
    """Give a function that changes a file and says what is reported then.

    It takes the file, a text that is in it once, and what to put instead;
    the first word of each report is its kind, the second the place.
    """
    kept: dict[pathlib.Path, str] = {}

    def change(file: str, old: str, new: str) -> list[tuple[str, str]]:
        path = copied / file
        text = kept.setdefault(path, path.read_text())
        assert text.count(old) == 1, "the release has moved on: plant anew"
        path.write_text(text.replace(old, new))
        made = drift.verify(copied, schema.NEWEST)
        return [
            (
                str(each.kind),
                each.where.partition(":")[2].partition(",")[0],
            )
            for each in made.drifts
        ]

    yield change
    for path, text in kept.items():
        path.write_text(text)


def test_new_write_of_a_known_change(plant: Plant) -> None:
    """What one function may write another one may not without being seen."""
    old = "    def _set_instance_obj_error_state("
    new = """    def _stop_quietly(self, context, instance):
        instance.vm_state = vm_states.STOPPED
        instance.task_state = None
        instance.save(expected_task_state=task_states.POWERING_OFF)

"""
    assert plant(_MANAGER, old, new + old) == [
        (drift.Kind.UNDECLARED, "ComputeManager._stop_quietly")
    ]


def test_new_write_in_a_known_function(plant: Plant) -> None:
    """A function that writes something may not write something else, too."""
    old = (
        "            instance.save(expected_task_state=expected_task_state)\n"
    )
    new = f"{old}            self._set_instance_obj_error_state(instance)\n"
    assert plant(_MANAGER, old, new) == [
        (
            drift.Kind.UNDECLARED,
            "ComputeManager.stop_instance.do_stop_instance",
        )
    ]


def test_widened_guard(plant: Plant) -> None:
    """A guard that admits one state more is another guard."""
    old = "instance.save(expected_task_state=[task_states.SOFT_DELETING])"
    new = old.replace("])", ", task_states.DELETING])")
    assert plant(_MANAGER, old, new) == [
        (drift.Kind.GUARD, "ComputeManager.soft_delete_instance")
    ]


def test_widened_list_of_states(plant: Plant) -> None:
    """A guard may be widened in another file than the one that uses it."""
    old = "ALLOW_REBOOT = ["
    found = plant("compute/task_states.py", old, f"{old}SHELVING, ")
    assert found == [
        (drift.Kind.GUARD, "API._hard_reboot"),
        (drift.Kind.CHECK, "API._hard_reboot"),
    ]


def test_removed_guard(plant: Plant) -> None:
    """A write that lost its guard is told from the one that had it."""
    old = "instance.save(expected_task_state=task_states.RESUMING)"
    assert plant(_MANAGER, old, "instance.save()") == [
        (drift.Kind.GUARD, "ComputeManager.resume_instance")
    ]


def test_another_value(plant: Plant) -> None:
    """A write of another state than the declared one is told."""
    old = "        instance.vm_state = vm_states.SUSPENDED\n"
    new = old.replace("SUSPENDED", "PAUSED")
    assert plant(_MANAGER, old, new) == [
        (drift.Kind.VALUES, "ComputeManager.suspend_instance")
    ]


def test_removed_write(plant: Plant) -> None:
    """A declared write that is no longer there is told."""
    old = "        instance.save(expected_task_state=task_states.RESTORING)\n"
    assert (
        drift.Kind.GONE,
        "ComputeManager.restore_instance",
    ) in plant(_MANAGER, old, "")


def test_new_state(plant: Plant) -> None:
    """A new state is reported by its name, used or not."""
    old = "    UNSHELVING = 'unshelving'\n"
    assert plant(_FIELDS, old, f"{old}    WARPING = 'warping'\n") == [
        (drift.Kind.NAMES, "InstanceTaskState")
    ]


def test_changed_check(plant: Plant) -> None:
    """A state in which an action may newly start is told."""
    old = """    @check_instance_state(vm_state=[vm_states.PAUSED])
    def unpause("""
    new = old.replace("PAUSED]", "PAUSED, vm_states.SUSPENDED]")
    assert plant(_API, old, new) == [(drift.Kind.CHECK, "API.unpause")]


def test_changed_default_of_the_checks(plant: Plant) -> None:
    """A default of the decorator's changes what every action may start in."""
    old = "def check_instance_state(vm_state=None, task_state=(None,),"
    new = old.replace("(None,)", "None")
    found = plant(_API, old, new)
    assert len(found) > 20
    assert {kind for kind, _ in found} == {drift.Kind.CHECK}


def test_new_reverting_decorator(plant: Plant) -> None:
    """A method that newly clears the task when it fails is told."""
    old = "    def trigger_crash_dump(self, context, instance):"
    assert plant(_MANAGER, old, f"    @reverts_task_state\n{old}") == [
        (drift.Kind.UNDECLARED, "ComputeManager.trigger_crash_dump")
    ]


def test_new_call_of_the_error_helper(plant: Plant) -> None:
    """A new way into the error state is told."""
    old = "    def trigger_crash_dump(self, context, instance):"
    new = f"{old}\n        self._set_instance_obj_error_state(instance)\n"
    assert plant(_MANAGER, old, new) == [
        (drift.Kind.UNDECLARED, "ComputeManager.trigger_crash_dump")
    ]


def test_changed_helper(plant: Plant) -> None:
    """A helper that does something else does it for each of its callers."""
    old = """            if clean_task_state:
                instance.task_state = None
            instance.save()
"""
    new = old.replace("save()", "save(expected_task_state=[None])")
    found = plant(_MANAGER, old, new)
    place = "ComputeManager._set_instance_obj_error_state"
    assert (drift.Kind.UNDECLARED, place) in found


def test_removed_check(plant: Plant) -> None:
    """An action that newly starts in every state is told."""
    old = """    @check_instance_state(vm_state=[vm_states.PAUSED])
    def unpause("""
    assert plant(_API, old, "    def unpause(") == [
        (drift.Kind.CHECK, "API.unpause")
    ]


def test_removed_check_of_a_second_function(plant: Plant) -> None:
    """An action may be asked for in two ways; both have to look."""
    old = """    @check_instance_state(task_state=None,
                          must_have_launched=False)
    def force_delete("""
    assert plant(_API, old, "    def force_delete(") == [
        (drift.Kind.CHECK, "API.force_delete")
    ]


def test_renamed_function(plant: Plant) -> None:
    """A function that accepts an action cannot go unnoticed."""
    old = "    def allow_share(self,"
    assert plant(_API, old, "    def attach_share(self,") == [
        (drift.Kind.GONE, "API.allow_share")
    ]


def test_function_of_a_gap(plant: Plant) -> None:
    """Nor can one with whose write a gap begins or ends."""
    old = "    def volume_snapshot_create("
    new = "    def snapshot_create_of_volume("
    found = plant(_MANAGER, old, new)
    assert found == [
        (drift.Kind.GONE, "ComputeManager.volume_snapshot_create")
    ]


def test_write_that_is_repeated(plant: Plant) -> None:
    """A further line with a write that is declared is told."""
    old = "        instance.vm_state = vm_states.SUSPENDED\n"
    new = "        self._set_instance_obj_error_state(instance)\n"
    place = "ComputeManager._init_instance"
    start = "    def _init_instance(self, context, instance):\n"
    twice = """        instance.task_state = None
        instance.save()
"""
    assert (
        plant(_MANAGER, start, start + twice + new)
        == [(drift.Kind.COUNT, place)] * 2
    )
    again = f"{old}        instance.task_state = None\n"
    again += "        instance.save("
    again += "expected_task_state=task_states.SUSPENDING)\n"
    assert plant(_MANAGER, old, again + old) == [
        (drift.Kind.COUNT, "ComputeManager.suspend_instance")
    ]


def test_widened_selection(plant: Plant) -> None:
    """A state more that Nova selects by, before a write without a guard."""
    old = "task_states.IMAGE_SNAPSHOT_PENDING,\n"
    found = plant(_MANAGER, old, f"{old}task_states.IMAGE_BACKUP,\n")
    assert found == [(drift.Kind.CONDITION, "ComputeManager._init_instance")]


def test_new_branch(plant: Plant) -> None:
    """A new state for which a write without a guard is left out."""
    start = "    def _init_instance(self, context, instance):\n"
    new = """        if instance.task_state == task_states.SHELVING:
            return
"""
    assert plant(_MANAGER, start, start + new) == [
        (drift.Kind.CONDITION, "ComputeManager._init_instance")
    ]


def test_changed_filters(plant: Plant) -> None:
    """What a periodic task looks for in the database is a condition."""
    old = "filters = {'vm_state': vm_states.SOFT_DELETED,"
    new = "filters = {'vm_state': vm_states.ERROR,"
    assert plant(_MANAGER, old, new) == [
        (drift.Kind.CONDITION, "ComputeManager._reclaim_queued_deletes")
    ]


def test_changed_status(plant: Plant) -> None:
    """A status that users newly see is told."""
    old = """        'default': 'PAUSED',
        task_states.MIGRATING: 'MIGRATING',"""
    new = old.replace("'MIGRATING'", "'MOVING'")
    assert plant("api/openstack/common.py", old, new) == [
        (drift.Kind.STATUS, "_STATE_MAP")
    ]
