# SPDX-License-Identifier: Apache-2.0
"""What a refusal looks like to Nova, and in the log."""

from collections.abc import Iterable, Mapping
import functools
import json
import logging
from typing import Any, Final

from oslo_log import log

from nova_db_states import exceptions
from nova_db_states import guards
from nova_db_states.machine import instance
from nova_db_states.nova import counters
from nova_db_states.nova import settings

__all__ = ["as_nova", "report"]

LOG: Final = log.getLogger(__name__)

_STATES: Final = {guards.STATE, "vm_state", "task_state", "host"}
"""A host among what was expected belongs to a state."""

MARK: Final = "nova_db_states conflict "
"""Before the JSON of a line; ``nova-db-states observed`` looks for it."""


def as_nova(
    nova_exception: Any,
    instance_uuid: str,
    failed: Iterable[guards.Guard],
    row: Mapping[str, Any],
) -> Exception:
    """Make the exception of Nova's that its callers understand.

    A conflict about ``vm_state`` alone is an ``UnexpectedTaskStateError`` as
    well: ``reverts_task_state`` and its like take that, and only that, for a
    task that was preempted.

    :param nova_exception: the module ``nova.exception``
    :param instance_uuid: the instance
    :param failed: the guards that the row did not satisfy
    :param row: the columns that these guards name, and both states
    :returns: the exception, with ``expected`` and ``actual`` by column
    """
    expected: dict[str, list[Any]] = {}
    for guard in failed:
        for name, values in _expected(guard, row).items():
            # What the caller named himself comes first, and is what he reads.
            expected.setdefault(name, values)
    expected = {name: each for name, each in expected.items() if each} or (
        expected
    )
    columns = {guard.column for guard in failed}
    kind = nova_exception.InstanceUpdateConflict
    plain = settings.observes() and columns == {"vm_state"}
    if not plain and columns & _STATES:
        kind = nova_exception.UnexpectedTaskStateError
        if row["task_state"] == "deleting" and columns != {"vm_state"}:
            kind = nova_exception.UnexpectedDeletingTaskStateError
    made: Exception = kind(
        instance_uuid=instance_uuid,
        expected=expected,
        actual={name: row[name] for name in expected},
    )
    return made


def _expected(
    guard: guards.Guard, row: Mapping[str, Any]
) -> dict[str, list[Any]]:
    """Say what a guard wanted, in terms of columns."""
    if guard.column != guards.STATE:
        every = [*guard.values, None] if guard.null else [*guard.values]
        return {guard.column: every}
    pairs = _admitted(guard)
    tasks = [task for vm_state, task in pairs if vm_state == row["vm_state"]]
    if tasks:
        return {"task_state": tasks}
    return {
        "vm_state": list(dict.fromkeys(vm_state for vm_state, _ in pairs)),
        "task_state": list(dict.fromkeys(task for _, task in pairs)),
    }


@functools.lru_cache(maxsize=512)
def _admitted(guard: guards.Guard) -> tuple[tuple[Any, Any], ...]:
    return tuple(
        (one.vm_state, one.task_state)
        for one in instance.MAP.states
        if guard.admits(guards.state_text(*one))
    )


def report(outcome: str, facts: Mapping[str, Any]) -> None:
    """Count a conflict, and write its line.

    :param outcome: ``refused``, ``observed`` (would have been refused) or
        ``yielded`` (refused while another error was handled)
    :param facts: what is to be told, for JSON
    """
    counters.add(outcome)
    level = settings.conflict_log_level()
    if outcome == "observed":
        level = max(level, logging.INFO)
    LOG.log(
        level,
        "%s%s",
        MARK,
        json.dumps({"outcome": outcome, **facts}, sort_keys=True),
    )


def translated(nova_exception: Any, error: exceptions.InstanceError) -> Any:
    """Turn an error of the core that is no conflict into Nova's.

    :param nova_exception: the module ``nova.exception``
    :param error: the error
    :returns: Nova's exception
    """
    if isinstance(error, exceptions.InstanceNotFound):
        return nova_exception.InstanceNotFound(instance_id=error.instance_uuid)
    return nova_exception.UnknownInstanceUpdateConflict(
        instance_uuid=error.instance_uuid, expected=error.expected, actual={}
    )
