# SPDX-License-Identifier: Apache-2.0
"""Rows in one piece: a column of JSON in place of fifty columns.

The driver takes longer to read the description of each column than everybody
together for the row in one piece. Its info cache comes along with it. Servers
that do not know these functions (SQLite's has other names) are asked in the
usual way.
"""

from collections.abc import Callable, Mapping
import datetime
import functools
import json
from typing import Any, Final

import sqlalchemy as sa

__all__ = ["can", "columns", "unpacked"]

CACHE: Final = "info_cache"
GROUPS: Final = "security_groups"

Reader = Callable[[Any], Any]


def can(bind: sa.Connection | sa.Engine) -> bool:
    """Say whether a server packs rows.

    :param bind: to it
    """
    return bind.dialect.name != "sqlite"


def columns(
    model: Any, beside: Mapping[str, Any]
) -> list[sa.ColumnElement[Any]]:
    """List what to select.

    The queries inside refer to the row: a server that read them before it has
    locked that would show them as they were when it began to wait, and with
    snapshot isolation it would then refuse the row. None of them puts rows
    together: MariaDB makes a temporary table on disk for that each time, and
    10.11 was seen to crash when it dropped one.

    :param model: ``models.Instance``
    :param beside: classes of what belongs to it, by the name of the relation:
        some of the info cache and the security groups
    :returns: the row, and then each of these
    """
    table = model.__table__
    wanted: list[sa.ColumnElement[Any]] = [sa.func.json_array(*table.c)]
    for name, other in beside.items():
        theirs = other.__table__.c
        piece: sa.ColumnElement[Any] = sa.func.json_array(*theirs)
        if name == GROUPS:
            piece = sa.func.count()
        query = sa.select(piece).where(theirs.instance_uuid == table.c.uuid)
        if name == GROUPS:
            query = query.where(theirs.deleted == 0)
        wanted.append(query.correlate(table).scalar_subquery())
    return wanted


def unpacked(
    dialect: sa.Dialect,
    model: Any,
    beside: Mapping[str, Any],
    texts: tuple[Any, ...],
) -> dict[str, Any]:
    """Unpack what was selected.

    :param dialect: of the connection
    :param model: as for :func:`columns`
    :param beside: as for :func:`columns`
    :param texts: what the server gave
    :returns: the columns of the row; a mapping for the info cache or ``None``;
        the number of security groups
    """
    found = _row(model, dialect, texts[0])
    for (name, other), text in zip(beside.items(), texts[1:], strict=True):
        if name == CACHE:
            found[name] = None if text is None else _row(other, dialect, text)
        else:
            found[name] = text
    return found


def _row(model: Any, dialect: sa.Dialect, text: str) -> dict[str, Any]:
    names, readers = _readers(model, dialect)
    row = dict(zip(names, json.loads(text), strict=True))
    for name, read in readers:
        value = row[name]
        if value is not None:
            row[name] = read(value)
    return row


@functools.lru_cache(maxsize=4096)
def _readers(
    model: Any, dialect: sa.Dialect
) -> tuple[tuple[str, ...], tuple[tuple[str, Reader], ...]]:
    """List the columns, and those that JSON does not give as they are."""
    readers = []
    for column in model.__table__.c:
        kind = column.type.dialect_impl(dialect)
        read = (
            datetime.datetime.fromisoformat
            if isinstance(kind, sa.DateTime)
            else kind.result_processor(dialect, None)
        )
        if read is not None:
            readers.append((column.name, read))
    return tuple(model.__table__.c.keys()), tuple(readers)
