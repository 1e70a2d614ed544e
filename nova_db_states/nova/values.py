# SPDX-License-Identifier: Apache-2.0
"""What becomes of a value on its way to a column and back."""

from collections.abc import Mapping
import datetime
import functools
from typing import Any, Final

import sqlalchemy as sa

from nova_db_states import tables

__all__ = ["is_as_stored", "plain", "stored"]

_TIMES: Final = tuple(
    column.name
    for column in tables.instances.c
    if isinstance(column.type, sa.DateTime)
)

_NATIVE: Final = (
    (sa.Boolean, bool),
    (sa.Integer, int),
    (sa.DateTime, datetime.datetime),
    (sa.String, str),
)


@functools.cache
def _natives(model: Any) -> dict[str, type]:
    own = {name: str for name, _ in _own_types(model)}
    return own | {
        column.name: native
        for column in model.__table__.c
        for kind, native in _NATIVE
        if isinstance(column.type, kind)
    }


def is_as_stored(model: Any, values: Mapping[str, Any]) -> bool:
    """Say whether a column would give back what it is given.

    :param model: ``models.Instance``
    :param values: column to value
    :returns: false where only the server knows what it makes of a value
    """
    natives = _natives(model)
    return all(
        value is None or type(value) is natives.get(name)
        for name, value in values.items()
    )


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give values as Nova answers with them, which does not read them back.

    :param values: column to value
    :returns: the same, times with the fractions that a server may not keep
    """
    return {
        name: str(value) if isinstance(value, str) else value
        for name, value in values.items()
    }


def stored(
    connection: sa.Connection, model: Any, values: Mapping[str, Any]
) -> dict[str, Any]:
    """Give values as the server keeps them.

    :param connection: to it
    :param model: ``models.Instance``, whose types Nova writes with
    :param values: column to value
    :returns: the same, as they can be read back
    """
    kept = plain(values)
    for name, kind in _own_types(model):
        if kept.get(name) is not None:
            kept[name] = kind.process_bind_param(
                kept[name], connection.dialect
            )
    if connection.dialect.name != "sqlite":
        # The columns hold seconds, and servers differ in how they round.
        for name in _TIMES:
            if kept.get(name) is not None:
                kept[name] = kept[name].replace(microsecond=0)
    return kept


@functools.cache
def _own_types(model: Any) -> tuple[tuple[str, Any], ...]:
    """List the columns of Nova's own types, as those of addresses."""
    return tuple(
        (column.name, column.type)
        for column in model.__table__.c
        if isinstance(column.type, sa.TypeDecorator)
        and isinstance(column.type.impl_instance, sa.String)
    )
