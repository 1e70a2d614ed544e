# SPDX-License-Identifier: Apache-2.0
"""Who makes a look at the state of a server while data is on its way.

Without a database a look is a call of nova-conductor, which may be away for
as long as such a call may last. The data must not stand still so long: the
connection that it comes by would be closed at the other end. So another
thread makes the call, and the data waits for it for a moment only.

Under eventlet an upload runs in a thread of the system's own, where nothing
may be called that waits for a greenlet of another thread. There the look is
left to a greenlet of the thread that the step began in.
"""

import collections
from collections.abc import Callable, Iterator
import contextlib
import sys
import threading
from typing import Any, Final

__all__ = ["Lookout"]

_PATIENCE_S: Final = 5.0
_POLL_S: Final = 0.05


class _Errand:
    """One look, made by somebody else."""

    def __init__(self, look: Callable[[], None], done: Any) -> None:
        self.done = done
        self._look = look
        self._error: Exception | None = None

    def run(self) -> None:
        """Make the look, and keep what it raised."""
        try:
            self._look()
        except Exception as error:  # noqa: BLE001 - for whoever asked
            self._error = error
        finally:
            self.done.set()

    def result(self) -> None:
        """Raise what the look raised."""
        if self._error is not None:
            raise self._error


class Lookout:
    """Makes the looks of one long step, one at a time."""

    def __init__(
        self, *, remote: bool, patience_s: float = _PATIENCE_S
    ) -> None:
        """Be made in the thread that the step runs in.

        :param remote: whether a look is a call of another process
        :param patience_s: how long the data waits for the answer
        """
        self._remote = remote
        self._patience_s = patience_s
        self._home = threading.get_native_id()
        self._pending: _Errand | None = None
        self._errands: collections.deque[_Errand] = collections.deque()

    def make(self, look: Callable[[], None]) -> bool:
        """Make a look, or see what became of the last one.

        :param look: raises where the server is not ours any more
        :returns: whether there was an answer in time; where not, it is that
            of the next call
        :raises Exception: what the look raises
        """
        if self._pending is None:
            if not self._remote and not self._is_abroad():
                look()
                return True
            self._pending = self._send(look)
        if not self._pending.done.wait(self._patience_s):
            return False
        answered, self._pending = self._pending, None
        answered.result()
        return True

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Let looks be asked for from other threads in a block."""
        if _patcher() is None:
            yield
            return
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                while self._errands:
                    self._errands.popleft().run()
                # A greenlet cannot be woken from another thread.
                over.wait(_POLL_S)

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield
        finally:
            over.set()

    def _send(self, look: Callable[[], None]) -> _Errand:
        if self._is_abroad():
            patcher = _patcher()
            assert patcher is not None
            errand = _Errand(look, patcher.original("threading").Event())
            self._errands.append(errand)
        else:
            errand = _Errand(look, threading.Event())
            threading.Thread(target=errand.run, daemon=True).start()
        return errand

    def _is_abroad(self) -> bool:
        """Say whether this is a thread beside the one of the greenlets."""
        here = threading.get_native_id() == self._home
        return not here and _patcher() is not None


def _patcher() -> Any:
    """Give eventlet's patcher, where threads are greenlets."""
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is not None and patcher.is_monkey_patched("thread"):
        return patcher
    return None
