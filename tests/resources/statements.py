# SPDX-License-Identifier: Apache-2.0
"""Getting between the statements that a process sends."""

from collections.abc import Callable, Iterator
import contextlib
from typing import Any

import sqlalchemy as sa


@contextlib.contextmanager
def before_each(call: Callable[[str, sa.Engine], object]) -> Iterator[None]:
    """Call something before any engine of the process sends a statement.

    It is the place of "another writer": no timing of threads can put one
    between two statements of the library each time.
    """

    def listener(
        connection: sa.Connection, _cursor: Any, sql: str, *_: Any
    ) -> None:
        call(sql, connection.engine)

    sa.event.listen(sa.Engine, "before_cursor_execute", listener)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", listener)
