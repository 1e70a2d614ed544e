# SPDX-License-Identifier: Apache-2.0
"""One guarded claim, in each of the ways there are, and what came of it."""

from collections.abc import Callable
import dataclasses
import pathlib
import time
import traceback
from typing import Any, Final

from oslo_db import exception as db_exc

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import retry
from tests.torture import history

_JOINED_ATTEMPTS: Final = 5

# What means that nothing was written, outside of a transaction of the
# caller's; see "errors" in the reference. Other errors of a database mean it
# too, but none of them is expected here.
_NOT_APPLIED: Final = (
    db_exc.DBDeadlock,
    db_exc.DBConnectionError,
    exceptions.UnknownInstanceUpdateConflict,
)
_SQLITE_BUSY: Final = "SQLITE_BUSY"

# Inside of one: begin anew.
_BEGIN_ANEW: Final = _NOT_APPLIED

_MOST_TEXT: Final = 500


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """What is to be written over what.

    :ivar context: of a node
    :ivar instance_uuid: the instance
    :ivar expected: the token that has to be there
    :ivar token: the one to write
    :ivar pause_s: how long a transaction is kept open before its commit
    :ivar alone: whether there is one node only
    """

    context: api.CellContext
    instance_uuid: str
    expected: int
    token: int
    pause_s: float
    alone: bool

    def update(self, **more: Any) -> Any:
        """Write the token over what is expected."""
        return api.instance_update(
            self.context,
            self.instance_uuid,
            _columns(self.token),
            **self._guard(),
            **more,
        )

    def confirm(self) -> None:
        """Write what is expected to be there already."""
        api.instance_update(
            self.context,
            self.instance_uuid,
            _columns(self.expected),
            touch=False,
            **self._guard(),
        )

    def check(self) -> None:
        """Ask whether it is there."""
        api.instance_check(self.context, self.instance_uuid, **self._guard())

    def _guard(self) -> dict[str, Any]:
        return {
            "expected": {"progress": self.expected},
            "expected_task_state": history.state_of(self.expected),
        }


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What came of a claim; see :class:`history.Operation`."""

    outcome: history.Outcome
    actual: int | None = None
    state: str | None = None
    error: str = ""
    text: str = ""

    def content(self) -> dict[str, Any]:
        """Give what is to be written down."""
        return {
            "outcome": self.outcome,
            **({} if self.actual is None else {"actual": self.actual}),
            **({} if self.state is None else {"state": self.state}),
            **({"error": self.error} if self.error else {}),
            **({"text": self.text} if self.text else {}),
        }


class _CommitLostError(Exception):
    """The answer to a COMMIT of our own never came."""


def single(claim: Claim) -> Result:
    """Make it by one statement."""
    claim.update()
    return Result(history.Outcome.OK)


def returning(claim: Claim) -> Result:
    """Make it in a transaction of its own, and look at what was written."""
    row = claim.update(returning=("progress", "task_state"))
    if row != _columns(claim.token):
        raise AssertionError(f"read back {row} after writing {claim.token}")
    return Result(history.Outcome.OK)


def joined(claim: Claim) -> Result:
    """Make it in a transaction of the caller's, begun anew as documented."""
    _in_transaction(claim, claim.update)
    return Result(history.Outcome.OK)


def confirm(claim: Claim) -> Result:
    """Write nothing new: that it matched means that it was there."""
    claim.confirm()
    return _found(claim)


def confirm_joined(claim: Claim) -> Result:
    """Do the same in a transaction of the caller's."""
    _in_transaction(claim, claim.confirm)
    return _found(claim)


def ask(claim: Claim) -> Result:
    """Only ask. On a cluster the answer yes may be late, as documented."""
    claim.check()
    return _found(claim) if claim.alone else Result(history.Outcome.OK)


WRITES: Final[dict[str, Callable[[Claim], Result]]] = {
    "single": single,
    "returning": returning,
    "joined": joined,
}
"""Ways that write the token, by the name that is written down."""

READS: Final[dict[str, Callable[[Claim], Result]]] = {
    history.READ + "confirm": confirm,
    history.READ + "confirm joined": confirm_joined,
    history.READ + "ask": ask,
}
"""Ways that write nothing."""

_WAYS: Final = WRITES | READS


def _in_transaction(claim: Claim, work: Callable[[], object]) -> None:
    error: Exception | None = None
    for attempt in range(_JOINED_ATTEMPTS):
        time.sleep(0.01 * attempt)
        committing = False
        try:
            with claim.context.begin():
                work()
                time.sleep(claim.pause_s)
                committing = True
        except db_exc.DBConnectionError as caught:
            if committing:
                raise _CommitLostError from caught
            error = caught
        except _BEGIN_ANEW as caught:
            error = caught
        else:
            return
    assert error is not None
    raise error


def _columns(token: int) -> dict[str, Any]:
    return {"progress": token, "task_state": history.state_of(token)}


def _found(claim: Claim) -> Result:
    """Say that what was expected was there."""
    state = history.state_of(claim.expected)
    return Result(history.Outcome.OK, claim.expected, state)


def make(way: str, claim: Claim) -> Result:
    """Make a claim, and say what it said.

    :param way: one of :data:`WRITES` or :data:`READS`
    :param claim: the claim
    :returns: its result; whatever nobody expects is an error
    """
    try:
        return _WAYS[way](claim)
    except exceptions.InstanceUpdateConflict as conflict:
        return Result(
            history.Outcome.CONFLICT,
            conflict.actual.get("progress"),
            conflict.state[1] if conflict.state else None,
            type(conflict).__name__,
        )
    except exceptions.UnknownUpdateOutcome as unknown:
        return Result(
            history.Outcome.UNKNOWN,
            unknown.actual.get("progress"),
            unknown.actual.get("task_state"),
            type(unknown).__name__,
        )
    except _CommitLostError as lost:
        return Result(history.Outcome.UNKNOWN, error=_named(lost.__cause__))
    except _NOT_APPLIED as error:
        return Result(history.Outcome.NOT_APPLIED, error=_named(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is judged
        if str(retry.error_code(error)).startswith(_SQLITE_BUSY):
            return Result(history.Outcome.NOT_APPLIED, error=_named(error))
        return Result(
            history.Outcome.ERROR,
            error=_named(error),
            text=f"{str(error)[:_MOST_TEXT]} ({_where(error)})",
        )


def _where(error: BaseException) -> str:
    """Say by which way an error came, the place where it was raised last."""
    return " > ".join(
        f"{pathlib.Path(frame.filename).name}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
    )


def _named(error: BaseException | None) -> str:
    """Name a class, and what the database said with it."""
    assert error is not None
    code = retry.error_code(error)
    return type(error).__name__ + ("" if code is None else f" {code}")
