# SPDX-License-Identifier: Apache-2.0
"""A process that plays one side of races and writes down what happened.

What a process records is its own view: when it began and ended each write,
and what the row said when it looked right after, in another transaction. Times
are seconds of the machine's monotonic clock, which all processes share,
counted from the start of the race.
"""

from collections.abc import Iterator, Sequence
import contextlib
import dataclasses
import logging
from multiprocessing import connection as mp_connection
import os
import signal
import time

from nova_db_states import exceptions
from nova_db_states import states
from nova_db_states.demo import plan
from nova_db_states.demo import saves
from nova_db_states.demo import scratch
from nova_db_states.demo import stories

__all__ = ["Account", "Event", "Job", "Outcome", "Piece", "main"]

_CAST_TIMEOUT_S = 60.0


class Outcome:
    """How a write ended."""

    WRITTEN = "written"
    REFUSED = "refused"
    GONE = "gone"
    STOPPED = "stopped"
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
class Piece:
    """A piece of an image, in seconds from the start of the race.

    :ivar asked_s: when it was asked for
    :ivar came_s: when it was there
    """

    asked_s: float
    came_s: float


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

    :ivar pieces: of the image, those that came
    :ivar error: what went wrong with the demo itself, or ``None``
    """

    number: int
    side: int
    events: list[Event] = dataclasses.field(default_factory=list)
    pieces: list[Piece] = dataclasses.field(default_factory=list)
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
        server = way.load(job.uuid)
        if server is None:
            raise LookupError(f"the row of {job.uuid} is missing")
        self.server = server

    def load(self) -> bool:
        server = self._way.load(self._job.uuid)
        if server is None or server.row.deleted:
            return False
        self.server = server
        return True

    def accept(self, write: saves.Write) -> None:
        with self.recorded(write, self._way.expectation(write)):
            self._way.accept(self.server, write)

    def write(self, write: saves.Write) -> None:
        with self.recorded(write, self._way.expectation(write)):
            self._way.write(self.server, write)

    def destroy(self, write: saves.Write) -> None:
        with self.recorded(write, self._way.expectation(write)):
            self._way.destroy(self.server, write)

    def clean_up(self, write: saves.Write) -> None:
        if self._way.cleans_up:
            with contextlib.suppress(exceptions.InstanceNotFound):
                self.write(write)

    @contextlib.contextmanager
    def task(self, first: saves.Write) -> Iterator["_Work"]:
        task = self._way.task(self.server, first)
        expected = self._way.expectation(first)
        written = True
        if first.by_api:
            # That write is made already; a guarded task looks at it first.
            expected = saves.shown(first.values["task_state"])
            first = dataclasses.replace(first, did="takes it up", source="")
            written = False
        with contextlib.ExitStack() as stack:
            with self.recorded(first, expected, written=written):
                work = _Work(self, stack.enter_context(task))
            yield work

    @contextlib.contextmanager
    def recorded(
        self, write: saves.Write, expected: str, *, written: bool = True
    ) -> Iterator[None]:
        """Write down how the block went that makes a write.

        :param write: that is made
        :param expected: what it expects of the row
        :param written: false to write down only that it was refused
        """
        began = self.now()
        outcome = Outcome.WRITTEN
        try:
            yield
        except exceptions.InstanceNotFound:
            outcome = Outcome.GONE
            raise
        except exceptions.InstanceUpdateConflict:
            outcome = Outcome.REFUSED
            raise
        finally:
            if written or outcome != Outcome.WRITTEN:
                self.record(began, write, expected, outcome)

    def record(
        self, began: float, write: saves.Write, expected: str, outcome: str
    ) -> None:
        """Write down how a write went, and what the row says now."""
        ended = self.now()
        service = "api" if write.by_api else "compute"
        self.account.events.append(
            Event(
                began,
                ended,
                f"nova-{service} {os.getpid()}",
                write.did,
                write.source,
                expected,
                outcome,
                self._way.read(self._job.uuid),
                ended,
            )
        )

    def work(self, seconds: float) -> None:
        time.sleep(seconds)

    def note(self, did: str) -> None:
        now = self.now()
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

    def now(self) -> float:
        """Give the seconds from the start of the race."""
        return time.monotonic() - self._job.zero


class _Work:
    """Plays what a host does in a task; a :class:`stories.Work`."""

    def __init__(self, player: _Player, task: saves.Task) -> None:
        self._player = player
        self._task = task

    def step(self, write: saves.Write) -> None:
        with self._player.recorded(write, self._task.expectation(write)):
            self._task.step(write)

    def end(self, write: saves.Write) -> None:
        with self._player.recorded(write, self._task.expectation(write)):
            self._task.end(write)

    def download(self, download: stories.Download) -> None:
        write = saves.Write("download stopped", "", {}, states.ANY)
        began = self._player.now()
        expected = self._task.expectation(write)
        try:
            for _ in self._task.watched(
                self._pieces(download), download.interval_s
            ):
                pass
        except stories.REFUSED:
            self._player.record(began, write, expected, Outcome.STOPPED)
            raise

    def _pieces(self, download: stories.Download) -> Iterator[None]:
        now = self._player.now
        for _ in range(download.pieces):
            asked = now()
            time.sleep(download.piece_s)
            self._player.account.pieces.append(Piece(asked, now()))
            yield


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
    # The accounts say what happened. What the library logs about a loser
    # would come to the terminal from every process, between the lines.
    logging.getLogger("nova_db_states").addHandler(logging.NullHandler())
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
