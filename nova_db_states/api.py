# SPDX-License-Identifier: Apache-2.0
"""The verbs: change an instance's row if, and only if, it is as expected.

>>> from nova_db_states import api, exceptions
>>> ctx = api.connect("sqlite:///cell1.db")                # doctest: +SKIP
>>> api.instance_update(                                   # doctest: +SKIP
...     ctx, uuid, {"task_state": "powering-off"},
...     expected_vm_state=["active", "error"], expected_task_state=None)

This module is mechanism. It takes what the caller expects and judges that; it
never asks what *should* be expected.
"""

from collections.abc import Collection, Iterable, Mapping
import datetime
from typing import Any, Final
import uuid

from oslo_utils import timeutils
import sqlalchemy as sa

from nova_db_states import columns
from nova_db_states import database
from nova_db_states import exceptions
from nova_db_states import guards
from nova_db_states import retry
from nova_db_states import states
from nova_db_states._update import contexts
from nova_db_states._update import execute
from nova_db_states._update import pools
from nova_db_states._update import reading
from nova_db_states._update import sweep
from nova_db_states._update import update as update_

__all__ = [
    "CellContext",
    "connect",
    "instance_check",
    "instance_update",
    "instances_update",
    "register_resolver",
]

CellContext = contexts.CellContext
register_resolver = contexts.register_resolver

# What identifies a row, and what Nova writes once and never again.
_FIXED: Final = frozenset({"id", "uuid", "created_at"})

# What every database takes as a LIMIT, and more than any of them has rows.
_MAX_COUNT: Final = 2**31 - 1


def connect(
    url: str | sa.URL,
    *,
    retry_policy: retry.Policy = retry.DEFAULT,
    max_connections: int = pools.MAX_CONNECTIONS,
) -> CellContext:
    """Make a context for one cell database, without Nova.

    Nothing is opened before the first call that needs it.

    :param url: for example ``mysql+pymysql://nova:secret@127.0.0.1/cell1``,
        ``mariadb+pymysql://...`` or ``sqlite:///cell1.db``
    :param retry_policy: attempts and waits (in seconds) of calls with this
        context that bring none of their own
    :param max_connections: connections in autocommit that this context holds
        at most, beside the pool for transactions
    :returns: a context for every function of this project that takes one
    :raises UnsupportedDatabase: the URL cannot be used, names no database, or
        names an SQLite file that is not there
    :raises InvalidUpdate: ``max_connections`` is not at least 1, or
        ``retry_policy`` not a policy
    """
    parsed = database.parse_url(url)
    database.require_name(parsed)
    database.require_file(parsed)
    return contexts.CellContext(
        parsed,
        _policy(None, retry_policy),
        _checked_count("max_connections", max_connections),
    )


