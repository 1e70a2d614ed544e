# SPDX-License-Identifier: Apache-2.0
"""Sending one ``UPDATE`` with as little around it as the driver allows.

A server that need not flush executes a guarded update in less time than
SQLAlchemy's ``Connection.execute`` needs around it (figure ``hold`` in
``benchmarks/``). SQLAlchemy still writes the SQL, once for each shape, and
owns the pool; but the values go straight to the driver's cursor. That is safe
because :mod:`nova_db_states.columns` lets through only what drivers of MySQL
take unconverted.
"""

from collections.abc import Iterator, Mapping
import contextlib
import dataclasses
import functools
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_db_states import retry
from nova_db_states._update import clusters
from nova_db_states._update import statement

__all__ = ["checkout", "send"]

_CACHED_TEXTS: Final = 512


@dataclasses.dataclass(frozen=True, slots=True)
class _Text:
    """SQL as a driver takes it.

    :ivar sql: the text
    :ivar lists: for each parameter that is a list, the names of its items
    :ivar order: names in the order of the placeholders; ``None`` where the
        driver takes a mapping
    """

    sql: str
    lists: tuple[tuple[str, tuple[str, ...]], ...]
    order: tuple[str, ...] | None

    def bind(self, parameters: Mapping[str, Any]) -> Any:
        """Arrange parameters as the driver takes them."""
        flat = dict(parameters)
        for name, items in self.lists:
            flat.update(zip(items, flat.pop(name), strict=True))
        if self.order is None:
            return flat
        return tuple(flat[name] for name in self.order)


@functools.lru_cache(maxsize=_CACHED_TEXTS)
def _text(
    shape: statement.Shape,
    lengths: tuple[tuple[str, int], ...],
    dialect: sa.Dialect,
) -> _Text:
    compiled = statement.single(shape).compile(dialect=dialect)
    # The text depends on how many values a list has, not on which.
    lists = {name: [None] * length for name, length in lengths}
    state = compiled.construct_expanded_state(
        {**dict.fromkeys(compiled.binds), **lists}
    )
    return _Text(
        state.statement,
        tuple(
            (name, tuple(items))
            for name, items in state.parameter_expansion.items()
        ),
        tuple(state.positiontup) if state.positiontup is not None else None,
    )


@contextlib.contextmanager
def checkout(engine: sa.Engine) -> Iterator[Any]:
    """Take a connection of the driver from the pool, and put it back.

    :param engine: in autocommit
    :returns: yields the connection
    :raises DBAPIError: of SQLAlchemy, for whatever the driver raises, also
        in the block
    """
    connection = None
    try:
        connection = engine.raw_connection()
        yield connection
    except engine.dialect.loaded_dbapi.Error as error:
        # An error without a number is no answer of the server's: what it
        # has still to say would be read by the next user.
        lost = retry.error_code(error) is None or engine.dialect.is_disconnect(
            error,
            None if connection is None else connection.dbapi_connection,
            None,
        )
        if connection is not None and lost:
            connection.invalidate(error)
        raise sa_exc.DBAPIError.instance(
            "UPDATE instances",
            None,
            error,
            engine.dialect.loaded_dbapi.Error,
            connection_invalidated=lost,
            dialect=engine.dialect,
        ) from error
    except BaseException:
        # An alarm or a killed greenlet may come between a statement and its
        # answer, which would then pass for the answer to the next one.
        if connection is not None:
            connection.invalidate()
        raise
    finally:
        if connection is not None:
            connection.close()


def send(
    connection: Any,
    dialect: sa.Dialect,
    shape: statement.Shape,
    parameters: Mapping[str, Any],
) -> tuple[int, bool]:
    """Send the ``UPDATE`` of a shape.

    :param connection: from :func:`checkout`
    :param dialect: that of its engine
    :param shape: what to send
    :param parameters: its values; those of an IN as a list
    :returns: number of rows that matched; whether they keep their values
    """
    lengths = tuple(
        (name, len(value))
        for name, value in parameters.items()
        if type(value) is list
    )
    text = _text(shape, lengths, dialect)
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(text.sql, text.bind(parameters))
        count: int = cursor.rowcount
        return count, count == 1 and clusters.changed_nothing(cursor)
