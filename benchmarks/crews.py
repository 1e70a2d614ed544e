# SPDX-License-Identifier: Apache-2.0
"""Many workers at once, each on servers of its own: updates a second.

The contenders burst by turns. What one of them reaches in a round is compared
with what plain PyMySQL reaches in the same round.
"""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
import dataclasses
import random
import statistics
import time
from typing import Final

from benchmarks import cell as cell_
from benchmarks import crew
from benchmarks import figure
from benchmarks import peers
from benchmarks import sampling

__all__ = ["Burst", "burst", "processes", "started", "threads"]

_THREADS: Final = 64
_PROCESSES: Final = 8
_SERVERS_EACH: Final = 4

_LEAD_S: Final = 0.5
_WARM_UP_ROUNDS: Final = 2

RAW: Final = "raw PyMySQL"
CORE: Final = "SQLAlchemy Core"
OURS: Final = "nova_db_states"
DEFAULT: Final = "nova_db_states, connections by default"


@dataclasses.dataclass(frozen=True, slots=True)
class Burst:
    """What a contender did in one burst.

    :ivar seconds: of each call, by thread
    :ivar elapsed_s: from the beginning to the end of the last call
    :ivar failed: number of calls that raised something
    :ivar errors: what some of those raised
    :ivar opened: connections that the server was asked for meanwhile
    """

    seconds: list[list[float]]
    elapsed_s: float
    failed: int
    errors: list[str]
    opened: int

    @property
    def calls(self) -> int:
        """How many calls were made."""
        return sum(map(len, self.seconds))

    @property
    def rate(self) -> float:
        """Calls that did not fail, a second."""
        return (self.calls - self.failed) / self.elapsed_s

    @property
    def starved(self) -> int:
        """Threads that had less than a tenth of an even share of the calls."""
        even = self.calls / len(self.seconds)
        return sum(len(taken) < even / 10 for taken in self.seconds)


Bursts = Mapping[str, Sequence[Burst]]


def threads(
    cell: cell_.Cell, *, rounds: int = 7, seconds: float = 2.0
) -> tuple[figure.Figure, ...]:
    """Compare threads of one process.

    :param cell: where
    :param rounds: bursts of each contender that count
    :param seconds: that a burst lasts
    :returns: the figure
    """
    contenders = {
        RAW: crew.Settings("raw", cell.url, _THREADS, None),
        CORE: crew.Settings("core", cell.url, _THREADS, _THREADS),
        OURS: crew.Settings("ours", cell.url, _THREADS, _THREADS),
        DEFAULT: crew.Settings("ours", cell.url, _THREADS, None),
    }
    bursts = _by_turns(cell, contenders, 1, rounds, seconds)
    what = f"{_THREADS} threads, updates a second against raw PyMySQL"
    return _figures("threads", what, 0.4, bursts)


def processes(
    cell: cell_.Cell, *, rounds: int = 7, seconds: float = 2.0
) -> tuple[figure.Figure, ...]:
    """Compare processes, of one thread each and of several.

    :param cell: where
    :param rounds: bursts of each contender that count
    :param seconds: that a burst lasts
    :returns: a figure for each number of threads
    """
    figures: list[figure.Figure] = []
    for each in (1, _THREADS // _PROCESSES):
        contenders = {
            RAW: crew.Settings("raw", cell.url, each, None),
            CORE: crew.Settings("core", cell.url, each, each),
            OURS: crew.Settings("ours", cell.url, each, each),
        }
        bursts = _by_turns(cell, contenders, _PROCESSES, rounds, seconds)
        what = (
            f"{_PROCESSES} processes, {each} thread{'s' * (each > 1)} each,"
            " updates a second against raw PyMySQL"
        )
        figures += _figures("processes", what, 0.6, bursts)
    return tuple(figures)


@contextlib.contextmanager
def started(
    settings: crew.Settings, servers: Sequence[str], count: int = 1
) -> Iterator[list[peers.Peer]]:
    """Run crews for as long as the block runs.

    :param settings: of each
    :param servers: shared out to them
    :param count: how many processes
    :returns: yields the crews
    """
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                peers.running(
                    crew,
                    *settings.arguments(servers[first::count]),
                    nova=False,
                )
            )
            for first in range(count)
        ]


