# SPDX-License-Identifier: Apache-2.0
"""Lost claims as the user of Nova's API sees them: HTTP 409, not 500.

Nova's controllers turn ``InstanceInvalidState`` into a 409 that names the
state. The methods of ``nova.compute.api.API`` raise it for a state that they
find wrong; this lets them raise it also for a state that became wrong between
that look and the claim. Everybody else who calls these methods (the periodic
tasks of nova-compute, nova-conductor) goes on seeing Nova's own exception.
"""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import contextvars
import functools
import inspect
import sys
from types import FrameType
from types import ModuleType
from typing import Any, Final

from oslo_log import log

from nova_db_states import states
from nova_db_states.nova import belief
from nova_db_states.nova import care
from nova_db_states.nova import settings

__all__ = ["install", "passing_over"]

LOG: Final = log.getLogger(__name__)

_CONTROLLERS: Final = "nova.api."
_HELPERS: Final = "nova.api.openstack.common"

_DIRECT: Final = {"force_delete": "forceDelete", "soft_delete": "delete"}
"""Methods whose controllers do not pass an ``InstanceInvalidState`` on, to
what the user calls them. That of forceDelete knows none, and that of delete
makes a hard delete of a soft delete that raised it, since it means there that
the server never ran."""

_HARD: Final = {"delete", "force_delete"}
_SOFT_DELETING: Final = states.TaskState.SOFT_DELETING.value

_passed_over: Final[contextvars.ContextVar[bool]] = contextvars.ContextVar(
    "nova_db_states_passed_over", default=False
)


@contextlib.contextmanager
def passing_over() -> Iterator[None]:
    """Let methods whose claim is lost return in a block, and raise nothing.

    For callers that have a list of servers and no handler for each.
    """
    token = _passed_over.set(True)
    try:
        yield
    finally:
        _passed_over.reset(token)


@care.careful
def install(module: ModuleType) -> None:
    """Wrap the public methods of ``API``.

    :param module: ``nova.compute.api``
    """
    module.API._delete = _going_on(module.API._delete)
    for name, theirs in _public_methods(module.API):
        setattr(module.API, name, _telling(module, name, theirs))


def _going_on(theirs: Callable[..., Any]) -> Callable[..., Any]:
    """Let a delete be carried out that finds a soft delete under way.

    Nova accepts it, says by ``deleting`` that it is on its way, and passes
    over it, since the server "is already in deleting state": over this one
    and every later one. A delete overrules what is there in any case, so it
    need not know of the soft one.

    :param theirs: ``API._delete``
    :returns: the method in its place
    """

    @functools.wraps(theirs)
    def _delete(
        self: Any,
        context: Any,
        instance: Any,
        delete_type: str,
        *rest: Any,
        **values: Any,
    ) -> Any:
        plain = settings.is_off() or settings.observes()
        if (
            not plain
            and delete_type in _HARD
            and belief.of(instance).task_state == _SOFT_DELETING
        ):
            belief.take_for_idle(instance)
        return theirs(self, context, instance, delete_type, *rest, **values)

    return _delete


def _public_methods(cls: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, value in list(vars(cls).items()):
        if not name.startswith("_") and inspect.isfunction(value):
            yield name, value


def _telling(
    module: Any, name: str, theirs: Callable[..., Any]
) -> Callable[..., Any]:
    """Wrap one method.

    :param module: ``nova.compute.api``
    :param name: what the method is called
    :param theirs: the method
    :returns: the method, which raises ``InstanceInvalidState`` where a
        controller of Nova's called it and its claim is lost
    """
    # Looked up once: tests and plugins replace the names in modules.
    lost: type[Exception] = module.exception.InstanceUpdateConflict

    @functools.wraps(theirs)
    def method(*args: Any, **kwargs: Any) -> Any:
        try:
            return theirs(*args, **kwargs)
        except lost as error:
            plain = settings.is_off() or settings.observes()
            if _passed_over.get() and not plain:
                LOG.info("Passed over by %s: %s", name, error)
                return None
            if plain or not _is_for_user(sys._getframe(1)):
                raise
            raise _refusal(module.exception, name, error) from error

    return method


def _is_for_user(frame: FrameType | None) -> bool:
    """Say whether a controller of Nova's API is next in the call stack.

    Tracers and the like may stand between it and the method. A method that
    another one calls is not the user's: that one may know what to do.
    """
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("nova."):
            return bool(name.startswith(_CONTROLLERS))
        frame = frame.f_back
    return False


def _refusal(nova_exception: Any, method: str, error: Any) -> Exception:
    """Make what becomes a 409.

    :returns: Nova's ``InstanceInvalidState``, or webob's ``HTTPConflict``
        where the controller needs that
    """
    attr, state = _state_now(error.kwargs.get("actual") or {})
    instance_uuid = error.kwargs.get("instance_uuid")
    invalid: Exception = nova_exception.InstanceInvalidState(
        attr=attr,
        instance_uuid=instance_uuid,
        state=state,
        method=method,
    )
    helpers = sys.modules.get(_HELPERS)
    if method in _DIRECT and helpers is not None:
        try:
            helpers.raise_http_conflict_for_instance_invalid_state(
                invalid, _DIRECT[method], instance_uuid
            )
        except Exception as conflict:  # noqa: BLE001 - it is raised by us
            return conflict
    return invalid


def _state_now(actual: Mapping[str, Any]) -> tuple[str, str | None]:
    """Choose the state that says why: the task, or what there is without one.

    :param actual: columns as they were found, some or all
    :returns: the name of a column and its value; ``None`` as the value has
        Nova say that the state does not allow it, without naming one
    """
    task = actual.get("task_state")
    vm_state = actual.get("vm_state")
    if task is not None or vm_state is None:
        return "task_state", task
    return "vm_state", vm_state
