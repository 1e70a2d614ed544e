# SPDX-License-Identifier: Apache-2.0
"""The scanner: what calls do to a state, Nova's own helpers among them."""

import pytest

from nova_db_states.drift import sites
from nova_db_states.drift import source
from tests.unit import drift_snippets

writes = drift_snippets.writes
in_function = drift_snippets.in_function


def test_error_helper() -> None:
    """Each call of the helper for errors is a write where it is called."""
    text = """
        class Manager:
            def _set_instance_obj_error_state(
                    self, instance, clean_task_state=False):
                instance.vm_state = vm_states.ERROR
                if clean_task_state:
                    instance.task_state = None
                instance.save()

            def work(self, instance, clean):
                self._set_instance_obj_error_state(instance)
                self._set_instance_obj_error_state(
                    instance, clean_task_state=True)
                self._set_instance_obj_error_state(instance, clean)
    """
    via = "through _set_instance_obj_error_state"
    assert writes(text) == [
        "Manager._set_instance_obj_error_state: update error / =|NULL",
        f"Manager.work: update error / = {via}",
        f"Manager.work: update error / NULL {via}",
        f"Manager.work: update error / ? {via}",
    ]


def test_helper_that_is_handed_on() -> None:
    """A helper that somebody else is to call may write anything."""
    body = "self.pool.submit(self._set_instance_obj_error_state, instance)"
    assert in_function(body) == [
        "update ? / ? if ? if vm_state ? through _set_instance_obj_error_state"
    ]


def test_error_helper_of_shares() -> None:
    """The helper of the code for shares clears the task too."""
    assert in_function("self._set_instance_error_state(instance)") == [
        "update error / NULL through _set_instance_error_state"
    ]


def test_context_manager_for_errors() -> None:
    """It puts the state back for some exceptions and else sets error."""
    text = """
        class Manager:
            @contextlib.contextmanager
            def _error_out_instance_on_exception(
                    self, context, instance, instance_state=vm_states.ACTIVE):
                yield

            def work(self, context, instance):
                with self._error_out_instance_on_exception(context, instance):
                    pass

            def other(self, context, instance):
                state = vm_states.STOPPED
                with errors(), self._error_out_instance_on_exception(
                        context, instance, instance_state=state):
                    pass

            def computed(self, context, instance):
                with self._error_out_instance_on_exception(*args):
                    pass
    """
    via = "through _error_out_instance_on_exception"
    assert writes(text) == [
        f"Manager.work: update active / NULL {via}",
        f"Manager.work: update error / = {via}",
        f"Manager.other: update stopped / NULL {via}",
        f"Manager.other: update error / = {via}",
        f"Manager.computed: update ? / NULL {via}",
        f"Manager.computed: update error / = {via}",
    ]


def test_decorator_that_reverts() -> None:
    """The decorator is a write of the function that it decorates."""
    text = """
        class Manager:
            @wrap_exception()
            @reverts_task_state
            def stop(self, instance):
                pass

            @other
            def start(self, instance):
                pass
    """
    assert writes(text) == [
        "Manager.stop: update = / NULL through reverts_task_state"
    ]


def test_update_helper() -> None:
    """Only those calls count that carry a state, or may."""
    body = """
        self._instance_update(context, instance, task_state=None)
        self._instance_update(context, instance, host=None)
        self._instance_update(context, instance, **values)
    """
    via = "through _instance_update"
    assert in_function(body) == [
        f"update = / NULL {via}",
        f"update ? / ? {via}",
    ]


