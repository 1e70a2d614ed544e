# SPDX-License-Identifier: Apache-2.0
"""The claim of an action: taking it, taking it over, and giving it back."""

from collections.abc import Mapping
import dataclasses
import datetime
import logging
from typing import Any, Final

from oslo_utils import timeutils

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import machine
from nova_db_states import retry
from nova_db_states import states
from nova_db_states._actions import moves
from nova_db_states._actions import plans
from nova_db_states._actions import refusals

__all__ = ["LAUNCHED", "Claim", "Taken", "of", "stamp"]

LAUNCHED: Final = {"launched_at": states.Not(None)}
"""The guard on a server that must have run before."""

_TASK: Final = frozenset({"task_state"})

Written = Mapping[str, str | None]


def stamp() -> datetime.datetime:
    """Give the ``updated_at`` by which one's own update is known again.

    :returns: now, naive UTC; in whole seconds, since MySQL keeps no others
    """
    now: datetime.datetime = timeutils.utcnow()
    return now.replace(microsecond=0)


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """How one action is claimed.

    :ivar plan: of the action
    :ivar move: the claim from wherever the action starts
    :ivar idle: the claim of a server on which nothing runs; ``None`` where
        the action starts on no such server
    :ivar again: the claim from the state that it leads to, for taking over;
        ``None`` where that is no start
    :ivar expected: guards on other columns, ``None`` for none
    :ivar policy: attempts and waits; ``None`` for the context's own
    """

    plan: plans.Plan
    move: moves.Move
    idle: moves.Move | None
    again: moves.Move | None
    expected: Mapping[str, Any] | None
    policy: retry.Policy | None

    def take(
        self,
        context: Any,
        instance_uuid: str,
        extra: Mapping[str, Any],
        *,
        joined: bool,
    ) -> "Taken":
        """Claim the action.

        :param context: as for ``api.instance_update``
        :param instance_uuid: the instance, canonical
        :param extra: other columns to write with the claim
        :param joined: whether the context has a transaction open, with whose
            end a claim in doubt goes
        :returns: the claim, to give it back
        :raises InstanceUpdateConflict: it is another's; says what is allowed
        :raises NovaDBStatesError: as ``api.instance_update``
        """
        taken = Taken(self, context, instance_uuid, stamp())
        try:
            self._take(taken, {**extra, "updated_at": taken.stamp})
        except BaseException as error:
            if refusals.leaves_doubt(error) and not joined:
                taken.settle(error)
            raise
        return taken

    def _take(self, taken: "Taken", values: Mapping[str, Any]) -> None:
        conflict = self._refused(taken, self.idle or self.move, values)
        if conflict is None:
            return
        if self.idle is not None and self.idle != self.move:
            # From wherever it starts: lest a task that ends or goes on in
            # between refuses what may be asked for in any case, and that the
            # conflict names all that the action starts from.
            taken.overruled = conflict.state
            conflict = self._refused(taken, self.move, values)
            if conflict is None:
                return
        if not self._take_over(taken, values, conflict):
            refusals.add_allowed(conflict, self.plan.name)
            raise conflict

    def _refused(
        self, taken: "Taken", move: moves.Move, values: Mapping[str, Any]
    ) -> exceptions.InstanceUpdateConflict | None:
        """Try to claim it; give the conflict, if any."""
        try:
            api.instance_update(
                taken.context,
                taken.instance_uuid,
                {**values, **move.values},
                expected_vm_state=move.vm_state,
                expected_task_state=move.task_state,
                expected=self.expected,
                retry_policy=self.policy,
            )
        except exceptions.InstanceUpdateConflict as conflict:
            return conflict
        return None

    def _take_over(
        self,
        taken: "Taken",
        values: Mapping[str, Any],
        conflict: exceptions.InstanceUpdateConflict,
    ) -> bool:
        """Claim it from whoever claimed it and hangs; say whether that was."""
        again, found = self.again, conflict.state
        if again is None or found is None or set(conflict.actual) != _TASK:
            return False
        if found[1] != again.values["task_state"]:
            return False
        max_age_s = self.max_age_s(found)
        taken.overruled = found
        # Whoever takes it over renews updated_at, and so is the only one.
        done = _update_aged(
            taken.context,
            taken.instance_uuid,
            {**values, **again.values},
            timeutils.utcnow() - datetime.timedelta(seconds=max_age_s),
            expected_vm_state=again.vm_state,
            expected_task_state=again.task_state,
            expected={**(self.expected or {}), "uuid": taken.instance_uuid},
            retry_policy=self.policy,
        )
        if not done:
            refusals.add(
                conflict,
                f"It may be asked for again {max_age_s} s after the last sign "
                f"of life.",
            )
        return done

    def max_age_s(self, claimed: tuple[str | None, str | None]) -> int:
        """Say after how long a state that the claim led to counts as stuck.

        :param claimed: the state
        :returns: seconds
        """
        try:
            age = machine.max_age_s(claimed)
        except exceptions.InvalidState:
            # A vm_state that Nova does not have, and the action lets pass.
            age = None
        return age or max(write.at_most_s or 0 for write in self.plan.first)


