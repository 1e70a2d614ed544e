# SPDX-License-Identifier: Apache-2.0
"""Walks every way through one function and collects what it writes."""

import ast
from collections.abc import Callable, Mapping, Sequence
import dataclasses
import functools
import operator
from typing import Final

from nova_db_states.drift import calls
from nova_db_states.drift import functions
from nova_db_states.drift import paths
from nova_db_states.drift import relevance
from nova_db_states.drift import sites
from nova_db_states.drift import statements
from nova_db_states.drift import values

__all__ = ["Walker"]

Write = statements.Write

_NEVER_RETURNS: Final = "save_and_reraise_exception"

Heard = Callable[[ast.Call, Mapping[str, values.Abstract]], None]


class Walker:
    """Walks through one function.

    Loops are gone through once or not at all. What follows an ``except`` is
    reached with what was set before the ``try``.

    :param function: the function
    :param evaluator: reads the expressions of its file
    :param names: what its parameters and the names around it stand for
    :param known: the functions of the file, by their bare names
    :param left: what functions of the file leave unsaved, by their names
    :param heard: is told of every call, with what the names stand for then
    :ivar unsaved: what this function leaves unsaved, by the object
    """

    def __init__(
        self,
        function: functions.Function,
        evaluator: values.Evaluator,
        names: Mapping[str, values.Abstract],
        *,
        known: Mapping[str, functions.Function],
        left: Mapping[str, Mapping[str, paths.Pending]],
        heard: Heard,
    ) -> None:
        self._function = function
        self._evaluator = evaluator
        self._names = dict(names)
        self._heard = heard
        self._calls = calls.Calls(
            evaluator,
            known,
            left,
            statements.aliases(function.node),
            self._mark_saved,
        )
        self._relevant = relevance.relevant(function.node, known)
        self._writes: dict[Write, None] = {}
        self._saved: set[int] = set()
        self._lost: dict[str, list[paths.Pending]] = {}
        self.unsaved: dict[str, paths.Pending] = {}
        self._left: list[paths.Path] = []
        self._jumped: list[paths.Path] = []

    def walk(self) -> list[Write]:
        """Go through the function.

        :returns: what is written, each way on its own
        """
        ends = self._block(self._function.node.body, [paths.Path(self._names)])
        for path in [*ends, *self._left]:
            for owner, pending in path.pending.items():
                self._lose(owner, pending)
        return [*self._writes, *self._assigns()]

    def _mark_saved(self, lines: frozenset[int]) -> None:
        self._saved |= lines

    def _lose(self, owner: str, pending: paths.Pending) -> None:
        self._lost.setdefault(owner, []).append(pending)

    def _assigns(self) -> list[Write]:
        """Give what was set and is saved on no way through the function."""
        found: list[Write] = []
        for owner, every in self._lost.items():
            never = [
                pending
                for pending in every
                if pending.lines and not pending.lines & self._saved
            ]
            if not never:
                continue
            both = functools.reduce(operator.or_, never)
            self.unsaved[owner] = both
            found.append(
                Write(min(both.lines), sites.ASSIGN, both.vm, both.task)
            )
        return found

    def _block(
        self, body: Sequence[ast.stmt], ways: list[paths.Path]
    ) -> list[paths.Path]:
        for statement in body:
            if not ways:
                break
            ways = paths.distinct(self._statement(statement, ways))
        return ways

    def _statement(
        self, node: ast.stmt, ways: list[paths.Path]
    ) -> list[paths.Path]:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return ways
            case ast.If(test=test, body=body, orelse=orelse):
                self._expression(test, ways)
                others = [way.fork() for way in ways]
                return [
                    *self._block(body, ways),
                    *self._block(orelse, others),
                ]
            case ast.For() | ast.AsyncFor() | ast.While():
                return self._loop(node, ways)
            case ast.With() | ast.AsyncWith():
                return self._with(node, ways)
            case ast.Try() | ast.TryStar():
                return self._try(node, ways)
            case ast.Match():
                return self._match(node, ways)
            case ast.Break() | ast.Continue() | ast.Return() | ast.Raise():
                return self._leave(node, ways)
            case _:
                self._expression(node, ways)
                for way in ways:
                    self._simple(node, way)
                return ways

    def _leave(
        self, node: ast.stmt, ways: list[paths.Path]
    ) -> list[paths.Path]:
        self._expression(node, ways)
        if isinstance(node, ast.Break | ast.Continue):
            self._jumped += ways
        else:
            self._left += ways
        return []

    def _match(
        self, node: ast.Match, ways: list[paths.Path]
    ) -> list[paths.Path]:
        self._expression(node.subject, ways)
        ends = [way.fork() for way in ways]
        for case in node.cases:
            ends += self._block(case.body, [way.fork() for way in ways])
        return ends

    def _loop(
        self,
        node: ast.For | ast.AsyncFor | ast.While,
        ways: list[paths.Path],
    ) -> list[paths.Path]:
        head = node.test if isinstance(node, ast.While) else node.iter
        self._expression(head, ways)
        outside, self._jumped = self._jumped, []
        inside = [way.fork() for way in ways]
        if not isinstance(node, ast.While):
            for way in inside:
                self._bind(node.target, None, way, node.lineno)
        ends = self._block(node.body, inside)
        ends += self._jumped
        self._jumped = outside
        return self._block(node.orelse, [*ways, *ends])

    def _with(
        self, node: ast.With | ast.AsyncWith, ways: list[paths.Path]
    ) -> list[paths.Path]:
        raises = False
        for item in node.items:
            self._expression(item.context_expr, ways)
            if _NEVER_RETURNS in ast.unparse(item.context_expr):
                raises = not _may_swallow(node)
            if item.optional_vars is not None:
                for way in ways:
                    self._bind(item.optional_vars, None, way, node.lineno)
        ends = self._block(node.body, ways)
        if raises:
            self._left += ends
            return []
        return ends

    def _try(
        self, node: ast.Try | ast.TryStar, ways: list[paths.Path]
    ) -> list[paths.Path]:
        starts = [way.fork() for way in ways]
        outside_left, self._left = self._left, []
        outside_jumped, self._jumped = self._jumped, []
        ends = self._block(node.body, ways)
        ends = self._block(node.orelse, ends)
        inside = [way.fork() for way in [*ends, *self._left]]
        for handler in node.handlers:
            reached = [way.fork() for way in starts]
            paths.learn(reached, inside)
            ends += self._block(handler.body, reached)
        left, self._left = self._left, outside_left
        jumped, self._jumped = self._jumped, outside_jumped
        if node.finalbody:
            left += starts
            left = self._block(node.finalbody, paths.distinct(left))
            jumped = self._block(node.finalbody, paths.distinct(jumped))
            ends = self._block(node.finalbody, paths.distinct(ends))
        self._left += left
        self._jumped += jumped
        return ends

    def _expression(self, node: ast.AST, ways: list[paths.Path]) -> None:
        """Apply the calls in one expression, inner ones first."""
        for call in functions.own_calls(node):
            for way in ways:
                self._heard(call, way.names)
                for write in self._calls.apply(call, way):
                    self._note(write, call)
        for write in calls.references(node):
            self._writes[write] = None

    def _note(self, write: Write, call: ast.Call) -> None:
        placed = dataclasses.replace(write, column=call.col_offset)
        self._writes[placed] = None

    def _simple(self, node: ast.stmt, way: paths.Path) -> None:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._bind(target, value, way, node.lineno)
            case ast.AnnAssign(target=target, value=value) if value:
                self._bind(target, value, way, node.lineno)
            case ast.AugAssign(
                target=ast.Attribute() | ast.Subscript() as target
            ):
                self._bind(target, None, way, node.lineno)
            case ast.AugAssign(target=ast.Name(id=name), value=value):
                if name in way.names:
                    way.names[name] = values.either(
                        way.names[name], self._evaluator.of(value, way.names)
                    )
            case _:
                pass

    def _bind(
        self,
        target: ast.expr,
        value: ast.expr | None,
        way: paths.Path,
        line: int,
    ) -> None:
        """Let a target of an assignment stand for a value.

        :param target: a name, an attribute, an item or several of them
        :param value: the value, ``None`` if nothing is known of it
        :param way: where
        :param line: of the assignment
        """
        match target:
            case ast.Name(id=name):
                self._rebind(name, way)
                found = self._evaluator.of(value, way.names)
                way.names.pop(name, None)
                if name in self._relevant and found != values.ANYTHING:
                    way.names[name] = found
                self._construct(name, value, way)
            case ast.Attribute(value=owner, attr=name) if (
                name in relevance.STATES
            ):
                found = self._evaluator.of(value, way.names)
                table = values.Table(frozenset({(name, found)}))
                way.put(ast.unparse(owner), table, line)
            case ast.Attribute():
                self._rebind(ast.unparse(target), way)
                self._construct(ast.unparse(target), value, way)
            case ast.Subscript(value=owner, slice=key):
                self._set_item(ast.unparse(owner), key, value, way, line)
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                for index, part in enumerate(parts):
                    inner = None
                    if isinstance(value, ast.Tuple | ast.List) and len(
                        value.elts
                    ) == len(parts):
                        inner = value.elts[index]
                    self._bind(part, inner, way, line)
            case _:
                pass

    def _rebind(self, name: str, way: paths.Path) -> None:
        for owner, pending in way.rebind(name):
            self._lose(owner, pending)

    def _construct(
        self, name: str, value: ast.expr | None, way: paths.Path
    ) -> None:
        """Take ``objects.Instance(vm_state=...)`` for an unsaved object."""
        if not isinstance(value, ast.Call):
            return
        if statements.is_made(value):
            table = self._evaluator.keywords(value, way.names)
            way.put(name, table, value.lineno)

    def _set_item(
        self,
        owner: str,
        key: ast.expr,
        value: ast.expr | None,
        way: paths.Path,
        line: int,
    ) -> None:
        before = way.names.get(owner)
        if not isinstance(before, values.Table):
            if self._calls.is_instance(owner):
                self._calls.set_item(owner, key, value, way, line)
            return
        way.names[owner] = self._evaluator.set_in(
            before, key, value, way.names
        )


def _may_swallow(node: ast.AST) -> bool:
    """Say whether a block can tell ``save_and_reraise_exception`` not to."""
    return any(
        (isinstance(each, ast.Attribute) and each.attr == "reraise")
        or (isinstance(each, ast.keyword) and each.arg == "reraise")
        for each in ast.walk(node)
    )
