# SPDX-License-Identifier: Apache-2.0
"""The conditions in which a function of Nova's looks at a state.

What a write without a guard starts from is said nowhere but there. A
condition is read as a text like ``task_state in NULL|deleting``, ``not in``
for its opposite, so that two releases can be held against each other; how
conditions stand in each other is not read.
"""

import ast
from collections.abc import Iterator, Mapping
import re
from typing import Final

from nova_db_states.drift import functions
from nova_db_states.drift import sites
from nova_db_states.drift import values

__all__ = ["read"]

_COLUMN: Final = re.compile(r"(vm|task)_state(?!s)")
_NAMED: Final = re.compile(
    r"\b(vm_states|task_states|InstanceState|InstanceTaskState)\."
)
_COLUMNS: Final = frozenset({"vm_state", "task_state"})
_FILTERS: Final = "filters"
_IS: Final = (ast.Eq, ast.In, ast.Is)
_IS_NOT: Final = (ast.NotEq, ast.NotIn, ast.IsNot)
_WIDENING: Final = frozenset({"append", "extend", "add", "update"})

# A list that is made of a list that is made of a list.
_ROUNDS: Final = 3


def read(
    function: functions.Function,
    evaluator: values.Evaluator,
    names: Mapping[str, values.Abstract],
) -> frozenset[str]:
    """Read what a function selects servers by.

    :param function: the function
    :param evaluator: reads the expressions of its file
    :param names: what its parameters and the names around it stand for
    :returns: the conditions
    """
    return frozenset(_Reader(function, evaluator, names).conditions())


class _Reader:
    def __init__(
        self,
        function: functions.Function,
        evaluator: values.Evaluator,
        names: Mapping[str, values.Abstract],
    ) -> None:
        self._nodes = list(functions.own_nodes(function.node))
        self._evaluator = evaluator
        self._names = dict(names)
        self._columns: dict[str, str] = {}
        for _ in range(_ROUNDS):
            for node in self._nodes:
                self._learn(node)

    def _learn(self, node: ast.AST) -> None:
        """Note what a local name can be, wherever it gets that."""
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(
                    target=ast.Name(id=name), value=ast.expr() as value
                )
                | ast.AugAssign(target=ast.Name(id=name), value=value)
                | ast.NamedExpr(target=ast.Name(id=name), value=value)
                | ast.For(target=ast.Name(id=name), iter=value)
                | ast.comprehension(target=ast.Name(id=name), iter=value)
            ):
                self._widen(name, value)
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=name), attr=attr),
                args=[value],
            ) if attr in _WIDENING and name in self._names:
                self._widen(name, value)
            case _:
                pass

    def _widen(self, name: str, value: ast.expr) -> None:
        found = self._evaluator.of(value, self._names)
        if found != values.ANYTHING:
            before = self._names.get(name, found)
            self._names[name] = values.either(before, found)
        elif isinstance(value, ast.Name | ast.Attribute | ast.Subscript):
            column = self._column(value)
            if column:
                self._columns[name] = column

    def conditions(self) -> Iterator[str]:
        """Give every condition."""
        negated = {
            id(inner)
            for node in self._nodes
            if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)
            for inner in _leaves(node.operand)
        }
        for node in self._nodes:
            match node:
                case ast.Compare():
                    yield from self._compared(node, id(node) in negated)
                case ast.Match(subject=subject, cases=cases):
                    for case in cases:
                        yield from self._matched(subject, case.pattern)
                case ast.Subscript(value=table, slice=key):
                    yield from self._looked_up(table, key)
                case ast.Assign(targets=[target], value=value):
                    yield from self._filtered(target, value)
                case ast.keyword(arg=str(name), value=value):
                    yield from self._filtered(ast.Name(name), value)
                case _:
                    pass
            for test in _tests(node):
                yield from self._set(test, id(test) in negated)

    def _column(self, node: ast.expr) -> str:
        """Give the column that an expression is the value of, if any."""
        if isinstance(node, ast.Name) and node.id in self._columns:
            return self._columns[node.id]
        if isinstance(node, ast.Constant):
            return ""
        found = _COLUMN.search(ast.unparse(node))
        return found[0] if found else ""

    def _values(self, node: ast.expr) -> sites.Values:
        found = self._evaluator.of(node, self._names)
        if isinstance(found, values.Table):
            return frozenset(key for key, _ in found.entries)
        return found.values

    def _compared(self, node: ast.Compare, negated: bool) -> Iterator[str]:  # noqa: FBT001 - internal
        sides = [node.left, *node.comparators]
        for left, op, right in zip(sides, node.ops, sides[1:], strict=False):
            if not isinstance(op, (*_IS, *_IS_NOT)):
                continue
            for column_side, value_side in (left, right), (right, left):
                column = self._column(column_side)
                is_named = _NAMED.search(ast.unparse(value_side)) is not None
                if not column and not is_named:
                    continue
                if self._column(value_side) and not is_named:
                    continue
                yield _told(
                    column or "state",
                    self._values(value_side),
                    isinstance(op, _IS_NOT) != negated,
                )
                break

    def _matched(
        self, subject: ast.expr, pattern: ast.pattern
    ) -> Iterator[str]:
        column = self._column(subject)
        if not column:
            return
        found: set[str | None] = set()
        for node in ast.walk(pattern):
            if isinstance(node, ast.MatchValue):
                found |= self._values(node.value)
            elif isinstance(node, ast.MatchSingleton) and node.value is None:
                found.add(None)
        if found:
            yield _told(column, frozenset(found), is_not=False)

    def _looked_up(self, table: ast.expr, key: ast.expr) -> Iterator[str]:
        found = self._evaluator.of(table, self._names)
        if isinstance(found, values.Table) and self._column(key):
            yield _told(self._column(key), self._values(table), is_not=False)

    def _filtered(self, target: ast.expr, value: ast.expr) -> Iterator[str]:
        """Read what servers are looked up by in the database."""
        if _FILTERS not in ast.unparse(target):
            return
        match target:
            case ast.Subscript(slice=ast.Constant(value=str(key))):
                if key in _COLUMNS:
                    yield _told(key, self._values(value), is_not=False)
            case _:
                found = self._evaluator.of(value, self._names)
                if not isinstance(found, values.Table):
                    return
                for column, each in found.entries:
                    if column in _COLUMNS and isinstance(each, values.Choice):
                        yield _told(str(column), each.values, is_not=False)

    def _set(self, test: ast.expr, negated: bool) -> Iterator[str]:  # noqa: FBT001 - internal
        """Read a test for having any state at all."""
        # clean_task_state is a flag, and no state.
        is_flag = isinstance(test, ast.Name) and not (
            test.id in _COLUMNS or test.id in self._columns
        )
        if is_flag or not isinstance(
            test, ast.Name | ast.Attribute | ast.Subscript
        ):
            return
        column = self._column(test)
        if column:
            yield _told(column, frozenset({None}), is_not=not negated)


def _tests(node: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            yield from _leaves(test)
        case ast.Assert(test=test):
            yield from _leaves(test)
        case ast.comprehension(ifs=ifs):
            for test in ifs:
                yield from _leaves(test)
        case _:
            pass


def _leaves(test: ast.expr) -> Iterator[ast.expr]:
    """Take a condition apart."""
    match test:
        case ast.BoolOp(values=every):
            for each in every:
                yield from _leaves(each)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield from _leaves(operand)
        case _:
            yield test


def _told(column: str, found: sites.Values, is_not: bool) -> str:  # noqa: FBT001 - internal
    return f"{column} {'not in' if is_not else 'in'} {sites.shown(found)}"
