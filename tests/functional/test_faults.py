# SPDX-License-Identifier: Apache-2.0
"""A network and servers that fail at the worst moment, by both schemes.

What is asserted is in the table of ``doc/source/reference/faults.csv``, which
names these tests.
"""

from collections.abc import Callable, Iterator
import time
from typing import Any

from oslo_db import exception as db_exc
import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import retry
from tests.resources import contention
from tests.resources import faults
from tests.resources import mariadb
from tests.resources import rows

_UPDATE = faults.starting("UPDATE")
_COMMIT = faults.starting("COMMIT")

_AUTOCOMMIT: tuple[str, ...] = ()
_IN_A_TRANSACTION = ("host",)

BOTH_WAYS = pytest.mark.parametrize(
    "returning",
    [_AUTOCOMMIT, _IN_A_TRANSACTION],
    ids=["autocommit", "transaction"],
)


@pytest.fixture
def proxy(mariadb_cell_url: str) -> Iterator[faults.Proxy]:
    """Stand between the client and the shared server."""
    port = sa.make_url(mariadb_cell_url).port
    assert port is not None
    with faults.Proxy(port) as made:
        yield made


@pytest.fixture
def through(
    mariadb_cell_url: str,
    proxy: faults.Proxy,
    connect: Callable[..., api.CellContext],
) -> api.CellContext:
    """Give a context whose connections all go through the proxy."""
    return connect(behind(mariadb_cell_url, proxy))


def behind(url: str, proxy: faults.Proxy, **query: str) -> str:
    """Lead a URL through a proxy."""
    parsed = sa.make_url(url).set(host="127.0.0.1", port=proxy.port)
    return parsed.update_query_dict(query).render_as_string(
        hide_password=False
    )


@pytest.fixture
def instance(mariadb_engine: sa.Engine, through: api.CellContext) -> str:
    """Give an instance, and a context that has looked at the schema."""
    made = rows.insert_instance(mariadb_engine, task_state="networking")
    # One connection of either pool is there from now on.
    for returning in (_AUTOCOMMIT, _IN_A_TRANSACTION):
        api.instance_update(
            through, made, {"progress": 1}, returning=returning
        )
    return made


def claim(context: api.CellContext, instance: str, **options: Any) -> None:
    """Make the change that the tests are about."""
    api.instance_update(
        context,
        instance,
        {"task_state": "spawning"},
        expected_task_state="networking",
        **options,
    )


def task_state(engine: sa.Engine, instance: str) -> object:
    """Read what the server has."""
    return rows.read_instance(engine, instance)["task_state"]


def test_the_update_never_arrived(
    through: api.CellContext,
    proxy: faults.Proxy,
    mariadb_engine: sa.Engine,
    instance: str,
) -> None:
    """In autocommit nobody can tell; the row shows that it is as it was."""
    with (
        proxy.cut_before(_UPDATE),
        pytest.raises(exceptions.UnknownUpdateOutcome) as caught,
    ):
        claim(through, instance)
    assert caught.value.actual["task_state"] == "networking"
    assert task_state(mariadb_engine, instance) == "networking"


def test_lost_before_the_commit_was_sent(
    through: api.CellContext,
    proxy: faults.Proxy,
    mariadb_engine: sa.Engine,
    instance: str,
) -> None:
    """In a transaction nothing is made before the commit: it is run again."""
    with proxy.cut_before(_UPDATE) as fault:
        claim(through, instance, returning=_IN_A_TRANSACTION)
    assert len(fault.acts) == 1
    assert task_state(mariadb_engine, instance) == "spawning"


def test_the_commit_never_arrived(
    through: api.CellContext,
    proxy: faults.Proxy,
    mariadb_engine: sa.Engine,
    instance: str,
) -> None:
    """Nor can anybody tell what became of a commit."""
    with (
        proxy.cut_before(_COMMIT),
        pytest.raises(exceptions.UnknownUpdateOutcome) as caught,
    ):
        claim(through, instance, returning=_IN_A_TRANSACTION)
    assert caught.value.actual["task_state"] == "networking"
    assert task_state(mariadb_engine, instance) == "networking"


