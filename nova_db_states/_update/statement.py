# SPDX-License-Identifier: Apache-2.0
"""The statements of a guarded update: pure, built once for each shape.

A shape is all of a call but its values. Two calls of one shape share a
statement object, and with it SQLAlchemy's compiled SQL: building and
compiling an ``UPDATE`` anew costs more than the server needs to execute it.
"""

import dataclasses
import functools
import re
from typing import Any, Final

import sqlalchemy as sa

from nova_db_states import guards
from nova_db_states import tables

__all__ = [
    "GuardShape",
    "Scope",
    "Shape",
    "batch",
    "candidates",
    "guard_parameters",
    "judged",
    "single",
    "written",
]

_T: Final = tables.instances

# A deployment has a few dozen shapes. The bound is for callers that guard by
# columns of their choice; SQLAlchemy's own cache is bounded too.
_CACHED_SHAPES: Final = 512

# The row is found by its uuid, so that no index is missed here.
_STATE: Final = (
    sa.func.coalesce(_T.c.vm_state, sa.literal_column("''"))
    + sa.literal_column(f"'{guards.BETWEEN}'")
    + sa.func.coalesce(_T.c.task_state, sa.literal_column("''"))
)

_MOST_BOUND: Final = 8
_PLAIN: Final = re.compile(f"[a-z_-]*{guards.BETWEEN}[a-z_-]*")

_EXPLAINED: Final = ("vm_state", "task_state", "deleted", "deleted_at")

NO_DELETED: Final = "no"
ONLY_DELETED: Final = "only"


@dataclasses.dataclass(frozen=True, slots=True)
class Scope:
    """Which rows a context may see at all.

    :ivar read_deleted: ``no``, ``only`` or ``yes``, as in Nova's
        ``model_query``
    :ivar project_id: the only project whose rows are visible, or ``None``
        for every project
    """

    read_deleted: str = NO_DELETED
    project_id: str | None = None

    def shows(self, deleted: int | None) -> bool:
        """Say whether a row is visible, going by its ``deleted`` column.

        :param deleted: 0 for a row that is not deleted
        :returns: true where the rows' scope includes it
        """
        if self.read_deleted == NO_DELETED:
            return deleted == 0
        if self.read_deleted == ONLY_DELETED:
            return deleted is not None and deleted != 0
        return True


@dataclasses.dataclass(frozen=True, slots=True)
class GuardShape:
    """A guard without its values.

    :ivar literals: its values, where they are part of the text
    """

    column: str
    count: int
    null: bool
    negated: bool
    literals: tuple[str, ...] = ()

    @classmethod
    def of(cls, guard: guards.Guard) -> "GuardShape":
        """Reduce a guard to its shape; 2 stands for two values or more."""
        return cls(
            guard.column,
            min(len(guard.values), 2),
            guard.null,
            guard.negated,
            guard.values if _is_literal(guard) else (),
        )

    @property
    def parameter(self) -> str:
        """The name under which the guard's values are bound."""
        return f"guard_{self.column}"

    @property
    def term(self) -> sa.ColumnElement[Any]:
        """What the guard looks at: a column, or both states in one text."""
        return _STATE if self.column == guards.STATE else _T.c[self.column]

    def criterion(self) -> sa.ColumnElement[bool]:
        """Build the WHERE term: NULL-safe, true or false, never unknown."""
        column = self.term
        terms: list[sa.ColumnElement[bool]] = []
        if self.literals:
            every = ", ".join(f"'{value}'" for value in self.literals)
            terms.append(
                column.op("IN", is_comparison=True)(
                    sa.literal_column(f"({every})")
                )
            )
        elif self.count == 1:
            terms.append(
                column == sa.bindparam(self.parameter, type_=column.type)
            )
        elif self.count:
            terms.append(
                column.in_(
                    sa.bindparam(
                        self.parameter, expanding=True, type_=column.type
                    )
                )
            )
        if not self.negated:
            if self.null:
                terms.append(column.is_(None))
            # Of nothing at all there is none: an empty OR would be no guard.
            return sa.or_(sa.false(), *terms)
        # NOT of an unknown comparison is unknown, so NULL is decided apart.
        excluded = [sa.not_(term) for term in terms]
        if self.null:
            return sa.and_(column.is_not(None), *excluded)
        return sa.or_(column.is_(None), *excluded)


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
    """Everything of a call that its SQL text depends on.

    :ivar columns: the columns written, sorted
    :ivar guards: the shapes of the guards
    :ivar read_deleted: see :class:`Scope`
    :ivar scoped: whether one project's rows only are meant
    :ivar aged: whether rows that were updated lately are left out
    """

    columns: tuple[str, ...]
    guards: tuple[GuardShape, ...]
    read_deleted: str
    scoped: bool
    aged: bool = False

    def criteria(self) -> list[sa.ColumnElement[bool]]:
        """Build the WHERE terms for visibility and guards, without the key."""
        terms: list[sa.ColumnElement[bool]] = []
        if self.read_deleted == NO_DELETED:
            terms.append(_T.c.deleted == sa.literal_column("0"))
        elif self.read_deleted == ONLY_DELETED:
            terms.append(_T.c.deleted != sa.literal_column("0"))
        if self.scoped:
            terms.append(_T.c.project_id == sa.bindparam("scope_project_id"))
        terms.extend(guard.criterion() for guard in self.guards)
        if self.aged:
            # updated_at is NULL until the first update of a row (Nova sets
            # none on INSERT): its age is then that of the row.
            age = sa.func.coalesce(_T.c.updated_at, _T.c.created_at)
            terms.append(
                age < sa.bindparam("updated_before", type_=sa.DateTime())
            )
        return terms

    def assignments(self) -> dict[str, sa.ColumnElement[Any]]:
        """Build the SET clause, in the order of the columns' names.

        SQL has no empty one. Where nothing is to be written, a column in no
        index keeps its value: the server then locks the row and judges the
        guards, and finds nothing to write.
        """
        if not self.columns:
            return {"progress": _T.c.progress}
        return {
            name: sa.bindparam(f"set_{name}", type_=_T.c[name].type)
            for name in self.columns
        }


