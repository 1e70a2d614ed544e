# SPDX-License-Identifier: Apache-2.0
"""Errors of a real server: what is tried again, and what is said of the rest.

Each runs under both URL schemes, because oslo.db's error filters see only one
of them.
"""

from collections.abc import Callable, Iterator
import contextlib
import threading
import time
from typing import Any

from oslo_db import exception as db_exc
import pymysql
import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states import tables
from tests.resources import rows

_T = tables.instances

SCHEMES = pytest.mark.parametrize(
    "scheme", ["mysql+pymysql", "mariadb+pymysql"], scope="module"
)


@pytest.fixture(params=["mysql+pymysql", "mariadb+pymysql"])
def url(request: pytest.FixtureRequest, shared_mariadb_cell: Any) -> str:
    """Give a cell on MariaDB under either scheme."""
    made: str = shared_mariadb_cell.url(request.param)
    return made


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    """Give a plain engine, to be the other writer."""
    made = sa.create_engine(url)
    yield made
    made.dispose()


@pytest.fixture
def connect() -> Iterator[Callable[..., api.CellContext]]:
    """Make contexts that are closed when the test ends."""
    with contextlib.ExitStack() as stack:

        def make(url: str, *settings: str, **options: Any) -> api.CellContext:
            parsed = sa.make_url(url)
            if settings:
                parsed = parsed.update_query_dict(
                    {"init_command": f"SET SESSION {', '.join(settings)}"}
                )
            context = api.connect(parsed, **options)
            stack.callback(context.close)
            return context

        yield make


class Counted:
    """A policy that counts its waits and does not wait long."""

    def __init__(self, **settings: Any) -> None:
        self.waits = 0
        self.policy = retry.Policy(sleep=self._sleep, **settings)

    def _sleep(self, seconds: float) -> None:
        self.waits += 1
        time.sleep(min(seconds, 0.05))


def update_row(connection: sa.Connection, instance: str, value: int) -> None:
    """Write a row as any other client would."""
    connection.execute(
        sa.update(_T).where(_T.c.uuid == instance).values(progress=value)
    )


@contextlib.contextmanager
def in_background(work: Callable[[], object]) -> Iterator[None]:
    """Run something beside the block; what it raises is raised here."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - handed on below
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(timeout=30)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until the server shows what a test is waiting for."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "never came about"
        # InnoDB renews innodb_trx only when nobody has read it for 0.1 s.
        time.sleep(0.15)


def lock_waits(
    engine: sa.Engine, like: str = "UPDATE instances%"
) -> list[int]:
    """Give the ids of sessions that wait for a row lock."""
    with engine.connect() as connection:
        found = connection.execute(
            sa.text(
                "SELECT p.id FROM information_schema.processlist p "
                "JOIN information_schema.innodb_trx t "
                "ON t.trx_mysql_thread_id = p.id "
                "WHERE t.trx_state = 'LOCK WAIT' AND p.info LIKE :like"
            ),
            {"like": like},
        )
        return list(found.scalars())


def test_a_lock_wait_is_tried_again(
    url: str, engine: sa.Engine, connect: Callable[..., api.CellContext]
) -> None:
    """Error 1205 is met, waited out, and the update applied once."""
    instance = rows.insert_instance(engine)
    counted = Counted(max_attempts=10)
    context = connect(url, "innodb_lock_wait_timeout=1")
    with engine.connect() as other:
        update_row(other, instance, 1)

        def release() -> None:
            time.sleep(1.3)
            other.commit()

        with in_background(release):
            api.instance_update(
                context,
                instance,
                {"task_state": "rebooting"},
                expected={"progress": 1},
                retry_policy=counted.policy,
            )
    assert counted.waits >= 1
    assert rows.read_instance(engine, instance)["task_state"] == "rebooting"


def test_a_lock_wait_that_does_not_end(
    url: str, engine: sa.Engine, connect: Callable[..., api.CellContext]
) -> None:
    """After the last attempt it is the error that oslo.db's users know."""
    instance = rows.insert_instance(engine)
    context = connect(url, "innodb_lock_wait_timeout=1")
    with engine.connect() as other:
        update_row(other, instance, 1)
        with pytest.raises(db_exc.DBDeadlock, match="1205"):
            api.instance_update(
                context,
                instance,
                {"progress": 2},
                retry_policy=retry.Policy(max_attempts=1),
            )
    assert rows.read_instance(engine, instance)["progress"] is None


