# SPDX-License-Identifier: Apache-2.0
"""Claims, and two nodes of which one lags, for the tests of this folder."""

from collections.abc import Callable, Iterator
import contextlib
import threading
from typing import Any

from oslo_db import api as oslo_db_api
import sqlalchemy as sa

from nova_db_states import api
from tests.functional.cluster import conftest
from tests.resources import rows

Call = Callable[[api.CellContext, str], object]


def autocommit(context: api.CellContext, instance: str) -> object:
    """Claim by a single statement."""
    return api.instance_update(
        context,
        instance,
        {"task_state": "spawning"},
        expected_task_state="networking",
    )


def returning(context: api.CellContext, instance: str) -> object:
    """Claim in a transaction of the call's own."""
    return api.instance_update(
        context,
        instance,
        {"task_state": "spawning"},
        expected_task_state="networking",
        returning=("host",),
    )


@oslo_db_api.wrap_db_retry(
    max_retries=5, retry_interval=0.1, retry_on_deadlock=True
)
def begun_anew(context: api.CellContext, instance: str) -> object:
    """Claim in a transaction of the caller's, who begins it anew."""
    with context.begin():
        return autocommit(context, instance)


def checked(context: api.CellContext, instance: str) -> object:
    """Only ask."""
    return api.instance_check(
        context, instance, expected_task_state="networking"
    )


def in_transaction(context: api.CellContext, instance: str) -> None:
    """Claim in a transaction of the caller's, once."""
    with context.begin():
        autocommit(context, instance)


class Pair:
    """Two nodes, an instance, and a context on the node that lags."""

    def __init__(self, cell: conftest.ClusterCell, scheme: str) -> None:
        self.writer, self.node = cell.cluster.nodes[:2]
        self.elsewhere = sa.create_engine(cell.url(0))
        self.here = sa.create_engine(cell.url(1))
        self.context = api.connect(cell.url(1, scheme))
        self.instance = rows.insert_instance(
            self.elsewhere, vm_state="building", task_state="scheduling"
        )
        cell.cluster.wait_synced()
        # The first call also looks at the schema.
        api.instance_update(self.context, self.instance, {"progress": 0})
        cell.cluster.wait_synced()

    def task_state(self, engine: sa.Engine) -> object:
        """Read what a node has."""
        return rows.read_instance(engine, self.instance)["task_state"]

    @contextlib.contextmanager
    def behind(self, task_state: str) -> Iterator[None]:
        """Write a state elsewhere that the node does not have in the block."""
        with self.node.lag(self.writer):
            with self.elsewhere.begin() as connection:
                connection.execute(
                    sa.text("UPDATE instances SET task_state = :state"),
                    {"state": task_state},
                )
            assert self.task_state(self.here) == "scheduling"
            yield


def running(call: Call, pair: Pair) -> tuple[threading.Thread, list[Any]]:
    """Run a call beside the test; what comes of it ends up in the list."""
    came: list[Any] = []

    def body() -> None:
        try:
            came.append(call(pair.context, pair.instance))
        except Exception as error:  # noqa: BLE001 - is looked at
            came.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    return thread, came
