# SPDX-License-Identifier: Apache-2.0
"""What really goes over the wire, by the server's own log."""

from collections.abc import Callable, Iterator
from concurrent import futures
import re
import time

import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states._update import pools
from tests.resources import rows

Record = Callable[[Callable[[], object]], list[str]]


@pytest.fixture
def record(mariadb_engine: sa.Engine) -> Iterator[Record]:
    """Run something and give the first words of what the server was sent."""
    with mariadb_engine.connect() as log:
        log.execution_options(isolation_level="AUTOCOMMIT")
        for setting in ("log_output = 'TABLE'", "general_log = ON"):
            log.execute(sa.text(f"SET GLOBAL {setting}"))

        def run(work: Callable[[], object]) -> list[str]:
            log.execute(sa.text("TRUNCATE mysql.general_log"))
            work()
            found = log.execute(
                sa.text(
                    "SELECT command_type, argument FROM mysql.general_log "
                    "WHERE thread_id != CONNECTION_ID() "
                    "AND command_type != 'Quit' ORDER BY event_time"
                )
            )
            return [
                re.split(r"[ (]", row.argument)[0]
                if row.command_type == "Query"
                else row.command_type
                for row in found
            ]

        yield run
        for setting in ("general_log = OFF", "log_output = 'FILE'"):
            log.execute(sa.text(f"SET GLOBAL {setting}"))


def test_applied(
    mariadb_context: api.CellContext, mariadb_engine: sa.Engine, record: Record
) -> None:
    """An update that is applied is one statement and nothing else."""
    instance = rows.insert_instance(mariadb_engine)
    call = {"expected_vm_state": ["active", "error"]}
    api.instance_update(mariadb_context, instance, {"progress": 1}, **call)
    assert record(
        lambda: api.instance_update(
            mariadb_context, instance, {"progress": 2}, **call
        )
    ) == ["UPDATE"]


def test_refused(
    mariadb_context: api.CellContext, mariadb_engine: sa.Engine, record: Record
) -> None:
    """A refusal costs the update and the one read that explains it.

    The first one on a connection asks whether there is a cluster.
    """
    instance = rows.insert_instance(mariadb_engine)
    api.instance_update(mariadb_context, instance, {"progress": 1})

    def refused() -> None:
        with pytest.raises(exceptions.UnexpectedVMStateError):
            api.instance_update(
                mariadb_context,
                instance,
                {"progress": 2},
                expected_vm_state="error",
            )

    assert record(refused) == ["UPDATE", "SHOW", "SELECT"]
    assert record(refused) == ["UPDATE", "SELECT"]


def test_joined(
    mariadb_context: api.CellContext, mariadb_engine: sa.Engine, record: Record
) -> None:
    """Inside a transaction an update adds one statement to it."""
    instance = rows.insert_instance(mariadb_engine)
    with mariadb_context.begin():
        sent = record(
            lambda: api.instance_update(
                mariadb_context, instance, {"progress": 2}
            )
        )
    assert sent == ["UPDATE"]


def test_many(
    mariadb_context: api.CellContext, mariadb_engine: sa.Engine, record: Record
) -> None:
    """A sweep is one read of ids, then one statement for 100 rows."""
    rows.insert_instances(mariadb_engine, 250, vm_state="error")
    api.instances_update(
        mariadb_context, {"progress": 1}, expected={"host": "none"}
    )
    sent = record(
        lambda: api.instances_update(
            mariadb_context, {"progress": 2}, expected_vm_state="error"
        )
    )
    assert [word for word in sent if word != "ROLLBACK"] == [
        "SELECT",
        "UPDATE",
        "UPDATE",
        "UPDATE",
    ]


def test_connections_are_set_up_as_the_engines_own(
    mariadb_cell_url: str, mariadb_engine: sa.Engine
) -> None:
    """Session settings of the engine hold for single statements too."""
    instance = rows.insert_instance(mariadb_engine)
    parsed = sa.make_url(mariadb_cell_url).update_query_dict(
        {"init_command": "SET SESSION sql_mode = '', @mark = 'set'"}
    )
    context = api.connect(parsed)
    api.instance_update(context, instance, {"progress": 1})
    writer = context.db_connection.writer.get_engine()
    sibling = pools.autocommit(writer)
    assert sibling is not None
    with sibling.connect() as connection:
        autocommit, mark, sql_mode = connection.execute(
            sa.text("SELECT @@autocommit, @mark, @@sql_mode")
        ).one()
    context.close()
    assert (autocommit, mark) == (1, "set")
    # Set on every connection, after what the URL asks for.
    assert "TRADITIONAL" in sql_mode


def test_the_pool_is_capped(
    mariadb_cell_url: str, mariadb_engine: sa.Engine
) -> None:
    """No more connections are open than the context was made for."""
    context = api.connect(mariadb_cell_url, max_connections=2)
    instance = rows.insert_instance(mariadb_engine)
    api.instance_update(context, instance, {"progress": 1})
    writer = context.db_connection.writer.get_engine()
    sibling = pools.autocommit(writer)
    assert sibling is not None
    held = [sibling.connect(), sibling.connect()]
    sibling.pool._timeout = 0.1  # type: ignore[attr-defined]
    with pytest.raises(sa.exc.TimeoutError):
        sibling.connect()
    for connection in held:
        connection.close()
    context.close()


def test_a_burst_leaves_its_connections(
    mariadb_cell_url: str, mariadb_engine: sa.Engine
) -> None:
    """What was in use at one time is kept, and the next burst opens none."""
    burst = 8
    context = api.connect(mariadb_cell_url, max_connections=burst)
    instance = rows.insert_instance(mariadb_engine)
    api.instance_update(context, instance, {"progress": 0})

    def all_at_once() -> None:
        with futures.ThreadPoolExecutor(burst) as pool:
            # The row is locked until each of them waits for it.
            with mariadb_engine.begin() as connection:
                connection.execute(
                    sa.text("SELECT id FROM instances FOR UPDATE")
                )
                made = [
                    pool.submit(
                        api.instance_update,
                        context,
                        instance,
                        {"progress": number},
                    )
                    for number in range(burst)
                ]
                _wait_for_lock_waits(mariadb_engine, burst)
            for each in made:
                each.result()

    def opened() -> int:
        with mariadb_engine.connect() as connection:
            status = connection.execute(
                sa.text("SHOW GLOBAL STATUS LIKE 'Connections'")
            )
            return int(status.one()[1])

    try:
        all_at_once()
        before = opened()
        all_at_once()
        assert opened() == before
    finally:
        context.close()


def _wait_for_lock_waits(engine: sa.Engine, count: int) -> None:
    """Return when so many updates of this database wait."""
    waiting = sa.text(
        "SELECT COUNT(*) FROM information_schema.processlist"
        " WHERE db = DATABASE() AND info LIKE 'UPDATE instances%'"
    )
    deadline = time.monotonic() + 30
    with engine.connect() as connection:
        while connection.execute(waiting).scalar_one() < count:
            assert time.monotonic() < deadline, "they do not come to wait"
            time.sleep(0.02)
