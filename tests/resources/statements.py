# SPDX-License-Identifier: Apache-2.0
"""Getting between the statements that a process sends."""

from collections.abc import Callable, Iterator
import contextlib
from typing import Any
from unittest import mock

import pymysql
import sqlalchemy as sa


@contextlib.contextmanager
def before_each(call: Callable[[str], object]) -> Iterator[None]:
    """Call something before any statement of the process is sent.

    It is the place of "another writer": no timing of threads can put one
    between two statements of the library each time. What the callable itself
    sends does not count.
    """
    inside = False

    def once(sql: str) -> None:
        nonlocal inside
        if inside:
            return
        inside = True
        try:
            call(sql)
        finally:
            inside = False

    def on_sqlite(
        connection: sa.Connection, _cursor: Any, sql: str, *_: Any
    ) -> None:
        if connection.dialect.name == "sqlite":
            once(sql)

    send = pymysql.cursors.Cursor.execute

    def on_mysql(
        cursor: pymysql.cursors.Cursor, query: str, args: Any = None
    ) -> int:
        once(query)
        return send(cursor, query, args)

    sa.event.listen(sa.Engine, "before_cursor_execute", on_sqlite)
    try:
        with mock.patch.object(pymysql.cursors.Cursor, "execute", on_mysql):
            yield
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", on_sqlite)
