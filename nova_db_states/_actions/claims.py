# SPDX-License-Identifier: Apache-2.0
"""Decorators for what accepts an action: claim it first, or check at least.

Nova's ``check_instance_state`` judges the copy of the row that the caller
happens to hold; whoever is later writes over whoever was first. Here the
database judges, and the claim is the check.
"""

from collections.abc import Callable, Mapping
import dataclasses
import datetime
import functools
from typing import Any, Final, ParamSpec, TypeVar

from oslo_utils import timeutils

from nova_db_states import api
from nova_db_states import columns
from nova_db_states import exceptions
from nova_db_states import guards
from nova_db_states import machine
from nova_db_states import states
from nova_db_states._actions import arguments
from nova_db_states._actions import moves
from nova_db_states._actions import plans
from nova_db_states._actions import refusals
from nova_db_states._actions import surrender
from nova_db_states._update import contexts

__all__ = ["Values", "check_instance_state", "instance_action"]

_P = ParamSpec("_P")
_R = TypeVar("_R")

Values = Mapping[str, Any] | Callable[..., Mapping[str, Any]]

_LAUNCHED: Final = {"launched_at": states.Not(None)}
_STATES: Final = frozenset({"vm_state", "task_state"})
_TASK: Final = frozenset({"task_state"})