def test_a_deadlock_is_tried_again(
    url: str, engine: sa.Engine, connect: Callable[..., api.CellContext]
) -> None:
    """A batch chosen as the victim (1213) is run again as a whole."""
    first, second, *heavy = rows.insert_instances(engine, 60, vm_state="error")
    context = connect(url)
    counted = Counted(max_attempts=5)
    with engine.connect() as other:
        # The server rolls back the transaction that changed fewer rows.
        for instance in (*heavy, second):
            update_row(other, instance, 1)

        def sweep() -> None:
            assert (
                api.instances_update(
                    context,
                    {"task_state": "rebooting"},
                    expected={"uuid": [first, second]},
                    retry_policy=counted.policy,
                )
                == 2
            )

        with in_background(sweep):
            wait_for(lambda: bool(lock_waits(engine)))
            update_row(other, first, 1)
            other.commit()
    assert counted.waits == 1
    for instance in (first, second):
        row = rows.read_instance(engine, instance)
        assert (row["task_state"], row["progress"]) == ("rebooting", 1)


def test_a_deadlock_inside_the_callers_transaction(
    url: str, engine: sa.Engine, connect: Callable[..., api.CellContext]
) -> None:
    """Nothing is tried again there; the caller is told to begin anew."""
    mine, theirs, *heavy = rows.insert_instances(engine, 60)
    context = connect(url)
    with engine.connect() as other:
        for instance in (*heavy, theirs):
            update_row(other, instance, 1)

        def collide() -> None:
            with (  # noqa: PT012 - begun anew as a whole
                pytest.raises(db_exc.DBDeadlock),
                context.begin(),
            ):
                api.instance_update(context, mine, {"progress": 2})
                held.set()
                api.instance_update(context, theirs, {"progress": 2})

        held = threading.Event()
        with in_background(collide):
            assert held.wait(20)
            wait_for(lambda: bool(lock_waits(engine)))
            update_row(other, mine, 1)
            other.commit()
    assert rows.read_instance(engine, mine)["progress"] == 1
    assert rows.read_instance(engine, theirs)["progress"] == 1


def test_a_changed_record_inside_the_callers_transaction(
    url: str, engine: sa.Engine, connect: Callable[..., api.CellContext]
) -> None:
    """Error 1020 tells the caller to begin anew under either scheme."""
    instance = rows.insert_instance(engine)
    context = connect(url, "innodb_snapshot_isolation=ON")
    with (  # noqa: PT012 - begun anew as a whole
        pytest.raises(db_exc.DBDeadlock),
        context.begin() as connection,
    ):
        connection.execute(sa.select(_T.c.id))
        with engine.begin() as other:
            update_row(other, instance, 1)
        api.instance_update(context, instance, {"task_state": "rebooting"})
    assert rows.read_instance(engine, instance)["task_state"] is None


def test_snapshot_isolation_does_not_disturb_a_single_update(
    url: str, engine: sa.Engine, connect: Callable[..., api.CellContext]
) -> None:
    """The same race outside of a transaction has the same outcome."""
    instance = rows.insert_instance(engine, task_state="deleting")
    context = connect(url, "innodb_snapshot_isolation=ON")
    with pytest.raises(exceptions.UnexpectedDeletingTaskStateError):
        api.instance_update(
            context, instance, {"progress": 1}, expected_task_state=None
        )
    api.instance_update(
        context, instance, {"progress": 1}, expected_task_state="deleting"
    )


