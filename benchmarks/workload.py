# SPDX-License-Identifier: Apache-2.0
"""What a cell database is asked: by this project, and by Nova itself."""

import dataclasses
from typing import Final

from benchmarks import fleet

__all__ = ["NOVAS", "OURS", "SINGLE", "Statement"]

_OLD: Final = f"'{fleet.NOW.replace(month=7)}'"
_AGE: Final = "COALESCE(updated_at, created_at)"
_HOST: Final = f"'{fleet.host_name(7)}'"
_SET: Final = "UPDATE instances SET task_state = 'deleting' WHERE "
_IDS: Final = "SELECT id FROM instances WHERE "
_ERROR: Final = "deleted = 0 AND vm_state = 'error' AND task_state IS NULL"
_ACTIVE: Final = "deleted = 0 AND vm_state = 'active' AND task_state IS NULL"
_STUCK: Final = "deleted = 0 AND task_state = 'deleting'"


@dataclasses.dataclass(frozen=True, slots=True)
class Statement:
    """Something that the project asks a cell database.

    :ivar name: for tables
    :ivar query: the read that is timed: the candidates of a sweep, a count
    :ivar update: the same as one plain UPDATE, to count its locks; empty
        where there is none
    """

    name: str
    query: str
    update: str = ""

    @classmethod
    def sweep(cls, name: str, where: str) -> "Statement":
        """Make both statements of a sweep from its condition."""
        return cls(name, _IDS + where, _SET + where)


OURS: Final = (
    Statement.sweep("sweep: states", _ERROR),
    Statement.sweep("sweep: states, host", f"{_ERROR} AND host = {_HOST}"),
    Statement.sweep(
        "sweep: common states, host", f"{_ACTIVE} AND host = {_HOST}"
    ),
    Statement.sweep(
        "sweep: states, updated_before", f"{_ERROR} AND {_AGE} < {_OLD}"
    ),
    Statement.sweep("sweep: task_state alone", _STUCK),
    Statement.sweep(
        "sweep: task_state, updated_before", f"{_STUCK} AND {_AGE} < {_OLD}"
    ),
    Statement(
        "count by states",
        "SELECT vm_state, task_state, COUNT(*) FROM instances"
        " WHERE deleted = 0 GROUP BY vm_state, task_state",
    ),
    Statement(
        "count by states, one host",
        "SELECT vm_state, task_state, COUNT(*) FROM instances"
        f" WHERE deleted = 0 AND host = {_HOST} GROUP BY vm_state, task_state",
    ),
    Statement(
        "stuck: any task_state, by age",
        "SELECT uuid, host, vm_state, task_state FROM instances WHERE"
        f" deleted = 0 AND task_state IS NOT NULL AND {_AGE} < {_OLD}",
    ),
)
"""What guards, sweeps and counts of this project send."""

SINGLE: Final = (
    "UPDATE instances SET task_state = 'powering-off',"
    " updated_at = '2026-10-01' WHERE"
    " uuid = '{uuid}' AND deleted = 0"
    " AND vm_state IN ('active', 'error') AND task_state IS NULL"
)
"""The update of one server, for its plan; to be given a ``uuid``."""

_VISIBLE: Final = (
    "deleted = 0 AND (vm_state != 'soft-delete' OR vm_state IS NULL)"
)
_NEWEST_FIRST: Final = "ORDER BY created_at DESC, id DESC LIMIT 1000"

NOVAS: Final = (
    Statement(
        "list of all servers",
        f"SELECT * FROM instances WHERE {_VISIBLE} {_NEWEST_FIRST}",
    ),
    Statement(
        "list of all servers in error",
        f"SELECT * FROM instances WHERE {_VISIBLE}"
        f" AND vm_state IN ('error') {_NEWEST_FIRST}",
    ),
    Statement(
        "list of a project's servers",
        f"SELECT * FROM instances WHERE {_VISIBLE}"
        f" AND project_id = '{fleet.project_id(3)}' {_NEWEST_FIRST}",
    ),
    Statement(
        "quota of a project",
        "SELECT COUNT(id), SUM(vcpus), SUM(memory_mb) FROM instances"
        f" WHERE {_VISIBLE} AND project_id = '{fleet.project_id(3)}'",
    ),
    Statement(
        "servers of a host",
        f"SELECT * FROM instances WHERE deleted = 0 AND host = {_HOST}",
    ),
    Statement(
        "servers of a host to reclaim",
        f"SELECT * FROM instances WHERE deleted = 0 AND host = {_HOST}"
        " AND vm_state = 'soft-delete' AND task_state IS NULL",
    ),
    Statement(
        "deleted rows to archive",
        "SELECT id FROM instances WHERE deleted != 0 ORDER BY id LIMIT 1000",
    ),
)
"""Queries of Nova on the same table, which an index of ours must not slow."""
