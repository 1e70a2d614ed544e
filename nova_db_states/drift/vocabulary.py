# SPDX-License-Identifier: Apache-2.0
"""What Nova's source says about states beside writing them.

The two enums, the modules that name their values, the decorators that look
at a state before an API method runs, and the table of reported statuses.
"""

import ast
from collections.abc import Iterator, Mapping
import dataclasses
from typing import Final

from nova_db_states.drift import decorators
from nova_db_states.drift import functions
from nova_db_states.drift import sites
from nova_db_states.drift import values

__all__ = ["Vocabulary", "checks", "read", "statuses", "top_level"]

_VM: Final = "InstanceState"
_TASK: Final = "InstanceTaskState"
_REJECTS: Final = "reject_instance_state"

# Where a decorator is used in a way that nobody can read.
_OUTSIDE: Final = "(elsewhere)"


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """The names under which the source of one release speaks of states.

    :ivar vm_states: names and values of ``InstanceState``
    :ivar task_states: names and values of ``InstanceTaskState``
    :ivar constants: what each name of the enums and of the modules
        ``vm_states`` and ``task_states`` stands for, by enum or module
    """

    vm_states: Mapping[str, str]
    task_states: Mapping[str, str]
    constants: Mapping[str, Mapping[str, values.Abstract]]


def read(
    fields: ast.Module, vm_states: ast.Module, task_states: ast.Module
) -> Vocabulary:
    """Read the names of the states.

    :param fields: ``nova/objects/fields.py``
    :param vm_states: ``nova/compute/vm_states.py``
    :param task_states: ``nova/compute/task_states.py``
    :returns: the names and what they stand for
    """
    enums = {name: _enum(fields, name) for name in (_VM, _TASK)}
    constants: dict[str, Mapping[str, values.Abstract]] = {
        name: {
            key: values.Choice(frozenset({value}))
            for key, value in enum.items()
        }
        for name, enum in enums.items()
    }
    for name, tree in ("vm_states", vm_states), ("task_states", task_states):
        evaluator = values.Evaluator(constants)
        constants = {**constants, name: top_level(tree, evaluator)}
    return Vocabulary(enums[_VM], enums[_TASK], constants)


def _enum(tree: ast.Module, name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in tree.body:
        if not isinstance(node, ast.ClassDef) or node.name != name:
            continue
        for statement in node.body:
            match statement:
                case (
                    ast.Assign(
                        targets=[ast.Name(id=key)],
                        value=ast.Constant(value=str() as value),
                    )
                    | ast.AnnAssign(
                        target=ast.Name(id=key),
                        value=ast.Constant(value=str() as value),
                    )
                ):
                    found[key] = value
                case _:
                    pass
    return found


def top_level(
    tree: ast.Module, evaluator: values.Evaluator
) -> dict[str, values.Abstract]:
    """Evaluate what is assigned at the top of a file.

    :param tree: the file
    :param evaluator: reads the expressions
    :returns: what the names stand for, those left out that may be anything
    """
    names: dict[str, values.Abstract] = {}
    for node in tree.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(
                    target=ast.Name(id=name), value=ast.expr() as value
                )
            ):
                found = evaluator.of(value, names)
                if found != values.ANYTHING:
                    names[name] = found
            case _:
                pass
    return names


def statuses(
    tree: ast.Module, evaluator: values.Evaluator
) -> dict[str, dict[str, str]]:
    """Read the table of statuses out of ``nova/api/openstack/common.py``.

    :param tree: the file
    :param evaluator: reads the expressions
    :returns: the status by ``vm_state`` and then by ``task_state``
    """
    found: dict[str, dict[str, str]] = {}
    table = top_level(tree, evaluator).get("_STATE_MAP")
    if not isinstance(table, values.Table):
        return found
    for vm, row in table.entries:
        if not isinstance(row, values.Table):
            continue
        found[str(vm)] = {
            str(task): sites.shown(status.values)
            for task, status in row.entries
            if isinstance(status, values.Choice)
        }
    return found


def checks(
    file: str,
    every: list[functions.Function],
    heads: Mapping[str, functions.Function],
    evaluator: values.Evaluator,
    applied: decorators.Decorators,
) -> Iterator[sites.Check]:
    """Read the decorators of one file that look at states.

    :param file: the path of the file
    :param every: its functions
    :param heads: the decorators' own functions, by name, for their defaults
    :param evaluator: reads the expressions
    :param applied: finds the decorators
    :returns: the decorators
    """
    for function in every:
        for found in applied.of(function):
            if found.name in decorators.CHECKS:
                yield _check(file, function.name, found, heads, evaluator)
    for node in applied.strangers():
        name = functions.name_of(node)
        if name in decorators.CHECKS:
            yield sites.Check(
                file=file,
                function=_OUTSIDE,
                line=node.lineno,
                rejects=name == _REJECTS,
                vm_states=values.ANYTHING.values,
                task_states=values.ANYTHING.values,
                must_have_launched=False,
            )


def _check(
    file: str,
    function: str,
    found: decorators.Applied,
    heads: Mapping[str, functions.Function],
    evaluator: values.Evaluator,
) -> sites.Check:
    given: dict[str, ast.expr] = {}
    if found.name in heads:
        given = functions.bind(found.call, heads[found.name]).given
    given |= {each.arg: each.value for each in found.call.keywords if each.arg}
    launched = given.get("must_have_launched")
    return sites.Check(
        file=file,
        function=function,
        line=found.call.lineno,
        rejects=found.name == _REJECTS,
        vm_states=_states(given.get("vm_state"), evaluator),
        task_states=_states(given.get("task_state"), evaluator),
        must_have_launched=isinstance(launched, ast.Constant)
        and launched.value is True,
    )


def _states(
    given: ast.expr | None, evaluator: values.Evaluator
) -> sites.Values | None:
    if given is None:
        return None
    found = evaluator.of(given, {})
    if isinstance(found, values.Table):
        return values.ANYTHING.values
    if not found.many and found.values == {None}:
        return None
    return found.values
