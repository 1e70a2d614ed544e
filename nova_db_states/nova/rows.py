# SPDX-License-Identifier: Apache-2.0
"""Reading an instance as Nova's callers expect it, without the ORM's work.

Loading a row and what belongs to it through the ORM takes several times as
long as all statements of an update together. The objects made here are of
Nova's own classes and in the state that Nova leaves them in: detached, their
columns and the usual relations loaded, everything else an error to ask for.
"""

from collections.abc import Collection, Iterable, Mapping
import functools
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import orm

from nova_db_states._update import statement

__all__ = ["PLAIN", "columns_of", "locked", "make", "with_relations"]

PLAIN: Final = frozenset(
    {"metadata", "system_metadata", "info_cache", "security_groups"}
)
"""The relations that can be read here."""


def make(model: Any, row: Any) -> Any:
    """Make a detached object of a mapped class.

    :param model: the class
    :param row: every column by name, a mapping
    :returns: the object
    """
    mapper = sa.inspect(model)
    made = mapper.class_manager.new_instance()
    state = sa.inspect(made)
    state.dict.update(row)
    state.key = mapper.identity_key_from_primary_key((row["id"],))
    return made


def columns_of(model: Any) -> sa.ColumnCollection[str, Any]:
    """Give the columns of a mapped class."""
    columns: sa.ColumnCollection[str, Any] = model.__table__.c
    return columns


@functools.lru_cache(maxsize=64)
def _select(model: Any, read_deleted: str, scoped: bool) -> sa.Select[Any]:  # noqa: FBT001
    columns = columns_of(model)
    select = sa.select(*columns).where(
        columns.uuid == sa.bindparam("key_uuid")
    )
    if read_deleted == statement.NO_DELETED:
        select = select.where(columns.deleted == 0)
    elif read_deleted == statement.ONLY_DELETED:
        select = select.where(columns.deleted != 0)
    if scoped:
        select = select.where(
            columns.project_id == sa.bindparam("scope_project_id")
        )
    return select.with_for_update()


def locked(
    connection: sa.Connection,
    model: Any,
    instance_uuid: str,
    scope: statement.Scope,
) -> dict[str, Any] | None:
    """Read the row of an instance and keep it from changing.

    :param connection: in a transaction
    :param model: ``models.Instance``
    :param instance_uuid: canonical
    :param scope: the rows that the context may see
    :returns: every column; ``None`` where there is no such row
    """
    parameters = {"key_uuid": instance_uuid}
    if scope.project_id is not None:
        parameters["scope_project_id"] = scope.project_id
    select = _select(model, scope.read_deleted, scope.project_id is not None)
    row = connection.execute(select, parameters).first()
    return None if row is None else dict(row._mapping)


def with_relations(
    connection: sa.Connection,
    models: Any,
    rows: Iterable[Mapping[str, Any]],
    joins: Collection[str],
) -> list[Any] | None:
    """Make the objects of one instance at several times.

    :param connection: in the transaction that changed the instance
    :param models: the module ``nova.db.main.models``
    :param rows: the columns at each time, at least once
    :param joins: the relations wanted beside ``info_cache`` and
        ``security_groups``; some of :data:`PLAIN`
    :returns: the objects; ``None`` where the ORM has to read this one
    """
    every = list(rows)
    key = {"key_uuid": every[0]["uuid"]}
    cache, groups = _cache_and_groups(connection, models, key)
    if cache is None or groups:
        return None
    relations: dict[str, Any] = {
        "info_cache": make(models.InstanceInfoCache, cache)
    }
    for name, model, hides in (
        ("metadata", models.InstanceMetadata, True),
        ("system_metadata", models.InstanceSystemMetadata, False),
    ):
        relations[name] = []
        if name in joins:
            found = connection.execute(_related(model, hides), key)
            relations[name] = [make(model, one._mapping) for one in found]
    made = []
    for row in every:
        # Lists of their own, as two loads by the ORM would give.
        own = {
            name: list(value) if isinstance(value, list) else value
            for name, value in relations.items()
        }
        made.append(
            make(models.Instance, {**row, **own, "security_groups": []})
        )
    return made


def _cache_and_groups(
    connection: sa.Connection, models: Any, key: Mapping[str, Any]
) -> tuple[dict[str, Any] | None, int]:
    row = connection.execute(_cache_select(models), key).first()
    if row is None:
        return None, 0
    cache = dict(row._mapping)
    return cache, cache.pop("nova_db_states_groups")


@functools.lru_cache(maxsize=8)
def _cache_select(models: Any) -> sa.Select[Any]:
    # Security groups of an instance are a thing of nova-network: that there
    # are none is all that is asked, and needs no statement of its own.
    association = columns_of(models.SecurityGroupInstanceAssociation)
    groups = (
        sa.select(sa.func.count())
        .where(
            association.instance_uuid == sa.bindparam("key_uuid"),
            association.deleted == 0,
        )
        .scalar_subquery()
        .label("nova_db_states_groups")
    )
    cache = columns_of(models.InstanceInfoCache)
    return sa.select(*cache, groups).where(
        cache.instance_uuid == sa.bindparam("key_uuid")
    )


@functools.lru_cache(maxsize=8)
def _related(model: Any, hides_deleted: bool) -> sa.Select[Any]:  # noqa: FBT001
    columns = columns_of(model)
    select = sa.select(*columns).where(
        columns.instance_uuid == sa.bindparam("key_uuid")
    )
    if hides_deleted:
        select = select.where(columns.deleted == 0)
    return select.order_by(columns.id)


def reload(session: orm.Session, loaded: Any) -> None:
    """Read the columns of an object again.

    :param session: that the object is in
    :param loaded: the object
    """
    session.refresh(loaded, list(sa.inspect(loaded).mapper.columns.keys()))