def instance_update(
    context: Any,
    instance_uuid: str | uuid.UUID,
    values: Mapping[str, Any],
    *,
    expected_vm_state: Any = states.ANY,
    expected_task_state: Any = states.ANY,
    expected: Mapping[str, Any] | None = None,
    returning: Collection[str] = (),
    retry_policy: retry.Policy | None = None,
    touch: bool = True,
) -> Mapping[str, Any] | None:
    """Change one instance if it is as expected, by one ``UPDATE``.

    Each expectation is a value, ``None`` (the column is NULL), a collection
    of these (any of them), ``Not(...)`` (none of them), or ``ANY`` (no
    guard). ``updated_at`` is set to now unless ``values`` has it.

    Where the context has a transaction open, the update joins it: nothing is
    tried again, and the change is made only when that transaction commits.
    Else it is committed when this function returns.

    :param context: from :func:`connect`, or a Nova ``RequestContext``; it
        decides which rows are visible (``read_deleted``, and for ordinary
        users their project)
    :param instance_uuid: the instance
    :param values: what to write: column names to values, ``None`` for NULL,
        times as datetimes (naive means UTC)
    :param expected_vm_state: expectation on ``vm_state``
    :param expected_task_state: expectation on ``task_state``
    :param expected: expectations on other columns, by name; ``None`` for none
    :param returning: names of columns to read back, in the same transaction;
        this costs further round trips
    :param retry_policy: attempts and waits (in seconds); ``None`` for the
        context's own
    :param touch: false to leave ``updated_at`` as it is unless ``values`` has
        it; ``values`` may then be empty, to judge the expectations and change
        nothing
    :returns: the columns asked for by ``returning``, else ``None``
    :raises InvalidUpdate: not a uuid, no values, a column that is unknown or
        never changes, or a value that its column cannot hold
    :raises InvalidGuard: an expectation that cannot be a guard
    :raises InvalidState: a state that Nova does not have
    :raises InvalidContext: the context leads to no cell database
    :raises InstanceNotFound: no such row is visible
    :raises UnexpectedDeletingTaskStateError: the server is being deleted
    :raises UnexpectedTaskStateError: ``task_state`` is not as expected
    :raises UnexpectedVMStateError: ``vm_state`` is not as expected
    :raises InstanceUpdateConflict: another guarded column is not
    :raises UnknownInstanceUpdateConflict: refused each time, for a reason
        that was gone each time
    :raises UnknownUpdateOutcome: the connection was lost before the answer
    :raises MultipleInstancesMatched: the schema is damaged
    :raises oslo_db.exception.DBError: the database failed, more often than
        the policy allows or in a way that trying again does not mend
    """
    update = update_.Update(
        columns.canonical_uuid(instance_uuid),
        _checked_values(values, touch=touch),
        guards.normalise(expected_vm_state, expected_task_state, expected),
        contexts.scope_of(context),
        _checked_returning(returning),
    )
    manager = contexts.manager_of(context)
    if contexts.has_open_transaction(context, manager):
        with contexts.joined(context, manager) as connection:
            return execute.joined(update, connection)
    return execute.independent(
        update, _cell(context, manager), _policy(context, retry_policy)
    )


def instance_check(
    context: Any,
    instance_uuid: str | uuid.UUID,
    *,
    expected_vm_state: Any = states.ANY,
    expected_task_state: Any = states.ANY,
    expected: Mapping[str, Any] | None = None,
    retry_policy: retry.Policy | None = None,
) -> tuple[str | None, str | None]:
    """Say whether one instance is as expected, by one ``SELECT``.

    The server judges the expectations as it does in an update. The answer was
    true when it was given; only an update that brings its expectations along
    can rely on it. Inside a transaction that the context has open the read
    locks the row, so that there the answer holds until that transaction ends.

    :param context: as for :func:`instance_update`
    :param instance_uuid: the instance
    :param expected_vm_state: expectation on ``vm_state``
    :param expected_task_state: expectation on ``task_state``
    :param expected: expectations on other columns, by name; ``None`` for none
    :param retry_policy: attempts and waits (in seconds); ``None`` for the
        context's own
    :returns: ``vm_state`` and ``task_state`` as the same read found them,
        ``None`` for NULL
    :raises InvalidUpdate: not a uuid
    :raises InvalidGuard: an expectation that cannot be a guard
    :raises InvalidState: a state that Nova does not have
    :raises InvalidContext: the context leads to no cell database
    :raises InstanceNotFound: no such row is visible
    :raises UnexpectedDeletingTaskStateError: the server is being deleted
    :raises UnexpectedTaskStateError: ``task_state`` is not as expected
    :raises UnexpectedVMStateError: ``vm_state`` is not as expected
    :raises InstanceUpdateConflict: another column is not
    :raises oslo_db.exception.DBError: the database failed, more often than
        the policy allows or in a way that trying again does not mend
    """
    question = update_.Update(
        columns.canonical_uuid(instance_uuid),
        {},
        guards.normalise(expected_vm_state, expected_task_state, expected),
        contexts.scope_of(context),
    )
    return reading.read(
        context,
        _policy(context, retry_policy),
        lambda connection, joined: reading.verified(
            question, connection, joined=joined
        ),
    )


