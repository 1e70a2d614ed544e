# SPDX-License-Identifier: Apache-2.0
"""What an index of ours is, and what stands in a table already: plain data.

Nothing here talks to a database; :mod:`.catalogue` reads, :mod:`.ddl` writes.
"""

from collections.abc import Mapping
import dataclasses
from typing import Final

from nova_db_states import exceptions

__all__ = [
    "PREFIX",
    "TABLE",
    "ExistingIndex",
    "StateIndex",
    "Table",
    "find_equal",
    "key_lengths",
]

TABLE: Final = "instances"

PREFIX: Final = "nova_db_states_"
"""How every index of ours begins; nothing else is ever dropped."""

# InnoDB: bytes of one column in a key, by row format. The newer formats
# (DYNAMIC, COMPRESSED) limit only the whole key.
_OLD_FORMATS: Final = frozenset({"COMPACT", "REDUNDANT"})
_OLD_FORMAT_COLUMN_BYTES: Final = 767

# InnoDB: bytes of a whole key, by page size; 16 KiB pages and larger alike.
_KEY_BYTES: Final = {4096: 768, 8192: 1536}
_DEFAULT_KEY_BYTES: Final = 3072

# What a column costs besides its characters: a NULL flag, two bytes of
# length, or the eight bytes of the widest fixed type.
_OVERHEAD_BYTES: Final = 3
_FIXED_BYTES: Final = 9


@dataclasses.dataclass(frozen=True, slots=True)
class StateIndex:
    """One index of ours; each revision adds exactly one.

    :ivar columns: columns of ``instances``, in key order
    """

    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        """The index's name, made of the prefix and its columns."""
        return PREFIX + "_".join(self.columns)


@dataclasses.dataclass(frozen=True, slots=True)
class ExistingIndex:
    """One index that the table has, whoever made it.

    :ivar name: its name
    :ivar parts: column and prefix length in characters, in key order; a
        length of ``None`` is the whole column, a column of ``None`` is an
        expression
    :ivar plain: ascending B-tree over all rows that the optimizer may use;
        false for descending, partial, full-text, spatial and hidden ones
    """

    name: str
    parts: tuple[tuple[str | None, int | None], ...]
    plain: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """As much of ``instances`` as matters for its indexes.

    :ivar indexes: all indexes but the primary key
    :ivar characters: length in characters of each column that holds text
    :ivar character_bytes: bytes a character of that column can take
    :ivar row_format: InnoDB's row format in capitals, ``None`` on SQLite
    :ivar page_bytes: InnoDB's page size, ``None`` on SQLite
    """

    indexes: tuple[ExistingIndex, ...] = ()
    characters: Mapping[str, int] = dataclasses.field(default_factory=dict)
    character_bytes: Mapping[str, int] = dataclasses.field(
        default_factory=dict
    )
    row_format: str | None = None
    page_bytes: int | None = None

    def named(self, name: str) -> ExistingIndex | None:
        """Find an index by name, as databases do: without regard to case.

        :param name: the name to look for
        :returns: the index, or ``None``
        """
        for index in self.indexes:
            if index.name.casefold() == name.casefold():
                return index
        return None


def key_lengths(table: Table, index: StateIndex) -> dict[str, int]:
    """Say how much of each column fits into the key of an index.

    MySQL in a lenient SQL mode cuts a key that is too long without a word, so
    the cut is made here, where ``check`` can compare with it.

    :param table: the table as it stands
    :param index: the index to be made
    :returns: characters to index by column, only for columns that do not fit
        whole; empty on SQLite
    :raises MigrationError: not even a short prefix fits
    """
    if table.row_format is None:
        return {}
    text = [name for name in index.columns if name in table.characters]
    limit = _KEY_BYTES.get(table.page_bytes or 0, _DEFAULT_KEY_BYTES)
    column_limit = (
        _OLD_FORMAT_COLUMN_BYTES if table.row_format in _OLD_FORMATS else limit
    )

    def wanted(name: str) -> int:
        return table.characters[name] * table.character_bytes[name]

    fixed = _FIXED_BYTES * (len(index.columns) - len(text))
    room = limit - fixed - _OVERHEAD_BYTES * len(text)
    share = column_limit
    if sum(min(wanted(name), column_limit) for name in text) > room:
        share = min(column_limit, room // max(len(text), 1))
    lengths = {
        name: share // table.character_bytes[name]
        for name in text
        if wanted(name) > share
    }
    if any(length < 1 for length in lengths.values()):
        raise exceptions.MigrationError(
            f"{index.name}: the key does not fit into {limit} bytes, which "
            f"is the limit of this server's page size. Nothing was changed."
        )
    return lengths


def find_equal(table: Table, index: StateIndex) -> ExistingIndex | None:
    """Find an index that does the work of one of ours, whatever its name.

    :param table: the table as it stands
    :param index: the index to look for
    :returns: the index with our name if that is equal, else another equal
        one, else ``None``
    """
    lengths = key_lengths(table, index)

    def equal(existing: ExistingIndex) -> bool:
        if not existing.plain or len(existing.parts) != len(index.columns):
            return False
        for name, (column, length) in zip(
            index.columns, existing.parts, strict=True
        ):
            if column is None or column.casefold() != name.casefold():
                return False
            # A longer prefix than ours, or the whole column, serves as well.
            if length is not None and length < lengths.get(
                name, table.characters.get(name, 0)
            ):
                return False
        return True

    own = table.named(index.name)
    if own is not None and equal(own):
        return own
    return next((found for found in table.indexes if equal(found)), None)