@pytest.mark.parametrize(
    ("returning", "last"),
    [(_AUTOCOMMIT, "UPDATE"), (_IN_A_TRANSACTION, "COMMIT")],
)
def test_the_answer_never_arrived(
    through: api.CellContext,
    proxy: faults.Proxy,
    mariadb_engine: sa.Engine,
    instance: str,
    returning: tuple[str, ...],
    last: str,
) -> None:
    """What was made is neither called a conflict nor made again."""
    with (
        proxy.cut_after(faults.starting(last)) as fault,
        pytest.raises(exceptions.UnknownUpdateOutcome) as caught,
    ):
        claim(through, instance, returning=returning)
    assert fault.acts[0].answered
    assert caught.value.actual["task_state"] == "spawning"
    assert task_state(mariadb_engine, instance) == "spawning"


def test_a_dead_session_is_outwaited(
    through: api.CellContext,
    proxy: faults.Proxy,
    mariadb_engine: sa.Engine,
    instance: str,
) -> None:
    """While the server still works on the lost statement, nothing is said."""
    with (
        mariadb_engine.connect() as other,
        proxy.cut_during(_UPDATE) as fault,
    ):
        contention.update_row(other, instance, 5)

        def let_go() -> None:
            fault_is_waiting(mariadb_engine, fault)
            other.commit()

        with (
            contention.in_background(let_go),
            pytest.raises(exceptions.UnknownUpdateOutcome) as caught,
        ):
            claim(through, instance)
    assert caught.value.actual["task_state"] == "spawning"
    assert task_state(mariadb_engine, instance) == "spawning"


def fault_is_waiting(engine: sa.Engine, fault: faults.Fault) -> None:
    """Wait until the lost statement and the read behind it wait for a row."""
    contention.wait_for(
        lambda: (
            bool(fault.acts)
            and len(contention.lock_waits(engine, "%instances%")) == 2
        )
    )


@BOTH_WAYS
def test_a_black_hole(
    mariadb_cell_url: str,
    proxy: faults.Proxy,
    connect: Callable[..., api.CellContext],
    mariadb_engine: sa.Engine,
    instance: str,
    returning: tuple[str, ...],
) -> None:
    """With time-outs in the URL a silent network is an unknown outcome."""
    context = connect(
        behind(mariadb_cell_url, proxy, read_timeout="1", connect_timeout="1")
    )
    claim(context, instance, returning=returning)
    began = time.monotonic()
    expected = (
        exceptions.UnknownUpdateOutcome
        if returning == _AUTOCOMMIT
        else db_exc.DBConnectionError
    )
    with (
        proxy.black_hole(deliver=False),
        pytest.raises(expected),
    ):
        api.instance_update(
            context,
            instance,
            {"task_state": None},
            expected_task_state="spawning",
            returning=returning,
            retry_policy=retry.Policy(max_attempts=2),
        )
    assert time.monotonic() - began < 20
    assert task_state(mariadb_engine, instance) == "spawning"


@BOTH_WAYS
def test_refused_connections(
    through: api.CellContext,
    proxy: faults.Proxy,
    mariadb_engine: sa.Engine,
    instance: str,
    returning: tuple[str, ...],
) -> None:
    """A server that is away is asked again, and then said to be away."""
    counted = contention.Counted(max_attempts=4)
    # What is open would be cut, and a statement could be sent before that is
    # noticed: then it would not be known whether it arrived.
    through.close()
    with proxy.refuse(), pytest.raises(db_exc.DBConnectionError):
        claim(
            through, instance, returning=returning, retry_policy=counted.policy
        )
    assert counted.waits == 3
    assert task_state(mariadb_engine, instance) == "networking"
    claim(through, instance, returning=returning)
    assert task_state(mariadb_engine, instance) == "spawning"


@pytest.fixture
def plain_user(mariadb_engine: sa.Engine) -> Iterator[str]:
    """Give a user who may not write to a read-only server."""
    name = "nds_plain"
    with mariadb_engine.connect() as connection:
        for sql in (
            f"CREATE OR REPLACE USER {name}@'%'",
            f"GRANT ALL ON `{mariadb_engine.url.database}`.* TO {name}@'%'",
        ):
            connection.exec_driver_sql(sql.replace("%", "%%"))
        yield name
        connection.exec_driver_sql("SET GLOBAL read_only = 0")
        connection.exec_driver_sql(f"DROP USER {name}@'%%'")