def burst(
    crews: Sequence[peers.Peer],
    connection: cell_.Connection,
    seconds: float,
    *,
    lead_s: float = _LEAD_S,
) -> Burst:
    """Let crews work, all of them at once.

    :param crews: from :func:`started`
    :param connection: to count connections with
    :param seconds: how long
    :param lead_s: until they begin: time to read the line and to start threads
    :returns: what they did
    """
    before = _opened(connection)
    begin_at = time.monotonic() + lead_s
    for each in crews:
        each.tell(begin_at, seconds)
    answers = [crew.Answer(**each.answer()) for each in crews]
    return Burst(
        [taken for answer in answers for taken in answer.seconds],
        max(answer.ended_at for answer in answers) - begin_at,
        sum(answer.failed for answer in answers),
        [each for answer in answers for each in answer.errors],
        _opened(connection) - before,
    )


def _by_turns(
    cell: cell_.Cell,
    contenders: Mapping[str, crew.Settings],
    count: int,
    rounds: int,
    seconds: float,
) -> Bursts:
    order = random.Random(count)
    bursts: dict[str, list[Burst]] = {name: [] for name in contenders}
    workers = count * contenders[RAW].threads
    servers = cell.quiet_servers(workers * _SERVERS_EACH)
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(
            contextlib.closing(cell_.connect(cell))
        )
        crews = {
            name: stack.enter_context(started(settings, servers, count))
            for name, settings in contenders.items()
        }
        for number in range(_WARM_UP_ROUNDS + rounds):
            for name in order.sample(list(crews), len(crews)):
                made = burst(crews[name], connection, seconds)
                if number >= _WARM_UP_ROUNDS:
                    bursts[name].append(made)
    return bursts


def _figures(
    name: str, what: str, bound: float, bursts: Bursts
) -> tuple[figure.Figure, ...]:
    errors = {each for made in bursts[OURS] for each in made.errors}
    return (
        figure.Figure(
            name,
            what,
            against_raw(bursts, OURS),
            bound,
            "times",
            at_least=True,
            samples={
                who: sampling.summarise([*_seconds(made)])
                for who, made in bursts.items()
            },
            numbers=_numbers(bursts),
        ),
        figure.Figure(
            name,
            f"{what.partition(', updates')[0]}, updates failed"
            + "".join(f"; {error}" for error in sorted(errors)[:3]),
            sum(each.failed for each in bursts[OURS]),
            0,
            "updates",
        ),
    )


def _seconds(bursts: Sequence[Burst]) -> Iterator[float]:
    for each in bursts:
        for taken in each.seconds:
            yield from taken


def _numbers(bursts: Bursts) -> dict[str, float]:
    numbers: dict[str, float] = {}
    for who, made in bursts.items():
        numbers[f"{who}: calls a second"] = statistics.median(
            each.rate for each in made
        )
        if who != RAW:
            numbers[f"{who}: against raw"] = against_raw(bursts, who)
            numbers[f"{who}: connections opened in a burst"] = (
                statistics.median(each.opened for each in made)
            )
            numbers[f"{who}: threads with under a tenth of their share"] = (
                statistics.median(each.starved for each in made)
            )
    return numbers


def against_raw(bursts: Bursts, who: str) -> float:
    """Compare a contender with the bare statement, round by round.

    :param bursts: of all contenders
    :param who: one of them
    :returns: the median over the rounds
    """
    return statistics.median(
        one.rate / bare.rate
        for one, bare in zip(bursts[who], bursts[RAW], strict=True)
    )


def _opened(connection: cell_.Connection) -> int:
    ((_, count),) = cell_.query(
        connection, "SHOW GLOBAL STATUS LIKE 'Connections'"
    )
    return int(str(count))
