# SPDX-License-Identifier: Apache-2.0
"""One call of Nova's ``instance_update`` and its like, taken apart."""

from collections.abc import Mapping
import dataclasses
import functools
import re
from typing import Any, Final

from oslo_log import log
from oslo_utils import timeutils
from oslo_utils import uuidutils

from nova_db_states import guards
from nova_db_states import states
from nova_db_states import tables
from nova_db_states.nova import belief
from nova_db_states.nova import hints
from nova_db_states.nova import judgement
from nova_db_states.nova import places
from nova_db_states.nova import settings
from nova_db_states.nova import writes

__all__ = ["SEPARATE", "Request", "facts", "take_apart"]

LOG: Final = log.getLogger(__name__)

SEPARATE: Final = ("metadata", "system_metadata")
"""What is given like a column and is kept in a table of its own."""

_COLUMNS: Final = frozenset(tables.instances.c.keys())


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """One call, taken apart.

    :ivar instance_uuid: the instance
    :ivar values: columns only
    :ivar separate: ``metadata`` and ``system_metadata``, where given
    :ivar named: the guards that the caller named
    :ivar write: what the ruling is about
    :ivar added: the guards of the ruling
    :ivar wants: the guard that the caller means and does not name; only where
        nothing is refused
    :ivar hint: what the object seam knows
    """

    instance_uuid: str
    values: dict[str, Any]
    separate: dict[str, Any]
    named: tuple[guards.Guard, ...]
    write: writes.Write
    added: tuple[guards.Guard, ...]
    hint: hints.Hint | None
    wants: guards.Guard | None = None

    def failed(self, row: Mapping[str, Any]) -> list[guards.Guard]:
        """List the guards of the ruling that a row does not satisfy.

        :param row: both states and the host, as they were
        """
        wants = (self.wants,) if self.wants else ()
        return [
            guard
            for guard in (*self.added, *wants)
            if not guard.admits(_of(row, guard))
        ]

    def surely_failed(self, row: Mapping[str, Any]) -> list[guards.Guard]:
        """List the guards that fail, if one does for every database.

        Databases compare names in ways of their own, so that only what is
        written in the plain letters of Nova's states is sure here.

        :param row: every column, kept from changing by a lock
        """
        failed = [
            guard
            for guard in (*self.named, *self.added)
            if not guard.admits(_of(row, guard))
        ]
        sure = any(
            _is_plain(guard.values, _of(row, guard)) for guard in failed
        )
        return failed if sure else []


def _of(row: Mapping[str, Any], guard: guards.Guard) -> Any:
    if guard.column == guards.STATE:
        return guards.state_text(row["vm_state"], row["task_state"])
    return row[guard.column]


_PLAIN: Final = re.compile(r"[a-z_/-]*")


def _is_plain(values: tuple[Any, ...], found: Any) -> bool:
    return _is_state(found) and all(map(_is_state, values))


@functools.lru_cache(maxsize=1024)
def _is_state(value: Any) -> bool:
    return value is None or (
        isinstance(value, str) and _PLAIN.fullmatch(value) is not None
    )


