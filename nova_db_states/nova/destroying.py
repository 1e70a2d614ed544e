# SPDX-License-Identifier: Apache-2.0
"""The guard of ``instance_destroy``, which marks a row as deleted.

Nova's function takes a constraint that becomes part of the ``UPDATE``; so
the guard goes in as one, beside that on ``host`` which Nova may have brought.
"""

from collections.abc import Callable
import functools
from typing import Any

import sqlalchemy as sa

from nova_db_states import guards
from nova_db_states.nova import belief
from nova_db_states.nova import conflicts
from nova_db_states.nova import counters
from nova_db_states.nova import hints
from nova_db_states.nova import judgement
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
        state = (
            sa.func.coalesce(model.vm_state, sa.literal(""))
            + sa.literal(guards.BETWEEN)
            + sa.func.coalesce(model.task_state, sa.literal(""))
        )
        term = state.in_(self._guard.values)
        return query.filter(sa.not_(term) if self._guard.negated else term)


def guarded(db: Any, exception: Any) -> Callable[..., Any]:
    """Make the function that stands in for ``instance_destroy``.

    :param db: the module ``nova.db.main.api``
    :param exception: the module ``nova.exception``
    :returns: the function
    """
    theirs = db.instance_destroy

    @db.pick_context_manager_writer  # type: ignore[untyped-decorator]
    def now(context: Any, instance_uuid: str) -> dict[str, Any]:
        row = db._instance_get_by_uuid(
            context, instance_uuid, columns_to_join=[]
        )
        return {name: row[name] for name in belief.FIELDS}

    def facts(
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

    @functools.wraps(theirs)
    def instance_destroy(
        context: Any,
        instance_uuid: str,
        constraint: Any = None,
        hard_delete: bool = False,  # noqa: FBT001, FBT002 - Nova's
    ) -> Any:
        if settings.is_off():
            return theirs(context, instance_uuid, constraint, hard_delete)
        hint = hints.current(instance_uuid)
        guard = judgement.destroy_ruling(hint.seen if hint else belief.NONE)
        counters.add("guarded")
        if settings.observes():
            row = now(context, instance_uuid)
            if not guard.admits(guards.state_text(*row.values())):
                conflicts.report(
                    "observed", facts(context, instance_uuid, row)
                )
            return theirs(context, instance_uuid, constraint, hard_delete)
        both = _Constraint(constraint, guard)
        try:
            return theirs(context, instance_uuid, both, hard_delete)
        except exception.ConstraintNotMet:
            row = now(context, instance_uuid)
            if guard.admits(guards.state_text(*row.values())):
                raise
            conflicts.report("refused", facts(context, instance_uuid, row))
            raise conflicts.as_nova(
                exception, instance_uuid, [guard], row
            ) from None

    return instance_destroy
