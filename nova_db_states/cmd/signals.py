# SPDX-License-Identifier: Apache-2.0
"""A kill and a closed terminal end a command in the way Ctrl-C does."""

from collections.abc import Iterator
import contextlib
import signal
import threading
from typing import Final, NoReturn

__all__ = ["as_exceptions", "exit_code"]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def as_exceptions() -> Iterator[None]:
    """Raise ``SystemExit`` when this process is told to end.

    :returns: yields nothing
    """
    if threading.current_thread() is not threading.main_thread():
        # Only there may a handler be set; another program has its own.
        yield
        return

    def end(number: int, _: object) -> NoReturn:
        raise SystemExit(128 + number)

    before = {
        number: signal.signal(number, end)
        for number in _SIGNALS
        # nohup asks for that one to be ignored.
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(stop: KeyboardInterrupt | SystemExit) -> int:
    """Give the exit code that a shell gives to the signal.

    :param stop: what ended the work
    :returns: 128 and the number of the signal
    """
    if isinstance(stop, SystemExit) and isinstance(stop.code, int):
        return stop.code
    return 128 + signal.SIGINT
