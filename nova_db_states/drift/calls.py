# SPDX-License-Identifier: Apache-2.0
"""What the calls in Nova's source do to the state of a server.

This is all that the scanner knows of Nova's own helpers: their names, and
where in a call the states are. What a helper does inside is read from its
source like everything else.
"""

import ast
from collections.abc import Callable, Iterator, Mapping
import dataclasses
import re
from typing import Final

from nova_db_states.drift import functions
from nova_db_states.drift import paths
from nova_db_states.drift import sites
from nova_db_states.drift import values

__all__ = [
    "ERROR_OUT",
    "HELPERS",
    "REVERTING",
    "Calls",
    "Write",
    "is_instance",
    "references",
]

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

_DATABASE: Final = {
    "instance_create": sites.CREATE,
    "instance_destroy": sites.DESTROY,
    "instance_update": sites.UPDATE,
    "instance_update_and_get_original": sites.UPDATE,
}

_KEEP: Final[sites.Values] = frozenset({sites.KEEP})
_NULL: Final[sites.Values] = frozenset({None})
_ERROR: Final[sites.Values] = frozenset({"error"})
_ANY: Final = values.ANYTHING.values

# "instance", "self._target_cell_instance", "db_instance", "inst",
# "instance_ref", "server"
_INSTANCE: Final = re.compile(r"(^|[._])(inst(ance)?(_ref|_obj)?|server)$")


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


def is_instance(owner: str) -> bool:
    """Say whether a name is one that Nova gives to servers.

    :param owner: the object as the source writes it
    """
    return _INSTANCE.search(owner) is not None


def references(node: ast.AST) -> Iterator[Write]:
    """Find the helpers that are handed to somebody else to call.

    :param node: an expression or a statement
    :returns: for each a write of which nothing is known
    """
    every = [node, *functions.own_nodes(node)]
    called = {id(each.func) for each in every if isinstance(each, ast.Call)}
    for each in every:
        if not isinstance(each, ast.Name | ast.Attribute):
            continue
        name = functions.name_of(each)
        if (
            name in HELPERS - {_CALLBACK}
            and isinstance(each.ctx, ast.Load)
            and id(each) not in called
        ):
            yield _unknown(each, sites.UPDATE, name)


def _unknown(node: ast.expr, event: str, via: str = "") -> Write:
    return Write(node.lineno, event, _ANY, _ANY, _ANY, _ANY, via)


class Calls:
    """Applies the calls of one file.

    :param evaluator: reads the arguments
    :param known: the functions of the file, by their bare names; only those
        whose name is unique in it
    :param left: what functions of the file leave unsaved, by their names
    :param saved: is told the lines whose assignment a write saves
    """

    def __init__(
        self,
        evaluator: values.Evaluator,
        known: Mapping[str, functions.Function],
        left: Mapping[str, Mapping[str, paths.Pending]],
        saved: Callable[[frozenset[int]], None],
    ) -> None:
        self._evaluator = evaluator
        self._known = known
        self._left = left
        self._saved = saved

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
        elif name in _DATABASE:
            yield _unknown(call, _DATABASE[name])
        elif name == "setattr" and len(call.args) > 1:
            self._setattr(call, path)
        elif name in self._left:
            self._inherit(name, call, path)

    def _method(
        self, name: str, on: ast.expr, call: ast.Call, path: paths.Path
    ) -> Iterator[Write]:
        owner = ast.unparse(on)
        match name:
            case "save":
                yield from self._save(call, owner, path)
            case "create" | "destroy" if is_instance(owner):
                yield self._born_or_gone(call, owner, path)
            case "update":
                yield from self._update(call, owner, path)
            case "update_on_match" if "models.Instance," in owner:
                yield _unknown(call, sites.UPDATE)
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
        elif not guarded and not is_instance(owner):
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
            is_instance(owner)
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
        table = values.Table(frozenset())
        for argument in call.args[:1]:
            found = self._evaluator.of(argument, path.names)
            table = self._evaluator.merged(table, found)
        table = self._evaluator.keywords(call, path.names, table)
        if isinstance(path.names.get(owner), values.Table):
            before = path.names[owner]
            assert isinstance(before, values.Table)
            path.names[owner] = self._evaluator.merged(before, table)
        elif is_instance(owner):
            path.put(owner, table, call.lineno)
        elif {"vm_state", "task_state"} & {key for key, _ in table.entries}:
            # A statement of SQL, or of an object that is not called a server.
            yield self._of_table(call, table, "update")

    def _widen(self, call: ast.Call, owner: str, path: paths.Path) -> None:
        for argument in call.args:
            path.names[owner] = values.either(
                path.names[owner],
                self._evaluator.of(argument, path.names),
            )

    def _setattr(self, call: ast.Call, path: paths.Path) -> None:
        owner = ast.unparse(call.args[0])
        name = self._evaluator.of(call.args[1], path.names)
        table = values.Table(frozenset(), is_open=True)
        if isinstance(name, values.Choice) and name != values.ANYTHING:
            table = values.Table(
                frozenset(
                    (key, self._evaluator.of(call.args[-1], path.names))
                    for key in name.values
                )
            )
        if is_instance(owner):
            path.put(owner, table, call.lineno)

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
            if is_instance(ast.unparse(argument)):
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
