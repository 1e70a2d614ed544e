# SPDX-License-Identifier: Apache-2.0
"""What became of the rows of servers, whoever changed them.

Every ``UPDATE`` is followed by a look through the same connection, so that
no state is missed, however short.
"""

from collections.abc import Iterator
import dataclasses
import itertools
import sys
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

_DELETING = ("deleting", "soft-deleting")
_DELETED = ("deleted", "soft-delete")

_WITHOUT_NEWS = (
    "/nova/db/",
    "/nova/objects/",
    "/nova_db_states/",
    "/tests/",
)


@dataclasses.dataclass(frozen=True)
class Row:
    """The states of a server's row at some time.

    :ivar writer: the function of Nova's that made it so
    """

    vm_state: str | None
    task_state: str | None
    host: str | None
    deleted: bool
    writer: str = dataclasses.field(compare=False, default="")

    @property
    def pair(self) -> tuple[str | None, str | None]:
        """Both states."""
        return self.vm_state, self.task_state

    @property
    def is_deletion(self) -> bool:
        """Whether a delete has been accepted or done."""
        return (
            self.deleted
            or self.task_state in _DELETING
            or self.vm_state in _DELETED
        )

    def __str__(self) -> str:
        return f"{self.vm_state}/{self.task_state} host={self.host}"


class History:
    """Every change of states of every server, per database of a cell."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, str], list[Row]] = {}

    def start(self, case: Any) -> None:
        """Watch until a test ends."""
        event.listen(sa.Engine, "after_cursor_execute", self._after)
        case.addCleanup(
            event.remove, sa.Engine, "after_cursor_execute", self._after
        )

    def of(self, uuid: str) -> list[list[Row]]:
        """Give what became of a server, once for each cell that has it."""
        return [rows for (_, name), rows in self._rows.items() if name == uuid]

    def overwritten(self, uuid: str) -> Iterator[tuple[Row, Row]]:
        """List what undid a delete: what it was and what it became."""
        for rows in self.of(uuid):
            for before, after in itertools.pairwise(rows):
                if before.is_deletion and not after.is_deletion:
                    yield before, after

    def stranded(self, uuid: str) -> Iterator[tuple[Row, Row]]:
        """List what took a server from its host that was to delete it there.

        What is asked of a server without a host goes nowhere.
        """
        for rows in self.of(uuid):
            for before, after in itertools.pairwise(rows):
                if (
                    before.is_deletion
                    and not after.deleted
                    and before.host != after.host
                ):
                    yield before, after

    def _after(
        self,
        connection: sa.Connection,
        cursor: Any,
        statement: str,
        *rest: Any,
    ) -> None:
        del cursor, rest
        text = statement.lstrip().upper()
        if not text.startswith(
            ("UPDATE INSTANCES ", "INSERT INTO INSTANCES ")
        ):
            return
        found = connection.exec_driver_sql(
            "SELECT uuid, vm_state, task_state, host, deleted FROM instances"
        )
        writer = _writer()
        for uuid, vm_state, task_state, host, deleted in found:
            row = Row(vm_state, task_state, host, bool(deleted), writer)
            rows = self._rows.setdefault((id(connection.engine), uuid), [])
            if not rows or rows[-1] != row:
                rows.append(row)


def _writer() -> str:
    """Name the innermost function of Nova's services on the stack."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        path = frame.f_code.co_filename
        if "/nova/" in path and not any(one in path for one in _WITHOUT_NEWS):
            name = path.rpartition("/nova/")[2]
            return f"{name}:{frame.f_code.co_qualname}"
        frame = frame.f_back
    return ""
