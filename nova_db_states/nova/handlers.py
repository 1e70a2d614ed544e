# SPDX-License-Identifier: Apache-2.0
"""Refusals inside Nova's error handlers.

A handler that writes a state does more than that: it records the fault, frees
resources, raises what went wrong. None of this may be lost because somebody
else was faster. ``saves`` gives a refused write up by itself where an error
is being handled and the write ends an operation; here is what that leaves:

- ``_set_instance_obj_error_state``, which is also called where nothing was
  raised: by the start of nova-compute, by its periodic tasks, by a resize to
  the host that the server is on. All of them have something to do after it.
- ``set_vm_state_and_notify``, which names an expectation for a live migration.
  The fault and the notification come after the write.
- An unshelve whose image is gone, which sets the error and leaves the task:
  nobody would end that any more.
- The end of a claim, which takes the server from its host. Under a delete it
  must stay there, and the usage of the host is written all the same.

What begins something in a handler goes on raising: a build that is to be
scheduled again must not be if the server is being deleted by then.
"""

from collections.abc import Callable
import functools
import inspect
from typing import Any, Final

from oslo_log import log

from nova_db_states import states
from nova_db_states.machine import instance
from nova_db_states.machine import model
from nova_db_states.nova import belief
from nova_db_states.nova import care
from nova_db_states.nova import saves
from nova_db_states.nova import settings
from nova_db_states.nova import startup

__all__ = ["conductor", "manager", "resource_tracker", "scheduler_utils"]

LOG: Final = log.getLogger(__name__)

_LEFT: Final = (
    states.VMState.ERROR.value,
    states.TaskState.UNSHELVING.value,
)
_ACTIONS: Final = {
    "build_instances": ("boot",),
    "migrate_server": ("resize / cold migrate", "live migrate"),
    "rebuild_server": ("rebuild", "evacuate"),
}
"""What the conductor gives up with a state, and whose tasks it may end: the
object that it writes with was not read before."""


@care.careful
def manager(module: Any) -> None:
    """Let setting a server to error be what it says: an attempt.

    :param module: ``nova.compute.manager``
    """
    cls = module.ComputeManager
    cls._set_instance_obj_error_state = _erring(
        cls._set_instance_obj_error_state,
        module.exception.InstanceUpdateConflict,
    )


def _erring(
    theirs: Callable[..., Any], lost: type[Exception]
) -> Callable[..., Any]:
    """Wrap ``_set_instance_obj_error_state``."""

    @functools.wraps(theirs)
    def _set_instance_obj_error_state(
        self: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> Any:
        if settings.is_off():
            return theirs(self, instance, *args, **kwargs)
        if not startup.may_err(instance):
            LOG.info(
                "Not set to ERROR, since it is no longer what it was.",
                instance=instance,
            )
            return None
        try:
            return theirs(self, instance, *args, **kwargs)
        except lost as error:
            if startup.wants_refusals():
                raise
            LOG.info("Not set to ERROR: %s", error, instance=instance)
            return None

    return _set_instance_obj_error_state


@care.careful
def scheduler_utils(module: Any) -> None:
    """Let the fault and the notification come whatever becomes of the state.

    :param module: ``nova.scheduler.utils``
    """
    theirs = module.set_vm_state_and_notify

    place = list(inspect.signature(theirs).parameters).index("method")

    @functools.wraps(theirs)
    def set_vm_state_and_notify(*args: Any, **kwargs: Any) -> Any:
        given = kwargs.get("method", "".join(args[place : place + 1]))
        with saves.lenient(_tasks_of(given)):
            return theirs(*args, **kwargs)

    module.set_vm_state_and_notify = set_vm_state_and_notify


@functools.cache
def _tasks_of(method: str) -> frozenset[str | None]:
    """List the tasks of the action that a method of the conductor works on.

    :param method: as the conductor tells it to others
    :returns: tasks, with ``None`` for NULL; empty for another method
    """
    actions = _ACTIONS.get(method, ())
    return frozenset(
        state.task_state
        for edge in instance.MAP.transitions
        if edge.action in actions and edge.write.event is model.Event.UPDATE
        for state in (edge.from_, edge.to)
    )


@care.careful
def resource_tracker(module: Any) -> None:
    """Let a claim end whoever has the server by then.

    :param module: ``nova.compute.resource_tracker``
    """
    cls = module.ResourceTracker
    theirs = cls._unset_instance_host_and_node

    @functools.wraps(theirs)
    def _unset_instance_host_and_node(self: Any, instance: Any) -> Any:
        if settings.is_off():
            return theirs(self, instance)
        before = {
            name: getattr(instance, name)
            for name in belief.PLACE
            if name in instance.fields and instance.obj_attr_is_set(name)
        }
        with saves.lenient():
            result = theirs(self, instance)
        if "host" in instance.obj_what_changed():
            # It was refused. Nobody must write it later, by the way.
            for name, value in before.items():
                setattr(instance, name, value)
            instance.obj_reset_changes(list(before))
        return result

    cls._unset_instance_host_and_node = _unset_instance_host_and_node


@care.careful
def conductor(module: Any) -> None:
    """Let an unshelve that ends in an error end its task too.

    :param module: ``nova.conductor.manager``
    """
    cls = module.ComputeTaskManager
    theirs = cls.unshelve_instance

    @functools.wraps(theirs)
    def unshelve_instance(
        self: Any, context: Any, instance: Any, *args: Any, **kwargs: Any
    ) -> Any:
        try:
            return theirs(self, context, instance, *args, **kwargs)
        finally:
            plain = settings.is_off() or settings.observes()
            if not plain and belief.of(instance).pair == _LEFT:
                instance.task_state = None
                try:
                    with saves.lenient():
                        instance.save()
                except Exception:
                    # Whatever it is, it must not hide what Nova raises.
                    LOG.exception(
                        "The task of the server could not be ended.",
                        instance=instance,
                    )

    cls.unshelve_instance = unshelve_instance
