# SPDX-License-Identifier: Apache-2.0
"""The same update through SQLAlchemy Core, as anybody would write it.

The statements are made once, so that their SQL is compiled once; the pool
holds a connection for every thread and is as it is by default.
"""

from collections.abc import Sequence
import datetime
from typing import Any, Final

import sqlalchemy as sa

from benchmarks import peer
from nova_db_states import tables

__all__ = ["Flip", "engine"]

_T: Final = tables.instances
_BASE: Final = (
    sa.update(_T)
    .where(
        _T.c.uuid == sa.bindparam("key"),
        _T.c.deleted == sa.literal_column("0"),
        _T.c.vm_state.in_(sa.bindparam("vm_states", expanding=True)),
    )
    .values(task_state=sa.bindparam("new"), updated_at=sa.bindparam("now"))
)
_THERE: Final = _BASE.where(_T.c.task_state.is_(None))
_BACK: Final = _BASE.where(_T.c.task_state == sa.bindparam("old"))


def engine(url: str, connections: int) -> sa.Engine:
    """Make an engine in autocommit.

    :param url: of the cell
    :param connections: that its pool keeps
    :returns: the engine
    """
    return sa.create_engine(
        url, pool_size=connections, isolation_level="AUTOCOMMIT"
    )


class Flip:
    """Sets a server's ``task_state`` under guard, and clears it again.

    :param source: from :func:`engine`; may be shared by threads
    :param servers: uuids, taken by turns
    """

    def __init__(self, source: sa.Engine, servers: Sequence[str]) -> None:
        self._engine = source
        self._servers = servers

    def __call__(self, number: int) -> None:
        """Make one change.

        :param number: even to set, odd to clear
        """
        server = self._servers[number // 2 % len(self._servers)]
        parameters: dict[str, Any] = {
            "key": server,
            "vm_states": peer.EXPECTED_VM_STATES,
            "now": datetime.datetime.now(datetime.UTC).replace(tzinfo=None),
        }
        if number % 2:
            statement = _BACK
            parameters |= {"new": None, "old": peer.NEW_STATE}
        else:
            statement = _THERE
            parameters |= {"new": peer.NEW_STATE}
        with self._engine.connect() as connection:
            matched = connection.execute(statement, parameters).rowcount
        if matched != 1:
            raise RuntimeError(f"{matched} rows matched for {server}")