def instance_action(
    action: str, *, values: Values | None = None
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

    When the body raises, the claim is given back: by a guarded update along
    the declared failures of the action, from exactly the state it set, to the
    same ``vm_state`` without a task where that is declared. The exception of
    the body is raised in any case, with a note where nothing was given back.

    Where the context has a transaction open, claim and giving back join it:
    the row stays locked and the claim unseen until that transaction ends, and
    the instance in memory is left alone.

    :param action: the name in the map, as ``stop``
    :param values: what to write along with the claim: columns to values; or a
        function that makes them, called with what the method is called
        with, in the method's order; ``None`` for nothing. The map decides on
        the states
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
    decorator = f"@instance_action({action!r})"
    claim = _claim(plans.of(action), decorator)
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
            claim.take(context, instance_uuid, extra)
            try:
                arguments.remember(held, {**extra, **claim.move.values})
                return function(*args, **kwargs)
            except BaseException as error:
                written = surrender.give_up(
                    context,
                    instance_uuid,
                    claim.plan,
                    claim.move.targets,
                    error,
                    untouched=True,
                )
                if written:
                    arguments.remember(held, written)
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
    expected_vm_state = _expectation(vm_state)
    expected_task_state = _expectation(task_state)
    expected = _LAUNCHED if must_have_launched else None
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


@dataclasses.dataclass(frozen=True, slots=True)
class _Claim:
    """How one action is claimed.

    :ivar plan: of the action
    :ivar move: the claim
    :ivar expected: guards on other columns, ``None`` for none
    :ivar again: the same from the state that it leads to, for taking over;
        ``None`` where that is no start
    """

    plan: plans.Plan
    move: moves.Move
    expected: Mapping[str, Any] | None
    again: moves.Move | None

    def take(
        self, context: Any, instance_uuid: str, extra: Mapping[str, Any]
    ) -> None:
        """Claim the action, or raise the conflict."""
        try:
            api.instance_update(
                context,
                instance_uuid,
                {**extra, **self.move.values},
                expected_vm_state=self.move.vm_state,
                expected_task_state=self.move.task_state,
                expected=self.expected,
            )
        except exceptions.InstanceUpdateConflict as conflict:
            if not self._take_over(context, instance_uuid, extra, conflict):
                refusals.add_allowed(conflict)
                raise

    def _take_over(
        self,
        context: Any,
        instance_uuid: str,
        extra: Mapping[str, Any],
        conflict: exceptions.InstanceUpdateConflict,
    ) -> bool:
        """Claim it from whoever claimed it and hangs; say whether that was."""
        again, found = self.again, conflict.state
        if again is None or found is None or set(conflict.actual) != _TASK:
            return False
        if found[1] != again.values["task_state"]:
            return False
        max_age_s = self._max_age_s(found)
        # Whoever takes it over renews updated_at, and so is the only one.
        taken = _update_aged(
            context,
            instance_uuid,
            {**extra, **again.values},
            timeutils.utcnow() - datetime.timedelta(seconds=max_age_s),
            expected_vm_state=again.vm_state,
            expected_task_state=again.task_state,
            expected={**(self.expected or {}), "uuid": instance_uuid},
        )
        if not taken:
            refusals.add(
                conflict,
                f"It may be asked for again {max_age_s} s after the last sign "
                f"of life.",
            )
        return taken

    def _max_age_s(self, found: tuple[str | None, str | None]) -> int:
        try:
            age = machine.max_age_s(found)
        except exceptions.InvalidState:
            # A vm_state that Nova does not have, and the action lets pass.
            age = None
        return age or max(write.at_most_s or 0 for write in self.plan.first)


def _update_aged(
    context: Any,
    instance_uuid: str,
    values: Mapping[str, Any],
    before: datetime.datetime,
    **expectations: Any,
) -> bool:
    """Change the instance if its last update was before some time."""
    try:
        changed = api.instances_update(
            context, values, updated_before=before, limit=1, **expectations
        )
    except exceptions.PartialUpdate as error:
        cause = error.__cause__
        if error.in_doubt or cause is None:
            raise exceptions.UnknownUpdateOutcome(
                f"The connection was lost before the answer: whether instance "
                f"{instance_uuid} was taken over is not known. Read it again "
                f"and decide from what is there.",
                instance_uuid=instance_uuid,
            ) from error
        raise cause from None
    return changed == 1


def _claim(plan: plans.Plan, decorator: str) -> _Claim:
    """Work out how an action is claimed.

    :raises InvalidRequest: it cannot be, by one update
    """
    begin = plan.first
    if begin and begin[0].event is machine.Event.CREATE:
        raise _unclaimable(
            decorator, "it makes the row. Insert that in its first state"
        )
    if not begin or None in (begin[0].change.to_task or (None,)):
        raise _unclaimable(
            decorator,
            f"it begins without a task_state, by which others would see it. "
            f"Use @check_instance_state({_arguments(plan)}); and for what it "
            f"writes api.instance_update, with the same expectations",
        )
    changes: dict[moves.State, moves.State] = {}
    again: dict[moves.State, moves.State] = {}
    for source, targets in plan.beginning().items():
        for target in targets:
            same = target.task_state == source.task_state
            (again if same else changes)[source] = target
    claims, retakes = moves.leading(changes), moves.leading(again)
    alternatives = any(len(found) > 1 for found in plan.beginning().values())
    if alternatives or plan.uncovered() or len(claims) != 1 < len(retakes) + 1:
        raise _unclaimable(
            decorator,
            f"no single update can do that: "
            f"{'; '.join(str(write.change) for write in begin)}. Use "
            f"api.instance_update, in a method for each",
        )
    return _Claim(
        plan,
        claims[0],
        _LAUNCHED if plan.action.launched else None,
        retakes[0] if retakes else None,
    )


def _unclaimable(decorator: str, why: str) -> exceptions.InvalidRequest:
    return exceptions.InvalidRequest(
        f"{decorator}: this action cannot be claimed, because {why}."
    )


def _arguments(plan: plans.Plan) -> str:
    """Show what ``check_instance_state`` takes for the starts of an action."""
    [(vm_state, task_state, _)] = moves.guards_of(plan.starts)
    shown = [
        f"{name}={None if given is states.ANY else given!r}"
        for name, given in (("vm_state", vm_state), ("task_state", task_state))
    ]
    return ", ".join((*shown, f"must_have_launched={plan.action.launched}"))


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
        if name in _STATES:
            raise exceptions.InvalidUpdate(
                f"{decorator}: the map decides on {name}. Leave it out of "
                f"the values."
            )
        columns.column(name, exceptions.InvalidUpdate)
        columns.value(name, value, exceptions.InvalidUpdate)
