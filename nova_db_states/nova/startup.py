# SPDX-License-Identifier: Apache-2.0
"""What nova-compute does by itself: at its start, and every now and then.

It works through lists there. What it finds may have changed since it was
read, all the more when it was read from a replica. A server that somebody
else has got hold of meanwhile is left to him, and the next one is looked at.
"""

from collections.abc import Callable, Iterator
import contextlib
import contextvars
import functools
from typing import Any, Final

from oslo_log import log

from nova_db_states import states
from nova_db_states.nova import care
from nova_db_states.nova import compute_api
from nova_db_states.nova import settings

__all__ = ["install", "may_err", "wants_refusals"]

LOG: Final = log.getLogger(__name__)

_ROUNDS: Final = 3
"""How often one server is begun with: another writer or two may come between,
and nobody waits for the start of nova-compute forever."""

_LOADED: Final = (
    "info_cache",
    "metadata",
    "system_metadata",
    "numa_topology",
    "flavor",
)
"""What ``init_host`` loads of a server."""

_DELETING: Final = states.TaskState.DELETING.value
_SOFT_DELETED: Final = states.VMState.SOFT_DELETED.value
_BUILDING: Final = states.VMState.BUILDING.value

_starting: Final[contextvars.ContextVar[bool]] = contextvars.ContextVar(
    "nova_db_states_starting", default=False
)
_reclaiming: Final[contextvars.ContextVar[bool]] = contextvars.ContextVar(
    "nova_db_states_reclaiming", default=False
)
_timing: Final[contextvars.ContextVar[Any]] = contextvars.ContextVar(
    "nova_db_states_timing", default=None
)


@contextlib.contextmanager
def _set(variable: contextvars.ContextVar[Any], value: Any) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def _is_plain() -> bool:
    return settings.is_off() or settings.observes()


def wants_refusals() -> bool:
    """Say whether the caller of an error handler must know of a refusal.

    :returns: true while nova-compute starts with a server
    """
    return _starting.get()


def may_err(instance: Any) -> bool:
    """Say whether a server may still be set to error, as far as one can see.

    The periodic task that looks for builds that take too long has its list
    from a replica, whose states are no belief; so they are read again.

    :param instance: an ``Instance``
    :returns: false if another one has got hold of it since it was listed
    """
    not_found = _timing.get()
    if not_found is None:
        return True
    try:
        instance.refresh()
    except not_found:
        # What is gone is passed over by who saves it.
        return True
    return bool(
        instance.vm_state == _BUILDING and instance.task_state != _DELETING
    )


@care.careful
def install(module: Any) -> None:
    """Wrap what walks through lists of servers.

    :param module: ``nova.compute.manager``
    """
    cls = module.ComputeManager
    made = {
        "_init_instance": _beginning(module, cls._init_instance),
        "_check_instance_build_time": _within(
            cls._check_instance_build_time,
            lambda: _set(_timing, module.exception.InstanceNotFound),
        ),
        "_reclaim_queued_deletes": _within(
            cls._reclaim_queued_deletes, lambda: _set(_reclaiming, True)
        ),
        "_poll_rescued_instances": _within(
            cls._poll_rescued_instances, compute_api.passing_over
        ),
        "_delete_instance": _claiming(module, cls._delete_instance),
    }
    with care.all_or_nothing(cls):
        for name, ours in made.items():
            setattr(cls, name, ours)
        # The tasks that are run are kept in a list of their own.
        cls._periodic_tasks = [
            (name, made.get(task.__name__, task))
            for name, task in cls._periodic_tasks
        ]


def _within(
    theirs: Callable[..., Any], block: Callable[[], Any]
) -> Callable[..., Any]:
    """Run a periodic task in a block, and leave its marks where they are."""

    @functools.wraps(theirs)
    def task(*args: Any, **kwargs: Any) -> Any:
        if _is_plain():
            return theirs(*args, **kwargs)
        with block():
            return theirs(*args, **kwargs)

    return task


def _beginning(module: Any, theirs: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``_init_instance``: a refusal is the business of one server."""
    lost = module.exception.InstanceUpdateConflict
    not_found = module.exception.InstanceNotFound

    @functools.wraps(theirs)
    def _init_instance(self: Any, context: Any, instance: Any) -> Any:
        if _is_plain():
            return theirs(self, context, instance)
        for _ in range(_ROUNDS):
            try:
                if _waits_for_its_end(self, instance):
                    return _delete(module, self, context, instance)
                with _set(_starting, True):
                    return theirs(self, context, instance)
            except (lost, not_found) as error:
                LOG.info("Begun with anew: %s", error, instance=instance)
                instance = _anew(module, context, instance)
                if instance is None:
                    return None
                if isinstance(error, not_found):
                    # Something else was not found.
                    raise
        LOG.warning(
            "Left as it is at the start, since others are at work on it.",
            instance=instance,
        )
        return None

    return _init_instance


def _anew(module: Any, context: Any, instance: Any) -> Any:
    """Read a server again; ``None`` for one that is gone."""
    try:
        return module.objects.Instance.get_by_uuid(
            context, instance.uuid, expected_attrs=[*_LOADED]
        )
    except module.exception.InstanceNotFound:
        return None


def _waits_for_its_end(manager: Any, instance: Any) -> bool:
    """Say whether a delete is to be carried out that Nova would not.

    Nova goes on at its start with the deletes that it was at, but looks first
    whether the server was being built, and then makes an error of it, or is
    soft-deleted, and then passes over it.
    """
    return bool(
        instance.vm_state in (_BUILDING, _SOFT_DELETED)
        and instance.task_state == _DELETING
        and instance.host == manager.host
    )


def _delete(module: Any, manager: Any, context: Any, instance: Any) -> None:
    """Carry a delete out; whatever happens, the next server has its turn."""
    LOG.info("Its delete is carried out at the start.", instance=instance)
    try:
        bdms = module.objects.BlockDeviceMappingList.get_by_instance_uuid(
            context, instance.uuid
        )
        manager._delete_instance(context, instance, bdms)
    except Exception:
        LOG.exception("Failed to complete a deletion", instance=instance)
        manager._set_instance_obj_error_state(instance)


def _claiming(module: Any, theirs: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap ``_delete_instance``: what is reclaimed is claimed first.

    The list of what is old enough comes from a replica, and what was restored
    since must keep its guest. From the claim on no restore is accepted.
    """
    lost = module.exception.InstanceUpdateConflict

    @functools.wraps(theirs)
    def _delete_instance(
        self: Any, context: Any, instance: Any, bdms: Any
    ) -> Any:
        if not _reclaiming.get():
            return theirs(self, context, instance, bdms)
        instance.refresh()
        if not self._deleted_old_enough(
            instance, module.CONF.reclaim_instance_interval
        ):
            LOG.info("Not reclaimed, not yet.", instance=instance)
            return None
        instance.task_state = _DELETING
        instance.save(
            expected_vm_state=[_SOFT_DELETED], expected_task_state=[None]
        )
        try:
            return theirs(self, context, instance, bdms)
        except Exception:
            # The next turn of the periodic task tries again.
            instance.task_state = None
            with contextlib.suppress(lost, module.exception.InstanceNotFound):
                instance.save(expected_task_state=[_DELETING])
            raise

    return _delete_instance