@functools.lru_cache(maxsize=_CACHED_SHAPES)
def single(shape: Shape) -> sa.Update:
    """Build the one ``UPDATE`` that carries the whole verdict."""
    return (
        sa.update(_T)
        .where(_T.c.uuid == sa.bindparam("key_uuid"), *shape.criteria())
        .values(shape.assignments())
    )


@functools.lru_cache(maxsize=_CACHED_SHAPES)
def judged(shape: Shape, *, locking: bool) -> sa.Select[Any]:
    """Build the read that explains why :func:`single` matched no row.

    The server judges each guard again with the very term of the ``UPDATE``,
    because collation, padding and fractional seconds make Python's ``==``
    another question than the server's ``=``.

    :param shape: that of the update
    :param locking: read the row as it is now, under a lock, and not the
        transaction's snapshot
    """
    columns = {
        **{name: _T.c[name] for name in _EXPLAINED},
        **{guard.column: guard.term for guard in shape.guards},
    }
    select = sa.select(
        *(column.label(name) for name, column in columns.items()),
        *(
            sa.case((guard.criterion(), 1), else_=0).label(
                f"fits_{guard.column}"
            )
            for guard in shape.guards
        ),
    ).where(_T.c.uuid == sa.bindparam("key_uuid"))
    if shape.scoped:
        select = select.where(
            _T.c.project_id == sa.bindparam("scope_project_id")
        )
    return select.with_for_update() if locking else select


@functools.lru_cache(maxsize=_CACHED_SHAPES)
def written(
    names: tuple[str, ...], *, scoped: bool = False, locking: bool = False
) -> sa.Select[Any]:
    """Build the read of some columns after the update.

    :param names: the columns
    :param scoped: leave out the rows of other projects
    :param locking: wait for whoever is changing the row
    """
    select = sa.select(*(_T.c[name] for name in names)).where(
        _T.c.uuid == sa.bindparam("key_uuid")
    )
    if scoped:
        select = select.where(
            _T.c.project_id == sa.bindparam("scope_project_id")
        )
    return select.with_for_update() if locking else select


@functools.lru_cache(maxsize=_CACHED_SHAPES)
def candidates(shape: Shape, *, limited: bool) -> sa.Select[Any]:
    """Build the lock-free read of the ids that a change of many rows means.

    :param shape: that of the update
    :param limited: whether the caller set a limit
    """
    select = sa.select(_T.c.id).where(*shape.criteria())
    return select.limit(sa.bindparam("row_limit")) if limited else select


@functools.lru_cache(maxsize=_CACHED_SHAPES)
def batch(shape: Shape) -> sa.Update:
    """Build the ``UPDATE`` of some ids, every guard judged again.

    The hint keeps the server on the primary key: going through a state index
    it would lock every entry of that state, and the gaps between them.
    """
    update = (
        sa.update(_T)
        .where(
            _T.c.id.in_(sa.bindparam("key_ids", expanding=True)),
            *shape.criteria(),
        )
        .values(shape.assignments())
    )
    for dialect in ("mysql", "mariadb"):
        update = update.with_hint(
            "FORCE INDEX (PRIMARY)", dialect_name=dialect
        )
    return update


@functools.lru_cache(maxsize=_CACHED_SHAPES)
def _is_literal(guard: guards.Guard) -> bool:
    """Say whether a guard's values become part of the text.

    The guards of a map have a hundred states, always the same. To bind them
    takes longer than all the rest of an update.
    """
    return (
        guard.column == guards.STATE
        and len(guard.values) > _MOST_BOUND
        and all(_PLAIN.fullmatch(value) for value in guard.values)
    )


def guard_parameters(given: tuple[guards.Guard, ...]) -> dict[str, Any]:
    """Name the values of guards for binding.

    :param given: the guards of a call
    :returns: parameters for every statement of the shape they make
    """
    return {
        f"guard_{guard.column}": (
            guard.values[0] if len(guard.values) == 1 else list(guard.values)
        )
        for guard in given
        if guard.values and not _is_literal(guard)
    }
