# SPDX-License-Identifier: Apache-2.0
"""A sweep of a cell by states: how much it locks for what it changes."""

import contextlib
import dataclasses
from typing import Any, Final

import sqlalchemy as sa

from benchmarks import cell as cell_
from benchmarks import figure
from benchmarks import fleet
from benchmarks import probe
from nova_db_states import api

__all__ = ["locks"]

_OLD: Final = fleet.NOW.replace(month=7)
_HOST: Final = fleet.host_name(7)
_VALUES: Final = {"task_state": "deleting"}


@dataclasses.dataclass(frozen=True, slots=True)
class _Shape:
    """One kind of sweep.

    :ivar name: for the table
    :ivar guards: as ``instances_update`` takes them
    :ivar where: the same as SQL, for the plain statement beside it
    """

    name: str
    guards: dict[str, Any]
    where: str


_ERROR: Final = {"expected_vm_state": "error", "expected_task_state": None}
_SHAPES: Final = (
    _Shape(
        "by states alone",
        _ERROR,
        "vm_state = 'error' AND task_state IS NULL",
    ),
    _Shape(
        "by states and host",
        {
            "expected_vm_state": "active",
            "expected_task_state": None,
            "expected": {"host": _HOST},
        },
        f"vm_state = 'active' AND task_state IS NULL AND host = '{_HOST}'",
    ),
    _Shape(
        "by states and updated_before",
        {**_ERROR, "updated_before": _OLD},
        "vm_state = 'error' AND task_state IS NULL"
        f" AND COALESCE(updated_at, created_at) < '{_OLD}'",
    ),
)


class _Undo(Exception):
    """Leaves a transaction so that it is rolled back."""


def locks(cell: cell_.Cell) -> tuple[figure.Figure, ...]:
    """Count locks against changes for every kind of sweep.

    Each runs inside one transaction, so that the locks of all its batches
    are still held when they are counted; outside of one, only the locks of
    one batch at a time are. Nothing is changed in the end.

    :param cell: where
    :returns: one figure for each kind
    """
    context = api.connect(cell.url)
    try:
        return tuple(_measured(cell, context, shape) for shape in _SHAPES)
    finally:
        context.close()


def _measured(
    cell: cell_.Cell, context: api.CellContext, shape: _Shape
) -> figure.Figure:
    locked, changed = _swept(cell, context, shape)
    plain_locked, plain_changed = probe.locked_by(
        cell,
        "UPDATE instances SET task_state = 'deleting' WHERE deleted = 0 AND "
        + shape.where,
    )
    return figure.Figure(
        "sweep",
        f"sweep {shape.name}, rows locked per row changed",
        locked / max(changed, 1),
        2.1,
        "rows",
        numbers={
            "rows changed": changed,
            "rows locked": locked,
            "rows changed by one plain UPDATE": plain_changed,
            "rows locked by one plain UPDATE": plain_locked,
        },
    )


def _swept(
    cell: cell_.Cell, context: api.CellContext, shape: _Shape
) -> tuple[int, int]:
    locked = changed = 0
    with contextlib.suppress(_Undo), context.begin() as connection:
        changed = api.instances_update(context, _VALUES, **shape.guards)
        thread_id = connection.scalar(sa.text("SELECT CONNECTION_ID()"))
        locked = probe.lock_count(cell, int(thread_id))
        raise _Undo
    return locked, changed
