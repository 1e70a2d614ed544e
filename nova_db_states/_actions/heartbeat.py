# SPDX-License-Identifier: Apache-2.0
"""Heartbeats: when the next is due, and what an error means for the work."""

from collections.abc import Callable
import logging
import math
import sys
import threading
import types
from typing import Final

from nova_db_states import exceptions
from nova_db_states import retry

__all__ = ["Heart"]

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
        "_answered",
        "_ended",
        "_interval_s",
        "_lock",
        "_max_away_s",
        "_missed",
        "_name",
        "_traceback",
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
        self._answered = clock()
        self._missed = False
        self._ended: Exception | None = None
        self._traceback: types.TracebackType | None = None
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
            try:
                self._update()
            except _BORNE as error:
                if _is_hopeless(error) or self.clock() >= self._deadline:
                    self._note(error)
                    raise
                self._warn(error)
            else:
                self._answer()
                return

    def beat(self) -> None:
        """Check now, unless another thread does, or did a moment ago.

        :raises Exception: what ended this watch, now or earlier
        """
        # Not waiting for the lock keeps the data of the other threads
        # flowing, and does the same with greenlets as with threads.
        if self._ended is None and self._lock.acquire(blocking=False):
            try:
                self._check()
            finally:
                self._lock.release()
        if self._ended is not None:
            # Raised as often as the watch is used, it must not grow by it.
            raise self._ended.with_traceback(self._traceback)

    def _check(self) -> None:
        if self._ended is not None or self.clock() < self.due:
            # Another thread was here between the caller's look and the lock.
            return
        try:
            self._update()
        except _BORNE as error:
            now = self.clock()
            if now >= self._deadline:
                self._note(error)
                self._end(error)
            else:
                self._warn(error)
                self.due = min(now + self._interval_s, self._deadline)
        except Exception as error:  # noqa: BLE001 - beat() raises it
            self._end(error)
        else:
            self._answer()

    @property
    def _deadline(self) -> float:
        return self._answered + self._max_away_s

    def _answer(self) -> None:
        # The interval counts from the answer: data flows in between even
        # where an answer takes longer than that.
        now = self.clock()
        if self._missed:
            LOG.info(
                "Instance %s is checked again, after %.1f s without.",
                self._name,
                now - self._answered,
            )
        self._missed = False
        self._answered = now
        self.due = now + self._interval_s

    def _end(self, error: Exception) -> None:
        self._traceback = error.__traceback__
        # Nothing moves what is due any more, so every use comes to beat().
        self._ended = error

    def _warn(self, error: Exception) -> None:
        self._missed = True
        now = self.clock()
        LOG.warning(
            "Instance %s could not be checked for %.1f s, which is borne for "
            "%.1f s more. The database said: %s: %s",
            self._name,
            now - self._answered,
            max(self._deadline - now, 0.0),
            type(error).__name__,
            error,
        )

    def _note(self, error: Exception) -> None:
        error.add_note(
            f"Instance {self._name} could not be checked for "
            f"{self.clock() - self._answered:.1f} s; its watch has "
            f"max_away_s={self._max_away_s:g}."
        )


def _is_hopeless(error: Exception) -> bool:
    """Say whether it would be in vain to wait for the first answer."""
    return (
        isinstance(error, retry.DATABASE_ERRORS)
        and retry.classify(error) is retry.Verdict.FAIL
    )
