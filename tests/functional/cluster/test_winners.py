# SPDX-License-Identifier: Apache-2.0
"""Of claims on several nodes one wins, and the others are told which."""

from collections.abc import Callable
import contextlib

from oslo_db import api as oslo_db_api
from oslo_db import exception as db_exc
import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import retry
from tests.functional import test_races
from tests.functional.cluster import conftest
from tests.functional.cluster import pairs
from tests.resources import rows


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
                pairs.autocommit(second, instance)
                pairs.in_transaction(first, instance)

        with pytest.raises(db_exc.DBDeadlock) as caught:
            both()
        assert retry.error_code(caught.value) == 1213
        with pytest.raises(exceptions.UnexpectedTaskStateError) as refused:
            pairs.in_transaction(second, instance)
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