def test_conductors_helpers() -> None:
    """The dictionary of the conductor's helper is found among the rest."""
    text = """
        class Manager:
            def _cold_migrate(self, context, instance):
                updates = {'vm_state': vm_states.ERROR, 'task_state': None}
                self._set_vm_state_and_notify(
                    context, instance.uuid, 'migrate', updates, ex, spec)
                scheduler_utils.set_vm_state_and_notify(
                    context, instance.uuid, 'x', 'y', compute(), ex, spec)

            def _live_migrate(self, context, instance):
                def _set_vm_state(context, instance, ex, vm_state=None,
                                  task_state=None):
                    pass

                _set_vm_state(context, instance, ex, instance.vm_state)
                _set_vm_state(context, instance, ex, vm_states.ERROR)
    """
    assert [each.partition(": update ")[2] for each in writes(text)] == [
        "error / NULL through _set_vm_state_and_notify",
        "? / ? through set_vm_state_and_notify",
        "? / NULL through _set_vm_state",
        "error / NULL through _set_vm_state",
    ]


def test_after_spawn() -> None:
    """What is set after a spawn is written by the save that follows."""
    text = """
        class Manager:
            def _update_instance_after_spawn(
                    self, instance, vm_state=vm_states.ACTIVE):
                instance.vm_state = vm_state
                instance.task_state = None

            def spawn(self, instance):
                self._update_instance_after_spawn(instance)
                instance.save(expected_task_state=task_states.PAUSING)

            def finish(self, server):
                self._update_instance_after_spawn(
                    server, vm_state=vm_states.STOPPED)
                server.save()
    """
    assert writes(text) == [
        "Manager._update_instance_after_spawn: assign ?|active / NULL",
        "Manager.spawn: update active / NULL if pausing",
        "Manager.finish: update stopped / NULL",
    ]


def test_callback_of_the_drivers() -> None:
    """A driver's call is a write of the driver; its default is unknown."""
    body = """
        update_task_state(task_state=task_states.PAUSING)
        update_task_state(task_state=task_states.DELETING,
                          expected_state=task_states.PAUSING)
    """
    via = "through update_task_state"
    assert in_function(body) == [
        f"update = / pausing if ? {via}",
        f"update = / deleting if pausing {via}",
    ]


def test_callback_itself() -> None:
    """What the callback makes of its arguments is read as far as it goes."""
    text = """
        class Manager:
            def _snapshot(self, instance):
                def update_task_state(
                        task_state, expected_state=task_states.PAUSING):
                    table = {task_states.PAUSING: task_states.DELETING,
                             task_states.REBOOTING: task_states.REBOOTING}
                    task_state = table[task_state]
                    instance.task_state = task_state
                    instance.save(expected_task_state=expected_state)

                self.driver.snapshot(instance, update_task_state)
    """
    place = "Manager._snapshot.update_task_state"
    assert writes(text) == [
        f"{place}: update = / deleting|rebooting if ?|pausing"
    ]


def test_dictionaries_are_read() -> None:
    """``update`` takes a dictionary however it was made."""
    body = """
        updates = {'vm_state': vm_states.ERROR}
        updates['task_state'] = None
        instance.update(updates)
        instance.save()
        instance.update(dict(updates, task_state=task_states.PAUSING))
        instance.save()
        instance.update({'host': None})
        instance.save()
        instance.update(unknown)
        instance.save()
    """
    assert in_function(body) == [
        "update error / NULL",
        "update error / pausing",
        "save = / =",
        "update =|? / =|?",
    ]


def test_keyword_arguments_come_from_the_callers() -> None:
    """What a private method puts into a row is what its callers pass."""
    text = """
        class API:
            def _delete(self, instance, kind, **attributes):
                instance.update(attributes)
                instance.save()
                instance.task_state = attributes['task_state']
                instance.save()

            def delete(self, instance):
                self._delete(instance, 'x', task_state=task_states.DELETING)

            def pause(self, instance):
                self._delete(instance, 'y', task_state=task_states.PAUSING)
    """
    assert writes(text) == [
        "API._delete: update = / deleting|pausing",
        "API._delete: update = / deleting|pausing",
    ]


def test_argument_of_a_spawned_function_is_known() -> None:
    """A function that somebody else calls gets the arguments beside it."""
    text = """
        class Manager:
            def start(self, instance):
                self.pool.submit(self._work, instance, task_states.PAUSING)

            def _work(self, instance, expected):
                instance.save(expected_task_state=expected)
    """
    assert writes(text) == ["Manager._work: update = / = if pausing"]