@pytest.fixture
def as_plain(
    mariadb_cell_url: str,
    proxy: faults.Proxy,
    plain_user: str,
    connect: Callable[..., api.CellContext],
    instance: str,
) -> api.CellContext:
    """Give a context of that user, with both pools in use."""
    url = sa.make_url(behind(mariadb_cell_url, proxy))
    context = connect(url.set(username=plain_user))
    for returning in (_AUTOCOMMIT, _IN_A_TRANSACTION):
        api.instance_update(
            context, instance, {"progress": 1}, returning=returning
        )
    return context


@BOTH_WAYS
def test_a_read_only_server(
    as_plain: api.CellContext,
    proxy: faults.Proxy,
    mariadb_engine: sa.Engine,
    instance: str,
    returning: tuple[str, ...],
) -> None:
    """It is tried again on new connections; then the server is away."""
    with mariadb_engine.connect() as connection:
        connection.exec_driver_sql("SET GLOBAL read_only = 1")
    before = proxy.connections
    with pytest.raises(db_exc.DBConnectionError, match="1290"):
        claim(as_plain, instance, returning=returning)
    assert proxy.connections - before >= 4
    assert task_state(mariadb_engine, instance) == "networking"


@BOTH_WAYS
def test_a_proxy_that_switches_the_writer(
    as_plain: api.CellContext,
    proxy: faults.Proxy,
    mariadb_engine: sa.Engine,
    instance: str,
    returning: tuple[str, ...],
) -> None:
    """Open connections lead to the old writer; new ones do not."""
    with mariadb_engine.connect() as connection:
        connection.exec_driver_sql("SET GLOBAL read_only = 1")
    old = proxy.target
    with mariadb.MariaDBServer() as new:
        copy_of(mariadb_engine, new)
        proxy.target = new.port
        claim(as_plain, instance, returning=returning)
        moved = sa.create_engine(new.url(mariadb_engine.url.database or ""))
        assert task_state(moved, instance) == "spawning"
        moved.dispose()
        as_plain.close()
        proxy.switch(old)
    assert task_state(mariadb_engine, instance) == "networking"


def copy_of(engine: sa.Engine, server: mariadb.MariaDBServer) -> None:
    """Make the cell with its instance and its user on another server."""
    with engine.connect() as connection:
        create = connection.exec_driver_sql("SHOW CREATE TABLE instances")
        table = create.one()[1]
        read = connection.execute(sa.text("SELECT * FROM instances"))
        [row] = [dict(each) for each in read.mappings()]
    database = engine.url.database
    server.execute(f"CREATE DATABASE `{database}`")
    server.execute("CREATE USER nds_plain@'%%'".replace("%%", "%"))
    server.execute(f"GRANT ALL ON `{database}`.* TO nds_plain@'%'")
    other = sa.create_engine(server.url(database or ""))
    with other.begin() as connection:
        connection.exec_driver_sql("SET foreign_key_checks = 0")
        connection.exec_driver_sql(table.replace("%", "%%"))
        instances = sa.Table("instances", sa.MetaData(), autoload_with=other)
        connection.execute(sa.insert(instances).values(row))
    other.dispose()


@BOTH_WAYS
def test_connections_that_a_proxy_cut(
    through: api.CellContext,
    proxy: faults.Proxy,
    mariadb_engine: sa.Engine,
    instance: str,
    returning: tuple[str, ...],
) -> None:
    """A pool of dead connections costs no attempt."""
    assert proxy.cut() >= 2
    contention.wait_for(lambda: proxy.cut() == 0)
    claim(
        through,
        instance,
        returning=returning,
        retry_policy=retry.Policy(max_attempts=1),
    )
    assert task_state(mariadb_engine, instance) == "spawning"


def test_too_many_connections(
    mariadb_engine: sa.Engine,
    instance: str,
    plain_user: str,
    mariadb_cell_url: str,
    connect: Callable[..., api.CellContext],
) -> None:
    """Who gets no connection waits for one, and is then told."""
    url = sa.make_url(mariadb_cell_url).set(username=plain_user)
    with mariadb_engine.connect() as connection:
        connection.exec_driver_sql(
            f"ALTER USER {plain_user}@'%%' WITH MAX_USER_CONNECTIONS 1"
        )
    holder = sa.create_engine(url)
    counted = contention.Counted(max_attempts=3)
    with holder.connect() as held:
        held.exec_driver_sql("SELECT 1")
        with pytest.raises(db_exc.DBConnectionError):
            claim(connect(url), instance, retry_policy=counted.policy)
    holder.dispose()
    assert counted.waits == 2
    assert task_state(mariadb_engine, instance) == "networking"
