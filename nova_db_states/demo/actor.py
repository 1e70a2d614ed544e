# SPDX-License-Identifier: Apache-2.0
"""A process that plays one side of races and writes down what happened.

What a process records is its own view: when it began and ended each write,
and what the row said when it looked right after, in another transaction. Times
are seconds of the machine's monotonic clock, which all processes share,
counted from the start of the race.
"""

from collections.abc import Callable, Sequence
import contextlib
import dataclasses
from multiprocessing import connection as mp_connection
import os
import signal
import time

from nova_db_states import exceptions
from nova_db_states.demo import plan
from nova_db_states.demo import saves
from nova_db_states.demo import scratch
from nova_db_states.demo import stories

__all__ = ["Account", "Event", "Job", "Outcome", "main"]

_CAST_TIMEOUT_S = 60.0


class Outcome:
    """How a write ended."""

    WRITTEN = "written"
    REFUSED = "refused"
    GONE = "gone"
    NOTED = "noted"


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One thing that one process did in one race.

    :ivar began_s: seconds from the start of the race
    :ivar ended_s: the same; a write is committed by then
    :ivar who: the service that does this in Nova, and the process's id
    :ivar did: what it did
    :ivar source: the place in Nova that writes here; empty for a note
    :ivar expected: what the write expected to find; empty for nothing
    :ivar outcome: one of :class:`Outcome`
    :ivar row: what the row said right after; ``None`` if nothing was written
    :ivar looked_s: when that read began
    """

    began_s: float
    ended_s: float
    who: str
    did: str
    source: str
    expected: str
    outcome: str
    row: saves.Row | None = None
    looked_s: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One side of one race, to be played by one process.

    :ivar kind: the way to write
    :ivar begins: when to begin, by the monotonic clock
    :ivar zero: when the race begins, by the same clock
    """

    kind: type[saves.Saves]
    race: plan.Race
    side: int
    uuid: str
    begins: float
    zero: float


@dataclasses.dataclass(slots=True)
class Account:
    """What one process says about its side of one race.

    :ivar chunks: when each piece of the image was there, seconds from the
        start of the race
    :ivar error: what went wrong with the demo itself, or ``None``
    """

    number: int
    side: int
    events: list[Event] = dataclasses.field(default_factory=list)
    chunks: list[float] = dataclasses.field(default_factory=list)
    error: str | None = None


class _Player:
    """Plays one job; a :class:`stories.Player`."""

    def __init__(
        self,
        job: Job,
        way: saves.Saves,
        peer: "mp_connection.Connection[str, str]",
    ) -> None:
        self._job = job
        self._way = way
        self._peer = peer
        self.account = Account(job.race.number, job.side)
        row = way.read(job.uuid)
        if row is None:
            raise LookupError(f"the row of {job.uuid} is missing")
        self.server = saves.Server(job.uuid, row)

    def load(self) -> bool:
        row = self._way.read(self._job.uuid)
        if row is None or row.deleted:
            return False
        self.server = saves.Server(self._job.uuid, row)
        return True

    def write(self, write: saves.Write) -> None:
        if write.guard is None and isinstance(self._way, saves.GuardedSaves):
            return
        self._recorded(write, self._way.write)

    def destroy(self, write: saves.Write) -> None:
        self._recorded(write, self._way.destroy)

    def _recorded(
        self,
        write: saves.Write,
        action: Callable[[saves.Server, saves.Write], None],
    ) -> None:
        began = self._now()
        try:
            action(self.server, write)
        except exceptions.InstanceNotFound:
            self._record(began, write, Outcome.GONE)
            raise
        except exceptions.InstanceUpdateConflict:
            self._record(began, write, Outcome.REFUSED)
            raise
        self._record(began, write, Outcome.WRITTEN)

    def _record(self, began: float, write: saves.Write, outcome: str) -> None:
        ended = self._now()
        service = "api" if "/api.py" in write.source else "compute"
        self.account.events.append(
            Event(
                began,
                ended,
                self._who(service),
                write.did,
                write.source,
                self._way.expectation(write),
                outcome,
                self._way.read(self._job.uuid),
                ended,
            )
        )

    def work(self, seconds: float) -> None:
        time.sleep(seconds)

    def download(self, chunks: int, chunk_s: float) -> None:
        for _ in range(chunks):
            time.sleep(chunk_s)
            self.account.chunks.append(self._now())

    def note(self, did: str) -> None:
        now = self._now()
        self.account.events.append(
            Event(
                now,
                now,
                f"nova-compute {os.getpid()}",
                did,
                "",
                "",
                Outcome.NOTED,
            )
        )

    def send(self, message: str) -> None:
        self._peer.send(message)

    def receive(self) -> str:
        if not self._peer.poll(_CAST_TIMEOUT_S):
            raise TimeoutError("the other process never sent its cast")
        return self._peer.recv()

    @staticmethod
    def _who(service: str) -> str:
        return f"nova-{service} {os.getpid()}"

    def _now(self) -> float:
        return time.monotonic() - self._job.zero


def main(
    url: str,
    kinds: Sequence[type[saves.Saves]],
    turn: saves.Turn,
    jobs: "mp_connection.Connection[Account, Job]",
    peer: "mp_connection.Connection[str, str]",
) -> None:
    """Play jobs until there are no more; first of all send an empty account.

    :param url: the scratch database
    :param kinds: the ways to write that jobs may ask for
    :param turn: to be held while writing
    :param jobs: where they come from and the accounts go to
    :param peer: the process that plays the other side
    """
    # Ctrl-C reaches every process of the terminal; the parent decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ready = Account(-1, 0)
    ways = {}
    try:
        for kind in kinds:
            ways[kind] = kind(url, turn)
            ways[kind].warm_up()
    except Exception as error:  # noqa: BLE001 - it is the parent's to tell
        ready.error = scratch.said(error)
    # No more jobs, or no more parent: either way this is the end.
    with contextlib.suppress(EOFError, ConnectionError):
        jobs.send(ready)
        while True:
            job = jobs.recv()
            jobs.send(_play(job, ways[job.kind], peer))


def _play(
    job: Job,
    way: saves.Saves,
    peer: "mp_connection.Connection[str, str]",
) -> Account:
    try:
        player = _Player(job, way, peer)
        time.sleep(max(0.0, job.begins - time.monotonic()))
        stories.SIDES[job.race.pair][job.side](player, job.race)
    except Exception as error:  # noqa: BLE001 - it is the parent's to tell
        return Account(job.race.number, job.side, error=scratch.said(error))
    return player.account
