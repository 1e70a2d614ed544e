# SPDX-License-Identifier: Apache-2.0
"""How a belief gets from one ``Instance`` object to another."""

from collections.abc import Callable
import functools
from typing import Any

from nova_db_states.nova import belief
from nova_db_states.nova import settings

__all__ = ["copying", "reading", "receiving", "refreshing", "sending"]


def refreshing(theirs: Callable[..., Any]) -> Callable[..., Any]:
    """Let a refresh from a replica be no belief.

    :param theirs: Nova's method
    :returns: the method in its place
    """

    @functools.wraps(theirs)
    def refresh(instance: Any, use_slave: bool = False) -> Any:  # noqa: FBT001, FBT002 - Nova's
        result = theirs(instance, use_slave=use_slave)
        (belief.doubt if use_slave else belief.learn)(instance)
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

    @functools.wraps(theirs)
    def read(cls: Any, *args: Any, **kwargs: Any) -> Any:
        found = theirs(cls, *args, **kwargs)
        if kwargs.get("use_slave"):
            every = getattr(found, "objects", None)
            for instance in [found] if every is None else every:
                belief.doubt(instance)
        return found

    return classmethod(read)