def test_function_that_is_kept_may_get_anything() -> None:
    """A function that is put somewhere may be called with anything."""
    text = """
        class Manager:
            def start(self, instance):
                self.later = self._work
                self._work(instance)

            def _work(self, instance, state=vm_states.ACTIVE):
                instance.vm_state = state
                instance.save()
    """
    assert writes(text) == ["Manager._work: update ?|active / ="]


def test_what_a_helper_leaves_unsaved_is_saved_by_the_caller() -> None:
    """Setting and saving may be in two functions; both are reported."""
    text = """
        class Task:
            def _prepare(self, server):
                self.instance.vm_state = vm_states.ACTIVE
                server.task_state = None

            def run(self):
                self._prepare(self.instance)
                self.instance.save(expected_task_state=[None])
    """
    assert writes(text) == [
        "Task._prepare: assign active / =",
        "Task._prepare: assign = / NULL",
        "Task.run: update active / NULL if NULL",
    ]


def test_instance_made_with_states() -> None:
    """An object that is made with states writes them when it is saved."""
    body = """
        instance = objects.Instance(context=ctx, uuid=uuid, **updates)
        instance.save()
        self.instance = objects.Instance(vm_state=vm_states.ERROR)
        self.instance.save()
    """
    assert in_function(body) == ["update =|? / =|?", "update error / ="]


def test_rows_that_come_and_go() -> None:
    """Creation and destruction are events of their own."""
    body = """
        instance.create()
        with context as cctxt:
            self._target_cell_instance.destroy(hard_delete=True)
        migration.create()
        bdm.destroy()
    """
    assert in_function(body) == ["create ? / ?", "destroy = / ="]


def test_unknown_attribute_is_not_lost() -> None:
    """``setattr`` with a computed name may set a state."""
    body = """
        for key, value in values.items():
            setattr(instance, key, value)
        instance.save()
        setattr(instance, 'vm_state', vm_states.ERROR)
        instance.save()
        setattr(flavor, key, value)
        instance['task_state'] = None
        instance.save()
    """
    assert in_function(body) == [
        "update =|? / =|?",
        "update error / =",
        "update = / NULL",
    ]


def test_writes_past_the_object() -> None:
    """Functions of the database layer and statements of SQL are found."""
    body = """
        db.instance_update(context, uuid, values)
        query.filter_by(host=host).update({'task_state': None})
    """
    assert in_function(body) == [
        "update ? / ? if ? if vm_state ?",
        "update = / NULL through update",
    ]


@pytest.mark.parametrize(
    "body",
    [
        "filters = {'vm_state': vm_states.ACTIVE}\nquery(filters)",
        "if instance.vm_state == vm_states.ACTIVE:\n    return",
        "instance.system_metadata['old_vm_state'] = instance.vm_state",
        "migration.status = 'error'\nmigration.save()",
        "instance_ref.save(context.session) if 0 else model.save(session)",
        "vm_state = vm_states.ACTIVE\nnotify(vm_state=vm_state)",
        "values.update({'host': None})",
    ],
)
def test_what_writes_no_state(body: str) -> None:
    """Reading, filtering and telling others are no writes."""
    assert [
        each for each in in_function(body) if not each.startswith("save")
    ] == []


def test_site_is_the_same_on_another_line() -> None:
    """Two sites are compared without their lines."""
    text = "def f(instance):\n    instance.create()\n"
    words = drift_snippets.WORDS
    (first,) = source.Source("nova/f.py", text, words).writes()
    (second,) = source.Source("nova/f.py", f"\n{text}", words).writes()
    assert (first.line, second.line) == (2, 3)
    assert first == second
    assert first.place == "nova/f.py:f"


def test_no_guard_is_shown() -> None:
    """The lack of a guard has a word, as it has in reports."""
    assert sites.shown(None) == "none"
