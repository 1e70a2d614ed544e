# SPDX-License-Identifier: Apache-2.0
"""Which arguments of a method are the context and the instance."""

from collections.abc import Mapping, MutableMapping
import inspect
from typing import Any, Final
import uuid

from nova_db_states import columns
from nova_db_states import exceptions

__all__ = ["Finder", "remember", "uuid_of"]

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
        if not callable(function) or isinstance(function, type):
            raise exceptions.InvalidRequest(
                f"{decorator} on {name}: it goes on a function, below "
                f"@classmethod and @property."
            )
        if (
            inspect.iscoroutinefunction(function)
            or inspect.isasyncgenfunction(function)
            or inspect.isgeneratorfunction(function)
        ):
            raise exceptions.InvalidRequest(
                f"{decorator} on {name}: a call of a coroutine or a generator "
                f"does not run its body. Decorate a plain function that does."
            )
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
    """Bring an instance in memory to what is in its row now.

    :param instance: as for :func:`uuid_of`; a uuid holds nothing
    :param written: column to value
    """
    if isinstance(instance, (str, uuid.UUID)):
        return
    if isinstance(instance, MutableMapping):
        instance.update(written)
        return
    for name, value in written.items():
        setattr(instance, name, value)
    # An object of Nova's would otherwise write them once more, unguarded,
    # with its next save().
    reset = getattr(instance, "obj_reset_changes", None)
    if reset is not None:
        reset(list(written))
