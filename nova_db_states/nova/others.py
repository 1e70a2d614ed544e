# SPDX-License-Identifier: Apache-2.0
"""What a save writes into other tables: after the state, or not at all.

Nova writes it first, so that a save that is refused leaves half of itself
behind. Here it waits until the row has accepted the new state. What goes to
``instance_extra`` is then written in the same transaction, as often as that is
tried. The network information comes after it: Nova's function for that retries
by itself, and must not do so inside of somebody else's transaction.
"""

from collections.abc import Callable
import functools
from typing import Any

from nova_db_states.nova import hints

__all__ = ["in_transaction", "later_cache", "later_extra"]


def in_transaction(body: Callable[..., Any]) -> Callable[..., Any]:
    """Let what waits be written in the transaction that writes the row.

    :param body: writes the row
    :returns: the function in its place
    """

    def function(
        context: Any,
        nested: Any,
        instance_uuid: str,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        result = body(context, nested, instance_uuid, *args, **kwargs)
        hint = hints.current(instance_uuid)
        for write in (hint and hint.later) or ():
            write()
        return result

    return function


def later_extra(theirs: Callable[..., Any]) -> Callable[..., Any]:
    """Make ``instance_extra`` wait until the state was accepted.

    :param theirs: Nova's ``instance_extra_update_by_uuid``
    :returns: the function in its place
    """

    @functools.wraps(theirs)
    def instance_extra_update_by_uuid(
        context: Any, instance_uuid: str, updates: Any
    ) -> Any:
        hint = hints.current(instance_uuid)
        if hint is None or hint.later is None:
            return theirs(context, instance_uuid, updates)
        hint.later.append(
            functools.partial(theirs, context, instance_uuid, updates)
        )
        return None

    return instance_extra_update_by_uuid


def later_cache(theirs: Callable[..., Any]) -> Callable[..., Any]:
    """Make the network information wait until the state was accepted.

    :param theirs: Nova's ``_save_info_cache``
    :returns: the method in its place
    """

    @functools.wraps(theirs)
    def _save_info_cache(instance: Any, context: Any) -> Any:
        hint = hints.current(instance.uuid)
        cache = instance.info_cache
        changed = cache is not None and cache.obj_what_changed()
        if hint is None or hint.later is None or not changed:
            return theirs(instance, context)
        given = {name: getattr(cache, name) for name in changed}

        def write() -> None:
            # The save has meanwhile read what the row had.
            for name, value in given.items():
                setattr(cache, name, value)
            instance.info_cache = cache
            theirs(instance, context)
            instance._changed_fields.discard("info_cache")

        hint.after.append(write)
        return None

    return _save_info_cache
