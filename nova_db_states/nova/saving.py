# SPDX-License-Identifier: Apache-2.0
"""One call of ``Instance.save``: who makes it, what he knows and wants."""

import functools
import pathlib
import sys
from typing import Any

from nova_db_states import states
from nova_db_states.nova import belief
from nova_db_states.nova import hints
from nova_db_states.nova import writes

__all__ = ["Saving", "caller"]


class Saving:
    """One call of ``save``.

    :ivar instance: the object
    :ivar seen: what it believed before
    :ivar dirty: the states it would write
    :ivar wants: as in :class:`hints.Hint`
    :ivar handled: the exception that is being handled, or ``None``
    """

    def __init__(
        self,
        instance: Any,
        expected_vm_state: Any,
        expected_task_state: Any,
        *,
        resets: bool,
        writer: str,
        wants: Any = None,
    ) -> None:
        self.instance = instance
        self.expected_vm_state = expected_vm_state
        self.expected_task_state = expected_task_state
        self.resets = resets
        self.writer = writer
        self.wants = wants
        self.seen = belief.of(instance)
        self.dirty = belief.dirty(instance)
        self.handled = sys.exception()
        self._objects = {
            name
            for name in _object_fields(instance.__class__)
            if name in instance._changed_fields
            or _is_changed(instance.__dict__.get(f"_obj_{name}"))
        }

    @property
    def expects(self) -> bool:
        """Whether the caller names an expectation."""
        return (
            self.expected_vm_state is not None
            or self.expected_task_state is not None
        )

    def arguments(self) -> dict[str, Any]:
        """Give the arguments for Nova's own function."""
        given: dict[str, Any] = {}
        if self.expected_vm_state is not None:
            given["expected_vm_state"] = self.expected_vm_state
        if self.expected_task_state is not None:
            given["expected_task_state"] = self.expected_task_state
        if self.resets:
            given["admin_state_reset"] = True
        return given

    def write(self) -> writes.Write:
        """Say what the ruling would be about."""
        return writes.Write(
            self.dirty.get("vm_state", states.ANY),
            self.dirty.get("task_state", states.ANY),
            self.seen,
            writer=self.writer,
            resets=self.resets,
        )

    def keep_objects_dirty(self) -> None:
        """Let what is in other tables be written by the next save.

        Nova takes some of that for saved as soon as it has collected it.
        """
        self.instance._changed_fields.update(self._objects)

    def writes_columns(self) -> bool:
        """Say whether Nova would come to write the row at all."""
        if self.dirty:
            return True
        fields = self.instance.fields
        return any(
            not hasattr(fields[name], "objname")
            for name in self.instance.obj_what_changed()
        )

    def hint(self) -> hints.Hint:
        """Make what the database seam is told."""
        return hints.Hint(
            self.instance.uuid,
            self.seen,
            self.writer,
            self.resets,
            belief.host(self.instance),
            self.wants,
        )


@functools.cache
def _object_fields(cls: Any) -> tuple[str, ...]:
    """List the fields whose values are objects themselves.

    To ask the instance what has changed takes it through every other one too.
    """
    return tuple(
        name for name, field in cls.fields.items() if hasattr(field, "objname")
    )


def _is_changed(value: Any) -> bool:
    ask = getattr(value, "obj_what_changed", None)
    return bool(ask and ask())


def caller(frame: Any) -> str:
    """Name a function as the map does: ``nova/compute/api.py:API.stop``."""
    parts = pathlib.PurePath(frame.f_code.co_filename).parts
    if "nova" not in parts:
        return ""
    last = len(parts) - 1 - parts[::-1].index("nova")
    name = frame.f_code.co_qualname.replace(".<locals>", "")
    return f"{'/'.join(parts[last:])}:{name}"