def sessions(engine: sa.Engine) -> list[int]:
    """Give the ids of all other sessions on the test's database."""
    with engine.connect() as connection:
        found = connection.execute(
            sa.text(
                "SELECT id FROM information_schema.processlist "
                "WHERE db = DATABASE() AND id != CONNECTION_ID()"
            )
        )
        return list(found.scalars())


def kill(engine: sa.Engine, session: int) -> None:
    """End a session on the server's side."""
    with engine.connect() as connection:
        connection.execute(sa.text(f"KILL {session}"))


def test_dead_connections_are_noticed_before_anything_is_sent(
    url: str, engine: sa.Engine, connect: Callable[..., api.CellContext]
) -> None:
    """A pool of connections that the server closed costs no attempt."""
    instance = rows.insert_instance(engine)
    context = connect(url)
    api.instance_update(context, instance, {"progress": 1})
    for session in sessions(engine):
        kill(engine, session)
    wait_for(lambda: not sessions(engine))
    api.instance_update(
        context,
        instance,
        {"progress": 2},
        expected={"progress": 1},
        retry_policy=retry.Policy(max_attempts=1),
    )
    assert rows.read_instance(engine, instance)["progress"] == 2


def test_an_answer_that_never_came(
    url: str, engine: sa.Engine, connect: Callable[..., api.CellContext]
) -> None:
    """A connection lost in the statement leaves the outcome unknown."""
    instance = rows.insert_instance(engine, task_state="spawning")
    context = connect(url)
    api.instance_update(context, instance, {"progress": 1})
    with engine.connect() as other:
        update_row(other, instance, 2)

        def cut() -> None:
            wait_for(lambda: bool(lock_waits(engine)))
            for session in lock_waits(engine):
                kill(engine, session)

        with (
            in_background(cut),
            pytest.raises(exceptions.UnknownUpdateOutcome) as caught,
        ):
            api.instance_update(
                context,
                instance,
                {"task_state": None, "vm_state": "active"},
                expected_task_state="spawning",
            )
        other.rollback()
    assert caught.value.instance_uuid == instance
    assert caught.value.actual["task_state"] == "spawning"
    assert caught.value.expected == {"task_state": ("spawning",)}
    assert isinstance(
        retry.driver_error(caught.value.__cause__), pymysql.err.Error
    )


def test_a_batch_whose_answer_never_came(
    url: str, engine: sa.Engine, connect: Callable[..., api.CellContext]
) -> None:
    """The rows in doubt are counted apart from those changed."""
    ids = rows.insert_instances(engine, 130, vm_state="error")
    context = connect(url)
    with engine.connect() as other:
        update_row(other, ids[-1], 2)

        def cut() -> None:
            wait_for(lambda: bool(lock_waits(engine)))
            for session in lock_waits(engine):
                kill(engine, session)

        with (
            in_background(cut),
            pytest.raises(exceptions.PartialUpdate) as caught,
        ):
            api.instances_update(
                context, {"task_state": "rebooting"}, expected_vm_state="error"
            )
    assert caught.value.changed_so_far == 100
    assert caught.value.in_doubt == 30


@SCHEMES
def test_a_server_that_goes_away_and_comes_back(
    scheme: str, make_mariadb: Callable[..., Any]
) -> None:
    """While it is away an update fails after all attempts; then it works."""
    server = make_mariadb()
    database = server.create_database("cell")
    engine = sa.create_engine(server.url(database, scheme))
    _T.metadata.create_all(engine)
    instance = rows.insert_instance(engine)
    engine.dispose()
    context = api.connect(server.url(database, scheme))
    api.instance_update(context, instance, {"progress": 1})
    server.kill()
    counted = Counted(max_attempts=3)
    with pytest.raises(db_exc.DBConnectionError):
        api.instance_update(
            context, instance, {"progress": 2}, retry_policy=counted.policy
        )
    assert counted.waits == 2
    server.restart()
    api.instance_update(
        context, instance, {"progress": 3}, expected={"progress": 1}
    )
    assert rows.read_instance(engine, instance)["progress"] == 3
    context.close()
    engine.dispose()
