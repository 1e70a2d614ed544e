# SPDX-License-Identifier: Apache-2.0
"""Two processes for every race under way, and what comes back from them."""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import dataclasses
import multiprocessing
from multiprocessing import connection as mp_connection
from multiprocessing import forkserver
import signal
import time
from typing import Any, Final

from oslo_utils import timeutils
import sqlalchemy as sa

from nova_db_states import exceptions
from nova_db_states import tables
from nova_db_states.demo import actor
from nova_db_states.demo import direct
from nova_db_states.demo import guarded
from nova_db_states.demo import plan
from nova_db_states.demo import saves
from nova_db_states.demo import scratch
from nova_db_states.demo import verdict

__all__ = ["DemoFailed", "Mode", "Result", "Settings", "play"]

_LEAD_S: Final = 0.004
"""So that both processes wait for the start and none is late."""

_RACE_TIMEOUT_S: Final = 90.0
_JOIN_TIMEOUT_S: Final = 2.0

_MODES: Final[tuple[type[saves.Saves], ...]] = (
    direct.DirectSaves,
    guarded.GuardedSaves,
)


class DemoFailed(exceptions.NovaDBStatesError):
    """The demo itself could not go on; it says nothing about the races."""


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What to play.

    :ivar url: the database; ``None`` for a temporary SQLite file
    :ivar races: how many, in each mode
    :ivar workers: how many are played at the same time, two processes each
    :ivar seed: the same seed draws the same races
    """

    url: str | None = None
    races: int = 120
    workers: int = 6
    seed: int = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Mode:
    """All races of one mode, played."""

    name: str
    played: tuple[verdict.Played, ...]
    findings: tuple[verdict.Finding, ...]
    count: verdict.Count


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """A run of the demo."""

    settings: Settings
    direct: Mode
    guarded: Mode

    @property
    def holds(self) -> bool:
        """Whether the direct mode did damage and the guarded one did none."""
        return self.guarded.count.damage == 0 < self.direct.count.damage


Progress = Callable[[str, int, int], None]
Opened = Callable[[str | None], contextlib.AbstractContextManager[str]]


def play(
    settings: Settings,
    progress: Progress,
    modes: Sequence[type[saves.Saves]] = _MODES,
    *,
    opened: Opened = scratch.opened,
    apart: bool = False,
) -> Result:
    """Play every race in both modes and judge them.

    :param settings: what to play
    :param progress: told the mode, the races done, and those with damage
    :param modes: the ways to write, the unguarded one first
    :param opened: takes the URL of the settings, and gives that of a database
        with the table
    :param apart: whether each mode needs processes of its own
    :returns: both modes
    :raises UnsupportedDatabase: the database cannot be used
    :raises InvalidRequest: a number that makes no sense
    :raises DemoFailed: a process died or hung
    """
    if settings.workers < 1:
        raise exceptions.InvalidRequest(
            f"workers={settings.workers}: at least 1 race must be under way."
        )
    races = plan.draw(settings.seed, settings.races)
    groups = [[kind] for kind in modes] if apart else [list(modes)]
    played: list[Mode] = []
    with opened(settings.url) as url:
        for group in groups:
            workers = min(settings.workers, len(races))
            with _slots(url, workers, group) as slots:
                stage = _Stage(url, settings.seed, races, slots)
                for kind in group:
                    part = dataclasses.replace(stage, part=len(played))
                    played.append(_play_mode(kind, part, progress))
    first, second = played
    return Result(settings, first, second)


@dataclasses.dataclass(slots=True)
class _Slot:
    """Two processes that play the two sides of one race at a time."""

    processes: tuple[Any, Any]
    pipes: tuple[Any, Any]
    accounts: list[actor.Account] = dataclasses.field(default_factory=list)
    deadline: float = 0.0


@contextlib.contextmanager
def _slots(
    url: str, count: int, kinds: Sequence[type[saves.Saves]]
) -> Iterator[list[_Slot]]:
    context = _fork_server()
    turn: saves.Turn = None
    if sa.make_url(url).get_backend_name() == "sqlite":
        turn = context.Lock()
    slots: list[_Slot] = []
    try:
        for _ in range(count):
            # One by one, so that those that run are stopped if one cannot.
            slots.append(_slot(context, url, kinds, turn))  # noqa: PERF401
        for slot in slots:
            for pipe in slot.pipes:
                _received(pipe)
        yield slots
    finally:
        processes = [each for slot in slots for each in slot.processes]
        for slot in slots:
            for pipe in slot.pipes:
                pipe.close()
        end = time.monotonic() + _JOIN_TIMEOUT_S
        for process in processes:
            process.join(max(0.0, end - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
            process.close()


def _fork_server() -> Any:
    """Start the server process, and wait until it forks."""
    # It imports everything once and has no engine and no thread; what is
    # forked from it starts in milliseconds, and clean.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", actor.__name__])
    # Ctrl-C reaches every process of the terminal, those that still import
    # included; the parent decides.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before)
    # A player that is forked when the parent is gone would miss its lock and
    # complain; this one needs nothing.
    first = context.Process(target=int, daemon=True)
    first.start()
    first.join()
    first.close()
    return context


def _slot(
    context: Any,
    url: str,
    kinds: Sequence[type[saves.Saves]],
    turn: saves.Turn,
) -> _Slot:
    peers = context.Pipe()
    processes = []
    pipes = []
    for peer in peers:
        ours, theirs = context.Pipe()
        process = context.Process(
            target=actor.main,
            args=(url, tuple(kinds), turn, theirs, peer),
            daemon=True,
        )
        process.start()
        theirs.close()
        peer.close()
        processes.append(process)
        pipes.append(ours)
    return _Slot((processes[0], processes[1]), (pipes[0], pipes[1]))


@dataclasses.dataclass(frozen=True, slots=True)
class _Stage:
    """What a mode is played on; ``part`` is 0 for the first mode."""

    url: str
    seed: int
    races: Sequence[plan.Race]
    slots: list[_Slot]
    part: int = 0


def _play_mode(
    kind: type[saves.Saves], stage: _Stage, progress: Progress
) -> Mode:
    engine = sa.create_engine(stage.url, hide_parameters=True)
    races = stage.races
    try:
        uuids = {
            race.number: plan.server_uuid(stage.seed, stage.part, race)
            for race in races
        }
        _insert(engine, races, uuids)
        progress(kind.name, 0, 0)
        began = time.monotonic()
        played: list[verdict.Played] = []
        findings: list[verdict.Finding] = []
        damaged = 0
        for race, accounts in _accounts(kind, races, uuids, stage.slots):
            one = _played(engine, race, uuids[race.number], accounts)
            played.append(one)
            findings.append(verdict.judge(one))
            damaged += findings[-1].damaged
            progress(kind.name, len(played), damaged)
        seconds = time.monotonic() - began
    finally:
        engine.dispose()
    return Mode(
        kind.name,
        tuple(played),
        tuple(findings),
        verdict.count(findings, seconds),
    )


def _accounts(
    kind: type[saves.Saves],
    races: Sequence[plan.Race],
    uuids: dict[int, str],
    slots: list[_Slot],
) -> Iterator[tuple[plan.Race, list[actor.Account]]]:
    """Keep every slot busy; give each race with what both sides say."""
    waiting = list(reversed(races))
    busy: dict[Any, _Slot] = {}
    free = list(slots)
    while waiting or busy:
        while waiting and free:
            slot = free.pop()
            race = waiting.pop()
            _start(slot, kind, race, uuids[race.number])
            busy.update(dict.fromkeys(slot.pipes, slot))
        deadline = min(slot.deadline for slot in busy.values())
        ready = mp_connection.wait(
            list(busy), max(0.0, deadline - time.monotonic())
        )
        if not ready:
            raise _too_slow()
        for pipe in ready:
            slot = busy.pop(pipe)
            slot.accounts.append(_received(pipe))
            if len(slot.accounts) == len(slot.pipes):
                accounts, slot.accounts = slot.accounts, []
                free.append(slot)
                yield races[accounts[0].number], accounts


def _start(
    slot: _Slot, kind: type[saves.Saves], race: plan.Race, uuid: str
) -> None:
    zero = time.monotonic() + _LEAD_S
    slot.deadline = zero + _RACE_TIMEOUT_S
    for side, begins in enumerate((zero, zero + race.second_begins_s)):
        slot.pipes[side].send(actor.Job(kind, race, side, uuid, begins, zero))


def _received(pipe: Any) -> actor.Account:
    if not pipe.poll(_RACE_TIMEOUT_S):
        raise _too_slow()
    try:
        account: actor.Account = pipe.recv()
    except (EOFError, OSError):
        raise DemoFailed(
            "A process of the demo died. Was it killed, or is the machine "
            "out of memory? Try again with fewer --workers."
        ) from None
    if account.error is not None:
        raise DemoFailed(
            f"A process of the demo failed: {account.error}. Is "
            f"somebody else using this database, or is it overloaded? Try "
            f"again with fewer --workers."
        )
    return account


def _too_slow() -> DemoFailed:
    return DemoFailed(
        f"A process of the demo was not done after {_RACE_TIMEOUT_S:g} s. The "
        f"database hangs or is overloaded; try again with fewer --workers."
    )


def _insert(
    engine: sa.Engine, races: Sequence[plan.Race], uuids: dict[int, str]
) -> None:
    """Make the servers as Nova does: booting ones are on no host yet."""
    rows = []
    now = timeutils.utcnow()
    for race in races:
        booting = race.pair is plan.Pair.BUILD_DELETE
        rows.append(
            {
                "uuid": uuids[race.number],
                "display_name": f"demo-{race.number}",
                "project_id": "demo",
                "user_id": "demo",
                "vm_state": "building" if booting else "active",
                "task_state": "scheduling" if booting else None,
                "power_state": 0 if booting else 1,
                "host": None if booting else "compute1",
                "node": None if booting else "compute1",
                "created_at": now,
                "launched_at": None if booting else now,
                "deleted": 0,
            }
        )
    with engine.begin() as connection:
        connection.execute(sa.insert(tables.instances), rows)


def _played(
    engine: sa.Engine,
    race: plan.Race,
    uuid: str,
    accounts: list[actor.Account],
) -> verdict.Played:
    columns = tables.instances.c
    with engine.connect() as connection:
        row = connection.execute(
            sa.select(
                columns.id,
                columns.vm_state,
                columns.task_state,
                columns.host,
                columns.deleted,
            ).where(columns.uuid == uuid)
        ).one()
    events = [event for account in accounts for event in account.events]
    events.sort(key=lambda event: event.ended_s)
    return verdict.Played(
        race,
        tuple(events),
        tuple(piece for account in accounts for piece in account.pieces),
        saves.Row(*row),
    )
