# SPDX-License-Identifier: Apache-2.0
"""The decorators of one file that look at states or write them.

Nova writes them above its functions. They may as well have another name, be
prepared with ``functools.partial`` or be called by hand; what is done with
them otherwise is nothing that can be read.
"""

import ast
from collections.abc import Iterator
import dataclasses
from typing import Final

from nova_db_states.drift import calls
from nova_db_states.drift import functions
from nova_db_states.drift import values

__all__ = ["CHECKS", "Applied", "Decorators"]

CHECKS: Final = frozenset({"check_instance_state", "reject_instance_state"})
"""The decorators that look at a state before a function runs."""

_EVERY: Final = CHECKS | {calls.REVERTING}
_PARTIAL: Final = "partial"


@dataclasses.dataclass(frozen=True)
class Applied:
    """A decorator, as far as its arguments are given.

    :ivar name: Nova's name of it
    :ivar call: its arguments; those of a ``partial`` come first
    :ivar is_ready: whether the next call gives it the function
    """

    name: str
    call: ast.Call
    is_ready: bool


class Decorators:
    """Finds the decorators of one file.

    :param tree: the file
    """

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._names: dict[str, ast.expr] = {}
        self._by_hand: dict[str, list[Applied]] = {}
        self._read: set[int] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if alias.asname and alias.name in _EVERY:
                        self._names[alias.asname] = ast.Name(alias.name)
        self._scope(tree.body, "")

    def of(self, function: functions.Function) -> list[Applied]:
        """Give the decorators of a function, those called by hand too.

        :param function: the function
        """
        found = [self._applied(each) for each in function.node.decorator_list]
        above = [each for each in found if each is not None]
        return [*above, *self._by_hand.get(function.name, ())]

    def is_read(self, node: ast.expr) -> bool:
        """Say whether a use of a decorator is one that can be read.

        :param node: where its name is
        """
        return id(node) in self._read

    def strangers(self) -> Iterator[ast.expr]:
        """Give the uses that cannot be read, once :meth:`of` saw the rest."""
        found = [
            node
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Name | ast.Attribute)
            and isinstance(node.ctx, ast.Load)
            and functions.name_of(node) in _EVERY
            and id(node) not in self._read
        ]
        yield from sorted(found, key=lambda node: node.lineno)

    def _scope(self, body: list[ast.stmt], prefix: str) -> None:
        """Read what is assigned outside of functions."""
        for node in body:
            match node:
                case ast.ClassDef(name=name, body=inner):
                    self._scope(inner, f"{prefix}{name}.")
                case ast.If() | ast.Try() | ast.With():
                    self._scope(
                        [
                            each
                            for each in ast.iter_child_nodes(node)
                            if isinstance(each, ast.stmt)
                        ],
                        prefix,
                    )
                case ast.Assign(targets=[target], value=value):
                    if isinstance(target, ast.Name) and self._applied(value):
                        self._names[target.id] = value
                    else:
                        self._apply(value, prefix)
                case _:
                    pass

    def _apply(self, value: ast.expr, prefix: str) -> str:
        """Read ``decorator(...)(function)``; give the function's name."""
        if isinstance(value, ast.Name):
            return f"{prefix}{value.id}"
        if isinstance(value, ast.Attribute):
            return ast.unparse(value)
        if not isinstance(value, ast.Call) or len(value.args) != 1:
            return ""
        applied = self._applied(value.func)
        if applied is None or not applied.is_ready:
            return ""
        name = self._apply(value.args[0], prefix)
        if name:
            self._by_hand.setdefault(name, []).append(applied)
        return name

    def _applied(self, node: ast.expr) -> Applied | None:
        """Resolve an expression that stands for a decorator."""
        if isinstance(node, ast.Name | ast.Attribute):
            name = functions.name_of(node)
            if isinstance(node, ast.Name) and name in self._names:
                return self._applied(self._names[name])
            if name not in _EVERY:
                return None
            self._read.add(id(node))
            line = getattr(node, "lineno", 1)
            empty = ast.Call(node, [], [], lineno=line, col_offset=0)
            return Applied(name, empty, name not in CHECKS)
        if not isinstance(node, ast.Call):
            return None
        if values.called(node) == _PARTIAL and node.args:
            inner = self._applied(node.args[0])
            return inner and _with(inner, node, node.args[1:], ready=False)
        inner = self._applied(node.func)
        if inner is None or inner.is_ready or inner.name not in CHECKS:
            return None
        return _with(inner, node, node.args, ready=True)


def _with(
    applied: Applied, node: ast.Call, arguments: list[ast.expr], *, ready: bool
) -> Applied:
    call = ast.Call(
        applied.call.func,
        [*applied.call.args, *arguments],
        [*applied.call.keywords, *node.keywords],
        lineno=node.lineno,
        col_offset=node.col_offset,
    )
    return Applied(applied.name, call, ready or applied.name not in CHECKS)
