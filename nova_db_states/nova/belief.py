# SPDX-License-Identifier: Apache-2.0
"""What an ``Instance`` object last saw in the database.

A state field that is clean holds what was read, so its value is the belief.
When a field becomes dirty, the value that it had is kept beside it; nothing
else needs to be done when objects are loaded or sent. Three things travel with
an object: what a dirty field had been, that it was read from a replica, and
that an action came while it was used for something else. One stays: what it
tried to write when nobody could tell what became of that.
"""

from collections.abc import Iterable, Mapping
import dataclasses
import enum
from typing import Any, Final

from nova_db_states.machine import notation
from nova_db_states.nova import participants

__all__ = [
    "FIELDS",
    "NONE",
    "PLACE",
    "UNKNOWN",
    "Belief",
    "Unknown",
    "attempted",
    "carry",
    "compare",
    "copy",
    "dirty",
    "doubt",
    "learn",
    "loaded",
    "observe_setters",
    "of",
    "restore",
    "take",
    "unset",
]

FIELDS: Final = ("vm_state", "task_state")

PLACE: Final = ("host", "node", "compute_id")
"""Where the server is; what belongs to a state falls with it."""

KEY: Final = "nova_db_states"
"""Beside ``nova_object.data`` in the primitive; plain Nova ignores it."""

_LOADED: Final = (*FIELDS, *PLACE)
"""What must not be written unless somebody has changed it."""

_SENT: Final = (*FIELDS, "host")
"""Of which a receiver is told what they were, where they are dirty."""

_SEEN: Final = "_nova_db_states_seen"
_DOUBTED: Final = "_nova_db_states_doubted"
_OVERTAKEN: Final = "_nova_db_states_overtaken"
_TRIED: Final = "_nova_db_states_tried"
_WRITER: Final = "_nova_db_states_writer"


class Unknown(enum.Enum):
    """The type of :data:`UNKNOWN`."""

    UNKNOWN = enum.auto()

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown.UNKNOWN
"""A field of which nothing is known; ``None`` is NULL."""

Seen = str | None | Unknown


@dataclasses.dataclass(frozen=True, slots=True)
class Belief:
    """What a writer takes the row to be.

    :ivar vm_state: ``None`` for NULL
    :ivar task_state: ``None`` for NULL
    :ivar overtaken: whether he was at something else when the action came
        that is under way. Who has only heard of an action is none that
        carries it out.
    :ivar tried: both states that he tried to write when the answer was lost,
        and that may be there as well; ``None`` where none was
    """

    vm_state: Seen = UNKNOWN
    task_state: Seen = UNKNOWN
    overtaken: bool = False
    tried: tuple[str | None, str | None] | None = None

    @property
    def pair(self) -> tuple[str | None, str | None] | None:
        """Both states, or ``None`` where one of them is unknown."""
        if self.vm_state is UNKNOWN or self.task_state is UNKNOWN:
            return None
        return self.vm_state, self.task_state


NONE: Final = Belief()
"""Nothing is known."""


def of(instance: Any) -> Belief:
    """Say what an object last saw.

    :param instance: an ``Instance``
    :returns: the belief
    """
    if _DOUBTED in instance.__dict__:
        return NONE
    vm_state, task_state = (_seen(instance, name) for name in FIELDS)
    return Belief(
        vm_state,
        task_state,
        _OVERTAKEN in instance.__dict__,
        instance.__dict__.get(_TRIED),
    )


def host(instance: Any) -> Seen:
    """Say on which host an object last saw the server.

    :param instance: an ``Instance``
    :returns: the host, ``None`` for none
    """
    return (
        UNKNOWN if _DOUBTED in instance.__dict__ else _seen(instance, "host")
    )


def _seen(instance: Any, name: str) -> Seen:
    if name in instance._changed_fields:
        kept: Seen = instance.__dict__.get(_SEEN, {}).get(name, UNKNOWN)
        return kept
    return _held(instance, name)


def _held(instance: Any, name: str) -> Seen:
    value = instance.__dict__.get(f"_obj_{name}", UNKNOWN)
    return str(value) if isinstance(value, str) else value


def dirty(instance: Any) -> dict[str, str | None]:
    """List the state fields that a save would write.

    :param instance: an ``Instance``
    :returns: name to new value
    """
    found = {}
    for name in FIELDS:
        if name in instance._changed_fields:
            value = _held(instance, name)
            if value is not UNKNOWN:
                found[name] = value
    return found


def restore(instance: Any) -> None:
    """Take back what a save was refused, so that none can write it later.

    :param instance: an ``Instance``; its state fields get what was last seen
        and are clean, and so does the host that belongs to a state. Its other
        fields stay as they are
    """
    instance.__dict__.pop(_TRIED, None)
    kept = instance.__dict__.get(_SEEN, {})
    if any(name in instance._changed_fields for name in FIELDS):
        for name in PLACE:
            if kept.get(name, UNKNOWN) is not UNKNOWN:
                _take_back(instance, name, kept[name])
    for name in FIELDS:
        if name in instance._changed_fields:
            seen = kept.get(name, UNKNOWN)
            if seen is UNKNOWN:
                # The value is nobody's belief, and must not pass for it.
                doubt(instance)
                seen = _held(instance, name)
            _take_back(instance, name, seen)


def _take_back(instance: Any, name: str, seen: Any) -> None:
    if name in instance._changed_fields:
        instance.__dict__[f"_obj_{name}"] = seen
        instance._changed_fields.discard(name)


def take(instance: Any, name: str) -> None:
    """Take a field out of what the next save writes.

    :param instance: an ``Instance``
    :param name: a field whose value is what was last seen
    """
    instance._changed_fields.discard(name)


