# SPDX-License-Identifier: Apache-2.0
"""Heartbeats: when the next is due, and what an error means for the work."""

from collections.abc import Callable
import logging
import math
import sys
import threading
from typing import Any, Final, TypeVar

from nova_db_states import exceptions
from nova_db_states import retry

__all__ = ["Heart"]

_Error = TypeVar("_Error", bound=BaseException)

LOG: Final = logging.getLogger(__name__)

# The work is still wanted as far as anybody knows. A heartbeat may be written
# twice, so that the one whose outcome is unknown is simply written again.
_BORNE: Final = (
    *retry.DATABASE_ERRORS,
    exceptions.UnknownUpdateOutcome,
    exceptions.UnknownInstanceUpdateConflict,
)

# Before the first answer; afterwards the interval is the wait.
_FIRST_WAIT_S: Final = 0.1
_LONGEST_WAIT_S: Final = 5.0


class Heart:
    """The heartbeats of one watch.

    :ivar clock: seconds, never going back
    :ivar due: when the next use beats: whoever lets data through compares it
        with the clock, and calls :meth:`beat` from then on
    """

    # Data that flows through the processor leaves little of its caches:
    # what each chunk needs is kept close together.
    __slots__ = (
        "_away_since",
        "_ended",
        "_interval_s",
        "_lock",
        "_max_away_s",
        "_name",
        "_update",
        "clock",
        "due",
    )

    def __init__(
        self,
        update: Callable[[], None],
        name: str,
        interval_s: float,
        max_away_s: float,
        clock: Callable[[], float],
    ) -> None:
        self.clock = clock
        self.due = -math.inf
        self._update = update
        self._name = name
        self._interval_s = interval_s
        self._max_away_s = max_away_s
        # When the first check began that failed since the last answer.
        self._away_since: float | None = None
        self._ended: Exception | None = None
        self._lock = threading.Lock()

    def start(self, sleep: Callable[[float], object]) -> None:
        """Get the first answer, before which no work begins.

        No data waits for it yet, so this may wait for the database.

        :param sleep: waits that many seconds
        :raises Exception: what the answer was, or why there is none
        """
        patience = retry.Policy(
            max_attempts=sys.maxsize,
            first_backoff_s=_FIRST_WAIT_S,
            max_backoff_s=_LONGEST_WAIT_S,
            sleep=sleep,
        )
        for _ in patience.attempts():
            began = self.clock()
            try:
                self._update()
            except _BORNE as error:
                if not self._bears(error, began, hopeless=_is_hopeless(error)):
                    raise
            else:
                self._answer()
                return

    @property
    def ended(self) -> bool:
        """Whether :meth:`beat` raises from now on."""
        return self._ended is not None

    def beat(self) -> None:
        """Check now, unless another thread does, or did a moment ago.

        :raises Exception: what ended this watch, now or earlier
        :raises InvalidContext: the check cannot be made here; the watch goes
            on
        """
        # Not waiting for the lock keeps the data of the other threads
        # flowing, and does the same with greenlets as with threads.
        if self._ended is None and self._lock.acquire(blocking=False):
            try:
                self._check()
            finally:
                self._lock.release()
        if self._ended is not None:
            # Raised as often as the watch is used, by several threads, it
            # must not grow by it, nor keep what their frames hold.
            raise _without_frames(self._ended, {})

    def _check(self) -> None:
        began = self.clock()
        if self._ended is not None or began < self.due:
            # Another thread was here between the caller's look and the lock.
            return
        try:
            self._update()
        except _BORNE as error:
            if not self._bears(error, began):
                self._end(error)
                raise
        except exceptions.InvalidContext:
            # The caller's mistake says nothing about the work.
            raise
        except Exception as error:
            self._end(error)
            raise
        else:
            self._answer()

    def _answer(self) -> None:
        # The interval counts from the answer: data flows in between even
        # where an answer takes longer than that.
        now = self.clock()
        if self._away_since is not None:
            LOG.info(
                "Instance %s is checked again, after %.1f s without.",
                self._name,
                now - self._away_since,
            )
        self._away_since = None
        self.due = now + self._interval_s

    def _end(self, error: Exception) -> None:
        # Nothing moves what is due any more, so every use comes to beat().
        self._ended = _without_frames(error, {})

    def _bears(
        self, error: Exception, began: float, *, hopeless: bool = False
    ) -> bool:
        """Say whether the work outlives an error, and when it is tried again.

        :param error: why there was no answer
        :param began: when the check began that it ended
        :param hopeless: it is the last in any case
        """
        if self._away_since is None:
            # How long ago the last answer was says nothing about how long
            # the database is away: the work may look now and then only.
            self._away_since = began
        now = self.clock()
        away_s = now - self._away_since
        deadline = self._away_since + self._max_away_s
        if hopeless or now >= deadline:
            error.add_note(
                f"Instance {self._name} could not be checked for "
                f"{away_s:.1f} s; its watch has "
                f"max_away_s={self._max_away_s:g}."
            )
            return False
        LOG.warning(
            "Instance %s could not be checked for %.1f s, which is borne for "
            "%.1f s more. The database said: %s: %s",
            self._name,
            away_s,
            deadline - now,
            type(error).__name__,
            error,
        )
        self.due = min(now + self._interval_s, deadline)
        return True


def _without_frames(error: _Error, done: dict[int, Any]) -> _Error:
    """Copy an error, and what it carries and came from, without tracebacks.

    Through these it would keep everything that the callers had in hand.

    :param error: as it was raised
    :param done: the copies made so far, by the id of what they are of
    """
    if id(error) in done:
        copied: _Error = done[id(error)]
        return copied
    kind = type(error)
    # Python's own keep more than their dictionary, all of it made from args.
    # Others may be made in any way, and have it all there.
    builtin = kind.__module__ == "builtins"
    made = kind(*error.args) if builtin else kind.__new__(kind, *error.args)
    done[id(error)] = made
    for name, value in vars(error).items():
        if isinstance(value, BaseException):
            vars(made)[name] = _without_frames(value, done)
        else:
            # Whoever is raised the copy may add notes of his own.
            own = isinstance(value, list)
            vars(made)[name] = list(value) if own else value
    if error.__cause__ is not None:
        made.__cause__ = _without_frames(error.__cause__, done)
    made.__suppress_context__ = error.__suppress_context__
    return made


def _is_hopeless(error: Exception) -> bool:
    """Say whether it would be in vain to wait for the first answer."""
    return (
        isinstance(error, retry.DATABASE_ERRORS)
        and retry.classify(error) is retry.Verdict.FAIL
    )
