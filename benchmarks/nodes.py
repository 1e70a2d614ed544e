# SPDX-License-Identifier: Apache-2.0
"""A Galera cluster of three nodes: no false conflict, and at what price.

The nodes are started for this alone, on this machine. Between them is no
network, so that what certification costs here is its own work only.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
import contextlib
import itertools
import time
from typing import Final

import pymysql
import sqlalchemy as sa

from benchmarks import figure
from benchmarks import sampling
from nova_db_states import api
from nova_db_states import exceptions
from tests.resources import galera
from tests.resources import rows
from tests.resources import servers
from tests.resources import statements

__all__ = ["against_stale_rows", "measure"]

_THREADS: Final = 8
_PLAIN_EVERY: Final = 10
_DEADLOCK: Final = 1213
_MOST_DEADLOCKS: Final = 50
_STATES: Final = ("networking", "spawning")
_TIMED: Final = 2000
_ONE_STATEMENT: Final = 1.0
_OVER_RAW: Final = 2.0

# What a node finds as it is already, perhaps because it is behind, it does
# not write: a number makes each of them a change.
_WRITE: Final = (
    "UPDATE instances SET task_state = %s, launch_index = launch_index + 1"
    " WHERE uuid = %s"
)
_GUARDED: Final = (
    "UPDATE instances SET progress = %s"
    " WHERE uuid = %s AND deleted = 0 AND task_state = %s"
)


class _Worker:
    """Writes on one node and updates on another, an instance of its own.

    :ivar updates: how many it has made
    :ivar conflicts: how many of them were refused
    :ivar plain: how many plain statements it has sent
    :ivar missed: how many of them matched no row
    """

    def __init__(
        self,
        contexts: list[api.CellContext],
        nodes: list[servers.Connection],
        instance: str,
        updates: int,
    ) -> None:
        self._contexts = contexts
        self._nodes = nodes
        self._instance = instance
        self._wanted = updates
        self.updates = self.conflicts = self.plain = self.missed = 0

    def run(self) -> None:
        """Make all updates."""
        states = itertools.cycle(_STATES)
        pairs = itertools.cycle(itertools.permutations(range(3), 2))
        while self.updates < self._wanted:
            state, (here, there) = next(states), next(pairs)
            self._write(here, state)
            self.updates += 1
            try:
                api.instance_update(
                    self._contexts[there],
                    self._instance,
                    {"progress": self.updates},
                    expected_task_state=state,
                )
            except exceptions.InstanceError:
                self.conflicts += 1
            if self.updates % _PLAIN_EVERY == 0:
                self._send_plain(next(states), *next(pairs))

    def _send_plain(self, state: str, here: int, there: int) -> None:
        self._write(here, state)
        self.plain += 1
        values = (-self.plain, self._instance, state)
        self.missed += not self._send(there, _GUARDED, values)

    def _write(self, node: int, state: str) -> None:
        self._send(node, _WRITE, (state, self._instance))

    def _send(
        self, node: int, statement: str, values: tuple[object, ...]
    ) -> int:
        """Send a statement, again after a deadlock; give the rows matched."""
        for _ in range(_MOST_DEADLOCKS):
            try:
                with self._nodes[node].cursor() as cursor:
                    return cursor.execute(statement, values)
            except pymysql.err.OperationalError as error:
                if error.args[0] != _DEADLOCK:
                    raise
        raise RuntimeError(f"{_MOST_DEADLOCKS} deadlocks one after another")


def against_stale_rows(
    template: Mapping[str, str], updates: int, say: Callable[[str], None]
) -> list[figure.Figure]:
    """Start a cluster and measure on it.

    :param template: what makes each table of a cell
    :param updates: how many guarded updates to make after a write elsewhere
    :param say: is told what is under way
    :returns: the figures
    """
    with galera.Cluster() as cluster:
        return measure(cluster, template, updates, say)


def measure(
    cluster: galera.Cluster,
    template: Mapping[str, str],
    updates: int,
    say: Callable[[str], None],
) -> list[figure.Figure]:
    """Measure on a cluster that is there.

    :param cluster: at which nothing else works
    :param template: as for :func:`against_stale_rows`, like the rest
    :param updates: how many
    :param say: is told
    :returns: the figures
    """
    database = cluster.create_cell({"instances": template["instances"]})
    urls = cluster.urls(database)
    say(f"{updates:,} updates after a write on another node")
    false_conflicts = _false_conflicts(cluster, urls, updates)
    say("one update, on a node")
    return [false_conflicts, *_price(cluster, urls[1])]


def _false_conflicts(
    cluster: galera.Cluster, urls: list[str], updates: int
) -> figure.Figure:
    with contextlib.ExitStack() as stack:
        contexts = [api.connect(url) for url in urls]
        for context in contexts:
            stack.callback(context.close)
        engine = sa.create_engine(urls[0])
        stack.callback(engine.dispose)
        workers = [
            _Worker(
                contexts,
                [stack.enter_context(_connected(url)) for url in urls],
                rows.insert_instance(engine, launch_index=0),
                updates // _THREADS,
            )
            for _ in range(_THREADS)
        ]
        cluster.wait_synced()
        began = time.monotonic()
        with futures.ThreadPoolExecutor(_THREADS) as pool:
            for done in [pool.submit(worker.run) for worker in workers]:
                done.result()
        elapsed_s = time.monotonic() - began
    made = sum(worker.updates for worker in workers)
    plain = sum(worker.plain for worker in workers)
    missed = sum(worker.missed for worker in workers)
    return figure.Figure(
        "cluster",
        f"false conflicts in {made:,} guarded updates right after a write on"
        f" another node",
        sum(worker.conflicts for worker in workers),
        0,
        "conflicts",
        numbers={
            f"of {plain:,} plain statements matched no row, %": (
                100 * missed / plain
            ),
            "writes of all nodes together, per second": (
                2 * (made + plain) / elapsed_s
            ),
        },
    )


@contextlib.contextmanager
def _connected(url: str) -> Iterator[servers.Connection]:
    parsed = sa.make_url(url)
    connection = pymysql.connect(
        host=parsed.host,
        port=parsed.port or 3306,
        user=parsed.username,
        database=parsed.database,
        autocommit=True,
        client_flag=pymysql.constants.CLIENT.FOUND_ROWS,
    )
    try:
        yield connection
    finally:
        connection.close()


def _price(cluster: galera.Cluster, url: str) -> list[figure.Figure]:
    engine = sa.create_engine(url)
    instance = rows.insert_instance(engine, task_state="spawning")
    engine.dispose()
    cluster.wait_synced()
    context = api.connect(url)

    def ours(number: int) -> None:
        api.instance_update(
            context,
            instance,
            {"progress": number},
            expected_task_state="spawning",
        )

    with contextlib.closing(context), _connected(url) as connection:

        def raw(number: int) -> None:
            with connection.cursor() as cursor:
                # Of its own, or the next one would find nothing to write.
                cursor.execute(_GUARDED, (-number, instance, "spawning"))

        sent: list[str] = []
        ours(-1)
        with statements.before_each(sent.append):
            ours(0)
        samples = _by_turns({"raw": raw, "ours": ours})
    return [
        figure.Figure(
            "cluster",
            "statements of an update that is applied, on a node",
            len(sent),
            _ONE_STATEMENT,
            "statements",
        ),
        figure.Figure(
            "cluster",
            "guarded update on a node, p50 over raw PyMySQL there",
            samples["ours"].p50_ms / samples["raw"].p50_ms,
            _OVER_RAW,
            "x",
            samples=samples,
        ),
    ]


def _by_turns(
    calls: Mapping[str, Callable[[int], None]],
) -> dict[str, sampling.Summary]:
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(1, _TIMED + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call(number)
            taken[name].append(time.perf_counter() - began)
    return {name: sampling.summarise(each) for name, each in taken.items()}
