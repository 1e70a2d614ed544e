# SPDX-License-Identifier: Apache-2.0
"""Decorators for what accepts an action: claim it first, or check at least.

Nova's ``check_instance_state`` judges the copy of the row that the caller
happens to hold; whoever is later writes over whoever was first. Here the
database judges, and the claim is the check.
"""

from collections.abc import Callable, Mapping
import functools
from typing import Any, Final, ParamSpec, TypeVar

from nova_db_states import api
from nova_db_states import columns
from nova_db_states import exceptions
from nova_db_states import guards
from nova_db_states import retry
from nova_db_states import states
from nova_db_states._actions import arguments
from nova_db_states._actions import claim as claim_
from nova_db_states._actions import plans
from nova_db_states._actions import refusals
from nova_db_states._update import contexts

__all__ = ["Values", "check_instance_state", "instance_action"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

Values = Mapping[str, Any] | Callable[..., Mapping[str, Any]]

_DECIDED: Final = {
    "vm_state": "the map decides on",
    "task_state": "the map decides on",
    "updated_at": "by it the claim is known again, which writes",
    **dict.fromkeys(("id", "uuid", "created_at"), "nothing ever changes"),
}


def instance_action(
    action: str,
    *,
    values: Values | None = None,
    retry_policy: retry.Policy | None = None,
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Let a method run only for the caller who claims its action.

    Before the body runs, one guarded ``UPDATE`` leads the row from the states
    in which the map lets the action start to the first ``task_state`` of the
    action. Of any number of callers one gets there. The instance in memory is
    not asked; after the claim it has the new state.

    The state that the claim leads to is no start, even where the map allows
    to ask again: the second of two deletes loses. Once that state is older
    than the map's maximum age it counts as stuck, by the clock of this
    process, and one caller may take it over.

    A server on which nothing runs is claimed first; only where the map lets
    the action overrule what runs, and something does, a second ``UPDATE``
    claims that.

    When the body raises, the claim is undone: the task that it set is cleared
    again, by an ``UPDATE`` guarded by that task and by the ``updated_at`` that
    the claim wrote, so that whatever was written since stops it. So handing
    the work over, by a cast for example, is to be the body's last statement.
    What was taken from a running task stays claimed. The exception of the
    body is raised in any case, with a note where nothing was given back.

    Where the answer to the claim is lost, or an exception such as
    ``KeyboardInterrupt`` does not wait for it, it is undone in the same way,
    and the exception gets a note.

    Where the context has a transaction open, claim and giving back join it:
    the row stays locked and the claim unseen until that transaction ends, and
    the instance in memory is left alone.

    :param action: the name in the map, as ``stop``
    :param values: what to write along with the claim: columns to values; or a
        function that makes them, called with what the method is called
        with, in the method's order; ``None`` for nothing. The map decides on
        the states, the claim on ``updated_at``
    :param retry_policy: attempts and waits (in seconds) of the claim and of
        giving it back; ``None`` for the context's own
    :returns: the decorator. The method has a parameter ``context`` (or
        ``ctxt``, ``ctx``) and ``instance`` (or ``instance_uuid``): a uuid, an
        object with ``uuid``, or a mapping. It raises what
        :func:`nova_db_states.api.instance_update` does, and conflicts name
        the actions that are allowed
    :raises InvalidRequest: no such action, or one that cannot be claimed by
        one update; or, from the decorator, a function that lacks a parameter
        or whose call does not run its body
    :raises InvalidUpdate: ``values`` that cannot be written
    """
    if not isinstance(action, str):
        raise exceptions.InvalidRequest(
            f"@instance_action: {action!r} is no name of an action. Write "
            f'@instance_action("stop") above the method, with the name of '
            f"its action."
        )
    decorator = f"@instance_action({action!r})"
    claim = claim_.of(
        plans.of(action), decorator, arguments.checked_policy(retry_policy)
    )
    if not callable(values):
        _check_values(decorator, values or {})

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        finder = arguments.Finder(function, decorator)

        @functools.wraps(function)
        def claimed(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            bound = finder.bind(args, kwargs)
            context, instance = finder.find(bound)
            instance_uuid = arguments.uuid_of(instance)
            extra = values or {}
            if callable(extra):
                extra = extra(*bound.args, **bound.kwargs)
                _check_values(decorator, extra)
            joined = contexts.has_open_transaction(
                context, contexts.manager_of(context)
            )
            # What is not committed is no news for the instance in memory.
            held = instance_uuid if joined else instance
            taken = claim.take(context, instance_uuid, extra, joined=joined)
            try:
                arguments.remember(held, {**extra, **claim.move.values})
                return function(*args, **kwargs)
            except BaseException as error:
                arguments.remember(held, taken.give_back(error))
                raise

        return claimed

    return decorate


def check_instance_state(
    vm_state: Any = None,
    task_state: Any = (None,),
    must_have_launched: bool = True,  # noqa: FBT001, FBT002 - as in Nova
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Let a method run only for an instance in some states.

    As ``check_instance_state`` of ``nova/compute/api.py``, but judged in the
    database, by one read. Nothing is claimed: the answer was true when it was
    given. Inside a transaction that the context has open the row is locked,
    and it stays true until that ends.

    :param vm_state: the states that are accepted; ``None`` for all
    :param task_state: the tasks that are accepted, with ``None`` in it for
        none; ``None`` for all
    :param must_have_launched: whether ``launched_at`` must be set
    :returns: the decorator, for methods as for :func:`instance_action`; they
        raise what :func:`nova_db_states.api.instance_check` does, and
        conflicts name the actions that are allowed
    :raises InvalidGuard: not a state or a collection of states
    :raises InvalidState: a state that Nova does not have
    :raises InvalidRequest: from the decorator, as for :func:`instance_action`
    """
    if callable(vm_state) and not isinstance(vm_state, type(states.ANY)):
        raise exceptions.InvalidRequest(
            f"@check_instance_state: {vm_state!r} is no vm_state. Write "
            f"@check_instance_state() above the method, with parentheses."
        )
    expected_vm_state = _expectation(vm_state)
    expected_task_state = _expectation(task_state)
    expected = claim_.LAUNCHED if must_have_launched else None
    guards.normalise(expected_vm_state, expected_task_state, expected)

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        finder = arguments.Finder(function, "@check_instance_state")

        @functools.wraps(function)
        def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            context, instance = finder.find(finder.bind(args, kwargs))
            try:
                api.instance_check(
                    context,
                    arguments.uuid_of(instance),
                    expected_vm_state=expected_vm_state,
                    expected_task_state=expected_task_state,
                    expected=expected,
                )
            except exceptions.InstanceUpdateConflict as conflict:
                refusals.add_allowed(conflict)
                raise
            return function(*args, **kwargs)

        return checked

    return decorate


def _expectation(accepted: Any) -> Any:
    return states.ANY if accepted is None else accepted


def _check_values(decorator: str, values: Any) -> None:
    if not isinstance(values, Mapping):
        raise exceptions.InvalidUpdate(
            f"{decorator}: values={values!r} is no mapping. Give columns and "
            f"their new values, like {{'progress': 0}}, or a function that "
            f"returns them."
        )
    for name, value in values.items():
        if name in _DECIDED:
            raise exceptions.InvalidUpdate(
                f"{decorator}: {_DECIDED[name]} {name}. Leave it out of the "
                f"values."
            )
        columns.column(name, exceptions.InvalidUpdate)
        columns.value(name, value, exceptions.InvalidUpdate)
