# SPDX-License-Identifier: Apache-2.0
"""Reads one file of Nova's source."""

import ast
from collections.abc import Iterable, Iterator, Mapping
import dataclasses
import functools
import re
from typing import Any, Final

from nova_db_states.drift import calls
from nova_db_states.drift import decorators
from nova_db_states.drift import functions
from nova_db_states.drift import learning
from nova_db_states.drift import paths
from nova_db_states.drift import selection
from nova_db_states.drift import sites
from nova_db_states.drift import statements
from nova_db_states.drift import values
from nova_db_states.drift import vocabulary
from nova_db_states.drift import walk

__all__ = ["MENTION", "Source"]

MENTION: Final = re.compile(
    r"vm_state|task_state|_error_state|_instance_update|_error_out_instance"
    r"|(inst(ance)?(_ref|_obj)?|server)\.(save|create|destroy|update)\("
    r"|\bInstance\(|\b(__)?setattr(__)?\("
    r"|\binstance_(create|update|destroy)|\bupdate_on_match"
    r"|\b(inst(ance)?(_ref|_obj)?|server)\[\w+\] = "
    r"|(?i:\bupdate\s+\W?instances\b)"
)
"""What the source of a function without any write of a state lacks."""

# The place of what stands in no function.
_OUTSIDE: Final = "(module)"

_WORD: Final = re.compile(r"\w+")
_STATE: Final = re.compile(r"vm_state|task_state")

# A private function learns its arguments from its callers, which learn
# theirs from their own; those that call themselves never end.
_MAX_ROUNDS: Final = 8

_NULL: Final[sites.Values] = frozenset({None})
_KEEP: Final[sites.Values] = frozenset({sites.KEEP})


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
        self._tree = tree
        self._functions = functions.collect(tree)
        self._decorators = decorators.Decorators(tree)
        evaluator = values.Evaluator(words.constants)
        evaluator.globals = vocabulary.top_level(tree, evaluator)
        self._evaluator = evaluator
        self._known = _unique(self._functions)
        self._interesting = _interesting(self._known, lines)
        self._learners = {
            name: function
            for name, function in self._interesting.items()
            if function.is_private and name not in calls.HELPERS
        }
        self._mentions = _mentions(
            self._functions,
            lines,
            frozenset(self._interesting),
            self._decorators,
        )
        self._learning = learning.Learning(
            evaluator,
            self._learners,
            _handed_on(tree, frozenset(self._learners)),
        )
        self._left: dict[str, dict[str, paths.Pending]] = {}

    def checks(
        self, heads: Mapping[str, functions.Function]
    ) -> Iterator[sites.Check]:
        """Give the decorators that look at states.

        :param heads: the decorators' own functions, by name
        """
        return vocabulary.checks(
            self.file,
            self._functions,
            heads,
            self._evaluator,
            self._decorators,
        )

    def places(self) -> Iterator[str]:
        """Give every function of the file as ``file:function``."""
        for function in self._functions:
            yield f"{self.file}:{function.name}"

    def conditions(self) -> Iterator[tuple[str, frozenset[str]]]:
        """Give what the functions of the file select servers by.

        Only those that may write a state or pass one on have any. What their
        arguments can be is known after :meth:`writes`.
        """
        for function in self._mentions:
            found = selection.read(
                function, self._evaluator, self._learning.names(function)
            )
            if found:
                yield f"{self.file}:{function.name}", found

    def heads(self) -> dict[str, functions.Function]:
        """Give the functions of the file by their names."""
        return dict(self._known)

    def writes(self) -> list[sites.Site]:
        """Give every write, in the order of the file."""
        found: dict[functions.Function, list[sites.Site]] = {}
        concerned = list(self._mentions)
        for _ in range(_MAX_ROUNDS):
            left = dict(self._left)
            for function in concerned:
                self._learning.forget(function)
                found[function] = list(self._of_function(function))
            changed = self._learning.settle() | {
                name
                for name in self._left
                if self._left[name] != left.get(name)
            }
            concerned = [
                function
                for function, mentioned in self._mentions.items()
                if changed & (mentioned | _own_names(function))
            ]
        every = [site for each in found.values() for site in each]
        every += self._outside()
        return sorted(every, key=lambda site: (site.line, site.column))

    def _outside(self) -> Iterator[sites.Site]:
        """Give what is written by texts and names outside of functions."""
        for statement in functions.outside(self._tree):
            for write in calls.references(statement, self._decorators.is_read):
                yield self._site(_OUTSIDE, write)

    def _of_function(
        self, function: functions.Function
    ) -> Iterator[sites.Site]:
        for decorator in self._decorators.of(function):
            if decorator.name == calls.REVERTING:
                yield sites.Site(
                    file=self.file,
                    function=function.name,
                    line=decorator.call.lineno,
                    event=sites.UPDATE,
                    to_vm=_KEEP,
                    to_task=_NULL,
                    via=calls.REVERTING,
                )
        walker = walk.Walker(
            function,
            self._evaluator,
            self._learning.names(function),
            known=self._interesting,
            left=self._left,
            heard=functools.partial(self._learning.hear, function),
        )
        writes = _united(walker.walk())
        if walker.unsaved and function.node.name in self._learners:
            self._left[function.node.name] = walker.unsaved
        for write in writes:
            yield self._site(function.name, write)

    def _site(self, function: str, write: statements.Write) -> sites.Site:
        return sites.Site(
            file=self.file,
            function=function,
            line=write.line,
            column=write.column,
            event=write.event,
            to_vm=write.vm,
            to_task=write.task,
            expected=write.expected,
            expected_vm=write.expected_vm,
            via=write.via,
        )


def _own_names(function: functions.Function) -> frozenset[str]:
    """Give the bare names of a function and of those around it."""
    names = {function.node.name}
    if function.outer is not None:
        names |= _own_names(function.outer)
    return frozenset(names)


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


def _mentions(
    every: Iterable[functions.Function],
    lines: list[str],
    names: frozenset[str],
    applied: decorators.Decorators,
) -> dict[functions.Function, frozenset[str]]:
    """Choose the functions that may write a state or pass one on.

    :param every: the functions
    :param lines: the file
    :param names: the functions that mention a state
    :param applied: finds the decorators that may write one
    :returns: the chosen ones, with those that each of them mentions
    """
    found: dict[functions.Function, frozenset[str]] = {}
    for function in every:
        text = _text(function, lines)
        mentioned = names & frozenset(_WORD.findall(text))
        if mentioned or MENTION.search(text) or applied.of(function):
            found[function] = mentioned
    return found


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


def _united(found: Iterable[statements.Write]) -> list[statements.Write]:
    """Unite what one line writes on different ways.

    Two ways that differ in one thing are one write, where that thing may be
    the one or the other. Those that differ in more stay two.

    :param found: the writes of each way
    :returns: the writes
    """
    writes = list(dict.fromkeys(found))
    # A way on which a save finds nothing to write says nothing of the others.
    changing = {
        (each.line, each.column) for each in writes if each.event != sites.SAVE
    }
    writes = [
        each
        for each in writes
        if each.event != sites.SAVE or (each.line, each.column) not in changing
    ]
    # Two writes for two kinds of exceptions, never both.
    apart = [write for write in writes if write.via == calls.ERROR_OUT]
    writes = [write for write in writes if write not in apart]
    for name in ("expected", "expected_vm", "task", "vm"):
        united: dict[statements.Write, sites.Values | None] = {}
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
    write: statements.Write, name: str, value: sites.Values | None
) -> statements.Write:
    change: dict[str, Any] = {name: value}
    return dataclasses.replace(write, **change)
