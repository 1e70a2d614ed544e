# SPDX-License-Identifier: Apache-2.0
"""Reading what a database has, and refusing what is not a Nova cell.

Only the database's own schema and catalogue are read: Nova's usual grant
covers no more.
"""

import collections
from collections.abc import Iterable, Mapping
from typing import Any, Final

import sqlalchemy as sa

from nova_db_states import database
from nova_db_states import exceptions
from nova_db_states.migrations import index as index_

__all__ = ["read", "same_everywhere"]

# Of ``instances`` in every Nova release; other services have a table of that
# name too.
_CELL_COLUMNS: Final = frozenset(
    {"uuid", "deleted", "vm_state", "task_state", "host", "updated_at"}
)

_MYSQL_TABLE: Final = sa.text(
    "SELECT TABLE_TYPE AS kind, ENGINE AS engine, ROW_FORMAT AS row_format"
    " FROM information_schema.TABLES"
    " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = :name"
)
_MYSQL_COLUMNS: Final = sa.text(
    "SELECT COLUMN_NAME AS name, CHARACTER_MAXIMUM_LENGTH AS characters,"
    " CHARACTER_OCTET_LENGTH AS octets"
    " FROM information_schema.COLUMNS"
    " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = :name"
)
# The flag that hides an index is IGNORED on MariaDB and IS_VISIBLE on MySQL,
# and absent before 10.6 and 8.0: only a star reads them all.
_MYSQL_INDEXES: Final = sa.text(
    "SELECT * FROM information_schema.STATISTICS"
    " WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = :name"
    " ORDER BY INDEX_NAME, SEQ_IN_INDEX"
)


def read(connection: sa.Connection) -> index_.Table:
    """Read ``instances`` and its indexes.

    :param connection: to a cell database
    :returns: what the table has
    :raises UnsupportedDatabase: this is not a Nova cell's schema, or not
        MySQL, MariaDB or SQLite
    """
    dialect = connection.dialect
    if database.is_mysql(dialect):
        return _read_mysql(connection)
    if dialect.name == "sqlite":
        return _read_sqlite(connection)
    raise exceptions.UnsupportedDatabase(
        f"{database.masked(connection.engine.url)}: {dialect.name} is not "
        f"supported; Nova cells on MySQL, MariaDB and SQLite are."
    )


def same_everywhere(rows: Iterable[Mapping[Any, Any]]) -> list[dict[str, Any]]:
    """Give rows of ``information_schema`` lower-case keys.

    :param rows: rows as mappings; MySQL 8 answers in capitals whatever the
        statement said
    :returns: the rows with keys in lower case
    """
    return [
        {str(key).lower(): value for key, value in row.items()} for row in rows
    ]


def _refuse_foreign(
    connection: sa.Connection, columns: Iterable[str], kind: str
) -> None:
    """Refuse what has no ``instances`` table of Nova.

    :param columns: the columns of ``instances``; none if it is missing
    :param kind: ``table``, or what stands in its place
    """
    where = database.masked(connection.engine.url)
    present = {name.lower() for name in columns}
    missing = _CELL_COLUMNS - present
    if not missing and kind == "table":
        return
    if not present:
        what = "there is no table instances"
    elif kind != "table":
        what = f"instances is a {kind}"
    else:
        what = (
            f"the table instances is not Nova's, it lacks "
            f"{', '.join(sorted(missing))}"
        )
    hint = ""
    if sa.inspect(connection).has_table("cell_mappings"):
        hint = (
            " This is Nova's API database: give --config-file nova.conf to "
            "reach its cells."
        )
    raise exceptions.UnsupportedDatabase(
        f"{where}: {what}, so this is not the database of a Nova cell. "
        f"Nothing was changed. Give the URL of a cell database that "
        f"nova-manage db sync has been run on.{hint}"
    )


def _read_mysql(connection: sa.Connection) -> index_.Table:
    name = {"name": index_.TABLE}

    def rows(statement: sa.TextClause) -> list[dict[str, Any]]:
        return same_everywhere(connection.execute(statement, name).mappings())

    tables = rows(_MYSQL_TABLE)
    columns = rows(_MYSQL_COLUMNS)
    kind = str(tables[0]["kind"]).lower() if tables else "table"
    _refuse_foreign(
        connection,
        [str(column["name"]) for column in columns],
        "table" if kind == "base table" else kind,
    )
    text = {
        str(column["name"]): column
        for column in columns
        if column["characters"]
    }
    page = connection.exec_driver_sql("SELECT @@innodb_page_size").scalar_one()
    return index_.Table(
        indexes=tuple(_mysql_indexes(rows(_MYSQL_INDEXES))),
        characters={
            name: int(column["characters"]) for name, column in text.items()
        },
        character_bytes={
            name: -(-int(column["octets"]) // int(column["characters"]))
            for name, column in text.items()
        },
        row_format=str(tables[0]["row_format"]).upper(),
        page_bytes=int(page),
    )


def _mysql_indexes(
    rows: Iterable[Mapping[str, Any]],
) -> list[index_.ExistingIndex]:
    grouped = collections.defaultdict(list)
    for row in rows:
        grouped[str(row["index_name"])].append(row)
    return [
        index_.ExistingIndex(
            name=name,
            parts=tuple(
                (
                    part["column_name"],
                    None
                    if part["sub_part"] is None
                    else int(part["sub_part"]),
                )
                for part in parts
            ),
            plain=all(
                part["index_type"] == "BTREE"
                and part["collation"] == "A"
                and part.get("ignored", "NO") == "NO"
                and part.get("is_visible", "YES") == "YES"
                for part in parts
            ),
        )
        for name, parts in grouped.items()
        if name != "PRIMARY"
    ]


def _read_sqlite(connection: sa.Connection) -> index_.Table:
    kind = connection.execute(
        sa.text("SELECT type FROM sqlite_master WHERE name = :name"),
        {"name": index_.TABLE},
    ).scalar_one_or_none()
    columns = connection.execute(
        sa.text("SELECT name FROM pragma_table_info(:name)"),
        {"name": index_.TABLE},
    ).scalars()
    _refuse_foreign(connection, columns, kind or "table")
    rows = connection.execute(
        sa.text(
            "SELECT l.name AS index_name, l.partial, x.name AS column_name,"
            ' x."desc" AS descending, x.coll'
            " FROM pragma_index_list(:name) AS l"
            " JOIN pragma_index_xinfo(l.name) AS x"
            " WHERE x.key = 1 ORDER BY l.name, x.seqno"
        ),
        {"name": index_.TABLE},
    ).mappings()
    grouped = collections.defaultdict(list)
    for row in rows:
        grouped[str(row["index_name"])].append(row)
    return index_.Table(
        indexes=tuple(
            index_.ExistingIndex(
                name=name,
                parts=tuple((part["column_name"], None) for part in parts),
                plain=not any(
                    part["partial"]
                    or part["descending"]
                    or part["coll"] != "BINARY"
                    for part in parts
                ),
            )
            for name, parts in grouped.items()
        )
    )
