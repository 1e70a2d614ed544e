# SPDX-License-Identifier: Apache-2.0
"""The scanner: assignments, guards and the ways through a function."""

import pytest

from tests.unit import drift_snippets

writes = drift_snippets.writes
in_function = drift_snippets.in_function


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("instance.save(expected_task_state=[None])", "= / = if NULL"),
        (
            "instance.save(expected_task_state=task_states.DELETING)",
            "= / = if deleting",
        ),
        (
            "instance.save(expected_task_state=(None, 'rebooting'))",
            "= / = if NULL|rebooting",
        ),
        (
            "instance.save(expected_task_state=task_states.ALLOW_REBOOT)",
            "= / = if NULL|rebooting",
        ),
        (
            "instance.save(None, [None])",
            "= / = if NULL",
        ),
        (
            "instance.save(expected_vm_state=vm_states.ALLOW)",
            "= / = if vm_state active|stopped",
        ),
        (
            "instance.save(expected_task_state=compute())",
            "= / = if ?",
        ),
        (
            """
            expected = [task_states.PAUSING]
            if fast:
                expected.append(None)
            instance.save(expected_task_state=expected)
            """,
            "= / = if NULL|pausing",
        ),
    ],
)
def test_guard(body: str, expected: str) -> None:
    """A guard is the states that it admits."""
    assert in_function(body) == [f"update {expected}"]


def test_bare_none_is_no_guard() -> None:
    """What Nova takes for the lack of a guard is not taken for NULL."""
    body = """
        instance.task_state = task_states.REBOOTING
        instance.save(expected_task_state=None)
    """
    assert in_function(body) == ["update = / rebooting"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("vm_states.ACTIVE", "active"),
        ("fields.InstanceState.ERROR", "error"),
        ("obj_fields.InstanceState.ERROR", "error"),
        ("'stopped'", "stopped"),
        ("None", "NULL"),
        (
            "vm_states.ACTIVE if power_on else vm_states.STOPPED",
            "active|stopped",
        ),
        ("given or vm_states.ACTIVE", "?|active"),
        ("instance.system_metadata.pop('old', vm_states.ACTIVE)", "?|active"),
        (
            "{'a': vm_states.ACTIVE, 'b': 'error'}[body['state']]",
            "active|error",
        ),
        ("{'a': vm_states.ACTIVE, 'b': 'error'}['b']", "error"),
        ("instance.vm_state", "?"),
        ("vm_states.NEW", "?"),
    ],
)
def test_value(value: str, shown: str) -> None:
    """What the source says of a value is read; the rest is unknown."""
    body = f"instance.vm_state = {value}\ninstance.save()"
    assert in_function(body) == [f"update {shown} / ="]


def test_assignments_are_collected_until_the_save() -> None:
    """Both columns of one save are one write, and the next starts anew."""
    body = """
        instance.vm_state = vm_states.STOPPED
        instance.task_state = None
        LOG.debug('done')
        instance.save(expected_task_state=[task_states.PAUSING])
        instance.task_state = task_states.REBOOTING
        instance.save()
    """
    assert in_function(body) == [
        "update stopped / NULL if pausing",
        "update = / rebooting",
    ]


def test_branches_that_save_together_are_one_write() -> None:
    """Two ways that differ in one thing are one write with alternatives."""
    body = """
        if power_on:
            state = vm_states.ACTIVE
        else:
            state = vm_states.STOPPED
        instance.vm_state = state
        instance.task_state = None
        instance.save(expected_task_state=[None])
    """
    assert in_function(body) == ["update active|stopped / NULL if NULL"]


def test_branches_keep_their_own_guards() -> None:
    """Ways that differ in the value and in the guard are not mixed."""
    body = """
        if soft:
            instance.task_state = task_states.REBOOTING
            expected = task_states.PAUSING
        else:
            instance.task_state = task_states.DELETING
            expected = None
        instance.save(expected_task_state=expected)
    """
    assert in_function(body) == [
        "update = / rebooting if pausing",
        "update = / deleting",
    ]


def test_branch_without_an_assignment_keeps_the_column() -> None:
    """A column that only one way sets may also stay as it is."""
    body = """
        try:
            work()
        except Exception:
            with excutils.save_and_reraise_exception():
                instance.vm_state = vm_states.ERROR
        finally:
            instance.task_state = None
            instance.save(expected_task_state=task_states.PAUSING)
    """
    assert in_function(body) == ["update =|error / NULL if pausing"]


def test_way_that_has_ended_does_not_go_on() -> None:
    """What is set before a return or a raise is not saved behind it."""
    body = """
        instance.task_state = None
        if gone:
            instance.vm_state = vm_states.ERROR
            instance.save()
            return
        if lost:
            raise Lost()
        for host in hosts:
            if host:
                instance.vm_state = vm_states.STOPPED
                break
        instance.save()
    """
    assert in_function(body) == [
        "update error / NULL",
        "update =|stopped / NULL",
    ]


