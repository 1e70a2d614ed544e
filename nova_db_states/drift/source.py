# SPDX-License-Identifier: Apache-2.0
"""Reads one file of Nova's source."""

import ast
from collections.abc import Iterable, Iterator, Mapping
import dataclasses
import functools
import re
from typing import Any, Final

from nova_db_states.drift import calls
from nova_db_states.drift import functions
from nova_db_states.drift import paths
from nova_db_states.drift import sites
from nova_db_states.drift import values
from nova_db_states.drift import vocabulary
from nova_db_states.drift import walk

__all__ = ["MENTION", "Source"]

MENTION: Final = re.compile(
    r"vm_state|task_state|_error_state|_instance_update"
    r"|_error_out_instance|\b(save|create|destroy|update|Instance|setattr)\("
    r"|\binstance_(create|update|destroy)|\bupdate_on_match"
)
"""What the source of a function without any write of a state lacks."""

_STATE: Final = re.compile(r"vm_state|task_state")

# A private function learns its arguments from its callers, which learn
# theirs from their own. Nova needs two rounds.
_MAX_ROUNDS: Final = 4

_NULL: Final[sites.Values] = frozenset({None})
_KEEP: Final[sites.Values] = frozenset({sites.KEEP})

Arguments = dict[str, dict[str, values.Abstract]]


class Source:
    """One file.

    :param file: its path below the folder that holds ``nova``
    :param text: its source
    :param words: the names of the states
    :ivar file: its path
    """

    def __init__(
        self, file: str, text: str, words: vocabulary.Vocabulary
    ) -> None:
        self.file = file
        tree = ast.parse(text, file)
        lines = text.splitlines()
        self._functions = functions.collect(tree)
        evaluator = values.Evaluator(words.constants)
        evaluator.globals = vocabulary.top_level(tree, evaluator)
        self._evaluator = evaluator
        self._known = _unique(self._functions)
        self._interesting = _interesting(self._known, lines)
        self._learning = {
            name: function
            for name, function in self._interesting.items()
            if function.is_private and name not in calls.HELPERS
        }
        self._concerned = _concerned(self._functions, lines, self._interesting)
        self._handed_on = _handed_on(tree, frozenset(self._learning))
        self._arguments: Arguments = {}
        self._left: dict[str, dict[str, paths.Pending]] = {}

    def checks(
        self, heads: Mapping[str, functions.Function]
    ) -> Iterator[sites.Check]:
        """Give the decorators that look at states.

        :param heads: the decorators' own functions, by name
        """
        return vocabulary.checks(
            self.file, self._functions, heads, self._evaluator
        )

    def heads(self) -> dict[str, functions.Function]:
        """Give the functions of the file by their names."""
        return dict(self._known)

    def writes(self) -> list[sites.Site]:
        """Give every write, in the order of the file."""
        found: list[sites.Site] = []
        for _ in range(_MAX_ROUNDS):
            heard: Arguments = {}
            left = dict(self._left)
            found = [
                site
                for function in self._concerned
                for site in self._of_function(function, heard)
            ]
            if (heard, self._left) == (self._arguments, left):
                break
            self._arguments = heard
        return sorted(found, key=lambda site: site.line)

    def _of_function(
        self, function: functions.Function, heard: Arguments
    ) -> Iterator[sites.Site]:
        for decorator in function.node.decorator_list:
            if functions.name_of(decorator) == calls.REVERTING:
                yield sites.Site(
                    file=self.file,
                    function=function.name,
                    line=decorator.lineno,
                    event=sites.UPDATE,
                    to_vm=_KEEP,
                    to_task=_NULL,
                    via=calls.REVERTING,
                )
        names = {**self._around(function), **self._parameters(function)}
        walker = walk.Walker(
            function,
            self._evaluator,
            names,
            known=self._interesting,
            left=self._left,
            heard=functools.partial(self._hear, heard),
        )
        writes = _united(walker.walk())
        if walker.unsaved and function.node.name in self._learning:
            self._left[function.node.name] = walker.unsaved
        for write in writes:
            yield sites.Site(
                file=self.file,
                function=function.name,
                line=write.line,
                event=write.event,
                to_vm=write.vm,
                to_task=write.task,
                expected=write.expected,
                expected_vm=write.expected_vm,
                via=write.via,
            )

    def _hear(
        self,
        heard: Arguments,
        call: ast.Call,
        names: Mapping[str, values.Abstract],
    ) -> None:
        """Note what a call passes to a function that learns from its calls."""
        self._note(heard, call, names)
        for index, argument in enumerate(call.args):
            # As in spawn(function, its, arguments).
            self._note(
                heard,
                ast.Call(argument, call.args[index + 1 :], call.keywords),
                names,
            )

    def _note(
        self,
        heard: Arguments,
        call: ast.Call,
        names: Mapping[str, values.Abstract],
    ) -> None:
        name = values.called(call)
        function = self._learning.get(name)
        if function is None:
            return
        bound = functions.bind(call, function)
        passed: dict[str, values.Abstract] = {}
        for parameter in function.parameters():
            given = bound.given.get(parameter.arg)
            passed[parameter.arg] = (
                self._evaluator.of(given, names)
                if bound.is_known
                else values.ANYTHING
            )
        if function.node.args.kwarg is not None:
            passed[function.node.args.kwarg.arg] = values.Table(
                frozenset(
                    (key, self._evaluator.of(value, names))
                    for key, value in bound.extra.items()
                ),
                is_open=not bound.is_known,
            )
        before = heard.setdefault(name, passed)
        heard[name] = {
            key: values.either(before[key], value)
            for key, value in passed.items()
        }

    def _parameters(
        self, function: functions.Function
    ) -> dict[str, values.Abstract]:
        """Say what the parameters of a function can be."""
        learnt = self._arguments.get(function.node.name)
        is_learning = function.node.name in self._learning
        if is_learning and learnt and not self._is_handed_on(function):
            return _something(learnt)
        found: dict[str, values.Abstract] = {}
        outside = self._around(function)
        for name, default in function.defaults().items():
            value = self._evaluator.of(default, outside)
            if isinstance(value, values.Choice):
                found[name] = values.either(value, values.ANYTHING)
        return _something(found)

    def _is_handed_on(self, function: functions.Function) -> bool:
        return function.node.name in self._handed_on

    def _around(
        self, function: functions.Function
    ) -> dict[str, values.Abstract]:
        """Say what the names of the functions around one can be."""
        outer = function.outer
        if outer is None:
            return {}
        names = {**self._around(outer), **self._parameters(outer)}
        for node in functions.own_nodes(outer.node):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    found = self._evaluator.of(value, names)
                    before = names.get(name, found)
                    names[name] = values.either(before, found)
                case _:
                    pass
        return _something(names)


