# SPDX-License-Identifier: Apache-2.0
"""The metadata of an instance: rows of keys and values in their own tables."""

from collections.abc import Iterable, Mapping
import dataclasses
import datetime
import functools
from typing import Any, Final

from oslo_utils import timeutils
import sqlalchemy as sa

__all__ = ["Change", "as_dict", "change", "full", "light", "models_of"]

_HARD: Final = "instance_system_metadata"
"""The table whose rows Nova removes; in the other one it marks them."""

Rows = list[dict[str, Any]]


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """The rows of an instance before and after a change.

    :ivar marked: those that are deleted by the change, and stay
    """

    before: Rows
    after: Rows
    marked: Rows


def models_of(models: Any) -> dict[str, Any]:
    """Give the classes by the name of Nova's relation.

    :param models: the module ``nova.db.main.models``
    """
    return {
        "metadata": models.InstanceMetadata,
        "system_metadata": models.InstanceSystemMetadata,
    }


def as_dict(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Give rows as Nova's objects have them.

    :param rows: of one instance and table
    :returns: key to value
    """
    return {row["key"]: row["value"] for row in rows}


def full(connection: sa.Connection, model: Any, instance_uuid: str) -> Rows:
    """Read every column.

    :param connection: to the cell
    :param model: of :func:`models_of`
    :param instance_uuid: the instance
    :returns: the rows that Nova's relation has
    """
    key = {"key_uuid": instance_uuid}
    found = connection.execute(_select(model, narrow=False), key)
    return [dict(row._mapping) for row in found]


def light(
    connection: sa.Connection, model: Any, instance_uuid: str
) -> dict[str, str]:
    """Read keys and values alone.

    :param connection: to the cell
    :param model: of :func:`models_of`
    :param instance_uuid: the instance
    :returns: key to value
    """
    key = {"key_uuid": instance_uuid}
    found = connection.execute(_select(model, narrow=True), key)
    return dict(found.tuples().all())


@functools.lru_cache(maxsize=16)
def _select(model: Any, *, narrow: bool) -> sa.Select[Any]:
    columns = model.__table__.c
    wanted = (columns.key, columns.value) if narrow else columns
    select = sa.select(*wanted).where(
        columns.instance_uuid == sa.bindparam("key_uuid")
    )
    if model.__tablename__ != _HARD:
        select = select.where(columns.deleted == 0)
    return select.order_by(columns.id)


def change(
    connection: sa.Connection,
    model: Any,
    instance_uuid: str,
    wanted: Mapping[str, Any],
) -> Change:
    """Make the metadata of an instance what it shall be, row by row as Nova.

    :param connection: in the transaction that changes the instance
    :param model: of :func:`models_of`
    :param instance_uuid: the instance
    :param wanted: all of it; what is not in it goes
    :returns: the rows before and after
    """
    before = full(connection, model, instance_uuid)
    table = model.__table__
    left = dict(wanted)
    now = timeutils.utcnow()
    after: Rows = []
    gone: Rows = []
    for row in before:
        if row["key"] not in left:
            gone.append(row)
            continue
        value = left.pop(row["key"])
        if value == row["value"]:
            after.append(row)
            continue
        new = {"value": value, "updated_at": now}
        connection.execute(_update(model), {"key_id": row["id"], **new})
        after.append({**row, **new})
    marked = _remove(connection, table, gone, now) if gone else []
    if left:
        blank = dict.fromkeys(table.c.keys())
        blank |= {"instance_uuid": instance_uuid, "created_at": now}
        fresh = [
            {**blank, "deleted": 0, "key": key, "value": value}
            for key, value in left.items()
        ]
        after += _insert(connection, table, fresh)
    return Change(before, after, marked)


@functools.lru_cache(maxsize=8)
def _update(model: Any) -> sa.Update:
    table = model.__table__
    return (
        sa.update(table)
        .where(table.c.id == sa.bindparam("key_id"))
        .values(
            value=sa.bindparam("value"), updated_at=sa.bindparam("updated_at")
        )
    )


def _insert(connection: sa.Connection, table: sa.Table, fresh: Rows) -> Rows:
    for row in fresh:
        del row["id"]
    if connection.dialect.insert_executemany_returning_sort_by_parameter_order:
        insert = sa.insert(table).returning(
            table.c.id, sort_by_parameter_order=True
        )
        ids = connection.execute(insert, fresh).scalars().all()
    else:
        ids = []
        for row in fresh:
            made = connection.execute(sa.insert(table), row)
            ids.extend(made.inserted_primary_key or ())
    return [{**row, "id": key} for row, key in zip(fresh, ids, strict=True)]


def _remove(
    connection: sa.Connection,
    table: sa.Table,
    gone: Rows,
    now: datetime.datetime,
) -> Rows:
    """Remove rows, or mark them; give those that are marked."""
    these = table.c.id.in_([row["id"] for row in gone])
    if table.name == _HARD:
        connection.execute(sa.delete(table).where(these))
        return []
    connection.execute(
        sa.update(table)
        .where(these)
        .values(deleted=table.c.id, deleted_at=now, updated_at=now)
    )
    mark = {"deleted_at": now, "updated_at": now}
    return [{**row, **mark, "deleted": row["id"]} for row in gone]
