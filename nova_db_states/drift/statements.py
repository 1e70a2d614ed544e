# SPDX-License-Identifier: Apache-2.0
"""Writes that go past Nova's objects: statements of SQL, and borrowed names.

Nova's releases have next to none of them. So little is read of each, and
what is not understood is a write of which nothing is known.
"""

import ast
from collections.abc import Collection, Iterator
import dataclasses
import re
from typing import Final

from nova_db_states.drift import functions
from nova_db_states.drift import sites
from nova_db_states.drift import values

__all__ = [
    "DATABASE",
    "Write",
    "aliases",
    "borrowed",
    "is_instance",
    "is_made",
    "is_statement",
    "texts",
    "unknown",
]

DATABASE: Final = frozenset(
    {
        "instance_create",
        "instance_destroy",
        "instance_update",
        "instance_update_and_get_original",
    }
)
"""Functions of Nova's database layer that write a row."""

# "instance", "self._target_cell_instance", "db_instance", "inst",
# "instance_ref", "server"
_INSTANCE: Final = re.compile(r"(^|[._])(inst(ance)?(_ref|_obj)?|server)$")
_SQL: Final = re.compile(r"\bupdate\s+\W?instances\W?\s+set\b", re.IGNORECASE)
_UPDATE: Final = re.compile(r"\bupdate\(")
_INSTANCES: Final = re.compile(r"(^|[._])(inst(ance)?s|servers)(\(|$)")
_LOADED: Final = re.compile(r"\bInstance(\.get_by_\w+)?\(")


@dataclasses.dataclass(frozen=True)
class Write:
    """A write that one call makes on one way through its function.

    The attributes are those of :class:`~nova_db_states.drift.sites.Site`.
    """

    line: int
    event: str
    vm: sites.Values
    task: sites.Values
    expected: sites.Values | None = None
    expected_vm: sites.Values | None = None
    via: str = ""
    column: int = 0


def unknown(node: ast.expr, event: str, via: str = "") -> Write:
    """Give a write of which nothing is known.

    :param node: where it is
    :param event: what it does to the row
    :param via: the helper
    """
    every = values.ANYTHING.values
    return Write(node.lineno, event, every, every, every, every, via)


def is_instance(owner: str) -> bool:
    """Say whether a name is one that Nova gives to servers.

    :param owner: the object as the source writes it
    """
    return _INSTANCE.search(owner) is not None


def is_made(node: ast.expr) -> bool:
    """Say whether an expression makes an object of a server.

    :param node: the expression
    """
    return isinstance(node, ast.Call) and values.called(node) == "Instance"


def texts(node: ast.AST) -> Iterator[ast.Constant]:
    """Find texts that are statements of SQL which update servers.

    :param node: an expression or a statement
    :returns: the texts, those left out that are documentation
    """
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    for part in (node, *functions.own_nodes(node)):
        if (
            isinstance(part, ast.Constant)
            and isinstance(part.value, str)
            and _SQL.search(part.value)
        ):
            yield part


def is_statement(call: ast.Call) -> bool:
    """Say whether a call gives values to an update of SQLAlchemy's.

    :param call: the call
    """
    return (
        isinstance(call.func, ast.Attribute)
        and call.func.attr == "values"
        and _UPDATE.search(ast.unparse(call.func.value)) is not None
    )


def borrowed(node: ast.AST, helpers: Collection[str]) -> Iterator[ast.expr]:
    """Find functions that write and are not called where they are named.

    :param node: an expression or a statement
    :param helpers: the names of the functions
    :returns: where they are named
    """
    every = [node, *functions.own_nodes(node)]
    called = {id(each.func) for each in every if isinstance(each, ast.Call)}
    for each in every:
        if (
            isinstance(each, ast.Name | ast.Attribute)
            and isinstance(each.ctx, ast.Load)
            and id(each) not in called
            and functions.name_of(each) in helpers
        ):
            yield each


def aliases(
    function: ast.AST, instances: Collection[str] = ()
) -> frozenset[str]:
    """Find the other names that a function has for servers.

    :param function: the function
    :param instances: names that are known to be of servers
    :returns: the names
    """
    found = set(instances)
    for node in functions.own_nodes(function):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                if _is_server(value, found):
                    found.add(name)
            case (
                ast.For(target=ast.Name(id=name), iter=each)
                | ast.comprehension(target=ast.Name(id=name), iter=each)
            ):
                if _INSTANCES.search(ast.unparse(each)):
                    found.add(name)
            case _:
                pass
    return frozenset(found)


def _is_server(value: ast.expr, known: Collection[str]) -> bool:
    if isinstance(value, ast.Name | ast.Attribute):
        text = ast.unparse(value)
        return text in known or is_instance(text)
    if isinstance(value, ast.Call):
        return _LOADED.search(ast.unparse(value)) is not None
    return False
