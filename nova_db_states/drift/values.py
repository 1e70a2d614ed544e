# SPDX-License-Identifier: Apache-2.0
"""What an expression in Nova's source can be, as far as the source says."""

import ast
from collections.abc import Iterable, Mapping
import dataclasses
import functools
from typing import Final

from nova_db_states.drift import sites

__all__ = [
    "ANYTHING",
    "NOTHING",
    "Abstract",
    "Choice",
    "Evaluator",
    "Table",
    "called",
    "either",
]

_COPIERS: Final = frozenset(
    {"copy", "deepcopy", "frozenset", "list", "set", "sorted", "tuple"}
)
_ENUMS: Final = frozenset({"InstanceState", "InstanceTaskState"})
_ROWS: Final = frozenset({"Instance", "c", "columns"})
_COLUMNS: Final = frozenset({"vm_state", "task_state"})
_MODULES: Final = frozenset({"vm_states", "task_states"})


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of some values, or a collection of them.

    :ivar values: the values
    :ivar many: whether it is a collection
    """

    values: sites.Values
    many: bool = False


@dataclasses.dataclass(frozen=True)
class Table:
    """A dictionary with known keys.

    :ivar entries: the keys and what stands under them
    :ivar is_open: whether there may be other keys
    """

    entries: frozenset[tuple[str | None, "Choice | Table"]]
    is_open: bool = False

    def get(self, key: str) -> "Choice | Table":
        """Look up one key.

        :param key: the key
        :returns: what is known of the entry; :data:`~.sites.KEEP` if there
            is none
        """
        for name, value in self.entries:
            if name == key:
                return value
        return ANYTHING if self.is_open else NOTHING

    def with_entry(self, key: str | None, value: "Choice | Table") -> "Table":
        """Replace one entry.

        :param key: the key
        :param value: what stands under it from now on
        :returns: the new table
        """
        kept = {entry for entry in self.entries if entry[0] != key}
        return Table(frozenset({*kept, (key, value)}), self.is_open)


Abstract = Choice | Table

ANYTHING: Final = Choice(frozenset({sites.UNKNOWN}))
"""An expression about which the source says nothing."""

NOTHING: Final = Choice(frozenset({sites.KEEP}))
"""What stands under a key that a dictionary does not have."""


def either(one: Abstract, other: Abstract) -> Abstract:
    """Give what an expression is that is one thing or the other.

    :param one: the one
    :param other: the other
    :returns: all that both can be
    """
    if one == other:
        return one
    if isinstance(one, Choice) and isinstance(other, Choice):
        return Choice(one.values | other.values, one.many or other.many)
    if isinstance(one, Table) and isinstance(other, Table):
        keys = {key for key, _ in one.entries | other.entries}
        return Table(
            frozenset(
                (key, either(_entry(one, key), _entry(other, key)))
                for key in keys
            ),
            one.is_open or other.is_open,
        )
    return ANYTHING


def called(node: ast.Call) -> str:
    """Give the last part of the name of what is called.

    :param node: the call
    :returns: ``save`` for ``self.instance.save()``; empty if it has no name
    """
    return _last(node.func)


class Evaluator:
    """Reads expressions of one file.

    :param constants: what ``vm_states`` and ``task_states`` hold, and the
        two enums, each by its name
    :param globals_: what the names at the top of the file stand for
    """

    def __init__(
        self,
        constants: Mapping[str, Mapping[str, Abstract]],
        globals_: Mapping[str, Abstract] | None = None,
    ) -> None:
        self._constants = constants
        self.globals = dict(globals_ or {})

    def of(
        self, node: ast.expr | None, names: Mapping[str, Abstract]
    ) -> Abstract:
        """Evaluate an expression.

        :param node: the expression; ``None`` for an argument left out
        :param names: what the local names stand for
        :returns: what it can be
        """
        match node:
            case ast.Constant(value=None):
                return Choice(frozenset({None}))
            case ast.Constant(value=str() as text):
                return Choice(frozenset({text}))
            case ast.Name(id=name):
                return names.get(name) or self.globals.get(name, ANYTHING)
            case ast.Attribute():
                return self._attribute(node)
            case (
                ast.List(elts=items)
                | ast.Tuple(elts=items)
                | ast.Set(elts=items)
            ):
                return self._collection(items, names)
            case ast.Dict(keys=keys, values=values):
                return self._table(keys, values, names)
            case ast.Subscript(value=table, slice=key):
                return self._entry(table, key, names)
            case ast.Call():
                return self._call(node, names)
            case ast.Starred(value=inner):
                return self.of(inner, names)
            case _:
                return self._one_of(node, names)

    def _one_of(
        self, node: ast.expr | None, names: Mapping[str, Abstract]
    ) -> Abstract:
        """Evaluate what is one of several expressions, or several in one."""
        match node:
            case ast.IfExp(body=one, orelse=other):
                return either(self.of(one, names), self.of(other, names))
            case ast.BoolOp(values=[first, *rest]):
                found = self.of(first, names)
                for each in rest:
                    found = either(found, self.of(each, names))
                return found
            case ast.BinOp(op=ast.Add() | ast.BitOr(), left=one, right=other):
                return either(self.of(one, names), self.of(other, names))
            case _:
                return ANYTHING

    def _attribute(self, node: ast.Attribute) -> Abstract:
        owner = _last(node.value)
        if owner in _MODULES | _ENUMS:
            return self._constants.get(owner, {}).get(node.attr, ANYTHING)
        if owner in _ROWS and node.attr in _COLUMNS:
            # As a key of what SQLAlchemy is to write.
            return Choice(frozenset({node.attr}))
        return ANYTHING

    def _collection(
        self, items: Iterable[ast.expr], names: Mapping[str, Abstract]
    ) -> Abstract:
        values: set[str | None] = set()
        for item in items:
            found = self.of(item, names)
            if isinstance(found, Table):
                return ANYTHING
            values |= found.values
        return Choice(frozenset(values), many=True)

    def _table(
        self,
        keys: Iterable[ast.expr | None],
        values: Iterable[ast.expr],
        names: Mapping[str, Abstract],
    ) -> Abstract:
        table = Table(frozenset())
        for key, value in zip(keys, values, strict=True):
            if key is None:
                table = self.merged(table, self.of(value, names))
            else:
                table = self.set_in(table, key, value, names)
        return table

    def set_in(
        self,
        table: Table,
        key: ast.expr,
        value: ast.expr | None,
        names: Mapping[str, Abstract],
    ) -> Table:
        """Set one entry of a dictionary.

        :param table: the dictionary before
        :param key: the key
        :param value: the value, ``None`` if nothing is known of it
        :param names: what the local names stand for
        :returns: the dictionary after
        """
        name = self.of(key, names)
        if not _is_one(name):
            return dataclasses.replace(table, is_open=True)
        assert isinstance(name, Choice)
        (text,) = name.values
        return table.with_entry(text, self.of(value, names))

    @staticmethod
    def merged(table: Table, further: Abstract) -> Table:
        """Put the entries of one dictionary over those of another.

        :param table: the one below
        :param further: the one above, or something that is no dictionary as
            far as the source says
        :returns: the two together
        """
        if not isinstance(further, Table):
            further = Table(frozenset(), is_open=True)
        merged = Table(frozenset(), table.is_open or further.is_open)
        for key, value in table.entries:
            # What is unknown of the one above may hide what is below.
            merged = merged.with_entry(
                key, either(value, ANYTHING) if further.is_open else value
            )
        for key, value in further.entries:
            merged = merged.with_entry(key, value)
        return merged

    def _entry(
        self, table: ast.expr, key: ast.expr, names: Mapping[str, Abstract]
    ) -> Abstract:
        found = self.of(table, names)
        if not isinstance(found, Table):
            return ANYTHING
        wanted = self.of(key, names)
        if isinstance(wanted, Table) or sites.UNKNOWN in wanted.values:
            chosen = [value for _, value in found.entries]
            is_covered = not found.is_open
        else:
            entries = dict(found.entries)
            chosen = [entries[k] for k in wanted.values if k in entries]
            is_covered = len(chosen) == len(wanted.values)
        if not is_covered:
            chosen.append(ANYTHING)
        return functools.reduce(either, chosen) if chosen else ANYTHING

    def _call(self, node: ast.Call, names: Mapping[str, Abstract]) -> Abstract:
        name = called(node)
        if name == "dict":
            table = Table(frozenset())
            for each in node.args:
                table = self.merged(table, self.of(each, names))
            return self.keywords(node, names, table)
        if name in {"get", "pop"} and len(node.args) == 2:  # noqa: PLR2004 - a key and a default
            return either(self.of(node.args[1], names), ANYTHING)
        if name in _COPIERS:
            source: ast.expr | None = None
            if node.args:
                source = node.args[0]
            elif isinstance(node.func, ast.Attribute):
                source = node.func.value
            if source is not None:
                return self.of(source, names)
        return ANYTHING

    def keywords(
        self,
        node: ast.Call,
        names: Mapping[str, Abstract],
        below: Table | None = None,
    ) -> Table:
        """Give the keyword arguments of a call as a dictionary.

        :param node: the call
        :param names: what the local names stand for
        :param below: what the keywords are put over
        :returns: the dictionary; open if there is a ``**`` that is unknown
        """
        table = Table(frozenset())
        for keyword in node.keywords:
            value = self.of(keyword.value, names)
            if keyword.arg is not None:
                table = table.with_entry(keyword.arg, value)
            elif isinstance(value, Table):
                table = Table(
                    table.entries | value.entries,
                    table.is_open or value.is_open,
                )
            else:
                table = dataclasses.replace(table, is_open=True)
        return table if below is None else self.merged(below, table)


def _is_one(found: Abstract) -> bool:
    return (
        isinstance(found, Choice)
        and len(found.values) == 1
        and sites.UNKNOWN not in found.values
    )


def _entry(table: Table, key: str | None) -> Abstract:
    for name, value in table.entries:
        if name == key:
            return value
    return ANYTHING if table.is_open else NOTHING


def _last(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    return ""
