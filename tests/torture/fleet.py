# SPDX-License-Identifier: Apache-2.0
"""The processes that make claims: started, watched, struck and ended."""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import itertools
import multiprocessing
from multiprocessing import process as mp_process
import os
import signal
import time
from typing import Any, Final, Self

from tests.torture import targets
from tests.torture import worker

_LOOK_S: Final = 0.02
_TELL_S: Final = 5.0
_STOP_TIMEOUT_S: Final = 90
# Longer than any fault lasts, and what a client makes of it.
_STILL_S: Final = 180


class RunError(Exception):
    """A run did not come to its end; the message says what stopped it."""


class Fleet:
    """The workers; on leaving the block none is left.

    What starts and strikes them is to be called from one thread.
    """

    def __init__(
        self,
        workers: int,
        threads: int,
        task: Callable[[int], worker.Task],
        say: Callable[[str], None],
    ) -> None:
        """Say what they do.

        :param workers: how many processes
        :param threads: in each of them
        :param task: takes the number of a worker, which is a new one also
            for one that takes the place of another
        :param say: is told now and then how many operations have been made
        """
        self._count = workers
        self._threads = threads
        self._task = task
        self._say = say
        self._spawn = multiprocessing.get_context("spawn")
        self._counts: Any = self._spawn.RawArray("Q", workers * threads)
        self._stop: Any = self._spawn.RawValue("i", 0)
        self._numbers = itertools.count()
        self._workers: list[mp_process.BaseProcess] = []
        self._told = time.monotonic()

    def __enter__(self) -> Self:
        for place in range(self._count):
            self._workers.append(self._start(place))
        return self

    def __exit__(self, *exc_info: object) -> None:
        for process in self._workers:
            # A stopped one dies as well.
            process.kill()
            process.join()

    @property
    def made(self) -> int:
        """The number of operations that have been made."""
        return sum(self._counts)

    @property
    def numbers(self) -> Sequence[int]:
        """The numbers of the workers that are there now."""
        return [int(process.name) for process in self._workers]

    def kinds(self) -> Mapping[str, targets.Kind]:
        """Say what can be done to a worker, given its place."""
        return {
            "worker kill -9": targets.Kind((0.0, 0.1), self._killed),
            "worker SIGSTOP": targets.Kind((0.2, 1.0), self._paused),
        }

    def work_until(self, operations: int) -> None:
        """Wait until so many operations have been made.

        :raises RunError: a worker ended, or no operation was made for long
        """
        last, since = self.made, time.monotonic()
        while (made := self.made) < operations:
            now = time.monotonic()
            if made != last:
                last, since = made, now
            self._require_alive()
            if now - since > _STILL_S:
                raise RunError(f"no operation was made for {_STILL_S} s")
            if now - self._told > _TELL_S:
                self._told = now
                self._say(f"{made:,} operations")
            time.sleep(_LOOK_S)

    def finish(self) -> None:
        """Let every worker end its operation, and itself.

        :raises RunError: one does not, or ended with an error
        """
        self._stop.value = 1
        deadline = time.monotonic() + _STOP_TIMEOUT_S
        for process in self._workers:
            process.join(max(0.0, deadline - time.monotonic()))
            if process.exitcode is None:
                raise RunError(
                    f"worker {process.name} did not end: a call has not "
                    f"returned within {_STOP_TIMEOUT_S} s"
                )
        self._require_alive()

    def _require_alive(self) -> None:
        for process in self._workers:
            if process.exitcode:
                raise RunError(
                    f"worker {process.name} ended with {process.exitcode}"
                )

    @contextlib.contextmanager
    def _killed(self, place: int) -> Iterator[None]:
        """Kill a worker; after the block another takes its place."""
        self._workers[place].kill()
        self._workers[place].join()
        yield
        self._workers[place] = self._start(place)

    @contextlib.contextmanager
    def _paused(self, place: int) -> Iterator[None]:
        pid = self._workers[place].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def _start(self, place: int) -> mp_process.BaseProcess:
        number = next(self._numbers)
        process = self._spawn.Process(
            target=worker.run,
            args=(
                self._task(number),
                self._counts,
                place * self._threads,
                self._stop,
            ),
            name=str(number),
        )
        process.start()
        return process
