# SPDX-License-Identifier: Apache-2.0
"""The scanner: writes in shapes that Nova has not, and what is no write."""

import ast
import textwrap

import pytest

from nova_db_states.drift import functions
from nova_db_states.drift import source
from nova_db_states.drift import values
from nova_db_states.drift import vocabulary
from tests.unit import drift_snippets

writes = drift_snippets.writes
in_function = drift_snippets.in_function

UNKNOWN = "update ? / ? if ? if vm_state ?"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("key = 'task_state'\ninstance[key] = None", "= / NULL"),
        ("instance[key] = None", "=|? / =|?"),
        (
            "key = 'vm_state' if x else 'task_state'\ninstance[key] = 'error'",
            "=|error / =|error",
        ),
        ("for key in keys:\n    instance[key] = None", "=|? / =|?"),
        ("instance.__setattr__('task_state', None)", "= / NULL"),
        ("object.__setattr__(instance, 'task_state', None)", "= / NULL"),
        ("setattr(instance, key, value)", "=|? / =|?"),
        ("instance.vm_state += 'x'", "? / ="),
        ("instance['task_state'] += 'x'", "= / ?"),
        (
            "updates = {}\nupdates[key] = 1\ninstance.update(updates)",
            "=|? / =|?",
        ),
        (
            (
                "key = 'task_state'\nupdates = {}\nupdates[key] = None\n"
                "instance.update(updates)"
            ),
            "= / NULL",
        ),
    ],
)
def test_name_of_the_column_is_computed(body: str, told: str) -> None:
    """What is set under a name is found where the source says the name."""
    assert in_function(f"{body}\ninstance.save()") == [f"update {told}"]


@pytest.mark.parametrize(
    "owner",
    [
        "other = instance",
        "other = self.instance",
        "one = instance\nother = one",
        "other = objects.Instance.get_by_uuid(context, uuid)",
        "for other in instances:\n    pass",
        "for other in self._get_instances(context):\n    pass",
    ],
)
def test_other_names_of_servers(owner: str) -> None:
    """A server under another name is one."""
    body = f"{owner}\nsetattr(other, key, value)\nother.save()"
    assert in_function(body) == ["update =|? / =|?"]


def test_literal_name_is_that_of_a_server() -> None:
    """Only servers have attributes of these names."""
    body = "setattr(x, 'task_state', None)\nx.save()"
    assert in_function(body) == ["update = / NULL"]


def test_servers_of_a_comprehension() -> None:
    """An expression can go through servers as a loop does."""
    body = """
        [setattr(i, 'task_state', None) for i in every]
        [j.update({'vm_state': 'error'}) for j in every]
        [each.update(given) or each.save() for each in instances]
        {k.save(expected_task_state=[None]) for k in every}
    """
    assert in_function(body) == [
        "assign = / NULL",
        "update error / = through update",
        "update =|? / =|?",
        "update = / = if NULL",
    ]


def test_server_without_a_name() -> None:
    """An object can be made and saved in one expression."""
    body = """
        objects.Instance(context, uuid=uuid, vm_state='active').save()
        objects.Instance(context, task_state=None).save(
            expected_task_state=['pausing'])
        objects.Instance(context, vm_state='error').create()
        objects.Instance(context, uuid=uuid).destroy()
    """
    assert in_function(body) == [
        "update active / =",
        "update = / NULL if pausing",
        "create error / =",
        "destroy = / =",
    ]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (
            "upd = db.instance_update\nupd(context, uuid, values)",
            f"{UNKNOWN} through instance_update",
        ),
        (
            "pool.map(instance_destroy, uuids)",
            f"{UNKNOWN} through instance_destroy",
        ),
        (
            "query.update({models.Instance.task_state: None})",
            "update = / NULL through update",
        ),
        (
            "sa.update(models.Instance).where(x).values(task_state=None)",
            "update = / NULL through values",
        ),
        (
            "table.update().values({table.c.vm_state: 'error'})",
            "update error / = through values",
        ),
        (
            "task_states\ntable.update().values(**given)",
            "update ? / ? through values",
        ),
        (
            "conn.execute('UPDATE instances SET task_state = NULL')",
            f"{UNKNOWN} through SQL",
        ),
        (
            "text = f'update `instances`\\nset vm_state = {x}'\nrun(text)",
            f"{UNKNOWN} through SQL",
        ),
    ],
)
def test_past_the_object(body: str, told: str) -> None:
    """Statements and functions that go past the object are found."""
    assert in_function(body) == [told]


@pytest.mark.parametrize(
    "body",
    [
        "setattr(migration, key, value)\nmigration.save()",
        "for bdm in bdms:\n    bdm[key] = value\n    bdm.save()",
        "setattr(migration, 'status', 'error')\nmigration.save()",
        "migration.__setattr__()\nmigration.save()",
        "query.update({models.Migration.status: 'error'})",
        "table.update().values(host=None)",
        "given.values()",
        "objects.Migration(context, status='error').create()",
        "conn.execute('UPDATE instance_extra SET x = 1')",
        "conn.execute('SELECT * FROM instances')",
        "node.mapped += 1\nnode.save()",
        '"""Update instances set by others."""',
    ],
)
def test_what_is_no_write(body: str) -> None:
    """Other objects, other tables and texts for people are left alone."""
    assert in_function(f"task_states.PAUSING\n{body}") == []


