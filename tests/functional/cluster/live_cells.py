# SPDX-License-Identifier: Apache-2.0
"""A large cell on the cluster that is written to while it is changed."""

from collections.abc import Iterator, Sequence
import concurrent.futures
import contextlib
import dataclasses
import threading
import time
from typing import Any, Final

import pymysql
import sqlalchemy as sa
from sqlalchemy import pool

from nova_db_states import api
from nova_db_states import migrations
from nova_db_states import retry
from tests.functional.cluster import conftest
from tests.resources import galera
from tests.resources import galera_node
from tests.resources import rows
from tests.resources import schema

INDEX: Final = "nova_db_states_deleted_vm_state_task_state"

MANY: Final = 120_000
"""Enough for a build to be caught in the middle of it."""

_FILL: Final = (
    "INSERT INTO instances"
    " (uuid, created_at, updated_at, vm_state, task_state, deleted, host)"
    " SELECT uuid(), now(), now(),"
    " elt(1 + mod(seq, 4), 'active', 'stopped', 'error', 'building'),"
    " if(mod(seq, 5) = 0, 'powering-off', NULL),"
    " if(mod(seq, 3) = 0, seq, 0), 'c1'"
    f" FROM seq_1_to_{MANY}"
)

# Not among those that are dropped after each test: it takes a while to make.
_DATABASE: Final = "nds_live"


def without_index(
    cluster: galera.Cluster, made: schema.MariaDBSchema
) -> conftest.ClusterCell:
    """Give a cell with many instances and without our index on any node.

    It is made once, and lasts as long as the cluster.
    """
    cell = conftest.ClusterCell(cluster, _DATABASE)
    if not cluster.execute("SHOW DATABASES LIKE %s", _DATABASE):
        cluster.execute(f"CREATE DATABASE {_DATABASE} CHARACTER SET utf8mb3")
        with engine(cell.url(0)).connect() as connection:
            connection.exec_driver_sql(made.statements["instances"])
            connection.exec_driver_sql(_FILL)
    for url in cell.urls():
        # Each by itself: a test may have left it on one and not on another.
        with engine(url).connect() as connection:
            connection.exec_driver_sql("SET SESSION wsrep_OSU_method = 'RSU'")
            connection.exec_driver_sql(
                f"ALTER TABLE instances DROP INDEX IF EXISTS {INDEX}"
            )
    cluster.wait_synced()
    return cell


def engine(url: str | sa.URL) -> sa.Engine:
    """Make an engine in autocommit that keeps no connection."""
    return sa.create_engine(
        url, poolclass=pool.NullPool, isolation_level="AUTOCOMMIT"
    )


def states(cell: conftest.ClusterCell) -> list[str]:
    """Say of each node whether the index is there, when it has caught up."""
    return [
        entry.state
        for url in cell.urls()
        for entry in migrations.status(engine(url))
    ]


def upgrade(url: str, **settings: Any) -> migrations.Step:
    """Upgrade all nodes at once, through one of them."""
    [step] = migrations.upgrade(engine(url), allow_toi=True, **settings)
    return step


def check_tables(cell: conftest.ClusterCell) -> None:
    """Make sure that all nodes have the same, and that it is sound."""
    cell.cluster.wait_synced()
    sums = []
    for url in cell.urls():
        with engine(url).connect() as connection:
            checked = connection.exec_driver_sql("CHECK TABLE instances").all()
            assert [row[3] for row in checked] == ["OK"]
            found = connection.exec_driver_sql("CHECKSUM TABLE instances")
            sums.append(found.one()[1])
    assert len(set(sums)) == 1, sums


@contextlib.contextmanager
def open_transaction(
    url: str,
) -> Iterator["pymysql.Connection[pymysql.cursors.Cursor]"]:
    """Hold the table as a forgotten transaction does, and give its end."""
    parsed = sa.make_url(url)
    with contextlib.closing(
        pymysql.connect(
            host=parsed.host,
            port=parsed.port or 0,
            user=parsed.username,
            database=parsed.database,
        )
    ) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT id FROM instances LIMIT 1")
        yield connection


@dataclasses.dataclass
class Writer:
    """Counts up in a row of its own, each step guarded by the one before.

    :ivar successes: how many calls came back as done
    :ivar retries: how often one was tried again, for whatever reason
    :ivar longest_s: the longest call
    """

    url: str
    instance: str
    in_transaction: bool
    successes: int = 0
    retries: int = 0
    longest_s: float = 0.0

    def run(self, stop: threading.Event) -> None:
        """Write until told to stop; whatever fails is raised."""
        context = api.connect(
            self.url, retry_policy=retry.Policy(sleep=self._sleep)
        )
        with contextlib.closing(context):
            while not stop.is_set():
                began = time.monotonic()
                api.instance_update(
                    context,
                    self.instance,
                    {"progress": self.successes + 1},
                    expected={"progress": self.successes},
                    returning=("host",) if self.in_transaction else (),
                )
                self.successes += 1
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                # They come and go as services do.
                time.sleep(0.005)

    def _sleep(self, seconds: float) -> None:
        self.retries += 1
        time.sleep(seconds)


@contextlib.contextmanager
def written(
    cell: conftest.ClusterCell, nodes: Sequence[int]
) -> Iterator[list[Writer]]:
    """Let two writers work through each node for the block.

    When it ends, all that they wrote is on every node, once.
    """
    first = engine(cell.url(nodes[0]))
    instances = rows.insert_instances(first, 2 * len(nodes), progress=0)
    cell.cluster.wait_synced()
    writers = [
        Writer(cell.url(nodes[number // 2]), instance, bool(number % 2))
        for number, instance in enumerate(instances)
    ]
    stop = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(len(writers)) as threads:
        running = [threads.submit(writer.run, stop) for writer in writers]
        try:
            galera_node.wait_for(
                lambda: (
                    all(writer.successes > 10 for writer in writers)
                    or any(each.done() for each in running)
                ),
                "writers at work",
            )
            yield writers
            time.sleep(0.5)
        finally:
            stop.set()
        for each in running:
            each.result(timeout=60)
    cell.cluster.wait_synced()
    for url in cell.urls():
        for writer in writers:
            row = rows.read_instance(engine(url), writer.instance)
            assert row["progress"] == writer.successes