@dataclasses.dataclass(slots=True)
class Taken:
    """A claim that one caller has, or may have.

    :ivar claim: what was claimed
    :ivar context: of the caller
    :ivar instance_uuid: the instance, canonical
    :ivar stamp: the ``updated_at`` that the claim wrote
    :ivar overruled: the state with a task in it from which it was taken;
        ``None`` where nothing ran
    """

    claim: Claim
    context: Any
    instance_uuid: str
    stamp: datetime.datetime
    overruled: tuple[str | None, str | None] | None = None

    def give_back(self, error: BaseException) -> Written:
        """Undo the claim, if nothing was written since.

        :param error: why; gets a note where the claim stays
        :returns: the columns written, none where nothing was
        """
        claim = self.claim
        before = claim.move.targets
        if refusals.is_refusal(error, self.instance_uuid, before):
            # It may have come back meanwhile, as another's.
            return {}
        if claim.idle is None or self.overruled is not None:
            self._keep(error)
            return {}
        return self._release(error, claim.idle)

    def settle(self, error: BaseException) -> None:
        """Undo a claim of which it is not known if it was made.

        :param error: what left the doubt; gets a note
        """
        idle = self.claim.idle
        if idle is None or self.overruled is not None:
            self._keep(error, "may be")
        elif self._release(error, idle):
            refusals.note(
                error,
                f"Instance {self.instance_uuid} had been claimed for "
                f"{self.claim.plan.name!r} all the same; that was undone.",
                logging.WARNING,
            )

    def _keep(self, error: BaseException, stays: str = "stays") -> None:
        claim = self.claim
        overruled = self.overruled
        vm_state = None if overruled is None else overruled[0]
        was = (
            moves.shown(claim.move.sources)
            if overruled is None
            else str(moves.State(*overruled))
        )
        task_state = claim.move.values["task_state"]
        age = claim.max_age_s((vm_state, task_state))
        then = (
            "it may be asked for again"
            if claim.again is not None
            else "it counts as stuck"
        )
        refusals.note(
            error,
            f"Instance {self.instance_uuid} {stays} claimed for "
            f"{claim.plan.name!r}, which overruled {was} and is not undone. "
            f"After {age} s without a sign of life {then}.",
            logging.WARNING,
        )

    def _release(self, error: BaseException, idle: moves.Move) -> Written:
        released: Written = {"task_state": None}
        before = moves.shown(idle.targets)
        name = self.claim.plan.name
        try:
            api.instance_update(
                self.context,
                self.instance_uuid,
                released,
                expected_vm_state=idle.vm_state,
                expected_task_state=idle.values["task_state"],
                # The state may have come back as another's.
                expected={"updated_at": self.stamp},
                retry_policy=self.claim.policy,
            )
        except refusals.LOST as refused:
            refusals.note(
                error,
                f"Instance {self.instance_uuid} was left as it is, and the "
                f"claim of {name!r} not given back, since it was written "
                f"after that or not claimed: "
                f"{refusals.now_in(refused, before)}.",
                logging.WARNING,
            )
        except Exception as failure:  # noqa: BLE001 - must not mask the first
            refusals.note(
                error,
                f"The claim of {name!r} could not be given back, and instance "
                f"{self.instance_uuid} may stay in {before}: "
                f"{refusals.said(failure)}",
                logging.ERROR,
            )
        else:
            return released
        return {}


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
                f"The connection to the server, or the server's to its "
                f"cluster, was lost before the answer: whether instance "
                f"{instance_uuid} was taken over is not known. Read it again, "
                f"once that server answers, and decide from what is there.",
                instance_uuid=instance_uuid,
            ) from error
        raise cause from None
    return changed == 1


def of(plan: plans.Plan, decorator: str, policy: retry.Policy | None) -> Claim:
    """Work out how an action is claimed.

    :param plan: of the action
    :param decorator: how it is called, for its errors
    :param policy: attempts and waits; ``None`` for the context's own
    :returns: the claim
    :raises InvalidRequest: it cannot be claimed, by one update
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
    # Undoing what overruled a task, or wrote a vm_state, is not to clear it.
    idle = {
        source: target
        for source, target in changes.items()
        if source.task_state is None and source.vm_state == target.vm_state
    }
    every = [source for source in changes if source.task_state is None]
    quiet = moves.leading(idle) if len(idle) == len(every) else ()
    return Claim(
        plan,
        claims[0],
        quiet[0] if len(quiet) == 1 else None,
        retakes[0] if retakes else None,
        LAUNCHED if plan.action.launched else None,
        policy,
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
