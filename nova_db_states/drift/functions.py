# SPDX-License-Identifier: Apache-2.0
"""The functions of one source file, and how their calls fit their heads."""

import ast
from collections.abc import Iterator
import dataclasses
from typing import Final

__all__ = [
    "Bound",
    "Function",
    "bind",
    "collect",
    "name_of",
    "outside",
    "own_calls",
    "own_nodes",
]

Node = ast.FunctionDef | ast.AsyncFunctionDef

_BODIES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_HOLDERS: Final = (ast.stmt, ast.excepthandler, ast.match_case)
_RECEIVERS: Final = frozenset({"self", "cls"})


@dataclasses.dataclass(frozen=True)
class Function:
    """One function.

    :ivar node: its syntax
    :ivar name: its name, with those of the classes and functions around it
    :ivar outer: the function around it, if there is one
    """

    node: Node
    name: str
    outer: "Function | None"

    @property
    def is_private(self) -> bool:
        """Whether nobody outside of this file should call it."""
        return self.outer is not None or self.node.name.startswith("_")

    def parameters(self) -> list[ast.arg]:
        """Give the named parameters, without ``self``."""
        arguments = self.node.args
        every = [*arguments.posonlyargs, *arguments.args]
        if every and every[0].arg in _RECEIVERS:
            del every[0]
        return [*every, *arguments.kwonlyargs]

    def defaults(self) -> dict[str, ast.expr]:
        """Give the default of each parameter that has one."""
        arguments = self.node.args
        every = [*arguments.posonlyargs, *arguments.args]
        count = len(arguments.defaults)
        positional = every[len(every) - count :]
        found = {
            parameter.arg: default
            for parameter, default in zip(
                positional, arguments.defaults, strict=True
            )
        }
        for parameter, default in zip(
            arguments.kwonlyargs, arguments.kw_defaults, strict=True
        ):
            if default is not None:
                found[parameter.arg] = default
        return found


@dataclasses.dataclass(frozen=True)
class Bound:
    """The arguments of one call, by the names of the parameters.

    :ivar given: what the call passes, and the defaults of what it does not
    :ivar extra: what goes into ``**kwargs``
    :ivar is_known: false if a ``*`` or ``**`` in the call hides something
    """

    given: dict[str, ast.expr]
    extra: dict[str, ast.expr]
    is_known: bool


def collect(tree: ast.Module) -> list[Function]:
    """Find every function of a file, the nested ones too.

    :param tree: the file
    :returns: the functions, an outer one before those inside
    """
    found: list[Function] = []

    def visit(node: ast.AST, prefix: str, outer: Function | None) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                visit(child, f"{prefix}{child.name}.", outer)
            elif isinstance(child, Node):
                function = Function(child, f"{prefix}{child.name}", outer)
                found.append(function)
                visit(child, f"{function.name}.", function)
            elif isinstance(child, _HOLDERS):
                visit(child, prefix, outer)

    visit(tree, "", None)
    return found


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Walk through a function without those inside of it.

    :param node: the function, or a part of one
    :returns: every node, in the order of the source
    """
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _BODIES):
            yield child
            yield from own_nodes(child)


def outside(node: ast.AST) -> Iterator[ast.stmt]:
    """Find the statements of a file that are in no function.

    :param node: the file, or a class of it
    :returns: the statements
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield from outside(child)
        elif isinstance(child, ast.stmt) and not isinstance(child, Node):
            yield child


def own_calls(node: ast.AST) -> Iterator[ast.Call]:
    """Find the calls of an expression, in the order in which they run.

    :param node: an expression or a statement
    """
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, _BODIES):
            yield from own_calls(child)
    if isinstance(node, ast.Call):
        yield node


def name_of(node: ast.expr) -> str:
    """Give the last part of a dotted name, or an empty string.

    :param node: an expression
    """
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    return ""


def bind(call: ast.Call, function: Function) -> Bound:
    """Say which argument of a call goes into which parameter.

    :param call: the call
    :param function: what is called
    :returns: the arguments
    """
    parameters = [parameter.arg for parameter in function.parameters()]
    keyword_only = len(function.node.args.kwonlyargs)
    positional = parameters[: len(parameters) - keyword_only]
    given = function.defaults()
    extra: dict[str, ast.expr] = {}
    is_known = True
    for name, argument in zip(positional, call.args, strict=False):
        if isinstance(argument, ast.Starred):
            is_known = False
            break
        given[name] = argument
    for keyword in call.keywords:
        if keyword.arg is None:
            is_known = False
        elif keyword.arg in parameters:
            given[keyword.arg] = keyword.value
        else:
            extra[keyword.arg] = keyword.value
    return Bound(given, extra, is_known)
