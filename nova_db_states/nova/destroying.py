# SPDX-License-Identifier: Apache-2.0
"""The guard of ``instance_destroy``, which marks a row as deleted.

Nova's function deletes in ten tables; what stands in for it keeps the row from
changing, judges it, and then lets Nova's go on in the same transaction.
"""

from collections.abc import Callable
import functools
import inspect
from typing import Any

from oslo_db import api as oslo_db_api
from oslo_utils import uuidutils
import sqlalchemy as sa

from nova_db_states import exceptions
from nova_db_states import guards
from nova_db_states import retry
from nova_db_states._update import clusters
from nova_db_states._update import contexts
from nova_db_states._update import execute
from nova_db_states._update import proof
from nova_db_states._update import update
from nova_db_states.nova import belief
from nova_db_states.nova import conflicts
from nova_db_states.nova import counters
from nova_db_states.nova import hints
from nova_db_states.nova import judgement
from nova_db_states.nova import rows
from nova_db_states.nova import settings

__all__ = ["guarded"]

_RETRIES = 5
"""As often as Nova's own function is tried after a deadlock."""


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


def _confirmed(
    question: update.Update, connection: sa.Connection, row: dict[str, Any]
) -> dict[str, Any]:
    """Give the states that a refusal rests on, on a cluster too."""
    if not clusters.needs_proof(connection):
        return row
    try:
        execute.joined(question, connection)
    except exceptions.InstanceUpdateConflict as conflict:
        return dict(
            zip(belief.FIELDS, conflict.state or (None, None), strict=True)
        )
    raise retry.Unverified


def guarded(db: Any, models: Any, exception: Any) -> Callable[..., Any]:
    """Make the function that stands in for ``instance_destroy``.

    :param db: the module ``nova.db.main.api``
    :param models: the module ``nova.db.main.models``
    :param exception: the module ``nova.exception``
    :returns: the function
    """
    theirs = db.instance_destroy
    # Without its retries, which are of no use inside a transaction.
    bare = inspect.unwrap(theirs)

    def judged(
        context: Any, instance_uuid: str, guard: guards.Guard, *rest: Any
    ) -> Any:
        connection = context.session.connection()
        scope = contexts.scope_of(context)
        row = rows.locked_states(
            connection, models.Instance, instance_uuid, scope
        )
        if row and not guard.admits(guards.state_text(**row)):
            question = update.Update(instance_uuid, {}, (guard,), scope)
            if not settings.observes():
                row = _confirmed(question, connection, row)
                told = _facts(context, instance_uuid, row)
                conflicts.report("refused", told)
                raise conflicts.as_nova(exception, instance_uuid, [guard], row)
            if not proof.fits_beside(question, connection):
                told = _facts(context, instance_uuid, row)
                conflicts.report("observed", told)
        return bare(context, instance_uuid, *rest)

    retried = oslo_db_api.wrap_db_retry(
        max_retries=_RETRIES, retry_on_deadlock=True
    )(db.pick_context_manager_writer(judged))

    @functools.wraps(theirs)
    def instance_destroy(
        context: Any,
        instance_uuid: str,
        constraint: Any = None,
        hard_delete: bool = False,  # noqa: FBT001, FBT002 - Nova's
    ) -> Any:
        # A move between cells takes the one of two rows away that is not the
        # server any more; what it says is of no importance.
        hint = None if hard_delete else hints.current(instance_uuid)
        guard = None
        if not settings.is_off() and uuidutils.is_uuid_like(instance_uuid):
            seen = hint.seen if hint else belief.NONE
            guard = judgement.destroy_ruling(seen)
        if guard is None:
            return theirs(context, instance_uuid, constraint, hard_delete)
        counters.add("guarded")
        return retried(context, instance_uuid, guard, constraint, hard_delete)

    return instance_destroy
