# SPDX-License-Identifier: Apache-2.0
"""What the calls in Nova's source do to the state of a server.

This is all that the scanner knows of Nova's own helpers: their names, and
where in a call the states are. What a helper does inside is read from its
source like everything else.
"""

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from nova_db_states.drift import functions
from nova_db_states.drift import paths
from nova_db_states.drift import sites
from nova_db_states.drift import statements
from nova_db_states.drift import values

__all__ = [
    "ERROR_OUT",
    "HELPERS",
    "REVERTING",
    "Calls",
    "references",
]

Write = statements.Write

REVERTING: Final = "reverts_task_state"
"""The decorator that clears ``task_state`` when a method fails."""

ERROR_OUT: Final = "_error_out_instance_on_exception"
"""The context manager that writes one thing or another when a block fails."""

_CALLBACK: Final = "update_task_state"
_AFTER_SPAWN: Final = "_update_instance_after_spawn"

HELPERS: Final = frozenset(
    {
        REVERTING,
        _CALLBACK,
        _AFTER_SPAWN,
        ERROR_OUT,
        "_instance_update",
        "_set_instance_error_state",
        "_set_instance_obj_error_state",
        "_set_vm_state",
        "_set_vm_state_and_notify",
        "set_vm_state_and_notify",
    }
)
"""Functions of Nova's whose every call is a write of its own."""

_EVENTS: Final = {
    "instance_create": sites.CREATE,
    "instance_destroy": sites.DESTROY,
}

_KEEP: Final[sites.Values] = frozenset({sites.KEEP})
_NULL: Final[sites.Values] = frozenset({None})
_ERROR: Final[sites.Values] = frozenset({"error"})
_ANY: Final = values.ANYTHING.values


def references(
    node: ast.AST, is_read: Callable[[ast.expr], bool] | None = None
) -> Iterator[Write]:
    """Find what is handed to somebody else to call, or is text of SQL.

    :param node: an expression or a statement
    :param is_read: says of a name whether its use is understood
    :returns: for each a write of which nothing is known
    """
    every = (HELPERS - {_CALLBACK}) | statements.DATABASE
    for each in statements.borrowed(node, every):
        if is_read is None or not is_read(each):
            name = functions.name_of(each)
            yield statements.unknown(each, sites.UPDATE, name)
    for text in statements.texts(node):
        yield statements.unknown(text, sites.UPDATE, "SQL")


