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
