# SPDX-License-Identifier: Apache-2.0
"""A save that writes nothing, and names what it expects."""

from collections.abc import Mapping
from typing import Any

from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states._update import contexts
from nova_db_states._update import proof
from nova_db_states._update import reading
from nova_db_states._update import update
from nova_db_states.nova import calls
from nova_db_states.nova import conflicts
from nova_db_states.nova import counters
from nova_db_states.nova import hints
from nova_db_states.nova import settings
from nova_db_states.nova import verdicts

__all__ = ["check"]


def check(
    db: Any,
    exception: Any,
    context: Any,
    hint: hints.Hint,
    expected: Mapping[str, Any],
) -> None:
    """Raise if an instance is not as expected, and write nothing.

    A row that is gone is none that could be otherwise than expected:
    Nova's save of nothing passes over it, and so does this.

    :param db: the module ``nova.db.main.api``
    :param exception: the module ``nova.exception``
    :param context: Nova's
    :param hint: what is being saved
    :param expected: ``expected_vm_state`` and ``expected_task_state``
    :raises UnexpectedTaskStateError: of Nova, where it is not; in the mode
        observe there is a line in the log instead
    """
    counters.add("checked")
    request = calls.take_apart(
        db, exception, context, hint.instance_uuid, expected, None
    )
    assert request is not None
    question = update.Update(
        hint.instance_uuid, {}, request.named, contexts.scope_of(context)
    )

    @db.pick_context_manager_reader  # type: ignore[untyped-decorator]
    def ask(context: Any) -> None:
        connection = context.session.connection()
        try:
            reading.judge(question, connection, locking=False)
        except exceptions.InstanceError as found:
            conflict = proof.confirmed(question, connection, found)
            if conflict is not None:
                raise conflict from None

    try:
        ask(context)
    except exceptions.InstanceUpdateConflict as conflict:
        failed, row = verdicts.of(request, conflict)
        if not settings.observes():
            verdicts.refuse(exception, context, request, failed, row)
        conflicts.report("observed", calls.facts(context, request, row))
    except exceptions.InstanceNotFound:
        return
    except retry.Unverified:
        # Plain Nova would not even have asked.
        if not settings.observes():
            raise
    except retry.DATABASE_ERRORS as error:
        retry.reraise(error)