def take_for_idle(instance: Any) -> None:
    """Let an object say that its server has no task, and write nothing.

    :param instance: an ``Instance`` whose task is about to be overruled
    """
    take(instance, "task_state")
    instance.__dict__["_obj_task_state"] = None


def doubt(instance: Any) -> None:
    """Note that what an object holds may be old, as from a replica.

    :param instance: an ``Instance``
    """
    instance.__dict__[_DOUBTED] = True


def learn(instance: Any) -> None:
    """Note that what an object holds was read from the database itself.

    :param instance: an ``Instance``
    """
    instance.__dict__.pop(_DOUBTED, None)
    instance.__dict__.pop(_TRIED, None)


def attempted(instance: Any) -> None:
    """Note that nobody can tell whether a save was made or not.

    :param instance: an ``Instance`` whose save failed on the way
    """
    if dirty(instance):
        vm_state, task_state = (_held(instance, name) for name in FIELDS)
        if UNKNOWN not in {vm_state, task_state}:
            instance.__dict__[_TRIED] = (vm_state, task_state)


def compare(
    instance: Any, before: Belief, wrote: Mapping[str, str | None]
) -> None:
    """Note whether an action came while an object was used for another one.

    :param instance: an ``Instance`` that was just saved or refreshed
    :param before: what it believed before
    :param wrote: the states that it has written itself
    """
    now = of(instance).pair
    if now is None or now[1] is None or wrote.get("task_state") == now[1]:
        instance.__dict__.pop(_OVERTAKEN, None)
    elif (
        before.pair is not None
        and before.task_state != now[1]
        and not participants.is_deletion(notation.State(*before.pair))
        and not participants.comes_from(
            notation.State(*before.pair), notation.State(*now)
        )
    ):
        instance.__dict__[_OVERTAKEN] = True


def writer(instance: Any) -> str:
    """Name the function that called ``save`` on the other side of the RPC.

    :param instance: an ``Instance``
    :returns: ``file:function``, or nothing
    """
    return str(instance.__dict__.get(_WRITER, ""))


def name_writer(instance: Any, function: str) -> None:
    """Let an object that is about to be sent say who saves it.

    :param instance: an ``Instance``
    :param function: ``file:function``; empty for nobody
    """
    if function:
        instance.__dict__[_WRITER] = function
    else:
        instance.__dict__.pop(_WRITER, None)


def copy(source: Any, target: Any) -> None:
    """Let a copy of an object believe what the object does.

    :param source: an ``Instance``
    :param target: its copy
    """
    if _SEEN in source.__dict__:
        target.__dict__[_SEEN] = dict(source.__dict__[_SEEN])
    for mark in (_DOUBTED, _OVERTAKEN):
        if mark in source.__dict__:
            target.__dict__[mark] = True


def carry(instance: Any, primitive: dict[str, Any]) -> None:
    """Put into a primitive what its fields do not say.

    :param instance: what is sent
    :param primitive: as made by ``obj_to_primitive``; changed in place
    """
    said: dict[str, Any] = {}
    if _DOUBTED in instance.__dict__:
        said["doubted"] = True
    if _OVERTAKEN in instance.__dict__:
        said["overtaken"] = True
    seen = {
        name: value
        for name in _SENT
        if name in instance._changed_fields
        and (value := _seen(instance, name)) is not UNKNOWN
    }
    if seen:
        said["seen"] = seen
    if writer(instance):
        said["writer"] = writer(instance)
    if said:
        primitive[KEY] = said


def receive(instance: Any, primitive: Mapping[str, Any]) -> None:
    """Take over from a primitive what its fields do not say.

    A sender without the plugin says nothing: its clean fields are what it
    read, and of its dirty ones nothing is known.

    :param instance: as made by ``_obj_from_primitive``
    :param primitive: what it was made from
    """
    said = primitive.get(KEY)
    seen = said.get("seen") if isinstance(said, Mapping) else None
    # The setters have noted that every field was unset before.
    instance.__dict__[_SEEN] = {
        name: value
        for name, value in (seen.items() if isinstance(seen, Mapping) else ())
        if name in _SENT and (value is None or isinstance(value, str))
    }
    if not isinstance(said, Mapping):
        return
    if said.get("doubted"):
        doubt(instance)
    if said.get("overtaken"):
        instance.__dict__[_OVERTAKEN] = True
    name_writer(instance, str(said.get("writer") or ""))


def unset(instance: Any) -> list[str]:
    """List what an object does not have of what a lazy load brings along.

    :param instance: an ``Instance``
    :returns: the names of the fields
    """
    return [name for name in _LOADED if _held(instance, name) is UNKNOWN]


def loaded(instance: Any, names: Iterable[str]) -> None:
    """Note that some fields were read together with another one.

    Nova's lazy load sets every column that the object has not got, and leaves
    them dirty; the next save would write them over whatever is there by then.

    :param instance: an ``Instance``
    :param names: the fields that it did not have before
    """
    for name in names:
        if _held(instance, name) is not UNKNOWN:
            instance._changed_fields.discard(name)


class _Keeping(property):
    """A property that keeps what a field had when it becomes dirty."""


def observe_setters(cls: Any) -> None:
    """Let the fields of state and place of a class keep what they had.

    :param cls: the ``Instance`` class, or one made from it
    """
    for name in _LOADED:
        inner = getattr(cls, name, None)
        if inner is not None and not isinstance(inner, _Keeping):
            setattr(cls, name, _keeping(name, inner))


def _keeping(name: str, inner: property) -> property:
    def set_value(instance: Any, value: Any) -> None:
        if name not in instance._changed_fields:
            kept = instance.__dict__.setdefault(_SEEN, {})
            kept[name] = _held(instance, name)
        assert inner.fset is not None
        inner.fset(instance, value)

    return _Keeping(inner.fget, set_value, inner.fdel)
