# SPDX-License-Identifier: Apache-2.0
"""Which names of a function may end up in a state.

Every other name is left out of the ways through it, which would be too many.
"""

import ast
from collections.abc import Collection
from typing import Final

from nova_db_states.drift import calls
from nova_db_states.drift import functions
from nova_db_states.drift import values

__all__ = ["STATES", "relevant"]

STATES: Final = frozenset({"vm_state", "task_state"})
"""The columns."""

# Calls whose arguments may be states, besides the helpers.
_TAKERS: Final = calls.HELPERS | {
    "Instance",
    "__setattr__",
    "save",
    "setattr",
    "update",
    "values",
}


def relevant(node: ast.AST, known: Collection[str]) -> frozenset[str]:
    """Find the names of a function that may end up in a state.

    :param node: the function
    :param known: the functions whose arguments matter
    :returns: the names
    """
    sources: dict[str, set[str]] = {}
    wanted: set[str] = set()
    for each in functions.own_nodes(node):
        match each:
            case ast.Call() if (
                values.called(each) in _TAKERS or values.called(each) in known
            ):
                wanted |= _names(each)
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    wanted |= _sources(target, value, sources)
            case (
                ast.AnnAssign(target=target, value=ast.expr() as value)
                | ast.AugAssign(target=target, value=value)
            ):
                wanted |= _sources(target, value, sources)
            case _:
                pass
    missing = set(wanted)
    while missing:
        missing = set().union(*(sources.get(each, ()) for each in missing))
        missing -= wanted
        wanted |= missing
    return frozenset(wanted)


def _sources(
    target: ast.expr, value: ast.expr, sources: dict[str, set[str]]
) -> set[str]:
    """Note what a target of an assignment is made of.

    :param target: the target
    :param value: the value
    :param sources: is told the names in the value, if the target is a name
    :returns: the names in the value, if the target is a state
    """
    match target:
        case ast.Name(id=name):
            sources.setdefault(name, set()).update(_names(value))
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return set().union(
                *(_sources(part, value, sources) for part in parts)
            )
        case ast.Attribute(attr=name) if name in STATES:
            return _names(value)
        case ast.Subscript(slice=ast.Constant(value=key)):
            if key in STATES:
                return _names(value) | _names(target)
        case ast.Subscript(slice=ast.Name()):
            return _names(value) | _names(target)
        case _:
            pass
    return set()


def _names(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