def test_swallowed_exception_goes_on() -> None:
    """An error that may be swallowed leads to what follows."""
    body = """
        try:
            work()
        except Exception:
            with excutils.save_and_reraise_exception() as ctxt:
                instance.vm_state = vm_states.ERROR
                ctxt.reraise = False
        instance.save()
    """
    assert in_function(body) == ["update error / ="]


def test_match_loops_and_walks_of_all_kinds() -> None:
    """Every statement that can hold a write is gone through."""
    body = """
        while True:
            match kind:
                case 1:
                    instance.task_state = None
                case _:
                    continue
            instance.save()
        else:
            async_work()
        async with lock:
            instance.task_state: str = task_states.PAUSING
            instance.save()
        x, instance.vm_state = 1, 'error'
        instance.save()
    """
    assert in_function(body) == [
        "update = / NULL",
        "update = / pausing",
        "update error / =",
    ]


def test_nested_function_is_a_place_of_its_own() -> None:
    """A nested function is named with those around it and sees their names."""
    text = """
        class Manager:
            def stop(self, instance):
                expected = task_states.PAUSING

                @utils.synchronized(instance.uuid)
                def do_stop():
                    instance.task_state = None
                    instance.save(expected_task_state=expected)

                do_stop()
    """
    assert writes(text) == ["Manager.stop.do_stop: update = / NULL if pausing"]


def test_more_ways_than_can_be_told_apart() -> None:
    """Too many ways are taken for one, and no value of any is lost."""
    body = "".join(
        f"if {name}:\n    {name}_state = vm_states.STOPPED\n"
        f"else:\n    {name}_state = vm_states.ACTIVE\n"
        for name in "abcdefghij"
    )
    body += "instance.vm_state = a_state\ninstance.task_state = j_state\n"
    body += "notify([b_state, c_state, d_state, e_state, f_state])\n"
    body += "if x:\n    instance.vm_state = 'error'\n"
    body += "instance.save(expected_task_state=[g_state, h_state, i_state])\n"
    body += "instance.update({'vm_state': [b_state, c_state, d_state]})\n"
    (line, *_) = in_function(body)
    assert line == (
        "update active|error|stopped / active|stopped if active|stopped"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("dict(other, task_state=None)", "=|? / NULL"),
        ("dict({'vm_state': 'error'}, **other)", "?|error / =|?"),
        ("{**known, 'task_state': None}", "error / NULL"),
        ("{**other, 'task_state': None}", "=|? / NULL"),
        ("{compute(): 1, 'task_state': None}", "=|? / NULL"),
        ("known.copy()", "error / ="),
        ("copy.deepcopy(known)", "error / ="),
        ("known if kind else {'task_state': None}", "=|error / =|NULL"),
        ("known if kind else other", "=|? / =|?"),
        ("known | other", "=|? / =|?"),
        ("{'a': known, 'b': {'task_state': None}}['a']", "error / ="),
        ("{'a': known, **other}[kind]", "=|? / =|?"),
        ("other[kind]", "=|? / =|?"),
        ("{'vm_state': 'error', **other}", "?|error / =|?"),
        ("{'vm_state': compute(), 'task_state': {}}", "? / ?"),
        ("{'vm_state': other['x'], 'task_state': known['y']}", "? / ?"),
    ],
)
def test_dictionary(value: str, shown: str) -> None:
    """What the source says of a dictionary is read; the rest is unknown."""
    body = f"known = {{'vm_state': 'error'}}\nupdates = {value}\n"
    body += "instance.update(updates)\ninstance.save()"
    assert in_function(body) == [f"update {shown}"]


def test_names_that_are_widened() -> None:
    """A collection or a dictionary grows in more than one way."""
    body = """
        expected = [task_states.PAUSING]
        expected += [None]
        expected.extend([task_states.DELETING])
        other += [1]
        updates = {'vm_state': 'error'}
        updates.update(task_state=None)
        instance.update(updates)
        instance.save(expected_task_state=expected)
    """
    assert in_function(body) == [
        "update error / NULL if NULL|deleting|pausing"
    ]


def test_name_that_stands_for_another_object() -> None:
    """What was set on one object is not saved with the next one."""
    body = """
        instance.vm_state = vm_states.ERROR
        for instance in instances:
            instance.task_state = None
            instance.save()
        self.instance.vm_state = vm_states.STOPPED
        self.instance = lookup()
        self.instance.save()
    """
    assert in_function(body) == [
        "assign error / =",
        "update = / NULL",
        "assign stopped / =",
        "save = / =",
    ]


def test_state_that_a_row_begins_and_ends_with() -> None:
    """What is set before a row is made or destroyed goes into it."""
    body = """
        instance.vm_state = vm_states.ACTIVE
        instance.task_state = None
        instance.create()
        instance.vm_state = vm_states.ERROR
        instance.destroy()
    """
    assert in_function(body) == ["create active / NULL", "destroy error / ="]
