# SPDX-License-Identifier: Apache-2.0
"""A refusal on a cluster is what the cluster has, whatever the node has."""

from collections.abc import Iterator
import contextlib
import time

from oslo_db import exception as db_exc
import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states import tables
from tests.functional.cluster import conftest
from tests.functional.cluster import pairs
from tests.resources import rows
from tests.resources import statements

_UNANSWERED_S = 0.4
_LONG_S = 30

WAYS = pytest.mark.parametrize(
    "call",
    [pairs.autocommit, pairs.returning, pairs.begun_anew, pairs.checked],
)


@pytest.fixture
def pair(cluster_cell: conftest.ClusterCell) -> Iterator[pairs.Pair]:
    """Give two nodes that have the same so far.

    Under the scheme for which oslo.db does nothing.
    """
    made = pairs.Pair(cluster_cell, "mariadb+pymysql")
    yield made
    made.context.close()
    made.elsewhere.dispose()
    made.here.dispose()


@WAYS
def test_nobody_is_refused_because_the_node_is_behind(
    pair: pairs.Pair, call: pairs.Call
) -> None:
    """What was committed elsewhere before the call is what it is judged by."""
    with pair.behind("networking"):
        thread, came = pairs.running(call, pair)
        thread.join(_UNANSWERED_S)
        assert not came, "it did not wait for the node to catch up"
    thread.join(_LONG_S)
    assert not isinstance(came[0], Exception), came
    expected = "networking" if call is pairs.checked else "spawning"
    assert pair.task_state(pair.here) == expected


@WAYS
def test_a_refusal_says_what_the_cluster_has(
    pair: pairs.Pair, call: pairs.Call
) -> None:
    """A conflict names the state that was committed, not that of the node."""
    with pair.behind("deleting"):
        thread, came = pairs.running(call, pair)
        thread.join(_UNANSWERED_S)
        assert not came, "it did not wait for the node to catch up"
    thread.join(_LONG_S)
    assert isinstance(came[0], exceptions.UnexpectedDeletingTaskStateError)
    assert came[0].actual == {"task_state": "deleting"}
    assert pair.task_state(pair.here) == "deleting"


@WAYS
def test_a_row_that_has_not_come_yet(
    pair: pairs.Pair, call: pairs.Call
) -> None:
    """An instance that was made elsewhere is found."""
    with pair.behind("networking"):
        pair.instance = rows.insert_instance(
            pair.elsewhere, task_state="networking"
        )
        thread, came = pairs.running(call, pair)
        thread.join(_UNANSWERED_S)
        assert not came, "it did not wait for the node to catch up"
    thread.join(_LONG_S)
    assert not isinstance(came[0], Exception), came


@WAYS
def test_a_node_that_stays_behind(pair: pairs.Pair, call: pairs.Call) -> None:
    """A wait that times out is no conflict and no lock wait."""
    error: type[Exception] = retry.NodeBehind
    if call is pairs.begun_anew:
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
        db_exc.DBDeadlock
        if call is pairs.begun_anew
        else db_exc.DBConnectionError
    )
    assert isinstance(caught.value, kind)
    assert "1205" not in str(caught.value)


def test_what_a_caller_is_told_inside_a_transaction(pair: pairs.Pair) -> None:
    """The class that means: begin anew; the node rolled it all back."""
    with pair.behind("networking"):
        thread, came = pairs.running(pairs.in_transaction, pair)
        thread.join(_UNANSWERED_S)
        assert not came
    thread.join(_LONG_S)
    assert isinstance(came[0], db_exc.DBDeadlock)
    assert retry.error_code(came[0]) == 1213
    pairs.in_transaction(pair.context, pair.instance)
    assert pair.task_state(pair.here) == "spawning"


def test_rolled_back_by_the_cluster_at_the_last_moment(
    pair: pairs.Pair,
) -> None:
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


def test_what_the_transaction_itself_wrote(pair: pairs.Pair) -> None:
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


@pytest.mark.parametrize(
    ("values", "returning", "joined"),
    [
        ({}, (), False),
        ({"vm_state": "building"}, ("host",), False),
        ({"vm_state": "building"}, (), True),
    ],
)
def test_what_has_nothing_to_write(
    pair: pairs.Pair,
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
        thread, came = pairs.running(ask, pair)
        thread.join(_UNANSWERED_S)
        assert not came, "it did not wait for the node to catch up"
    thread.join(_LONG_S)
    expected: type[Exception] = exceptions.UnexpectedDeletingTaskStateError
    if joined:
        # The node has rolled back what had locked the old row.
        expected = db_exc.DBDeadlock
    assert isinstance(came[0], expected)


def test_the_happy_path_pays_nothing(pair: pairs.Pair) -> None:
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


def test_what_a_refusal_costs(pair: pairs.Pair) -> None:
    """It is judged again in a session that waits, and only there."""

    def refused() -> list[str]:
        sent: list[str] = []
        with (
            statements.before_each(sent.append),
            pytest.raises(exceptions.UnexpectedTaskStateError),
        ):
            pairs.autocommit(pair.context, pair.instance)
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
