# SPDX-License-Identifier: Apache-2.0
"""What ``nova-db-states status`` wants to know of one cell database."""

from collections.abc import Mapping
import dataclasses
from typing import Final

import sqlalchemy as sa

from nova_db_states import database
from nova_db_states import migrations
from nova_db_states import tables
from nova_db_states.cmd import targets
from nova_db_states.cmd import walk
from nova_db_states.machine import instance
from nova_db_states.machine import notation

__all__ = ["Cell", "look"]

_VARIABLES: Final = sa.text(
    "SHOW GLOBAL VARIABLES WHERE Variable_name IN "
    "('innodb_snapshot_isolation', 'wsrep_on', 'wsrep_sync_wait')"
)


@dataclasses.dataclass(frozen=True, slots=True)
class Cell:
    """One cell database.

    :ivar name: the cell
    :ivar url: its URL with what the configuration adds; ``None`` if it has
        none of use
    :ivar error: why it could not be looked at, without passwords
    :ivar lacking: what is wrong with indexes of ours
    :ivar variables: of the server, by name; those that it has
    :ivar strange: states that the map does not know, with the number of
        servers that are in each
    """

    name: str
    url: sa.URL | None
    error: str | None = None
    lacking: tuple[str, ...] = ()
    variables: Mapping[str, str] = dataclasses.field(default_factory=dict)
    strange: tuple[tuple[notation.State, int], ...] = ()


def look(target: targets.Target) -> Cell:
    """Look at a cell database; nothing is changed.

    :param target: the cell
    :returns: what is there, or why that is not known
    """
    try:
        return _look(target)
    except Exception as error:  # noqa: BLE001 - of a driver, of a URL
        return Cell(
            target.cell, target.url, error=walk.explained(target, error)
        )


def _look(target: targets.Target) -> Cell:
    engine = target.engine()
    database.require_file(engine.url)
    lacking = tuple(
        f"{entry.index} is {entry.state}"
        for entry in migrations.status(engine)
        if entry.state != "present"
    )
    with engine.connect() as connection:
        variables = {}
        if database.is_mysql(engine.dialect):
            rows = connection.execute(_VARIABLES)
            variables = {str(name): str(value) for name, value in rows}
        return Cell(
            target.cell,
            target.url,
            None,
            lacking,
            variables,
            _strange(connection),
        )


def _strange(
    connection: sa.Connection,
) -> tuple[tuple[notation.State, int], ...]:
    """Count the servers in states that the map does not know."""
    table = tables.instances
    known = frozenset(instance.MAP.states)
    rows = connection.execute(
        sa.select(table.c.vm_state, table.c.task_state, sa.func.count())
        .where(table.c.deleted == 0)
        .group_by(table.c.vm_state, table.c.task_state)
    )
    found = [
        (notation.State(vm_state, task_state), count)
        for vm_state, task_state, count in rows
    ]
    return tuple(
        sorted(
            (one for one in found if one[0] not in known),
            key=lambda one: (-one[1], str(one[0])),
        )
    )
