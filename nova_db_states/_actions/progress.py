# SPDX-License-Identifier: Apache-2.0
"""How far the work is, in percent."""

import collections
import threading
from typing import Any, Final
import weakref

from nova_db_states import exceptions

__all__ = ["Progress", "Source"]

_ALL: Final = 100


class Source:
    """What one iterable or file has let through.

    Each has its own, so that no two threads count in one place. It is
    finished when nobody has it any more.

    :ivar seen: bytes
    """

    __slots__ = ("__weakref__", "_finished", "seen")

    def __init__(self, finished: collections.deque[int]) -> None:
        self.seen = 0
        self._finished = finished

    def __del__(self) -> None:
        # At any point of any thread, so that a lock must not be waited for.
        self._finished.append(self.seen)


class Progress:
    """How far the work is, from the bytes seen and from what was told.

    :ivar total: bytes in all; ``None`` where they are not counted
    """

    def __init__(self, total: Any) -> None:
        if total is not None and (type(total) is not int or total < 0):
            raise exceptions.InvalidUpdate(
                f"total={total!r}: give a whole number of bytes, at least 0, "
                f"or None where it is not known."
            )
        self.total: int | None = total
        # A watch may outlive any number of files: only those in use are kept,
        # and of the others the sum.
        self._used: weakref.WeakValueDictionary[int, Source] = (
            weakref.WeakValueDictionary()
        )
        self._finished: collections.deque[int] = collections.deque()
        self._finished_sum = 0
        self._folding = threading.Lock()
        self._told: int | None = None
        self._reached: int | None = None

    def source(self) -> Source:
        """Make the count of one more iterable or file."""
        self._fold()
        made = Source(self._finished)
        self._used[id(made)] = made
        return made

    def tell(self, progress: Any) -> None:
        """Take what the work says of itself; the largest counts.

        :param progress: percent
        :raises InvalidUpdate: not a whole number from 0 to 100
        """
        if type(progress) is not int or not 0 <= progress <= _ALL:
            raise exceptions.InvalidUpdate(
                f"progress={progress!r}: give a whole number of percent, from "
                f"0 to {_ALL}, or None where it is not known."
            )
        self._told = max(self._told or 0, progress)

    def percent(self) -> int | None:
        """Say how far the work is, which is never less than before.

        :returns: 0 to 100; 100 only when all that is counted is there;
            ``None`` where nothing is known
        """
        percent = self._told
        if self.total is not None:
            seen = self._seen()
            if seen >= self.total:
                percent = _ALL
            else:
                percent = max(percent or 0, seen * _ALL // self.total)
                percent = min(percent, _ALL - 1)
        if percent is not None:
            self._reached = max(self._reached or 0, percent)
        return self._reached

    def _seen(self) -> int:
        # In this order: what is finished in between is missed this time, and
        # not counted twice.
        seen = self._fold()
        for reference in self._used.valuerefs():
            source = reference()
            if source is not None:
                seen += source.seen
        return seen

    def _fold(self) -> int:
        with self._folding:
            while self._finished:
                self._finished_sum += self._finished.popleft()
            return self._finished_sum