def take_apart(  # noqa: PLR0917 - all of a call, and whose it is
    db: Any,
    exception: Any,
    context: Any,
    instance_uuid: str,
    values: Mapping[str, Any],
    expected: Mapping[str, Any] | None,
) -> Request | None:
    """Take a call apart.

    :param db: the module ``nova.db.main.api``
    :param exception: the module ``nova.exception``
    :param context: of the call
    :param instance_uuid: of the call
    :param values: of the call, expectations among them
    :param expected: of the call
    :returns: the request; ``None`` for one that only Nova understands
    :raises InvalidUUID: of Nova
    """
    if not uuidutils.is_uuid_like(instance_uuid):
        raise exception.InvalidUUID(uuid=instance_uuid)
    updates = dict(values)
    named = dict(expected or {})
    for name in belief.FIELDS:
        if f"expected_{name}" in updates:
            named[name] = updates.pop(f"expected_{name}")
    separate = {
        name: updates.pop(name)
        for name in SEPARATE
        if updates.get(name) is not None
    }
    for name in SEPARATE:
        updates.pop(name, None)
    if not _COLUMNS.issuperset(updates) or not _COLUMNS.issuperset(named):
        return None
    db._handle_objects_related_type_conversions(updates)
    if "hostname" in updates:
        db._validate_unique_server_name(context, updates["hostname"])
    updates.setdefault("updated_at", timeutils.utcnow())
    given = tuple(_guard(name, named[name]) for name in sorted(named))
    hint = hints.current(instance_uuid)
    write = _write(updates, given, hint)
    idle = () if named else judgement.idle(write)
    if idle:
        meant = {
            name: value for name, value in updates.items() if name not in idle
        }
        write = _write(meant, given, hint)
        # To observe is to leave Nova alone.
        updates = updates if settings.observes() else meant
    foreign = writes.is_foreign(write)
    if foreign:
        _warn_once(foreign)
    return Request(
        instance_uuid,
        updates,
        separate,
        given,
        write,
        _added(write, updates, hint),
        hint,
        _wanted(hint),
    )


def _added(
    write: writes.Write, updates: Mapping[str, Any], hint: hints.Hint | None
) -> tuple[guards.Guard, ...]:
    """List the guards of the ruling."""
    state = judgement.ruling(write)
    place = None
    if "host" in updates and hint is not None:
        place = places.ruling(write, hint.host, updates["host"])
    return tuple(guard for guard in (state, place) if guard)


def _wanted(hint: hints.Hint | None) -> guards.Guard | None:
    if hint is None or hint.wants is None:
        return None
    return _guard("task_state", hint.wants)


def _guard(name: str, expected: Any) -> guards.Guard:
    """Make a guard of what Nova's callers expect of a column.

    Nova compares with whatever it is given; so does this, where ``api`` would
    ask for a state that exists.
    """
    if expected is None or isinstance(expected, str):
        expected = [expected]
    try:
        every = list(expected)
    except TypeError:
        every = [expected]
    values = tuple(
        dict.fromkeys(
            str(one) if isinstance(one, str) else one
            for one in every
            if one is not None
        )
    )
    return guards.Guard(name, values, None in every)


def _write(
    values: Mapping[str, Any],
    given: tuple[guards.Guard, ...],
    hint: hints.Hint | None,
) -> writes.Write:
    tasks = None
    for guard in given:
        if guard.column == "task_state":
            tasks = frozenset(
                (*guard.values, None) if guard.null else guard.values
            )
    return writes.Write(
        values.get("vm_state", states.ANY),
        values.get("task_state", states.ANY),
        hint.seen if hint else belief.NONE,
        tasks,
        hint.writer if hint else "",
        moves="host" in values or "node" in values,
        resets=hint.resets if hint else False,
    )


def facts(
    context: Any, request: Request, row: Mapping[str, Any]
) -> dict[str, Any]:
    """Say what the log says about a conflict.

    :param context: of the call
    :param request: what was asked
    :param row: both states as they were
    :returns: for JSON
    """
    write = request.write
    return {
        "instance": request.instance_uuid,
        "caller": write.writer,
        "request_id": getattr(context, "request_id", None),
        "from": [row["vm_state"], row["task_state"]],
        "to": [
            row["vm_state"]
            if write.vm_state is states.ANY
            else write.vm_state,
            (
                row["task_state"]
                if write.task_state is states.ANY
                else write.task_state
            ),
        ],
        "believed": list(write.seen.pair) if write.seen.pair else None,
    }


@functools.lru_cache(maxsize=256)
def _warn_once(state: str) -> None:
    LOG.warning(
        "A server is set to the state %r, which no Nova release has. It is "
        "written as it is and not guarded.",
        state,
    )
