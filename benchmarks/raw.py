# SPDX-License-Identifier: Apache-2.0
"""The least that one guarded update can cost: one statement, no layers."""

from collections.abc import Sequence
import datetime
from typing import Final

from benchmarks import cell as cell_

__all__ = ["Flip"]

_UPDATE: Final = (
    "UPDATE instances SET task_state = %s, updated_at = %s"
    " WHERE uuid = %s AND deleted = 0 AND vm_state IN (%s, %s) AND "
)
_THERE: Final = _UPDATE + "task_state IS NULL"
_BACK: Final = _UPDATE + "task_state = %s"


class Flip:
    """Sets a server's ``task_state`` under guard, and clears it again.

    :param connection: plain PyMySQL in autocommit
    :param servers: uuids, taken by turns
    """

    def __init__(
        self, connection: cell_.Connection, servers: Sequence[str]
    ) -> None:
        self._cursor = connection.cursor()
        self._servers = servers

    def __call__(self, number: int) -> None:
        """Make one change.

        :param number: even to set, odd to clear
        """
        server = self._servers[number // 2 % len(self._servers)]
        now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
        if number % 2:
            matched = self._cursor.execute(
                _BACK, (None, now, server, "active", "error", "powering-off")
            )
        else:
            matched = self._cursor.execute(
                _THERE, ("powering-off", now, server, "active", "error")
            )
        if matched != 1:
            raise RuntimeError(f"{matched} rows matched for {server}")