def test_attribute_of_another_name() -> None:
    """What is set beside the states is not written as one of them."""
    body = "setattr(instance, 'host', None)\ninstance['x'] = 1\n"
    assert in_function(f"{body}instance.save()") == ["save = / ="]


def test_outside_of_functions() -> None:
    """What a file says at its top may be used anywhere in it."""
    text = """
        '''How to update instances set by others.'''
        CLEAR = 'UPDATE instances SET task_state = NULL'

        class API:
            write = db.instance_update
            start = functools.partial(_set_instance_error_state)
    """
    assert writes(text) == [
        f"(module): {UNKNOWN} through SQL",
        f"(module): {UNKNOWN} through instance_update",
        f"(module): {UNKNOWN} through _set_instance_error_state",
    ]


def test_reverting_by_hand() -> None:
    """The decorator that clears the task may be called or have a name."""
    text = """
        from nova.compute.manager import reverts_task_state as reverts

        class Manager:
            @reverts
            def stop(self, instance):
                pass

            @functools.partial(reverts_task_state)
            def start(self, instance):
                pass

            def pause(self, instance):
                pass

            pause = reverts_task_state(pause)

            def resume(self, instance):
                pass

        Manager.resume = reverts_task_state(Manager.resume)
        kept = [reverts_task_state]
    """
    told = "update = / NULL through reverts_task_state"
    assert sorted(writes(text)) == [
        f"(module): {UNKNOWN} through reverts_task_state",
        f"Manager.pause: {told}",
        f"Manager.resume: {told}",
        f"Manager.start: {told}",
        f"Manager.stop: {told}",
    ]


def checks(text: str) -> list[str]:
    """Scan a file; give each decorator as ``function: what it lets by``."""
    heads = ast.parse(
        "def check_instance_state(vm_state=None, task_state=(None,),\n"
        "        must_have_launched=True): pass\n"
        "def reject_instance_state(vm_state=None, task_state=None): pass\n"
    )
    named = {each.name: each for each in functions.collect(heads)}
    read = source.Source(
        "nova/file.py", textwrap.dedent(text), drift_snippets.WORDS
    )
    return [f"{each.function}: {each}" for each in read.checks(named)]


@pytest.mark.parametrize(
    ("above", "decorator"),
    [
        ("", "check_instance_state(['active'])"),
        ("check = check_instance_state(vm_state=['active'])", "check"),
        (
            "check = functools.partial(check_instance_state, ['active'])",
            "check()",
        ),
        (
            "check = functools.partial(check_instance_state)",
            "check(vm_state=['active'])",
        ),
        (
            "if new:\n    check = check_instance_state",
            "check(vm_state=['active'])",
        ),
        (
            "from nova.compute.api import check_instance_state as check",
            "check(['active'])",
        ),
    ],
)
def test_check_under_another_name(above: str, decorator: str) -> None:
    """The decorator may have a name of its own, or some arguments."""
    text = f"{above}\n@{decorator}\ndef f(self, instance): pass\n"
    assert checks(text) == ["f: admits active / NULL, launched"]


def test_check_by_hand() -> None:
    """The decorator may be called, alone or with others."""
    text = """
        class API:
            def stop(self, instance):
                pass

            stop = other(stop)
            stop = check_instance_state(['active'])(
                reject_instance_state(task_state=['deleting'])(stop))

            def start(self, instance):
                pass

        API.start = check_instance_state(['stopped'])(API.start)
    """
    assert checks(text) == [
        "API.stop: refuses any / deleting",
        "API.stop: admits active / NULL, launched",
        "API.start: admits stopped / NULL, launched",
    ]


def test_check_that_cannot_be_read() -> None:
    """A use that is none of these is told."""
    text = """
        def install(api):
            api.stop = check_instance_state(['active'])(api.stop)
            api.start = compute(reject_instance_state)
    """
    assert checks(text) == [
        "(elsewhere): admits ? / ?",
        "(elsewhere): refuses ? / ?",
    ]


def test_members_of_the_enums_may_be_annotated() -> None:
    """A member of an enum is one, with or without its type."""
    fields = drift_snippets.FIELDS.replace(
        "    STOPPED = 'stopped'",
        "    STOPPED: str = 'stopped'\n    HIBERNATING: str = 'hibernating'",
    )
    names = drift_snippets.VM_STATES + (
        "HIBERNATING: str = fields.InstanceState.HIBERNATING\n"
    )
    words = vocabulary.read(*map(ast.parse, (fields, names, "")))
    assert words.vm_states["HIBERNATING"] == "hibernating"
    assert words.vm_states["STOPPED"] == "stopped"
    assert words.constants["vm_states"]["HIBERNATING"] == values.Choice(
        frozenset({"hibernating"})
    )
