# SPDX-License-Identifier: Apache-2.0
"""Which arguments of a method are the context and the instance."""

from collections.abc import Mapping, MutableMapping
import inspect
import logging
from typing import Any, Final
import uuid

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import attributes

from nova_db_states import columns
from nova_db_states import exceptions
from nova_db_states import retry

__all__ = ["Finder", "checked_policy", "remember", "uuid_of"]

LOG: Final = logging.getLogger(__name__)

_CONTEXT_NAMES: Final = ("context", "ctxt", "ctx")
_INSTANCE_NAMES: Final = ("instance", "instance_uuid")
_UNNAMED: Final = (
    inspect.Parameter.VAR_POSITIONAL,
    inspect.Parameter.VAR_KEYWORD,
)


class Finder:
    """Finds context and instance among the arguments of a method.

    :param function: the method, as a plain function
    :param decorator: how the decorator is called, for its errors
    :raises InvalidRequest: it has no such parameters, or its body does not
        run when it is called
    """

    def __init__(self, function: Any, decorator: str) -> None:
        name = getattr(function, "__qualname__", repr(function))
        _require_body(function, f"{decorator} on {name}")
        self._signature = inspect.signature(function)
        self._context = self._parameter(name, decorator, _CONTEXT_NAMES)
        self._instance = self._parameter(name, decorator, _INSTANCE_NAMES)

    def _parameter(
        self, name: str, decorator: str, names: tuple[str, ...]
    ) -> str:
        for parameter in self._signature.parameters.values():
            if parameter.name in names and parameter.kind not in _UNNAMED:
                return parameter.name
        raise exceptions.InvalidRequest(
            f"{decorator} on {name}: none of its parameters is named "
            f"{' or '.join(names)}. Name them as Nova does: (self, context, "
            f"instance, ...)."
        )

    def bind(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> inspect.BoundArguments:
        """Give each argument of a call to its parameter.

        :param args: the positional arguments
        :param kwargs: the others
        :returns: the arguments, defaults included
        :raises TypeError: the method cannot be called like this
        """
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound

    def find(self, bound: inspect.BoundArguments) -> tuple[Any, Any]:
        """Find context and instance.

        :param bound: from :meth:`bind`
        :returns: context and instance
        """
        return bound.arguments[self._context], bound.arguments[self._instance]


def uuid_of(instance: Any) -> str:
    """Give the uuid of what stands for an instance.

    :param instance: a uuid, an object with ``uuid``, or a mapping with it
    :returns: the uuid as Nova stores it
    :raises InvalidRequest: it has none
    """
    if isinstance(instance, (str, uuid.UUID)):
        return columns.canonical_uuid(instance)
    if isinstance(instance, Mapping):
        found = instance.get("uuid")
    else:
        found = getattr(instance, "uuid", None)
    if found is None:
        raise exceptions.InvalidRequest(
            f"{type(instance).__name__} is no instance: give a uuid, an "
            f"object with the attribute uuid, or a mapping with that key."
        )
    return columns.canonical_uuid(found)


def remember(instance: Any, written: Mapping[str, Any]) -> None:
    """Bring an instance in memory to what is in its row now, where it can be.

    The row counts, not the copy. So what cannot be told is left alone, and
    nothing is raised.

    :param instance: as for :func:`uuid_of`; a uuid holds nothing
    :param written: column to value
    """
    if isinstance(instance, (str, uuid.UUID)) or not written:
        return
    try:
        _tell(instance, written)
    except Exception as error:  # noqa: BLE001 - of whatever object it is
        LOG.debug(
            "An instance of %s was not told %s: %s",
            type(instance).__name__,
            ", ".join(written),
            error,
        )


def _tell(instance: Any, written: Mapping[str, Any]) -> None:
    if isinstance(instance, MutableMapping):
        instance.update(written)
        return
    if isinstance(instance, (Mapping, tuple)):
        return
    mapped = sa.inspect(instance, raiseerr=False)
    if isinstance(mapped, orm.InstanceState):
        # Set as usual, the next flush would write them once more, unguarded.
        for name in written.keys() & mapped.mapper.attrs.keys():
            attributes.set_committed_value(instance, name, written[name])
        return
    # So would an object of Nova's with its next save().
    reset = getattr(instance, "obj_reset_changes", None)
    try:
        for name, value in written.items():
            setattr(instance, name, value)
    finally:
        if reset is not None:
            reset(list(written))


def checked_policy(given: Any) -> retry.Policy | None:
    """Check what was given as ``retry_policy``.

    :param given: a policy, or ``None`` for the default
    :returns: the same
    :raises InvalidRequest: neither
    """
    if given is None or isinstance(given, retry.Policy):
        return given
    raise exceptions.InvalidRequest(
        f"retry_policy={given!r}: give a nova_db_states.retry.Policy, or None "
        f"for the default."
    )


def _require_body(function: Any, where: str) -> None:
    """Refuse what is no function, or does not run its body when called.

    :raises InvalidRequest: it is refused
    """
    if isinstance(function, (staticmethod, classmethod, property)):
        raise exceptions.InvalidRequest(
            f"{where}: it goes on a function, so write it in the line below "
            f"@{type(function).__name__}."
        )
    if not callable(function) or isinstance(function, type):
        raise exceptions.InvalidRequest(
            f"{where}: it goes on a function, below @classmethod and "
            f"@property."
        )
    # Also what contextlib.contextmanager and the like have wrapped.
    inner = inspect.unwrap(function)
    called = vars(type(inner)).get("__call__")
    for each in (function, inner, called):
        if (
            inspect.iscoroutinefunction(each)
            or inspect.isasyncgenfunction(each)
            or inspect.isgeneratorfunction(each)
        ):
            raise exceptions.InvalidRequest(
                f"{where}: a call of a coroutine or a generator does not run "
                f"its body. Decorate a plain function that does."
            )
