# SPDX-License-Identifier: Apache-2.0
"""Whether a history can be explained by one row that was changed atomically.

For each instance the history must be *linearizable* (Herlihy and Wing, 1990)
as a register with compare-and-swap: every call takes effect at one moment
between its beginning and its end. In general that is hard to decide. Here it
is not, because no token is written twice: from the last token each write says
which token it replaced, so the order of the writes is known, and a reported
conflict is a read of a token that stands at one place in that order. What
remains is to find moments: each event is given the earliest one that it can
have after those before it; where that is later than its end, there are none.

A call with an unknown outcome may be in the chain, at any moment after its
beginning, or not at all.
"""

import collections
from collections.abc import Iterable, Iterator
import dataclasses
from typing import Final

from tests.torture import history

RULES: Final = (
    "token",
    "final",
    "nodes",
    "gap",
    "error",
    "two winners",
    "lost success",
    "no refusal",
    "false conflict",
    "real time",
    "never there",
    "torn",
    "class",
)
"""What can be broken; what explains most comes first."""

_FOREVER: Final = 1 << 63

_MUST_BE_THERE: Final = frozenset({history.Outcome.OK})
_MAY_BE_THERE: Final = _MUST_BE_THERE | {history.Outcome.UNKNOWN}

# Without a task state that differs it is the token alone that does.
_CLASSES: Final = {
    False: "InstanceUpdateConflict",
    True: "UnexpectedTaskStateError",
}


@dataclasses.dataclass(frozen=True)
class Violation:
    """Something that no atomic row can have done.

    :ivar rule: which of the rules is broken
    :ivar instance: the number of the instance
    :ivar text: what happened, naming the operations
    :ivar operations: their numbers; the one that broke the rule is the first
    """

    rule: str
    instance: int
    text: str
    operations: tuple[int, ...]

    def __str__(self) -> str:
        return f"instance {self.instance}: {self.rule}: {self.text}"


def check(recorded: history.History) -> list[Violation]:
    """Find everything that is wrong with a history.

    :param recorded: the history; what its nodes held in the end was read
        when nothing could change it any more
    :returns: the violations, in the order of :data:`RULES`; none for a
        history that one row for each instance explains
    """
    by_instance: dict[int, list[history.Operation]] = collections.defaultdict(
        list
    )
    for operation in recorded.operations:
        by_instance[operation.instance].append(operation)
    found: list[Violation] = []
    for instance, finals in enumerate(recorded.finals):
        operations = by_instance.pop(instance, [])
        found += _Instance(instance, operations).judge(finals)
    for instance in by_instance:
        found.append(
            Violation("final", instance, "nobody read it in the end", ())
        )
    return sorted(found, key=lambda each: RULES.index(each.rule))


