# SPDX-License-Identifier: Apache-2.0
"""Rows in one piece: a column of JSON in place of fifty columns.

The driver takes longer to read the description of each column than everybody
together for the row in one piece. What belongs to the row comes along with
it. Servers that do not know these functions (SQLite's has other names) are
asked in the usual way.
"""

from collections.abc import Callable, Mapping
import datetime
import functools
import json
import operator
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
    model: Any,
    beside: Mapping[str, Any],
    *,
    full: bool = False,
) -> list[sa.ColumnElement[Any]]:
    """List what to select.

    The queries inside refer to the row: a server that read them before it has
    locked that would show them as they were when it began to wait, and with
    snapshot isolation it would then refuse the row.

    :param model: ``models.Instance``
    :param beside: classes of what belongs to it, by the name of the relation
    :param full: whether metadata is wanted with all of its columns
    :returns: the row, and then each of these
    """
    table = model.__table__
    wanted: list[sa.ColumnElement[Any]] = [sa.func.json_array(*table.c)]
    for name, other in beside.items():
        theirs = other.__table__.c
        piece: sa.ColumnElement[Any] = sa.func.json_array(*theirs)
        if name == GROUPS:
            piece = sa.func.count()
        elif name != CACHE:
            # Some servers cut off what is too long, so they count.
            wide = theirs if full else (theirs.id, theirs.key, theirs.value)
            piece = sa.func.json_array(
                sa.func.count(),
                sa.func.json_arrayagg(sa.func.json_array(*wide)),
            )
        query = sa.select(piece).where(theirs.instance_uuid == table.c.uuid)
        if name in {GROUPS, "metadata"}:
            query = query.where(theirs.deleted == 0)
        wanted.append(query.correlate(table).scalar_subquery())
    return wanted


def unpacked(
    dialect: sa.Dialect,
    model: Any,
    beside: Mapping[str, Any],
    texts: tuple[Any, ...],
    *,
    full: bool = False,
) -> dict[str, Any]:
    """Unpack what was selected.

    :param dialect: of the connection
    :param model: as for :func:`columns`
    :param beside: as for :func:`columns`
    :param texts: what the server gave
    :param full: as for :func:`columns`
    :returns: the columns of the row; a mapping for the info cache or ``None``;
        the number of security groups; a mapping of keys to values for
        metadata, or its rows, left out where the server could not give all
        of it
    """
    found = _row(model, dialect, texts[0])
    for (name, other), text in zip(beside.items(), texts[1:], strict=True):
        if name == CACHE:
            found[name] = None if text is None else _row(other, dialect, text)
        elif name == GROUPS:
            found[name] = text
        elif (rows := _rows(text)) is not None:
            found[name] = (
                sorted(
                    (_read(other, dialect, one) for one in rows),
                    key=operator.itemgetter("id"),
                )
                if full
                else {key: value for _, key, value in sorted(rows)}
            )
    return found


def _row(model: Any, dialect: sa.Dialect, text: str) -> dict[str, Any]:
    return _read(model, dialect, json.loads(text))


def _read(
    model: Any, dialect: sa.Dialect, values: list[Any]
) -> dict[str, Any]:
    names, readers = _readers(model, dialect)
    row = dict(zip(names, values, strict=True))
    for name, read in readers:
        value = row[name]
        if value is not None:
            row[name] = read(value)
    return row


def _rows(text: str) -> list[Any] | None:
    try:
        count, rows = json.loads(text)
    except ValueError:
        return None
    rows = rows or []
    return rows if len(rows) == count else None


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
