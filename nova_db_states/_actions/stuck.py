# SPDX-License-Identifier: Apache-2.0
"""Finding servers that have been in the middle of something for too long.

Nothing in the row says that its worker is gone. What says so is that it has
been in a state that passes for longer than the map gives that state.
"""

import dataclasses
import datetime
import functools
from typing import Any, Final

from oslo_utils import timeutils
import sqlalchemy as sa

from nova_db_states import database
from nova_db_states import exceptions
from nova_db_states import machine
from nova_db_states import retry
from nova_db_states import tables
from nova_db_states._actions import moves
from nova_db_states._actions import refusals
from nova_db_states._update import contexts
from nova_db_states._update import reading
from nova_db_states.machine import notation

__all__ = ["StuckInstance", "checked_seconds", "stuck"]

_T: Final = tables.instances

_UNKNOWN_S: Final = 60
_LONGEST_S: Final = 10**9
_EPOCH: Final = datetime.datetime(1970, 1, 1)


@dataclasses.dataclass(frozen=True, slots=True)
class StuckInstance:
    """A server that has been in a passing state for too long.

    :ivar instance_uuid: the instance
    :ivar host: where its row says it is; ``None`` for nowhere
    :ivar vm_state: ``None`` for NULL
    :ivar task_state: ``None`` for NULL
    :ivar since: its last sign of life, naive UTC; ``None`` where its row has
        no time at all
    :ivar age_s: seconds since then, by the clock of the database; ``None``
        for infinitely many
    :ivar max_age_s: seconds that the map gives this state
    :ivar allowed_actions: names of what may be asked for in it
    """

    instance_uuid: str
    host: str | None
    vm_state: str | None
    task_state: str | None
    since: datetime.datetime | None
    age_s: int | None
    max_age_s: int
    allowed_actions: tuple[str, ...]

    @property
    def uuid(self) -> str:
        """The instance, so that this can be handed to what acts on it."""
        return self.instance_uuid


def stuck(
    context: Any, older_than_s: float | None = None
) -> tuple[StuckInstance, ...]:
    """Find the servers that have been in a passing state for too long.

    Counted from ``updated_at``, or ``created_at`` where the row was never
    updated, to the time that the database's own clock says; on SQLite that is
    the clock of this process. A row with neither counts as infinitely old.
    Deleted rows are left out, and hidden ones: the copy that a resize between
    cells leaves behind rests in the middle of it until that is confirmed.

    :param context: as for :func:`nova_db_states.api.instance_update`; for
        ordinary users only servers of their project are looked at
    :param older_than_s: seconds for every state; ``None`` for what the map
        gives each
    :returns: the servers, the oldest first
    :raises InvalidUpdate: ``older_than_s`` is not a number from 0 on
    :raises InvalidContext: the context leads to no cell database
    :raises oslo_db.exception.DBError: the database failed, more often than
        the context's policy allows or in a way that trying again does not
        mend
    """
    shortest = _shortest()
    if older_than_s is not None:
        shortest = checked_seconds(older_than_s)
    project_id = contexts.scope_of(context).project_id
    select = _select(scoped=project_id is not None)

    def read(connection: sa.Connection, _: object) -> list[StuckInstance]:
        now = _now(connection)
        found = connection.execute(
            select,
            {
                "vm_states": _vm_states(connection),
                "before": now - datetime.timedelta(seconds=shortest),
                **({} if project_id is None else {"project_id": project_id}),
            },
        )
        return [_record(row, now) for row in found]

    policy = getattr(context, "retry_policy", retry.DEFAULT)
    return tuple(
        sorted(
            (
                one
                for one in reading.read(context, policy, read)
                if older_than_s is not None
                or one.age_s is None
                or one.age_s > one.max_age_s
            ),
            key=lambda one: (
                one.since is not None,
                one.since or _EPOCH,
                one.instance_uuid,
            ),
        )
    )


def checked_seconds(given: Any) -> float:
    """Check an age.

    :param given: seconds
    :returns: the same
    :raises InvalidUpdate: not a number, or none that an age can have
    """
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        pass
    elif 0 <= given <= _LONGEST_S:
        return given
    raise exceptions.InvalidUpdate(
        f"older_than_s={given!r}: give a number of seconds from 0 to "
        f"{_LONGEST_S}, or None for what the map gives each state."
    )


@functools.cache
def _shortest() -> float:
    """Give the shortest time that the map gives any state, in seconds."""
    ages = (machine.max_age_s(state) for state in machine.transient())
    return min((age for age in ages if age), default=_UNKNOWN_S)


def _now(connection: sa.Connection) -> datetime.datetime:
    """Ask the database for the time, naive UTC."""
    if not database.is_mysql(connection.dialect):
        return timeutils.utcnow()
    now: datetime.datetime = connection.execute(
        sa.select(sa.func.utc_timestamp())
    ).scalar_one()
    return now


def _vm_states(connection: sa.Connection) -> list[str]:
    """Name what ``vm_state`` may be, and what it is although Nova lacks it.

    Asked by itself, this takes a look at each name in the index. As a
    condition it would make MariaDB read every row that is not deleted.
    """
    found = connection.scalars(
        sa.select(_T.c.vm_state)
        .where(_T.c.deleted == sa.literal_column("0"))
        .group_by(_T.c.vm_state)
    )
    names = dict.fromkeys((*notation.VM_STATES, *found))
    return [name for name in names if name is not None]


@functools.cache
def _select(*, scoped: bool) -> sa.Select[Any]:
    """Build the read of every row that is in a passing state for some time.

    Spelled out for the index on ``deleted``, ``vm_state``, ``task_state``: by
    each ``vm_state`` the server goes straight to the rows with a task, and
    reads no other.
    """
    vm_states = [name for name in notation.VM_STATES if name is not None]
    passing = [name for name in vm_states if machine.max_age_s((name, None))]
    named = sa.bindparam("vm_states", expanding=True, type_=sa.String())
    since = sa.func.coalesce(_T.c.updated_at, _T.c.created_at)
    select = sa.select(
        _T.c.uuid,
        _T.c.host,
        _T.c.vm_state,
        _T.c.task_state,
        since.label("since"),
    ).where(
        _T.c.deleted == sa.literal_column("0"),
        sa.or_(
            _T.c.vm_state.in_(named) & _T.c.task_state.is_not(None),
            _T.c.vm_state.in_(passing) & _T.c.task_state.is_(None),
            _T.c.vm_state.is_(None),
        ),
        sa.or_(_T.c.hidden.is_(None), _T.c.hidden == sa.false()),
        sa.or_(
            since.is_(None),
            since <= sa.bindparam("before", type_=sa.DateTime()),
        ),
    )
    if scoped:
        select = select.where(_T.c.project_id == sa.bindparam("project_id"))
    return select


def _record(row: Any, now: datetime.datetime) -> StuckInstance:
    state = moves.State(row.vm_state, row.task_state)
    try:
        max_age_s = machine.max_age_s(state)
    except exceptions.InvalidState:
        # A name that Nova does not have; nobody can be working on that.
        max_age_s = None
    return StuckInstance(
        row.uuid,
        row.host,
        row.vm_state,
        row.task_state,
        row.since,
        None if row.since is None else int((now - row.since).total_seconds()),
        max_age_s or _UNKNOWN_S,
        refusals.allowed_in(state),
    )
