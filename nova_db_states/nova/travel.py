# SPDX-License-Identifier: Apache-2.0
"""How a belief gets from one ``Instance`` object to another."""

from collections.abc import Callable
import functools
import inspect
from typing import Any

from nova_db_states.nova import belief
from nova_db_states.nova import settings

__all__ = [
    "copying",
    "loading",
    "reading",
    "receiving",
    "refreshing",
    "registering",
    "sending",
]


def refreshing(theirs: Callable[..., Any]) -> Callable[..., Any]:
    """Let a refresh from a replica be no belief.

    :param theirs: Nova's method
    :returns: the method in its place
    """

    @functools.wraps(theirs)
    def refresh(instance: Any, use_slave: bool = False) -> Any:  # noqa: FBT001, FBT002 - Nova's
        before = belief.of(instance)
        result = theirs(instance, use_slave=use_slave)
        if use_slave:
            belief.doubt(instance)
        else:
            belief.learn(instance)
            belief.compare(instance, before, {})
        return result

    return refresh


def copying(theirs: Callable[..., Any]) -> Callable[..., Any]:
    """Let a copy believe what its original does.

    :param theirs: Nova's method
    :returns: the method in its place
    """

    @functools.wraps(theirs)
    def __deepcopy__(instance: Any, memo: Any) -> Any:  # noqa: N807 - the protocol's
        made = theirs(instance, memo)
        belief.copy(instance, made)
        return made

    return __deepcopy__


def sending(theirs: Callable[..., Any]) -> Callable[..., Any]:
    """Let a primitive carry what its fields do not say.

    :param theirs: Nova's method
    :returns: the method in its place
    """

    @functools.wraps(theirs)
    def obj_to_primitive(instance: Any, *args: Any, **kwargs: Any) -> Any:
        primitive = theirs(instance, *args, **kwargs)
        if not settings.is_off():
            belief.carry(instance, primitive)
        return primitive

    return obj_to_primitive


def receiving(theirs: Callable[..., Any]) -> Any:
    """Let an object made of a primitive believe what its sender did.

    :param theirs: Nova's method
    :returns: the method in its place
    """

    @functools.wraps(theirs)
    def _obj_from_primitive(
        cls: Any, context: Any, objver: Any, primitive: Any
    ) -> Any:
        instance = theirs(cls, context, objver, primitive)
        belief.receive(instance, primitive)
        return instance

    return classmethod(_obj_from_primitive)


def reading(theirs: Callable[..., Any]) -> Any:
    """Let what comes from a replica be no belief.

    :param theirs: Nova's class method
    :returns: the class method in its place
    """
    # The class takes the first place, and is none of ``args``.
    place = list(inspect.signature(theirs).parameters).index("use_slave") - 1

    @functools.wraps(theirs)
    def read(cls: Any, *args: Any, **kwargs: Any) -> Any:
        found = theirs(cls, *args, **kwargs)
        if kwargs.get("use_slave") or any(args[place : place + 1]):
            every = getattr(found, "objects", None)
            for instance in [found] if every is None else every:
                belief.doubt(instance)
        return found

    return classmethod(read)


def loading(theirs: Callable[..., Any]) -> Callable[..., Any]:
    """Let states that a lazy load brought along be read and not changed.

    :param theirs: Nova's method
    :returns: the method in its place
    """

    @functools.wraps(theirs)
    def obj_load_attr(instance: Any, attrname: str) -> Any:
        if settings.is_off():
            return theirs(instance, attrname)
        unset = belief.unset(instance)
        try:
            return theirs(instance, attrname)
        finally:
            belief.loaded(instance, unset)

    return obj_load_attr


def registering(
    theirs: Callable[..., Any], instance_class: type
) -> Callable[..., Any]:
    """Let classes made from ``Instance`` keep their states as that does.

    A class gets properties of its own for all fields when it is registered.

    :param theirs: Nova's method, which is called after that
    :param instance_class: ``Instance``
    :returns: the method in its place
    """

    @functools.wraps(theirs)
    def registration_hook(registry: Any, cls: Any, index: int) -> Any:
        if issubclass(cls, instance_class):
            belief.observe_setters(cls)
        return theirs(registry, cls, index)

    return registration_hook