class _Instance:
    """The operations on one instance, and how they hang together."""

    def __init__(
        self, number: int, operations: list[history.Operation]
    ) -> None:
        self.number = number
        self.operations = operations
        self.by_token = {each.op: each for each in operations}
        self.chain: list[history.Operation] = []
        # Where in the chain a token was there; the initial one at 0.
        self.place: dict[int, int] = {history.INITIAL: 0}
        self.blamed: set[int] = set()

    def judge(self, finals: list[int]) -> list[Violation]:
        """Find what is wrong, given what the nodes held in the end."""
        if len(self.by_token) != len(self.operations):
            return [self._says("token", "a token was given out twice")]
        if len(set(finals)) != 1:
            return [
                self._says(
                    "nodes",
                    f"in the end the nodes held {finals}, which must be alike",
                )
            ]
        found = list(self._link(finals[0]))
        for operation in self.operations:
            found += self._alone(operation)
        if not self.chain or self.chain[0].expected == history.INITIAL:
            found += self._in_time()
        return found

    def _says(
        self, rule: str, text: str, *operations: history.Operation
    ) -> Violation:
        return Violation(
            rule, self.number, text, tuple(each.op for each in operations)
        )

    def _link(self, final: int) -> Iterator[Violation]:
        """Walk back from the last token to the first."""
        token = final
        seen = set()
        while token != history.INITIAL:
            operation = self.by_token.get(token)
            after = self.chain[-1:]
            if operation is None or token in seen:
                where = f"op {after[0].op} replaced" if after else "at the end"
                yield self._says(
                    "gap",
                    f"{where} the token {token}, which nobody wrote"
                    if operation is None
                    else f"{where} the token {token}, which came back",
                    *after,
                )
                break
            seen.add(token)
            self.chain.append(operation)
            token = operation.expected
        self.chain.reverse()
        for place, operation in enumerate(self.chain, 1):
            self.place[operation.op] = place

    def _alone(self, operation: history.Operation) -> Iterator[Violation]:
        """Judge one operation against the chain, whenever it was."""
        outcome = operation.outcome
        there = operation.op in self.place
        if outcome is history.Outcome.ERROR:
            yield self._says(
                "error",
                f"op {operation.op} met {operation.error}: {operation.text}",
                operation,
            )
        if there and not (operation.writes and outcome in _MAY_BE_THERE):
            yield self._says(
                "no refusal",
                f"op {operation.op} said {outcome} ({operation.error}), and "
                f"its token {operation.op} was written over "
                f"{operation.expected}",
                operation,
            )
        if not there and operation.writes and outcome in _MUST_BE_THERE:
            yield self._lost(operation)
        if outcome is history.Outcome.CONFLICT:
            yield from self._conflict(operation)
        elif operation.actual is not None:
            yield from self._really_there(operation)

    def _lost(self, operation: history.Operation) -> Violation:
        """Say what became of a success that is not in the chain."""
        place = self.place.get(operation.expected)
        if place is None or place == len(self.chain):
            return self._says(
                "lost success",
                f"op {operation.op} said ok, and its token {operation.op} "
                f"never replaced {operation.expected}",
                operation,
            )
        winner = self.chain[place]
        return self._says(
            "two winners",
            f"op {operation.op} and op {winner.op} ({winner.outcome}) both "
            f"replaced {operation.expected}",
            operation,
            winner,
        )

    def _conflict(self, operation: history.Operation) -> Iterator[Violation]:
        """Judge what a conflict says of the row."""
        actual = operation.actual
        if actual is None or actual == operation.expected:
            yield self._says(
                "false conflict",
                f"op {operation.op} was refused, and names no token but that "
                f"which it expected, {operation.expected}",
                operation,
            )
            return
        yield from self._really_there(operation)
        named = _CLASSES[
            history.state_of(actual) != history.state_of(operation.expected)
        ]
        if operation.error != named:
            yield self._says(
                "class",
                f"op {operation.op} raised {operation.error} for the token "
                f"{actual}, which has to be {named}",
                operation,
            )

    def _really_there(
        self, operation: history.Operation
    ) -> Iterator[Violation]:
        """Judge a token that was read."""
        actual = operation.actual
        assert actual is not None
        if actual not in self.place:
            writer = self.by_token.get(actual)
            whose = (
                "which nobody wrote"
                if writer is None
                else f"of op {writer.op} ({writer.outcome}), which was never "
                f"applied"
            )
            yield self._says(
                "never there",
                f"op {operation.op} found the token {actual}, {whose}",
                *filter(None, (operation, writer)),
            )
        elif operation.state != history.state_of(actual):
            yield self._says(
                "torn",
                f"op {operation.op} found the token {actual} with the state "
                f"{operation.state}, which was never written with it",
                operation,
            )

    def _in_time(self) -> Iterator[Violation]:
        """Look for moments at which everything can have happened."""
        reads: dict[int, list[_Event]] = collections.defaultdict(list)
        for operation in self.operations:
            if operation.actual in self.place:
                place = self.place[operation.actual]
                reads[place].append(_Event.read(operation))
        now = _Now(0, None)
        for place in range(len(self.chain) + 1):
            if place:
                write = _Event.write(self.chain[place - 1])
                yield from self._moment(now, write)
                now = now.after(write)
            here = now
            for read in reads[place]:
                yield from self._moment(here, read)
                now = now.after(read)

    def _moment(self, now: "_Now", event: "_Event") -> Iterator[Violation]:
        first = now.event
        if now.time <= event.latest or first is None:
            return
        # One that came too late is in the way of many.
        if first.operation.op in self.blamed:
            return
        self.blamed.add(first.operation.op)
        yield self._says(
            "real time",
            f"op {first.operation.op} began "
            f"{(now.time - event.latest) / 1e6:.3f} ms after op "
            f"{event.operation.op} had ended, and yet comes before it: the "
            f"first {first.what}, the second {event.what}",
            first.operation,
            event.operation,
        )


@dataclasses.dataclass(frozen=True, slots=True)
class _Event:
    """What took effect at one moment.

    :ivar operation: that it is of
    :ivar latest: until when that can have been, in nanoseconds
    :ivar what: what it did, as the end of a sentence
    """

    operation: history.Operation
    latest: int
    what: str

    @classmethod
    def write(cls, operation: history.Operation) -> "_Event":
        """Make that of an operation of the chain."""
        certain = operation.outcome is history.Outcome.OK
        return cls(
            operation,
            _returned(operation) if certain else _FOREVER,
            f"replaced the token {operation.expected}",
        )

    @classmethod
    def read(cls, operation: history.Operation) -> "_Event":
        """Make that of an operation that says what it found."""
        return cls(
            operation,
            _returned(operation),
            f"found the token {operation.actual}",
        )


@dataclasses.dataclass(frozen=True, slots=True)
class _Now:
    """The earliest moment that what comes next can have.

    :ivar time: in nanoseconds
    :ivar event: with whose beginning that is; ``None`` before the first
    """

    time: int
    event: _Event | None

    def after(self, event: _Event) -> "_Now":
        """Give an event its moment, unless there is none for it."""
        if self.time < event.operation.start <= event.latest:
            return _Now(event.operation.start, event)
        return self


def _returned(operation: history.Operation) -> int:
    return _FOREVER if operation.end is None else operation.end


def outcomes(
    operations: Iterable[history.Operation],
) -> dict[str, int]:
    """Count operations by what they said."""
    counted = collections.Counter(each.outcome for each in operations)
    return {str(outcome): counted[outcome] for outcome in history.Outcome}
