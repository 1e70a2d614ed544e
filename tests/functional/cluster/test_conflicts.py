# SPDX-License-Identifier: Apache-2.0
"""A refusal on a cluster is what the cluster has, whatever the node has."""

from collections.abc import Callable, Iterator
import contextlib
import threading
import time
from typing import Any

from oslo_db import api as oslo_db_api
from oslo_db import exception as db_exc
import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states import tables
from tests.functional import test_races
from tests.functional.cluster import conftest
from tests.resources import rows
from tests.resources import statements

_UNANSWERED_S = 0.4
_LONG_S = 30

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


WAYS = pytest.mark.parametrize(
    "call", [autocommit, returning, begun_anew, checked]
)


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


@pytest.fixture
def pair(cluster_cell: conftest.ClusterCell) -> Iterator[Pair]:
    """Give two nodes that have the same so far.

    Under the scheme for which oslo.db does nothing.
    """
    made = Pair(cluster_cell, "mariadb+pymysql")
    yield made
    made.context.close()
    made.elsewhere.dispose()
    made.here.dispose()


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


@WAYS
def test_nobody_is_refused_because_the_node_is_behind(
    pair: Pair, call: Call
) -> None:
    """What was committed elsewhere before the call is what it is judged by."""
    with pair.behind("networking"):
        thread, came = running(call, pair)
        thread.join(_UNANSWERED_S)
        assert not came, "it did not wait for the node to catch up"
    thread.join(_LONG_S)
    assert not isinstance(came[0], Exception), came
    expected = "networking" if call is checked else "spawning"
    assert pair.task_state(pair.here) == expected


@WAYS
def test_a_refusal_says_what_the_cluster_has(pair: Pair, call: Call) -> None:
    """A conflict names the state that was committed, not that of the node."""
    with pair.behind("deleting"):
        thread, came = running(call, pair)
        thread.join(_UNANSWERED_S)
        assert not came, "it did not wait for the node to catch up"
    thread.join(_LONG_S)
    assert isinstance(came[0], exceptions.UnexpectedDeletingTaskStateError)
    assert came[0].actual == {"task_state": "deleting"}
    assert pair.task_state(pair.here) == "deleting"


@WAYS
def test_a_row_that_has_not_come_yet(pair: Pair, call: Call) -> None:
    """An instance that was made elsewhere is found."""
    with pair.behind("networking"):
        pair.instance = rows.insert_instance(
            pair.elsewhere, task_state="networking"
        )
        thread, came = running(call, pair)
        thread.join(_UNANSWERED_S)
        assert not came, "it did not wait for the node to catch up"
    thread.join(_LONG_S)
    assert not isinstance(came[0], Exception), came


@WAYS
def test_a_node_that_stays_behind(pair: Pair, call: Call) -> None:
    """A wait that times out is no conflict and no lock wait."""
    error: type[Exception] = retry.NodeBehind
    if call is begun_anew:
        # It is begun anew as often as the caller likes.
        error = retry.Unverified
    with (
        pair.node.provider("repl.causal_read_timeout", "PT0.3S"),
        pair.behind("networking"),
    ):
        began = time.monotonic()
        with pytest.raises(error) as caught:
            call(pair.context, pair.instance)
        assert time.monotonic() - began < 15
        assert pair.task_state(pair.here) == "scheduling"
    # Nor does a session stay as it was for that one statement.
    engine = pair.context.db_connection.writer.get_engine()
    with engine.connect() as connection:
        variable = sa.text("SELECT @@SESSION.wsrep_sync_wait")
        assert connection.execute(variable).scalar_one() == 0
    kind = (
        db_exc.DBDeadlock if call is begun_anew else db_exc.DBConnectionError
    )
    assert isinstance(caught.value, kind)
    assert "1205" not in str(caught.value)


def test_what_a_caller_is_told_inside_a_transaction(pair: Pair) -> None:
    """The class that means: begin anew; the node rolled it all back."""
    with pair.behind("networking"):
        thread, came = running(in_transaction, pair)
        thread.join(_UNANSWERED_S)
        assert not came
    thread.join(_LONG_S)
    assert isinstance(came[0], db_exc.DBDeadlock)
    assert retry.error_code(came[0]) == 1213
    in_transaction(pair.context, pair.instance)
    assert pair.task_state(pair.here) == "spawning"


def in_transaction(context: api.CellContext, instance: str) -> None:
    """Claim in a transaction of the caller's, once."""
    with context.begin():
        autocommit(context, instance)


def test_rolled_back_by_the_cluster_at_the_last_moment(pair: Pair) -> None:
    """What another node overtook after the row had matched is run again."""
    writes = iter(
        [
            ("UPDATE instances SET updated_at", {"task_state": "spawning"}),
            ("SELECT 1", {"task_state": "scheduling"}),
            ("SET SESSION wsrep_sync_wait = 0", {"progress": 77}),
        ]
    )
    waited_for, values = next(writes)

    def elsewhere(sql: str) -> None:
        nonlocal waited_for, values
        if values and sql.startswith(waited_for):
            with pair.elsewhere.begin() as connection:
                connection.execute(sa.update(tables.instances).values(values))
            pair.node.catch_up()
            waited_for, values = next(writes, ("", {}))

    with statements.before_each(elsewhere):
        api.instance_update(
            pair.context,
            pair.instance,
            {"task_state": "networking"},
            expected_task_state="scheduling",
        )
    assert not values, "the moment did not come"
    row = rows.read_instance(pair.here, pair.instance)
    assert (row["task_state"], row["progress"]) == ("networking", 77)


