# SPDX-License-Identifier: Apache-2.0
"""What the private functions of a file are called with.

Such a function can only get what the rest of its file passes, so what its
parameters stand for is learnt from the calls.
"""

import ast
from collections.abc import Mapping

from nova_db_states.drift import functions
from nova_db_states.drift import values

__all__ = ["Learning"]

_Names = dict[str, values.Abstract]


class Learning:
    """Listens to the calls of one file.

    :param evaluator: reads the arguments
    :param learners: the functions to learn about, by their bare names
    :param strangers: those of them that are put somewhere, from where anybody
        may call them with anything
    """

    def __init__(
        self,
        evaluator: values.Evaluator,
        learners: Mapping[str, functions.Function],
        strangers: frozenset[str],
    ) -> None:
        self._evaluator = evaluator
        self._learners = learners
        self._strangers = strangers
        self._heard: dict[functions.Function, dict[str, _Names]] = {}
        self._learnt: dict[str, _Names] = {}

    def forget(self, caller: functions.Function) -> None:
        """Forget the calls of a function that is about to be read again.

        :param caller: the function
        """
        self._heard[caller] = {}

    def hear(
        self,
        caller: functions.Function,
        call: ast.Call,
        names: Mapping[str, values.Abstract],
    ) -> None:
        """Note what a call passes.

        :param caller: the function that makes it
        :param call: the call
        :param names: what the names stand for there
        """
        self._note(self._heard[caller], call, names)
        for index, argument in enumerate(call.args):
            # As in spawn(function, its, arguments).
            spawned = ast.Call(argument, call.args[index + 1 :], call.keywords)
            self._note(self._heard[caller], spawned, names)

    def _note(
        self,
        heard: dict[str, _Names],
        call: ast.Call,
        names: Mapping[str, values.Abstract],
    ) -> None:
        name = values.called(call)
        function = self._learners.get(name)
        if function is None:
            return
        bound = functions.bind(call, function)
        passed: _Names = {}
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
        heard[name] = _both(heard.get(name, passed), passed)

    def settle(self) -> frozenset[str]:
        """Let what was heard count.

        :returns: the functions for which that says something else than before
        """
        learnt: dict[str, _Names] = {}
        for heard in self._heard.values():
            for name, passed in heard.items():
                learnt[name] = _both(learnt.get(name, passed), passed)
        before, self._learnt = self._learnt, learnt
        return frozenset(
            name
            for name in {*before, *learnt}
            if before.get(name) != learnt.get(name)
        )

    def names(self, function: functions.Function) -> _Names:
        """Say what the names in a function stand for when it begins.

        :param function: the function
        :returns: the names of which something is known
        """
        return {**self._around(function), **self._parameters(function)}

    def _parameters(self, function: functions.Function) -> _Names:
        name = function.node.name
        learnt = self._learnt.get(name)
        if learnt and name not in self._strangers:
            return _something(learnt)
        found: _Names = {}
        outside = self._around(function)
        for parameter, default in function.defaults().items():
            value = self._evaluator.of(default, outside)
            if isinstance(value, values.Choice):
                found[parameter] = values.either(value, values.ANYTHING)
        return _something(found)

    def _around(self, function: functions.Function) -> _Names:
        """Say what the names of the functions around one can be."""
        outer = function.outer
        if outer is None:
            return {}
        names = self.names(outer)
        for node in functions.own_nodes(outer.node):
            match node:
                case (
                    ast.Assign(targets=[ast.Name(id=name)], value=value)
                    | ast.AnnAssign(
                        target=ast.Name(id=name), value=ast.expr() as value
                    )
                ):
                    found = self._evaluator.of(value, names)
                    before = names.get(name, found)
                    names[name] = values.either(before, found)
                case _:
                    pass
        return _something(names)


def _both(one: _Names, other: _Names) -> _Names:
    return {
        name: values.either(one[name], value) for name, value in other.items()
    }


def _something(names: _Names) -> _Names:
    return {
        name: value
        for name, value in names.items()
        if value != values.ANYTHING
    }
