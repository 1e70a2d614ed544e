# SPDX-License-Identifier: Apache-2.0
"""The upper seam: what ``nova.objects.Instance`` does around its saves."""

from collections.abc import Callable
import contextlib
import contextvars
import functools
import sys
from typing import Any, Final

from nova_db_states.nova import belief
from nova_db_states.nova import conflicts
from nova_db_states.nova import counters
from nova_db_states.nova import db_api
from nova_db_states.nova import hints
from nova_db_states.nova import others
from nova_db_states.nova import saving
from nova_db_states.nova import settings
from nova_db_states.nova import travel
from nova_db_states.nova import writes

__all__ = ["Seam", "lenient"]

_READERS: Final = ("get_by_uuid",)
_LIST_READERS: Final = (
    "get_by_filters",
    "get_by_host",
    "get_active_by_window_joined",
)

_ANYTHING: Final[frozenset[str | None]] = frozenset()

_lenient: Final[contextvars.ContextVar[frozenset[str | None] | None]] = (
    contextvars.ContextVar("nova_db_states_lenient", default=None)
)


@contextlib.contextmanager
def lenient(wants: frozenset[str | None] = _ANYTHING) -> Any:
    """Give refused saves up in a block instead of raising.

    :param wants: what ``task_state`` must be for saves that name no
        expectation; empty for anything
    """
    token = _lenient.set(wants)
    try:
        yield
    finally:
        _lenient.reset(token)


class Seam:
    """The methods of ``Instance`` and ``InstanceList`` of one Nova."""

    def __init__(
        self, objects: Any, exception: Any, db_seam: db_api.Seam
    ) -> None:
        """Build nothing yet; ``install`` puts the methods in place.

        :param objects: the module ``nova.objects.instance``
        :param exception: the module ``nova.exception``
        :param db_seam: the seam below
        """
        self._objects = objects
        self._exception = exception
        self._db_seam = db_seam
        self._save: Callable[..., Any] = objects.Instance.save

    def install(self) -> None:
        """Wrap the methods in place: whoever has the class has them."""
        cls = self._objects.Instance
        belief.observe_setters(cls)
        registry = self._objects.base.NovaObjectRegistry
        registry.registration_hook = travel.registering(
            registry.registration_hook, cls
        )
        cls.save = self._guarded_save()
        cls._save_info_cache = others.later_cache(cls._save_info_cache)
        cls.destroy = self._hinted_destroy(cls.destroy)
        cls.refresh = travel.refreshing(cls.refresh)
        cls.obj_load_attr = travel.loading(cls.obj_load_attr)
        cls.__deepcopy__ = travel.copying(cls.__deepcopy__)
        cls.obj_to_primitive = travel.sending(cls.obj_to_primitive)
        cls._obj_from_primitive = travel.receiving(
            cls._obj_from_primitive.__func__
        )
        for name in _READERS:
            setattr(cls, name, travel.reading(getattr(cls, name).__func__))
        every = self._objects.InstanceList
        for name in _LIST_READERS:
            setattr(every, name, travel.reading(getattr(every, name).__func__))
        counters.add("upper")

    def _guarded_save(self) -> Callable[..., Any]:
        theirs = self._save

        @functools.wraps(theirs)
        def save(
            instance: Any,
            expected_vm_state: Any = None,
            expected_task_state: Any = None,
            admin_state_reset: bool = False,  # noqa: FBT001, FBT002 - Nova's
        ) -> Any:
            if settings.is_off() or "uuid" not in instance:
                return theirs(
                    instance,
                    expected_vm_state,
                    expected_task_state,
                    admin_state_reset,
                )
            # set_vm_state_and_notify gives it to the object among the values.
            wants = instance.__dict__.get("expected_task_state")
            if wants is None:
                wants = list(_lenient.get() or ()) or None
            if expected_task_state is None and not settings.observes():
                expected_task_state, wants = wants, None
            call = saving.Saving(
                instance,
                expected_vm_state,
                expected_task_state,
                resets=bool(admin_state_reset),
                writer=belief.writer(instance)
                or saving.caller(sys._getframe(1)),
                wants=wants,
            )
            run = self._remotely if instance.indirection_api else self._locally
            try:
                return run(call)
            except self._exception.InstanceUpdateConflict as error:
                return self._refused(call, error)
            except Exception:
                # It may have been made, or have failed before that.
                belief.attempted(instance)
                call.keep_objects_dirty()
                raise

        return save

    def _remotely(self, call: saving.Saving) -> Any:
        """Save through nova-conductor, which judges."""
        reads = call.writes_columns()
        belief.name_writer(call.instance, call.writer)
        try:
            result = self._save(call.instance, **call.arguments())
        finally:
            belief.name_writer(call.instance, "")
        if reads:
            belief.learn(call.instance)
            belief.compare(call.instance, call.seen, call.dirty)
        return result

    def _locally(self, call: saving.Saving) -> Any:
        """Save with the database seam below."""
        instance = call.instance
        belief.name_writer(instance, "")
        hint = call.hint()
        reads = call.writes_columns()
        if call.expects and not reads:
            # Nova returns before it looks at the expectation, and after it
            # has written what is in other tables.
            self._db_seam.check(instance._context, hint, call.arguments())
        with hints.given(hint):
            waits = reads and not settings.observes()
            hint.later = [] if waits else None
            result = self._save(instance, **call.arguments())
        for write in hint.after:
            write()
        if reads:
            # What Nova has written it has read back.
            belief.learn(instance)
            belief.compare(instance, call.seen, call.dirty)
        return result

    def _refused(self, call: saving.Saving, error: Exception) -> None:
        """Roll the object back, and raise unless something else is raised.

        :raises InstanceUpdateConflict: of Nova, the one that is given
        """
        if settings.observes():
            raise error
        belief.restore(call.instance)
        call.keep_objects_dirty()
        handled = call.handled
        gives_up = writes.is_giving_up(call.write())
        if _lenient.get() is not None or (
            handled is not None and gives_up and not call.expects
        ):
            conflicts.report(
                "yielded",
                {
                    "instance": call.instance.uuid,
                    "caller": call.writer,
                    "handling": type(handled).__name__ if handled else None,
                    "message": str(error),
                },
            )
            return
        raise error

    def _hinted_destroy(
        self, theirs: Callable[..., Any]
    ) -> Callable[..., Any]:
        @functools.wraps(theirs)
        def destroy(instance: Any, *args: Any, **kwargs: Any) -> Any:
            if settings.is_off() or "uuid" not in instance:
                return theirs(instance, *args, **kwargs)
            hint = hints.Hint(
                instance.uuid,
                belief.of(instance),
                saving.caller(sys._getframe(1)),
            )
            with hints.given(hint):
                return theirs(instance, *args, **kwargs)

        return destroy
