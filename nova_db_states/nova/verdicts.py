# SPDX-License-Identifier: Apache-2.0
"""What is made of a guard that failed: Nova's exception, and a line."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import sqlalchemy as sa

from nova_db_states import exceptions
from nova_db_states import guards
from nova_db_states._update import contexts
from nova_db_states._update import proof
from nova_db_states._update import update
from nova_db_states.nova import calls
from nova_db_states.nova import conflicts
from nova_db_states.nova import judgement
from nova_db_states.nova import settings

__all__ = ["observe", "of", "refuse"]


def refuse(
    nova_exception: Any,
    context: Any,
    request: calls.Request,
    failed: Sequence[guards.Guard],
    row: Mapping[str, Any],
) -> NoReturn:
    """Refuse a request.

    :param nova_exception: the module ``nova.exception``
    :param context: of the call
    :param request: what was asked
    :param failed: the guards that the row did not satisfy
    :param row: both states, and the columns of these guards
    :raises UnexpectedTaskStateError: of Nova, or another conflict of its
    """
    theirs = [guard for guard in failed if guard in request.named]
    ours = [guard for guard in failed if guard not in request.named]
    if ours:
        conflicts.report("refused", calls.facts(context, request, row))
    told = [judgement.explained(request.write, guard) for guard in ours]
    # What the caller named is told first.
    raise conflicts.as_nova(
        nova_exception, request.instance_uuid, [*theirs, *told], row
    )


def observe(
    context: Any,
    connection: sa.Connection,
    request: calls.Request,
    before: Mapping[str, Any],
) -> None:
    """Write a line for what was let through, in the mode observe.

    :param context: of the call
    :param connection: in the transaction that changed the row
    :param request: what was asked
    :param before: the row as it was
    """
    if not settings.observes() or not request.failed(before):
        return
    question = update.Update(
        request.instance_uuid, {}, request.added, contexts.scope_of(context)
    )
    # What rests on an old row cannot be committed, and will be told then.
    if not proof.fits_beside(question, connection):
        conflicts.report("observed", calls.facts(context, request, before))


def of(
    request: calls.Request, conflict: exceptions.InstanceUpdateConflict
) -> tuple[list[guards.Guard], dict[str, Any]]:
    """Say which guards failed, and what there was.

    :param request: what was asked
    :param conflict: of the core
    :returns: for :func:`refuse`
    """
    vm_state, task_state = conflict.state or (None, None)
    row = {**conflict.actual, "vm_state": vm_state, "task_state": task_state}
    every = (*request.named, *request.added)
    return [one for one in every if one.column in conflict.expected], row
