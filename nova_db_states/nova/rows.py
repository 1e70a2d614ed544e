# SPDX-License-Identifier: Apache-2.0
"""Reading an instance as Nova's callers expect it, without the ORM's work.

Loading a row and what belongs to it through the ORM takes several times as
long as all statements of an update together. ``Instance.save`` asks only for
items, and gets mappings. For everybody else there are objects of Nova's own
classes, in the state that Nova leaves them in: detached, their columns and
the usual relations loaded, everything else an error to ask for.
"""

from collections.abc import Collection, Mapping
import functools
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import orm

from nova_db_states._update import statement
from nova_db_states.nova import belief
from nova_db_states.nova import packed
from nova_db_states.nova import pairs

__all__ = [
    "PLAIN",
    "Row",
    "beside",
    "by_id",
    "cache_without_groups",
    "key_of",
    "locked",
    "locked_states",
    "make",
    "mapped",
    "related",
    "reload",
]

PLAIN: Final = frozenset(
    {"metadata", "system_metadata", "info_cache", "security_groups"}
)
"""The relations that can be read here."""


class Row(dict[str, Any]):
    """A row and what belongs to it, by item and by attribute."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


def make(model: Any, row: Mapping[str, Any]) -> Any:
    """Make a detached object of a mapped class.

    :param model: the class
    :param row: its ``id`` and whatever else is loaded, by name
    :returns: the object; it is an error to ask it for another column
    """
    mapper, columns, relations = _mapping_of(model)
    made = mapper.class_manager.new_instance()
    state = orm.attributes.instance_state(made)
    state.dict.update(row)
    # Else such a column would be NULL for whoever asks.
    state.expired_attributes.update(columns - row.keys())
    for name in relations:
        value = row.get(name)
        if isinstance(value, list):
            # Nova copies its objects by way of a session, which wants its own
            # kind of list.
            orm.attributes.set_committed_value(made, name, value)
    state.key = mapper.identity_key_from_primary_key((row["id"],))
    return made


@functools.cache
def _mapping_of(
    model: Any,
) -> tuple[orm.Mapper[Any], frozenset[str], tuple[str, ...]]:
    # This is what has SQLAlchemy complete all classes, where nobody has asked
    # for anything yet.
    mapper = orm.class_mapper(model)
    columns = frozenset(mapper.columns.keys())
    return mapper, columns, tuple(mapper.relationships.keys())


@functools.lru_cache(maxsize=64)
def _select(
    model: Any,
    read_deleted: str,
    scoped: bool,  # noqa: FBT001
    beside: tuple[tuple[str, Any], ...] | None,
) -> sa.Select[Any]:
    columns = model.__table__.c
    wanted = (
        list(columns)
        if beside is None
        else packed.columns(model, dict(beside))
    )
    select = sa.select(*wanted).where(columns.uuid == sa.bindparam("key_uuid"))
    if read_deleted == statement.NO_DELETED:
        select = select.where(columns.deleted == 0)
    elif read_deleted == statement.ONLY_DELETED:
        select = select.where(columns.deleted != 0)
    if scoped:
        select = select.where(
            columns.project_id == sa.bindparam("scope_project_id")
        )
    # That locks the row, and nothing that queries inside of it read.
    return select.with_for_update()


def locked(
    connection: sa.Connection,
    model: Any,
    instance_uuid: str,
    scope: statement.Scope,
    beside: Mapping[str, Any] | None = None,
) -> dict[str, Any] | None:
    """Read the row of an instance and keep it from changing.

    :param connection: in a transaction
    :param model: ``models.Instance``
    :param instance_uuid: canonical
    :param scope: the rows that the context may see
    :param beside: classes of what else is wanted, by the name of the relation,
        where it can be had by the way; see :func:`packed.unpacked`
    :returns: every column, and perhaps what else is wanted; ``None`` where
        there is no such row
    """
    others = beside or {}
    packs = packed.can(connection)
    select = _select(
        model,
        scope.read_deleted,
        scope.project_id is not None,
        tuple(others.items()) if packs else None,
    )
    parameters = _parameters(instance_uuid, scope)
    row = connection.execute(select, parameters).first()
    if row is None:
        return None
    if not packs:
        return dict(row._mapping)
    return packed.unpacked(connection.dialect, model, others, tuple(row))


def locked_states(
    connection: sa.Connection,
    model: Any,
    instance_uuid: str,
    scope: statement.Scope,
) -> dict[str, Any] | None:
    """Read both states of an instance, and keep its row from changing.

    :param connection: in a transaction
    :param model: ``models.Instance``
    :param instance_uuid: of the instance
    :param scope: the rows that the context may see
    :returns: ``vm_state`` and ``task_state``; ``None`` where there is no row
    """
    select = _select(
        model,
        scope.read_deleted,
        scope.project_id is not None,
        None,
    ).with_only_columns(*(model.__table__.c[name] for name in belief.FIELDS))
    parameters = _parameters(instance_uuid, scope)
    row = connection.execute(select, parameters).first()
    return None if row is None else dict(row._mapping)


def _parameters(instance_uuid: str, scope: statement.Scope) -> dict[str, str]:
    given = {"key_uuid": instance_uuid}
    if scope.project_id is not None:
        given["scope_project_id"] = scope.project_id
    return given


def by_id(connection: sa.Connection, model: Any, id_: int) -> dict[str, Any]:
    """Read a row again that may have become deleted, or have got a new name.

    :param connection: in the transaction that changed the instance
    :param model: ``models.Instance``
    :param id_: of the row
    :returns: every column
    """
    columns = model.__table__.c
    query = sa.select(*columns).where(columns.id == id_)
    return dict(connection.execute(query).one()._mapping)


def key_of(
    connection: sa.Connection, model: Any, instance_uuid: str
) -> dict[str, Any]:
    """Read what identifies an instance.

    :param connection: in the transaction that changed the instance
    :param model: ``models.Instance``
    :param instance_uuid: of a row that is there, in any letters that the
        database takes for it
    :returns: ``id`` and ``uuid``
    """
    key = {"key_uuid": instance_uuid}
    return dict(connection.execute(_key_select(model), key).one()._mapping)


@functools.cache
def _key_select(model: Any) -> sa.Select[Any]:
    columns = model.__table__.c
    return sa.select(columns.id, columns.uuid).where(
        columns.uuid == sa.bindparam("key_uuid")
    )


def beside(
    models: Any, joins: Collection[str], *, full: bool
) -> dict[str, Any]:
    """List what can be read together with the row of an instance.

    :param models: the module ``nova.db.main.models``
    :param joins: the relations wanted; some of :data:`PLAIN`
    :param full: whether :func:`related` will be asked, and not :func:`mapped`
    :returns: classes by the name of the relation
    """
    wanted = {}
    if packed.CACHE in joins:
        wanted[packed.CACHE] = models.InstanceInfoCache
    if full:
        # Security groups of an instance are a thing of nova-network: that
        # there are none is all that is asked.
        wanted[packed.CACHE] = models.InstanceInfoCache
        wanted[packed.GROUPS] = models.SecurityGroupInstanceAssociation
    return wanted


def mapped(
    connection: sa.Connection,
    models: Any,
    times: tuple[Mapping[str, Any], Mapping[str, Any]],
    joins: Collection[str],
    changed: Mapping[str, pairs.Change],
) -> tuple[Row, Row]:
    """Give an instance before and after, for ``Instance.save``.

    :param connection: in the transaction that changed the instance
    :param models: the module ``nova.db.main.models``
    :param times: the columns before and after
    :param joins: the relations wanted; some of :data:`PLAIN`
    :param changed: those of the metadata that changed
    :returns: both; metadata as Nova's objects have it
    """
    before, after = Row(times[0]), Row(times[1])
    for name, model in pairs.models_of(models).items():
        if name in changed:
            before[name] = pairs.as_dict(changed[name].before)
            after[name] = pairs.as_dict(changed[name].after)
        elif name in joins:
            found = pairs.light(connection, model, before["uuid"])
            before[name] = after[name] = found
    if "info_cache" in joins and "info_cache" not in before:
        key = {"key_uuid": before["uuid"]}
        row = connection.execute(_cache_select(models), key).first()
        cache = None if row is None else Row(row._mapping)
        before["info_cache"] = after["info_cache"] = cache
    return before, after


def related(  # noqa: PLR0917 - what was read where
    connection: sa.Connection,
    models: Any,
    times: tuple[Mapping[str, Any], Mapping[str, Any]],
    joins: Collection[str],
    changed: Mapping[str, pairs.Change],
    cache: Mapping[str, Any],
) -> tuple[Any, Any]:
    """Make the objects of an instance before and after.

    :param connection: in the transaction that changed the instance
    :param models: the module ``nova.db.main.models``
    :param times: the columns before and after
    :param joins: the relations wanted beside ``info_cache`` and
        ``security_groups``; some of :data:`PLAIN`
    :param changed: those of the metadata that changed
    :param cache: from :func:`cache_without_groups`
    :returns: both
    """
    before, after = (
        {**row, "security_groups": [], "metadata": [], "system_metadata": []}
        for row in times
    )
    info_cache = make(models.InstanceInfoCache, cache)
    before["info_cache"] = after["info_cache"] = info_cache
    for name, model in pairs.models_of(models).items():
        if name in changed:
            before[name] = [make(model, one) for one in changed[name].before]
            after[name] = [
                make(model, one)
                for one in (*changed[name].after, *changed[name].marked)
            ]
        elif name in joins:
            found = pairs.full(connection, model, before["uuid"])
            before[name] = [make(model, one) for one in found]
            # Lists of their own, as two loads by the ORM would give.
            after[name] = list(before[name])
    return make(models.Instance, before), make(models.Instance, after)


def cache_without_groups(
    connection: sa.Connection, models: Any, found: Mapping[str, Any]
) -> Any:
    """Give the info cache of an instance that has no security groups.

    :param connection: in the transaction that changes the instance
    :param models: the module ``nova.db.main.models``
    :param found: by :func:`locked`
    :returns: its columns; ``None`` where the ORM has to read this one
    """
    if packed.GROUPS in found:
        return None if found[packed.GROUPS] else found[packed.CACHE]
    key = {"key_uuid": found["uuid"]}
    row = connection.execute(_cache_and_groups_select(models), key).first()
    if row is None:
        return None
    cache = dict(row._mapping)
    return None if cache.pop("nova_db_states_groups") else cache


@functools.lru_cache(maxsize=8)
def _cache_select(models: Any) -> sa.Select[Any]:
    cache = models.InstanceInfoCache.__table__.c
    return sa.select(*cache).where(
        cache.instance_uuid == sa.bindparam("key_uuid")
    )


@functools.lru_cache(maxsize=8)
def _cache_and_groups_select(models: Any) -> sa.Select[Any]:
    association = models.SecurityGroupInstanceAssociation.__table__.c
    groups = (
        sa.select(sa.func.count())
        .where(
            association.instance_uuid == sa.bindparam("key_uuid"),
            association.deleted == 0,
        )
        .scalar_subquery()
        .label("nova_db_states_groups")
    )
    return _cache_select(models).add_columns(groups)


def reload(session: orm.Session, loaded: Any) -> None:
    """Read the columns of an object again.

    :param session: that the object is in
    :param loaded: the object
    """
    session.refresh(loaded, list(sa.inspect(loaded).mapper.columns.keys()))