def test_what_the_transaction_itself_wrote(pair: Pair) -> None:
    """A conflict with one's own write is one, not a reason to begin anew."""
    with pair.context.begin():
        api.instance_update(
            pair.context, pair.instance, {"task_state": "spawning"}
        )
        with pytest.raises(exceptions.UnexpectedTaskStateError) as caught:
            api.instance_update(
                pair.context,
                pair.instance,
                {"progress": 1},
                expected_task_state="scheduling",
            )
    assert caught.value.actual == {"task_state": "spawning"}
    assert pair.task_state(pair.here) == "spawning"


def test_a_commit_that_is_refused(
    cluster_cell: conftest.ClusterCell, cluster_scheme: str
) -> None:
    """Of two transactions on two nodes one commit fails: begin anew."""
    with contextlib.ExitStack() as stack:
        first, second = (
            api.connect(url) for url in cluster_cell.urls(cluster_scheme)[:2]
        )
        stack.callback(first.close)
        stack.callback(second.close)
        engine = sa.create_engine(cluster_cell.url(0))
        stack.callback(engine.dispose)
        instance = rows.insert_instance(engine, task_state="networking")
        cluster_cell.cluster.wait_synced()

        def both() -> None:
            with second.begin():
                autocommit(second, instance)
                in_transaction(first, instance)

        with pytest.raises(db_exc.DBDeadlock) as caught:
            both()
        assert retry.error_code(caught.value) == 1213
        with pytest.raises(exceptions.UnexpectedTaskStateError) as refused:
            in_transaction(second, instance)
        assert refused.value.actual == {"task_state": "spawning"}


def test_one_winner_on_all_nodes(
    cluster_cell: conftest.ClusterCell, cluster_scheme: str
) -> None:
    """Of claims on every node one is applied, and the others know which."""
    urls = cluster_cell.urls(cluster_scheme)
    contexts = [api.connect(url) for url in urls]
    engine = sa.create_engine(urls[0])
    for way in (autocommit_token, token_in_transaction):
        instance = rows.insert_instance(engine, progress=0)
        cluster_cell.cluster.wait_synced()
        for turn in range(20):
            tokens = [100 * turn + 100 + n for n in range(len(contexts))]
            before = rows.read_instance(engine, instance)["progress"]

            def claim(
                number: int,
                instance: str = instance,
                tokens: list[int] = tokens,
                before: object = before,
                way: Callable[..., object] = way,
            ) -> object:
                try:
                    way(contexts[number], instance, before, tokens[number])
                except exceptions.InstanceUpdateConflict as conflict:
                    return conflict.actual["progress"]
                return tokens[number]

            told = test_races.race(len(contexts), claim)
            cluster_cell.cluster.wait_synced()
            winner = rows.read_instance(engine, instance)["progress"]
            assert told == [winner] * len(contexts)
            assert winner in tokens
    for context in contexts:
        context.close()
    engine.dispose()


def autocommit_token(
    context: api.CellContext, instance: str, before: object, token: int
) -> None:
    """Swap a token."""
    api.instance_update(
        context, instance, {"progress": token}, expected={"progress": before}
    )


@oslo_db_api.wrap_db_retry(
    max_retries=20, retry_interval=0.01, retry_on_deadlock=True
)
def token_in_transaction(
    context: api.CellContext, instance: str, before: object, token: int
) -> None:
    """Swap a token in a transaction of the caller's, who begins it anew."""
    with context.begin():
        autocommit_token(context, instance, before, token)


@pytest.mark.parametrize(
    ("values", "returning", "joined"),
    [
        ({}, (), False),
        ({"vm_state": "building"}, ("host",), False),
        ({"vm_state": "building"}, (), True),
    ],
)
def test_what_has_nothing_to_write(
    pair: Pair,
    values: dict[str, str],
    returning: tuple[str, ...],
    joined: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """No commit refuses an update without changes: its guard is verified."""

    def ask(context: api.CellContext, instance: str) -> None:
        with context.begin() if joined else contextlib.nullcontext():
            api.instance_update(
                context,
                instance,
                values,
                expected_task_state="scheduling",
                returning=returning,
                touch=False,
            )

    ask(pair.context, pair.instance)
    with pair.behind("deleting"):
        thread, came = running(ask, pair)
        thread.join(_UNANSWERED_S)
        assert not came, "it did not wait for the node to catch up"
    thread.join(_LONG_S)
    expected: type[Exception] = exceptions.UnexpectedDeletingTaskStateError
    if joined:
        # The node has rolled back what had locked the old row.
        expected = db_exc.DBDeadlock
    assert isinstance(came[0], expected)


def test_the_happy_path_pays_nothing(pair: Pair) -> None:
    """What is applied is one statement, as on a server that stands alone."""
    sent: list[str] = []
    with statements.before_each(sent.append):
        api.instance_update(
            pair.context,
            pair.instance,
            {"task_state": "networking"},
            expected_task_state="scheduling",
        )
        api.instance_check(
            pair.context, pair.instance, expected_task_state="networking"
        )
    assert [sql.split(maxsplit=1)[0] for sql in sent] == ["UPDATE", "SELECT"]


def test_what_a_refusal_costs(pair: Pair) -> None:
    """It is judged again in a session that waits, and only there."""

    def refused() -> list[str]:
        sent: list[str] = []
        with (
            statements.before_each(sent.append),
            pytest.raises(exceptions.UnexpectedTaskStateError),
        ):
            autocommit(pair.context, pair.instance)
        return sent

    refused()
    first, *again, last = refused()
    assert first.startswith("UPDATE instances SET ")
    assert again[:3] == [
        "SELECT @@SESSION.wsrep_sync_wait",
        "SET SESSION wsrep_sync_wait = 3",
        "SELECT 1",
    ]
    assert [sql.split(maxsplit=1)[0] for sql in again[3:]] == [
        "UPDATE",
        "SELECT",
    ]
    assert last == "SET SESSION wsrep_sync_wait = 0"