def instances_update(
    context: Any,
    values: Mapping[str, Any],
    *,
    expected_vm_state: Any = states.ANY,
    expected_task_state: Any = states.ANY,
    expected: Mapping[str, Any] | None = None,
    updated_before: datetime.datetime | None = None,
    limit: int | None = None,
    retry_policy: retry.Policy | None = None,
) -> int:
    """Change every instance that is as expected.

    The ids of the candidates are read without locks; then each batch of them
    is changed by one ``UPDATE`` that judges every guard again. A row that
    another writer changes meanwhile is left alone, and no row is locked but
    those of the batch under way.

    Outside of a transaction each batch is committed by itself. Inside one
    that the context has open, all of it is the caller's to commit.

    :param context: as for :func:`instance_update`
    :param values: as for :func:`instance_update`
    :param expected_vm_state: expectation on ``vm_state``
    :param expected_task_state: expectation on ``task_state``
    :param expected: expectations on other columns, by name; ``None`` for none
    :param updated_before: only rows last updated (or, never updated, created)
        before this time, naive UTC or with a time zone; ``None`` for any age
    :param limit: change at most this many rows; ``None`` for no limit
    :param retry_policy: attempts and waits (in seconds) for each batch;
        ``None`` for the context's own
    :returns: number of rows changed
    :raises InvalidUpdate: as for :func:`instance_update`, or a ``limit``
        below 1
    :raises InvalidGuard: an expectation that cannot be a guard, or none at
        all
    :raises InvalidState: a state that Nova does not have
    :raises InvalidContext: the context leads to no cell database
    :raises PartialUpdate: the database failed at one of the batches; it says
        how many rows are changed, which may be none
    :raises oslo_db.exception.DBError: the candidates could not be read, or
        the database failed inside the caller's transaction
    """
    given = guards.normalise(expected_vm_state, expected_task_state, expected)
    if not given and updated_before is None:
        raise exceptions.InvalidGuard(
            "A change of many instances needs at least one guard "
            "(expected_vm_state, expected_task_state, expected or "
            "updated_before); without any it would change every server of "
            "the cell."
        )
    plan = sweep.Sweep(
        _checked_values(values),
        given,
        contexts.scope_of(context),
        columns.value("updated_at", updated_before),
        None if limit is None else _checked_count("limit", limit),
    )
    manager = contexts.manager_of(context)
    if contexts.has_open_transaction(context, manager):
        with contexts.joined(context, manager) as connection:
            return sweep.joined(plan, connection)
    return sweep.independent(
        plan, _cell(context, manager), _policy(context, retry_policy)
    )


def _checked_values(values: Any, *, touch: bool = True) -> dict[str, Any]:
    if not isinstance(values, Mapping) or (touch and not values):
        raise exceptions.InvalidUpdate(
            f"values={values!r}: give at least one column and its new value, "
            f"like {{'task_state': 'powering-off'}}."
        )
    checked = {}
    for name, value in values.items():
        columns.column(name, exceptions.InvalidUpdate)
        if name in _FIXED:
            raise exceptions.InvalidUpdate(
                f"{name} never changes in the life of a row. Leave it out of "
                f"the values."
            )
        checked[name] = columns.value(name, value, exceptions.InvalidUpdate)
    if touch:
        # As the onupdate of Nova's models does: the writer's clock, in UTC.
        checked.setdefault("updated_at", timeutils.utcnow())
    return checked


def _checked_returning(returning: Any) -> tuple[str, ...]:
    if isinstance(returning, str) or not isinstance(returning, Iterable):
        raise exceptions.InvalidUpdate(
            f"returning={returning!r}: give a collection of column names, "
            f"like ('host', 'task_state'), or leave it out."
        )
    names = tuple(dict.fromkeys(returning))
    for name in names:
        columns.column(name, exceptions.InvalidUpdate)
    return names


def _checked_count(name: str, count: Any) -> int:
    whole = isinstance(count, int) and not isinstance(count, bool)
    if not whole or not 1 <= count <= _MAX_COUNT:
        raise exceptions.InvalidUpdate(
            f"{name}={count!r}: give a whole number from 1 to {_MAX_COUNT}."
        )
    return int(count)


def _policy(context: Any, given: Any) -> retry.Policy:
    if given is None:
        given = getattr(context, "retry_policy", retry.DEFAULT)
    if not isinstance(given, retry.Policy):
        raise exceptions.InvalidUpdate(
            f"retry_policy={given!r}: give a nova_db_states.retry.Policy, or "
            f"None for that of the context."
        )
    return given


def _cell(context: Any, manager: Any) -> pools.Cell:
    return pools.Cell(
        contexts.writer_engine(manager),
        getattr(context, "max_connections", pools.MAX_CONNECTIONS),
    )