class Calls:
    """Applies the calls of one file.

    :param evaluator: reads the arguments
    :param known: the functions of the file, by their bare names; only those
        whose name is unique in it
    :param left: what functions of the file leave unsaved, by their names
    :param aliases: further names that the function has for servers
    :param saved: is told the lines whose assignment a write saves
    """

    def __init__(
        self,
        evaluator: values.Evaluator,
        known: Mapping[str, functions.Function],
        left: Mapping[str, Mapping[str, paths.Pending]],
        aliases: frozenset[str],
        saved: Callable[[frozenset[int]], None],
    ) -> None:
        self._evaluator = evaluator
        self._known = known
        self._left = left
        self._aliases = aliases
        self._saved = saved

    def is_instance(self, owner: str) -> bool:
        """Say whether an object is a server, as far as its name tells.

        :param owner: the object as the source writes it
        """
        return owner in self._aliases or statements.is_instance(owner)

    def apply(self, call: ast.Call, path: paths.Path) -> Iterator[Write]:
        """Do what a call does.

        :param call: the call
        :param path: the way to it, which is changed
        :returns: the writes
        """
        name = values.called(call)
        if isinstance(call.func, ast.Attribute):
            yield from self._method(name, call.func.value, call, path)
        if name in HELPERS:
            yield from self._helper(name, call, path)
        elif name in statements.DATABASE:
            yield statements.unknown(call, _EVENTS.get(name, sites.UPDATE))
        elif name in {"setattr", "__setattr__"}:
            self._setattr(call, path)
        elif name in self._left:
            self._inherit(name, call, path)

    def _method(
        self, name: str, on: ast.expr, call: ast.Call, path: paths.Path
    ) -> Iterator[Write]:
        owner = ast.unparse(on)
        is_made = isinstance(on, ast.Call) and statements.is_made(on)
        if isinstance(on, ast.Call) and is_made:
            table = self._evaluator.keywords(on, path.names)
            path.put(owner, table, on.lineno)
        match name:
            case "save":
                yield from self._save(call, owner, path)
            case "create" | "destroy" if is_made or self.is_instance(owner):
                yield self._born_or_gone(call, owner, path)
            case "update":
                yield from self._update(call, owner, path)
            case "values" if statements.is_statement(call):
                table = self._given(call, path)
                if table.is_open or self._has_state(table):
                    yield self._of_table(call, table, name)
            case "update_on_match" if "models.Instance," in owner:
                yield statements.unknown(call, sites.UPDATE)
            case "append" | "extend" | "add" if owner in path.names:
                self._widen(call, owner, path)

    def _inherit(self, name: str, call: ast.Call, path: paths.Path) -> None:
        given = functions.bind(call, self._known[name]).given
        for owner, pending in self._left[name].items():
            first, _, rest = owner.partition(".")
            if first in given:
                first = ast.unparse(given[first])
            elif first != "self":
                continue
            path.inherit(f"{first}.{rest}" if rest else first, pending)

    def _save(
        self, call: ast.Call, owner: str, path: paths.Path
    ) -> Iterator[Write]:
        expected = self._guard(call, owner, "expected_task_state", 1, path)
        expected_vm = self._guard(call, owner, "expected_vm_state", 0, path)
        guarded = expected is not None or expected_vm is not None
        pending = path.pending.pop(owner, None)
        if pending is not None:
            self._saved(pending.lines)
        elif not guarded and not self.is_instance(owner):
            return
        is_change = guarded or pending is not None
        done = pending or paths.Pending()
        yield Write(
            call.lineno,
            sites.UPDATE if is_change else sites.SAVE,
            done.vm,
            done.task,
            expected,
            expected_vm,
        )

    def _guard(
        self,
        call: ast.Call,
        owner: str,
        name: str,
        position: int,
        path: paths.Path,
    ) -> sites.Values | None:
        given: ast.expr | None = None
        # The models of the database have a save() too, which takes a session.
        if (
            self.is_instance(owner)
            and len(call.args) > position
            and functions.name_of(call.args[position]) != "session"
        ):
            given = call.args[position]
        for keyword in call.keywords:
            if keyword.arg == name:
                given = keyword.value
        if given is None:
            return None
        found = self._evaluator.of(given, path.names)
        if isinstance(found, values.Table):
            return _ANY
        # Nova takes a bare None for "no guard", and [None] for NULL.
        if found.values == _NULL and not found.many:
            return None
        return found.values

    def _born_or_gone(
        self, call: ast.Call, owner: str, path: paths.Path
    ) -> Write:
        pending = path.pending.pop(owner, None)
        if pending is not None:
            self._saved(pending.lines)
        if values.called(call) == "destroy":
            done = pending or paths.Pending()
            return Write(call.lineno, sites.DESTROY, done.vm, done.task)
        done = pending or paths.Pending(_ANY, _ANY)
        return Write(call.lineno, sites.CREATE, done.vm, done.task)

    def _update(
        self, call: ast.Call, owner: str, path: paths.Path
    ) -> Iterator[Write]:
        table = self._given(call, path)
        if isinstance(path.names.get(owner), values.Table):
            before = path.names[owner]
            assert isinstance(before, values.Table)
            path.names[owner] = self._evaluator.merged(before, table)
        elif self.is_instance(owner):
            path.put(owner, table, call.lineno)
        elif self._has_state(table):
            # A statement of SQL, or of an object that is not called a server.
            yield self._of_table(call, table, "update")

    def _given(self, call: ast.Call, path: paths.Path) -> values.Table:
        """Give what a call takes as a dictionary or as keywords."""
        table = values.Table(frozenset())
        for argument in call.args[:1]:
            found = self._evaluator.of(argument, path.names)
            table = self._evaluator.merged(table, found)
        return self._evaluator.keywords(call, path.names, table)

    def _widen(self, call: ast.Call, owner: str, path: paths.Path) -> None:
        for argument in call.args:
            path.names[owner] = values.either(
                path.names[owner],
                self._evaluator.of(argument, path.names),
            )

    def _setattr(self, call: ast.Call, path: paths.Path) -> None:
        """Set an attribute whose name is an argument.

        The owner is the first one, too: ``instance.__setattr__(name, value)``
        is the same as ``object.__setattr__(instance, name, value)``.
        """
        arguments = list(call.args)
        if len(arguments) == 2 and isinstance(call.func, ast.Attribute):  # noqa: PLR2004 - a name and a value
            arguments.insert(0, call.func.value)
        if len(arguments) > 2:  # noqa: PLR2004 - the owner before them
            owner, key, value = arguments[0], arguments[1], arguments[-1]
            self.set_item(ast.unparse(owner), key, value, path, call.lineno)

    def set_item(
        self,
        owner: str,
        key: ast.expr,
        value: ast.expr | None,
        path: paths.Path,
        line: int,
    ) -> None:
        """Set what an expression names.

        :param owner: the object whose attribute or item it is
        :param key: the name
        :param value: the value, ``None`` if nothing is known of it
        :param path: the way to it, which is changed
        :param line: where
        """
        names = self._evaluator.of(key, path.names)
        table = values.Table(frozenset(), is_open=True)
        if isinstance(names, values.Choice) and names != values.ANYTHING:
            found = self._evaluator.of(value, path.names)
            if len(names.values) > 1:
                found = values.either(found, values.NOTHING)
            is_open = sites.UNKNOWN in names.values
            table = values.Table(
                frozenset((name, found) for name in names.values), is_open
            )
        is_state = self._has_state(table) and not table.is_open
        if is_state or self.is_instance(owner):
            path.put(owner, table, line)

    def _helper(
        self, name: str, call: ast.Call, path: paths.Path
    ) -> Iterator[Write]:
        line = call.lineno
        match name:
            case "_set_instance_obj_error_state":
                clean = self._argument(call, "clean_task_state", 1, path)
                yield Write(line, sites.UPDATE, _ERROR, clean, via=name)
            case "_set_instance_error_state":
                yield Write(line, sites.UPDATE, _ERROR, _NULL, via=name)
            case "_error_out_instance_on_exception":
                back = self._argument(call, "instance_state", 2, path)
                yield Write(line, sites.UPDATE, back, _NULL, via=name)
                yield Write(line, sites.UPDATE, _ERROR, _KEEP, via=name)
            case "_instance_update":
                table = self._evaluator.keywords(call, path.names)
                if table.is_open or self._has_state(table):
                    yield self._of_table(call, table, name)
            # Drivers have methods of that name for what the guest is in.
            case "_set_vm_state" if isinstance(call.func, ast.Name):
                vm = self._argument(call, "vm_state", 3, path)
                task = self._argument(call, "task_state", 4, path)
                yield Write(line, sites.UPDATE, vm, task, via=name)
            case "_set_vm_state_and_notify" | "set_vm_state_and_notify":
                yield self._of_table(call, self._updates(call, path), name)
            case "update_task_state":
                task = self._argument(call, "task_state", 0, path)
                guard = self._argument(call, "expected_state", 1, path)
                yield Write(line, sites.UPDATE, _KEEP, task, guard, via=name)
            case "_update_instance_after_spawn":
                self._after_spawn(call, path)

    def _after_spawn(self, call: ast.Call, path: paths.Path) -> None:
        owner = "instance"
        for argument in call.args:
            if self.is_instance(ast.unparse(argument)):
                owner = ast.unparse(argument)
        vm = values.Choice(self._argument(call, "vm_state", 1, path))
        table = values.Table(
            frozenset({("vm_state", vm), ("task_state", values.Choice(_NULL))})
        )
        path.put(owner, table, call.lineno)

    def _argument(
        self, call: ast.Call, name: str, position: int, path: paths.Path
    ) -> sites.Values:
        """Read one argument of a helper.

        The place in the call is that of the helper's own head where the file
        has one; elsewhere it is the given position.
        """
        function = self._known.get(values.called(call))
        given: ast.expr | None = None
        if function is not None:
            bound = functions.bind(call, function)
            if not bound.is_known:
                return _ANY
            given = bound.given.get(name)
        elif len(call.args) > position:
            given = call.args[position]
        for keyword in call.keywords:
            if keyword.arg == name:
                given = keyword.value
        if isinstance(given, ast.Constant) and isinstance(given.value, bool):
            # clean_task_state
            return _NULL if given.value else _KEEP
        found = self._evaluator.of(given, path.names)
        if isinstance(found, values.Table):
            return _ANY
        return found.values

    def _updates(self, call: ast.Call, path: paths.Path) -> values.Table:
        for argument in [*call.args, *(k.value for k in call.keywords)]:
            found = self._evaluator.of(argument, path.names)
            if isinstance(found, values.Table) and (
                found.is_open or self._has_state(found)
            ):
                return found
        return values.Table(frozenset(), is_open=True)

    @staticmethod
    def _has_state(table: values.Table) -> bool:
        names = {key for key, _ in table.entries}
        return bool(names & {"vm_state", "task_state"})

    @staticmethod
    def _of_table(call: ast.Call, table: values.Table, via: str) -> Write:
        vm = table.get("vm_state")
        task = table.get("task_state")
        return Write(
            call.lineno,
            sites.UPDATE,
            vm.values if isinstance(vm, values.Choice) else _ANY,
            task.values if isinstance(task, values.Choice) else _ANY,
            via=via,
        )
