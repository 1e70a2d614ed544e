# SPDX-License-Identifier: Apache-2.0
"""Where nova-compute is watched: its driver and its client of Glance."""

from collections.abc import Callable
import contextvars
import functools
import inspect
from typing import Any, Final

import wrapt

from nova_db_states.nova import care
from nova_db_states.nova import settings
from nova_db_states.nova import transfers

__all__ = ["install"]

_SNAPSHOT: Final = frozenset(
    {
        "image_snapshot",
        "image_backup",
        "image_pending_upload",
        "image_uploading",
    }
)
_SHELVE: Final = frozenset(
    {"shelving", "shelving_image_pending_upload", "shelving_image_uploading"}
)
_REBUILD: Final = frozenset(
    {"rebuilding", "rebuild_block_device_mapping", "rebuild_spawning"}
)

STEPS: Final = {
    "spawn": (
        frozenset({"spawning"}),
        frozenset({"rebuild_spawning"}),
        frozenset({"resize_finish"}),
    ),
    "rebuild": (_REBUILD,),
    "finish_migration": (frozenset({"resize_finish"}),),
    "snapshot": (_SNAPSHOT, _SHELVE, frozenset({"resize_migrating"})),
}
"""What a driver does that takes long, to the task states of each operation
that has it done: those that the operation goes through meanwhile."""

_DELETING: Final = frozenset({"deleting", "soft-deleting"})

_UPLOADS: Final = "snapshot"
"""What makes no guest, and begins with a save of its own that is guarded."""

_current: Final[contextvars.ContextVar[transfers.Step | None]] = (
    contextvars.ContextVar("nova_db_states_step", default=None)
)
"""What is done in this thread. Neither the download for a spawn nor the hook
of an upload leaves the thread that the driver was called in; what fills the
cache of images in advance is in none."""


@care.careful
def install(manager: Any) -> None:
    """Watch the long steps of the compute manager.

    :param manager: ``nova.compute.manager``
    :raises UnsupportedNova: see ``activation.activate``
    """
    glance = manager.glance
    theirs = manager.driver.load_compute_driver

    @functools.wraps(theirs)
    def load_compute_driver(*args: Any, **kwargs: Any) -> Any:
        driver = theirs(*args, **kwargs)
        _wrap(manager, type(driver))
        return driver

    client, service = glance.GlanceClientWrapper, glance.GlanceImageServiceV2
    with care.all_or_nothing(manager.driver, client, service):
        manager.driver.load_compute_driver = load_compute_driver
        wrapt.wrap_function_wrapper(client, "call", _download)
        wrapt.wrap_function_wrapper(service, "_upload_data", _upload)


def _wrap(manager: Any, driver: type) -> None:
    """Wrap the methods of a driver where they are defined, once."""
    for owner in driver.__mro__:
        if owner is manager.driver.ComputeDriver:
            # What is not overridden is not implemented.
            break
        for name in STEPS:
            method = vars(owner).get(name)
            if method is None or isinstance(method, wrapt.FunctionWrapper):
                continue
            wrapt.wrap_function_wrapper(owner, name, _stepping(manager, name))


def _stepping(manager: Any, name: str) -> Callable[..., Any]:
    """Make what stands in for a method of a driver.

    :param manager: ``nova.compute.manager``
    :param name: of the method
    :returns: a wrapper for wrapt
    """

    def do(
        theirs: Callable[..., Any],
        driver: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        del driver
        step = _step(manager, name, theirs, args, kwargs)
        if step is None:
            return theirs(*args, **kwargs)
        if name != _UPLOADS:
            step.begin()
        token = _current.set(step)
        try:
            result = theirs(*args, **kwargs)
        except Exception:
            step.abandon()
            raise
        finally:
            _current.reset(token)
        step.end()
        return result

    return do


def _step(
    manager: Any,
    name: str,
    theirs: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> transfers.Step | None:
    """Say what is to be watched; ``None`` where nothing is."""
    if settings.is_off():
        return None
    try:
        given = inspect.signature(theirs).bind(*args, **kwargs).arguments
    except TypeError:
        return None
    instance = given.get("instance")
    under_way = _current.get()
    if (
        not isinstance(instance, manager.objects.Instance)
        or not instance.obj_attr_is_set("task_state")
        or (under_way is not None and under_way.uuid == instance.uuid)
    ):
        return None
    expected = _expected(name, instance.task_state)
    if not expected:
        return None
    image = given.get("image_meta")
    image_id = image.id if image is not None and "id" in image else None
    return transfers.Step(manager, instance, expected, image_id)


def _expected(name: str, task_state: str | None) -> frozenset[str]:
    """List in which task states a step is wanted; none to leave it alone.

    Any save brings the state of the row into the object, and not all of
    Nova's have a guard: a delete may be there that nobody has noticed.
    """
    if task_state in _DELETING:
        return frozenset().union(*STEPS[name])
    for states in STEPS[name]:
        if task_state in states:
            return states
    return frozenset()


def _download(
    theirs: Callable[..., Any],
    client: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Stand in for ``GlanceClientWrapper.call``."""
    del client
    result = theirs(*args, **kwargs)
    step = _current.get()
    if step is None:
        return result
    given = inspect.signature(theirs).bind(*args, **kwargs).arguments
    if given["method"] != "data":
        return result
    return step.download(result, given["args"][0])


def _upload(
    theirs: Callable[..., Any],
    service: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Stand in for ``GlanceImageServiceV2._upload_data``."""
    del service
    step = _current.get()
    if step is None:
        return theirs(*args, **kwargs)
    bound = inspect.signature(theirs).bind(*args, **kwargs)
    with step.upload(bound.arguments["data"]) as data:
        bound.arguments["data"] = data
        return theirs(*bound.args, **bound.kwargs)
