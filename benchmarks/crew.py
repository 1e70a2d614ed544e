# SPDX-License-Identifier: Apache-2.0
"""Threads of one process that change servers all at once, timed there.

Run as a script it reads a line with a moment and a number of seconds. From
that moment on, for so long, every thread changes servers that no other thread
touches; then it answers with a line of JSON, an :class:`Answer`.

The moment is one of ``time.monotonic()``, which all processes of a machine
share, so that several crews can begin together.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import concurrent.futures
import dataclasses
import itertools
import json
import sys
import time
from typing import Any, Final

from benchmarks import cell as cell_
from benchmarks import core
from benchmarks import peer
from benchmarks import raw

__all__ = ["Answer", "Settings", "Worker", "together", "workers"]

_NAMED_ERRORS: Final = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What a crew is told at its start.

    :ivar kind: ``raw``, ``core`` or ``ours`` for who sends the update that
        sets a task and clears it again; ``progress`` for ours of a column
        that nobody guards
    :ivar url: of the cell
    :ivar threads: how many
    :ivar connections: of the pool that the threads share, if they share one;
        ``None`` for this project's default
    :ivar pause_s: how long a thread sleeps after each call
    """

    kind: str
    url: str
    threads: int
    connections: int | None
    pause_s: float = 0.0

    def arguments(self, servers: Sequence[str]) -> list[str]:
        """Put it on the command line of a process.

        :param servers: uuids, shared out to the threads
        :returns: the arguments of :func:`main`
        """
        return [json.dumps(dataclasses.asdict(self)), *servers]


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What became of a burst.

    :ivar seconds: of each call, by thread
    :ivar ended_at: when the last of them ended
    :ivar failed: number of calls that raised something
    :ivar errors: what some of those raised
    """

    seconds: list[list[float]]
    ended_at: float
    failed: int
    errors: list[str]


class Worker:
    """One thread's calls, numbered on from burst to burst."""

    def __init__(self, call: peer.Call, pause_s: float) -> None:
        self._call = call
        self._pause_s = pause_s
        self._numbers = itertools.count()

    def work(self, begin_at: float, seconds: float) -> Answer:
        """Call until the time is over."""
        clock = time.monotonic
        taken: list[float] = []
        errors: list[str] = []
        ended_at = begin_at
        time.sleep(max(begin_at - clock(), 0.0))
        while ended_at < begin_at + seconds:
            # There and back: whoever comes next finds the server as it was.
            for number in itertools.islice(self._numbers, 2):
                began = clock()
                try:
                    self._call(number)
                except Exception as error:  # noqa: BLE001 - each is counted
                    errors.append(f"{type(error).__name__}: {error}"[:200])
                ended_at = clock()
                taken.append(ended_at - began)
                if self._pause_s:
                    time.sleep(self._pause_s)
        return Answer([taken], ended_at, len(errors), errors)


def together(
    crew: Sequence[Worker], begin_at: float, seconds: float
) -> Answer:
    """Let all threads work at once.

    :param crew: one worker for each thread
    :param begin_at: the moment, of ``time.monotonic()``
    :param seconds: how long
    :returns: what became of it
    """
    with concurrent.futures.ThreadPoolExecutor(len(crew)) as pool:
        begun = [pool.submit(each.work, begin_at, seconds) for each in crew]
    answers = [each.result() for each in begun]
    return Answer(
        [taken for answer in answers for taken in answer.seconds],
        max(answer.ended_at for answer in answers),
        sum(answer.failed for answer in answers),
        sorted({each for answer in answers for each in answer.errors})[
            :_NAMED_ERRORS
        ],
    )


def _raw(settings: Settings) -> Callable[[Sequence[str]], peer.Call]:
    return lambda servers: raw.Flip(cell_.connect_to(settings.url), servers)


def _core(settings: Settings) -> Callable[[Sequence[str]], peer.Call]:
    engine = core.engine(settings.url, settings.connections or 1)
    return lambda servers: core.Flip(engine, servers)


def _ours(settings: Settings) -> Callable[[Sequence[str]], peer.Call]:
    update, conflict = peer.our_update(settings.url, settings.connections)
    return lambda servers: peer.calls(update, conflict, servers)["hold"]


def _progress(settings: Settings) -> Callable[[Sequence[str]], peer.Call]:
    from nova_db_states import api

    context = api.connect(
        settings.url, max_connections=settings.connections or settings.threads
    )

    def made(servers: Sequence[str]) -> peer.Call:
        def call(number: int) -> None:
            # What a task does that reports how far it is. The guard holds
            # before a sweep has been there and after.
            api.instance_update(
                context,
                servers[number % len(servers)],
                {"progress": number % 100},
                expected_vm_state="active",
                touch=False,
            )

        return call

    return made


_KINDS: Final[
    Mapping[str, Callable[[Settings], Callable[[Sequence[str]], peer.Call]]]
] = {"raw": _raw, "core": _core, "ours": _ours, "progress": _progress}


def workers(settings: Settings, servers: Sequence[str]) -> Iterator[Worker]:
    """Make the threads' work.

    :param settings: what is to be done
    :param servers: uuids, shared out
    :returns: yields one worker for each thread
    """
    make = _KINDS[settings.kind](settings)
    for first in range(settings.threads):
        yield Worker(
            make(servers[first :: settings.threads]), settings.pause_s
        )


def main(given: str, *servers: str) -> None:
    """Serve bursts until standard input ends."""
    fields: dict[str, Any] = json.loads(given)
    crew = list(workers(Settings(**fields), servers))
    for line in sys.stdin:
        answer = together(crew, *map(float, line.split()))
        print(json.dumps(dataclasses.asdict(answer)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
