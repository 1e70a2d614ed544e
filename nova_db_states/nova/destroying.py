# SPDX-License-Identifier: Apache-2.0
"""The guard of ``instance_destroy``, which marks a row as deleted.

Nova's function takes a constraint that becomes part of the ``UPDATE``; so
the guard goes in as one, beside that on ``host`` which Nova may have brought.
"""

from collections.abc import Callable, Iterator
import functools
from typing import Any

import sqlalchemy as sa

from nova_db_states import guards
from nova_db_states._update import contexts
from nova_db_states.nova import belief
from nova_db_states.nova import conflicts
from nova_db_states.nova import counters
from nova_db_states.nova import hints
from nova_db_states.nova import judgement
from nova_db_states.nova import rows
from nova_db_states.nova import settings

__all__ = ["guarded"]


class _Constraint:
    """Nova's constraint and the guard, as one."""

    def __init__(self, theirs: Any, guard: guards.Guard) -> None:
        self._theirs = theirs
        self._guard = guard

    def apply(self, model: Any, query: Any) -> Any:
        """Add both to a query.

        :param model: ``models.Instance``
        :param query: by ``uuid``
        :returns: the query
        """
        if self._theirs is not None:
            query = self._theirs.apply(model, query)
        return query.filter(*_criteria(model, self._guard))


@functools.lru_cache(maxsize=64)
def _criteria(
    model: Any, guard: guards.Guard
) -> tuple[sa.ColumnElement[bool], ...]:
    return tuple(_evaluable(model, guard))


def _evaluable(
    model: Any, guard: guards.Guard
) -> Iterator[sa.ColumnElement[bool]]:
    """Write a guard that excludes states in terms of columns alone.

    Nova's function lets SQLAlchemy judge the criteria in Python too, to keep
    the object in its session right, and that knows no functions of SQL.
    """
    barred: dict[str, list[str]] = {}
    for text in guard.values:
        vm_state, _, task_state = text.partition(guards.BETWEEN)
        barred.setdefault(task_state, []).append(vm_state)
    task, vm = model.task_state, model.vm_state
    for task_state, vm_states in barred.items():
        other = (
            sa.or_(task.is_(None), task != task_state)
            if task_state
            else task.is_not(None)
        )
        yield sa.or_(other, vm.is_(None), vm.not_in(vm_states))


def _facts(
    context: Any, instance_uuid: str, row: dict[str, Any]
) -> dict[str, Any]:
    hint = hints.current(instance_uuid)
    seen = hint.seen.pair if hint else None
    return {
        "instance": instance_uuid,
        "caller": hint.writer if hint else "",
        "request_id": getattr(context, "request_id", None),
        "from": [row["vm_state"], row["task_state"]],
        "to": ["destroyed", None],
        "believed": list(seen) if seen else None,
    }


def guarded(db: Any, models: Any, exception: Any) -> Callable[..., Any]:
    """Make the function that stands in for ``instance_destroy``.

    :param db: the module ``nova.db.main.api``
    :param models: the module ``nova.db.main.models``
    :param exception: the module ``nova.exception``
    :returns: the function
    """
    theirs = db.instance_destroy

    @db.pick_context_manager_writer  # type: ignore[untyped-decorator]
    def now(context: Any, instance_uuid: str) -> dict[str, Any]:
        # Not what the caller's session or snapshot has of it.
        row = rows.locked(
            context.session.connection(),
            models.Instance,
            instance_uuid,
            contexts.scope_of(context),
        )
        if row is None:
            raise exception.InstanceNotFound(instance_id=instance_uuid)
        return {name: row[name] for name in belief.FIELDS}

    @functools.wraps(theirs)
    def instance_destroy(
        context: Any,
        instance_uuid: str,
        constraint: Any = None,
        hard_delete: bool = False,  # noqa: FBT001, FBT002 - Nova's
    ) -> Any:
        if settings.is_off():
            return theirs(context, instance_uuid, constraint, hard_delete)
        # A move between cells takes the one of two rows away that is not the
        # server any more; what it says is of no importance.
        hint = None if hard_delete else hints.current(instance_uuid)
        guard = judgement.destroy_ruling(hint.seen if hint else belief.NONE)
        if guard is None:
            return theirs(context, instance_uuid, constraint, hard_delete)
        counters.add("guarded")
        if settings.observes():
            row = now(context, instance_uuid)
            if not guard.admits(guards.state_text(*row.values())):
                conflicts.report(
                    "observed", _facts(context, instance_uuid, row)
                )
            return theirs(context, instance_uuid, constraint, hard_delete)
        both = _Constraint(constraint, guard)
        try:
            return theirs(context, instance_uuid, both, hard_delete)
        except exception.ConstraintNotMet:
            row = now(context, instance_uuid)
            if guard.admits(guards.state_text(*row.values())):
                raise
            conflicts.report("refused", _facts(context, instance_uuid, row))
            raise conflicts.as_nova(
                exception, instance_uuid, [guard], row
            ) from None

    return instance_destroy