def _something(
    names: Mapping[str, values.Abstract],
) -> dict[str, values.Abstract]:
    return {
        name: value
        for name, value in names.items()
        if value != values.ANYTHING
    }


def _unique(
    every: Iterable[functions.Function],
) -> dict[str, functions.Function]:
    found: dict[str, list[functions.Function]] = {}
    for function in every:
        found.setdefault(function.node.name, []).append(function)
    return {name: each[0] for name, each in found.items() if len(each) == 1}


def _interesting(
    known: Mapping[str, functions.Function], lines: list[str]
) -> dict[str, functions.Function]:
    """Choose the functions that mention a state."""
    return {
        name: function
        for name, function in known.items()
        if _STATE.search(_text(function, lines))
    }


def _concerned(
    every: Iterable[functions.Function],
    lines: list[str],
    interesting: Iterable[str],
) -> list[functions.Function]:
    """Choose the functions that may write a state or pass one on."""
    passing = re.compile(rf"\b({'|'.join(interesting)})\b")
    return [
        function
        for function in every
        for text in [_text(function, lines)]
        if MENTION.search(text) or passing.search(text)
    ]


def _text(function: functions.Function, lines: list[str]) -> str:
    node = function.node
    first = min(each.lineno for each in [node, *node.decorator_list])
    return "\n".join(lines[first - 1 : node.end_lineno])


def _handed_on(tree: ast.Module, names: frozenset[str]) -> frozenset[str]:
    """Find the names that are kept, and not only called or passed on."""
    used: list[ast.expr] = []
    called: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called.add(id(node.func))
            called.update(map(id, node.args))
        elif isinstance(node, ast.Name | ast.Attribute):
            used.append(node)
    return (
        frozenset(
            functions.name_of(node) for node in used if id(node) not in called
        )
        & names
    )


def _united(found: Iterable[calls.Write]) -> list[calls.Write]:
    """Unite what one line writes on different ways.

    Two ways that differ in one thing are one write, where that thing may be
    the one or the other. Those that differ in more stay two.

    :param found: the writes of each way
    :returns: the writes
    """
    writes = list(dict.fromkeys(found))
    # A way on which a save finds nothing to write says nothing of the others.
    changing = {each.line for each in writes if each.event != sites.SAVE}
    writes = [
        each
        for each in writes
        if each.event != sites.SAVE or each.line not in changing
    ]
    # Two writes for two kinds of exceptions, never both.
    apart = [write for write in writes if write.via == calls.ERROR_OUT]
    writes = [write for write in writes if write not in apart]
    for name in ("expected", "expected_vm", "task", "vm"):
        united: dict[calls.Write, sites.Values | None] = {}
        for write in writes:
            mine: sites.Values | None = getattr(write, name)
            # A guard and no guard are never the same write.
            blank = frozenset({"-"}) if mine is not None else None
            key = _with(write, name, blank)
            before = united.get(key)
            if before is not None and mine is not None:
                mine |= before
            united[key] = mine
        writes = [_with(key, name, value) for key, value in united.items()]
    return [*writes, *apart]


def _with(
    write: calls.Write, name: str, value: sites.Values | None
) -> calls.Write:
    change: dict[str, Any] = {name: value}
    return dataclasses.replace(write, **change)
