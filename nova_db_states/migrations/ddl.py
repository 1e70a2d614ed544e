# SPDX-License-Identifier: Apache-2.0
"""The two statements, in each dialect's spelling, as alembic operations.

On MySQL and MariaDB both say that rows must stay writable (``LOCK=NONE``) and
how (``ALGORITHM``). A server that cannot do that answers with an error; it
never falls back to copying the table behind a lock.
"""

from collections.abc import Mapping
from typing import Any, Final

from alembic import operations
import sqlalchemy as sa
from sqlalchemy.ext import compiler
from sqlalchemy.sql import compiler as sql_compiler

from nova_db_states import exceptions
from nova_db_states.migrations import index as index_

__all__ = [
    "KEY_LENGTHS",
    "AddIndex",
    "AddIndexDDL",
    "DropIndex",
    "DropIndexDDL",
]

KEY_LENGTHS: Final = "nova_db_states_key_lengths"
"""The option of a ``MigrationContext`` that holds, by name of the index, what
:func:`.index.key_lengths` answered for the table at hand."""


class AddIndex(operations.MigrateOperation):
    """Alembic's operation that makes one index of ours."""

    def __init__(self, index: index_.StateIndex) -> None:
        self.index = index


class DropIndex(operations.MigrateOperation):
    """Alembic's operation that drops one index of ours."""

    def __init__(self, index: index_.StateIndex) -> None:
        self.index = index


class AddIndexDDL(sa.schema.ExecutableDDLElement):
    """The statement that makes an index.

    :param index: the index
    :param lengths: characters to index by column, where not all fit
    """

    inherit_cache = False

    def __init__(
        self, index: index_.StateIndex, lengths: Mapping[str, int]
    ) -> None:
        self.index = index
        self.lengths = lengths


class DropIndexDDL(sa.schema.ExecutableDDLElement):
    """The statement that drops an index.

    :param index: the index; only its name matters
    """

    inherit_cache = False

    def __init__(self, index: index_.StateIndex) -> None:
        self.index = index


def options(table: index_.Table, index: index_.StateIndex) -> dict[str, Any]:
    """Give the options of a ``MigrationContext`` that one revision needs.

    :param table: the table as it stands
    :param index: the revision's index
    :returns: options to merge with others
    """
    return {KEY_LENGTHS: {index.name: index_.key_lengths(table, index)}}


@operations.Operations.implementation_for(AddIndex)
def _add(ops: operations.Operations, operation: AddIndex) -> None:
    lengths = ops.migration_context.opts.get(KEY_LENGTHS, {})
    ops.execute(
        AddIndexDDL(operation.index, lengths.get(operation.index.name, {}))
    )


@operations.Operations.implementation_for(DropIndex)
def _drop(ops: operations.Operations, operation: DropIndex) -> None:
    ops.execute(DropIndexDDL(operation.index))


@compiler.compiles(AddIndexDDL, "sqlite")
def _sqlite_add(
    element: AddIndexDDL, ddl: sql_compiler.DDLCompiler, **_: Any
) -> str:
    quote = ddl.preparer.quote
    columns = ", ".join(quote(name) for name in element.index.columns)
    return (
        f"CREATE INDEX {quote(element.index.name)} "
        f"ON {quote(index_.TABLE)} ({columns})"
    )


@compiler.compiles(DropIndexDDL, "sqlite")
def _sqlite_drop(
    element: DropIndexDDL, ddl: sql_compiler.DDLCompiler, **_: Any
) -> str:
    return f"DROP INDEX {ddl.preparer.quote(element.index.name)}"


@compiler.compiles(AddIndexDDL, "mysql", "mariadb")
def _mysql_add(
    element: AddIndexDDL, ddl: sql_compiler.DDLCompiler, **_: Any
) -> str:
    quote = ddl.preparer.quote

    def part(name: str) -> str:
        length = element.lengths.get(name)
        return quote(name) + ("" if length is None else f"({length})")

    columns = ", ".join(part(name) for name in element.index.columns)
    return (
        f"ALTER TABLE {quote(index_.TABLE)} "
        f"ADD INDEX {quote(element.index.name)} ({columns}), "
        f"ALGORITHM={_algorithm(ddl.dialect)}, LOCK=NONE"
    )


@compiler.compiles(DropIndexDDL, "mysql", "mariadb")
def _mysql_drop(
    element: DropIndexDDL, ddl: sql_compiler.DDLCompiler, **_: Any
) -> str:
    quote = ddl.preparer.quote
    return (
        f"ALTER TABLE {quote(index_.TABLE)} "
        f"DROP INDEX {quote(element.index.name)}, "
        f"ALGORITHM={_algorithm(ddl.dialect)}, LOCK=NONE"
    )


def _algorithm(dialect: sa.Dialect) -> str:
    # NOCOPY refuses what INPLACE would still allow: rebuilding the clustered
    # index, hours on a large table. MySQL does not know the word.
    is_mariadb = dialect.name == "mariadb" or getattr(
        dialect, "is_mariadb", False
    )
    return "NOCOPY" if is_mariadb else "INPLACE"


@compiler.compiles(AddIndexDDL)
@compiler.compiles(DropIndexDDL)
def _refuse(
    element: AddIndexDDL | DropIndexDDL,
    ddl: sql_compiler.DDLCompiler,
    **_: Any,
) -> str:
    raise exceptions.UnsupportedDatabase(
        f"{ddl.dialect.name}: there is no statement for {element.index.name} "
        f"in this dialect. Use one of: mariadb, mysql, sqlite."
    )
