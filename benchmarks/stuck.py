# SPDX-License-Identifier: Apache-2.0
"""A sweep of very many stuck rows, seen by those who update one of them.

Tasks report their progress on servers that are all among the rows of the
sweep, which is the hardest case: any of them may be locked by its batch.
They do so with the sweep and without it by turns.
"""

from collections.abc import Callable
import concurrent.futures
import contextlib
import dataclasses
import time
from typing import Any, Final

from benchmarks import cell as cell_
from benchmarks import crew
from benchmarks import crews
from benchmarks import figure
from benchmarks import fleet
from benchmarks import sampling
from nova_db_states import api

__all__ = ["beside_updates"]

_SHARE: Final = 10
_TASK: Final = "powering-off"
_OLD: Final = fleet.NOW.replace(month=7)
_MANY_DAYS_AGO: Final = fleet.NOW.replace(month=1)

_THREADS: Final = 4
_SERVERS: Final = 8_000
# The tasks come and go as services do; they are not to saturate a machine
# that also sweeps.
_PAUSE_S: Final = 0.005
_BURST_S: Final = 1.0
_LEAD_S: Final = 0.05
_MOST_BURSTS: Final = 300
_P: Final = 0.999

_Say = Callable[[str], None]


@dataclasses.dataclass(slots=True)
class _Stream:
    """Single updates beside something, or beside nothing.

    :ivar seconds: of each call
    :ivar failed: number of calls that raised something
    :ivar errors: what some of those raised
    """

    seconds: list[float] = dataclasses.field(default_factory=list)
    failed: int = 0
    errors: list[str] = dataclasses.field(default_factory=list)

    def take(self, burst: crews.Burst) -> None:
        """Add what was done in a burst."""
        for taken in burst.seconds:
            self.seconds += taken
        self.failed += burst.failed
        self.errors += burst.errors

    @property
    def p999_ms(self) -> float:
        """The time that one call in a thousand exceeded."""
        return sampling.percentile_ms(self.seconds, _P)


class _Bench:
    """The stuck rows, and the tasks that work on some of them."""

    def __init__(self, cell: cell_.Cell, connection: cell_.Connection) -> None:
        self._cell = cell
        self._connection = connection
        self.ids = self._choose(cell.rows // _SHARE)
        self.swept_s: list[float] = []
        self.swept: list[int] = []

    def _choose(self, count: int) -> list[int]:
        """Choose servers from all over the table."""
        found = cell_.query(
            self._connection,
            "SELECT id FROM instances WHERE deleted = 0"
            " AND vm_state = 'active' AND task_state IS NULL"
            " AND id %% %s = 0 ORDER BY id LIMIT %s",
            max(self._cell.rows // (count * 2), 1),
            count,
        )
        return [int(str(row[0])) for row in found]

    def servers(self) -> list[str]:
        """Give the uuids of some of them, in no order."""
        step = max(len(self.ids) // _SERVERS, 1)
        found = cell_.query(
            self._connection,
            "SELECT uuid FROM instances WHERE id IN %s ORDER BY uuid",
            self.ids[::step],
        )
        return [str(row[0]) for row in found]

    def get_stuck(self) -> None:
        """Let all of them have a task that nobody works on any more."""
        for start in range(0, len(self.ids), 10_000):
            cell_.query(
                self._connection,
                "UPDATE instances SET task_state = %s, updated_at = %s"
                " WHERE id IN %s",
                _TASK,
                _MANY_DAYS_AGO,
                self.ids[start : start + 10_000],
            )

    def sweep(self, context: api.CellContext) -> None:
        """End that task everywhere."""
        began = time.monotonic()
        changed = api.instances_update(
            context,
            {"task_state": None},
            expected_vm_state="active",
            expected_task_state=_TASK,
            updated_before=_OLD,
        )
        self.swept_s.append(time.monotonic() - began)
        self.swept.append(changed)

    def plain(self) -> None:
        """Do the same by one statement."""
        with contextlib.closing(cell_.connect(self._cell)) as connection:
            cell_.query(
                connection,
                "UPDATE instances SET task_state = NULL, updated_at = NOW()"
                " WHERE deleted = 0 AND vm_state = 'active'"
                " AND task_state = %s"
                " AND COALESCE(updated_at, created_at) < %s",
                _TASK,
                _OLD,
            )


def beside_updates(
    cell: cell_.Cell, say: _Say, *, rounds: int = 3
) -> tuple[figure.Figure, ...]:
    """Sweep a tenth of a cell under a stream of single updates.

    :param cell: where
    :param say: is told what is under way
    :param rounds: sweeps, each with as long a time without
    :returns: the figure of the times, and the number of failed updates
    """
    alone, beside, plain = _Stream(), _Stream(), _Stream()
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(
            contextlib.closing(cell_.connect(cell))
        )
        bench = _Bench(cell, connection)
        settings = crew.Settings(
            "progress", cell.url, _THREADS, _THREADS, _PAUSE_S
        )
        tasks = stack.enter_context(crews.started(settings, bench.servers()))
        context = api.connect(cell.url)
        stack.callback(context.close)
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(1))

        def burst() -> crews.Burst:
            return crews.burst(tasks, connection, _BURST_S, lead_s=_LEAD_S)

        burst()
        for number in range(rounds):
            say(f"stuck: sweep {number + 1} of {rounds}")
            bench.get_stuck()
            count = _while_running(
                pool.submit(bench.sweep, context), burst, beside
            )
            bench.get_stuck()
            for _ in range(count):
                alone.take(burst())
        say("stuck: one plain UPDATE")
        _while_running(pool.submit(bench.plain), burst, plain)
    return _figures(bench, alone, beside, plain)


def _while_running(
    work: "concurrent.futures.Future[None]",
    burst: Callable[[], crews.Burst],
    stream: _Stream,
) -> int:
    """Keep the tasks busy until something else is done.

    A burst that outlasts it does not count, unless there is no other.

    :returns: the number of bursts that count
    """
    counted = 0
    for _ in range(_MOST_BURSTS):
        made = burst()
        if not counted or not work.done():
            stream.take(made)
            counted += 1
        if work.done():
            break
    work.result()
    return counted


def _figures(
    bench: _Bench, alone: _Stream, beside: _Stream, plain: _Stream
) -> tuple[figure.Figure, ...]:
    numbers: dict[str, Any] = {
        "p99.9 without a sweep, ms": alone.p999_ms,
        "p99.9 beside a sweep, ms": beside.p999_ms,
        "p99.9 beside one plain UPDATE, ms": plain.p999_ms,
        "rows swept, of each sweep": min(bench.swept),
        "seconds of a sweep": max(bench.swept_s),
    }
    return (
        figure.Figure(
            "stuck",
            f"sweep of {len(bench.ids):,} rows, p99.9 of a single update"
            " against the same without it",
            beside.p999_ms / alone.p999_ms,
            5.0,
            "times",
            samples={
                "without a sweep": sampling.summarise(alone.seconds),
                "beside a sweep": sampling.summarise(beside.seconds),
                "beside one plain UPDATE": sampling.summarise(plain.seconds),
            },
            numbers=numbers,
        ),
        figure.Figure(
            "stuck",
            "sweep under single updates, updates failed and rows left"
            + "".join(f"; {each}" for each in sorted(set(beside.errors))[:3]),
            beside.failed + len(bench.ids) - min(bench.swept),
            0,
            "updates",
        ),
    )
