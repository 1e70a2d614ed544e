# SPDX-License-Identifier: Apache-2.0
"""The server has done it, and its answer does not arrive.

The server is real; the answer is taken away in the driver, after the server
has sent it, at a place that no timing of a network would hit each time.
"""

from collections.abc import Callable, Iterator
import contextlib
from typing import Any
from unittest import mock

from oslo_db import exception as db_exc
import pymysql
import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import retry
from tests.resources import contention
from tests.resources import rows


@contextlib.contextmanager
def lost_after(word: str, *, times: int = 1) -> Iterator[list[str]]:
    """Lose the connection once the server has answered such a statement."""
    real = pymysql.connections.Connection._execute_command
    read = pymysql.connections.Connection._read_query_result
    lost: list[str] = []
    asked: dict[int, str] = {}

    def asking(connection: Any, command: int, sql: Any) -> Any:
        text = sql if isinstance(sql, str) else bytes(sql).decode()
        asked[id(connection)] = text
        return real(connection, command, sql)

    def answering(connection: Any, *args: Any, **kwargs: Any) -> Any:
        result = read(connection, *args, **kwargs)
        text = asked.get(id(connection), "")
        if text.startswith(word) and len(lost) < times:
            lost.append(text)
            connection._force_close()
            raise pymysql.err.OperationalError(2013, "Lost connection")
        return result

    kind = pymysql.connections.Connection
    with (
        mock.patch.object(kind, "_execute_command", asking),
        mock.patch.object(kind, "_read_query_result", answering),
    ):
        yield lost


@pytest.fixture
def instance(
    mariadb_engine: sa.Engine, mariadb_context: api.CellContext
) -> str:
    """Give a server on its way, on a context that is warm."""
    made = rows.insert_instance(mariadb_engine, task_state="spawning")
    api.instance_update(mariadb_context, made, {"launch_index": 1})
    return made


SPAWNED = {"task_state": None, "vm_state": "active"}
GUARD = {"expected_task_state": "spawning"}


def test_of_the_update(
    mariadb_context: api.CellContext, mariadb_engine: sa.Engine, instance: str
) -> None:
    """An applied update is neither a success nor a conflict: unknown."""
    with (
        lost_after("UPDATE") as lost,
        pytest.raises(exceptions.UnknownUpdateOutcome) as caught,
    ):
        api.instance_update(mariadb_context, instance, SPAWNED, **GUARD)
    assert len(lost) == 1
    assert caught.value.actual["task_state"] is None
    assert rows.read_instance(mariadb_engine, instance)["task_state"] is None


def test_of_the_commit(
    mariadb_context: api.CellContext, mariadb_engine: sa.Engine, instance: str
) -> None:
    """With something to read back it is the COMMIT that must not repeat."""
    real = pymysql.connections.Connection.commit
    commits = 0

    def commit(connection: Any) -> None:
        nonlocal commits
        commits += 1
        real(connection)
        if commits == 1:
            raise pymysql.err.OperationalError(2013, "Lost connection")

    with (
        mock.patch.object(pymysql.connections.Connection, "commit", commit),
        pytest.raises(exceptions.UnknownUpdateOutcome),
    ):
        api.instance_update(
            mariadb_context, instance, SPAWNED, returning=["host"], **GUARD
        )
    assert rows.read_instance(mariadb_engine, instance)["task_state"] is None


def test_before_the_commit(
    mariadb_context: api.CellContext, mariadb_engine: sa.Engine, instance: str
) -> None:
    """A transaction lost before its COMMIT was sent is run again."""
    with lost_after("UPDATE") as lost:
        found = api.instance_update(
            mariadb_context, instance, SPAWNED, returning=["host"], **GUARD
        )
    assert len(lost) == 1
    assert found == {"host": "compute1"}
    assert rows.read_instance(mariadb_engine, instance)["task_state"] is None


def test_of_the_explanation(
    mariadb_context: api.CellContext, instance: str
) -> None:
    """A refusal that could not be explained is explained the next time."""
    with (
        lost_after("SELECT") as lost,
        pytest.raises(exceptions.UnexpectedTaskStateError),
    ):
        api.instance_update(
            mariadb_context, instance, SPAWNED, expected_task_state="deleting"
        )
    assert len(lost) == 1


def test_of_the_candidates(
    mariadb_context: api.CellContext, instance: str
) -> None:
    """Reading the ids of a sweep again does no harm."""
    with lost_after("SELECT") as lost:
        changed = api.instances_update(
            mariadb_context, {"progress": 1}, expected={"uuid": instance}
        )
    assert (len(lost), changed) == (1, 1)


def test_of_an_unknown_row_of_another_project(
    mariadb_context: api.CellContext, instance: str
) -> None:
    """What the row is now is not told to whom it does not concern."""
    del mariadb_context.read_deleted
    mariadb_context.is_admin = False
    mariadb_context.user_id, mariadb_context.project_id = "u", "yours"
    with (
        lost_after("UPDATE"),
        pytest.raises(exceptions.UnknownUpdateOutcome) as caught,
    ):
        api.instance_update(mariadb_context, instance, {"progress": 1})
    assert caught.value.actual == {}


def test_cut_short_before_the_answer_was_read(
    mariadb_engine: sa.Engine,
    mariadb_cell_url: str,
    connect: Callable[..., api.CellContext],
) -> None:
    """An answer nobody waited for is not taken for that of the next call."""
    one = rows.insert_instance(mariadb_engine)
    context = connect(mariadb_cell_url, max_connections=1)
    api.instance_update(context, one, {"progress": 1})

    class Killed(BaseException):
        """As eventlet's GreenletExit."""

    def cut(*_: Any, **__: Any) -> None:
        raise Killed

    with (
        mock.patch.object(
            pymysql.connections.Connection, "_read_query_result", cut
        ),
        pytest.raises(Killed),
    ):
        api.instance_update(context, one, {"progress": 2})
    with pytest.raises(exceptions.UnexpectedTaskStateError):
        api.instance_update(
            context, one, {"progress": 3}, expected_task_state="spawning"
        )


@contextlib.contextmanager
def answered(code: int, times: int) -> Iterator[list[str]]:
    """Let the server's answer to an UPDATE be an error, so many times."""
    real = pymysql.cursors.Cursor.execute
    seen: list[str] = []

    def execute(cursor: Any, query: str, args: Any = None) -> int:
        if query.startswith("UPDATE") and len(seen) < times:
            seen.append(query)
            raise pymysql.err.OperationalError(code, "as asked for")
        return real(cursor, query, args)

    with mock.patch.object(pymysql.cursors.Cursor, "execute", execute):
        yield seen


@pytest.mark.parametrize("returning", [(), ("host",)])
def test_what_fails_the_same_way_again_is_raised_at_once(
    mariadb_context: api.CellContext, instance: str, returning: tuple[str, ...]
) -> None:
    """Who lacks the privilege is not told so five times."""
    with answered(1142, times=9) as seen, pytest.raises(db_exc.DBError):
        api.instance_update(
            mariadb_context, instance, {"progress": 1}, returning=returning
        )
    assert len(seen) == 1


@pytest.mark.parametrize("returning", [(), ("host",)])
@pytest.mark.parametrize("code", [1047, 1213, 1290])
def test_what_was_refused_is_tried_again(
    mariadb_context: api.CellContext,
    instance: str,
    code: int,
    returning: tuple[str, ...],
) -> None:
    """A node that is not ready, and a deadlock, on either path."""
    counted = contention.Counted(max_attempts=5)
    with answered(code, times=2):
        api.instance_update(
            mariadb_context,
            instance,
            SPAWNED,
            returning=returning,
            retry_policy=counted.policy,
            **GUARD,
        )
    assert counted.waits == 2


def test_a_refused_batch_is_not_in_doubt(
    mariadb_context: api.CellContext, instance: str
) -> None:
    """What the server refused it has not done."""
    with (
        answered(1047, times=9),
        pytest.raises(exceptions.PartialUpdate) as caught,
    ):
        api.instances_update(
            mariadb_context,
            {"progress": 1},
            expected={"uuid": instance},
            retry_policy=retry.Policy(max_attempts=1),
        )
    assert (caught.value.changed_so_far, caught.value.in_doubt) == (0, 0)


def test_an_error_and_then_a_row_that_fits(
    mariadb_context: api.CellContext, mariadb_engine: sa.Engine, instance: str
) -> None:
    """The last attempt decides what is said: that one met no error."""
    real = pymysql.cursors.Cursor.execute
    updates = 0

    def execute(cursor: Any, query: str, args: Any = None) -> int:
        nonlocal updates
        if not (query.startswith("UPDATE") and "progress" in query):
            return real(cursor, query, args)
        updates += 1
        if updates == 1:
            raise pymysql.err.OperationalError(1213, "Deadlock found")
        # Another writer, there for a moment only.
        change(mariadb_engine, instance, "rebooting")
        try:
            return real(cursor, query, args)
        finally:
            change(mariadb_engine, instance, "spawning")

    with (
        mock.patch.object(pymysql.cursors.Cursor, "execute", execute),
        pytest.raises(exceptions.UnknownInstanceUpdateConflict),
    ):
        api.instance_update(
            mariadb_context,
            instance,
            {"progress": 1, "updated_at": None},
            retry_policy=retry.Policy(max_attempts=2, first_backoff_s=0),
            **GUARD,
        )
    assert updates == 2


def change(engine: sa.Engine, instance: str, task_state: str) -> None:
    """Write a task state as another client."""
    with engine.begin() as connection:
        connection.execute(
            sa.text("UPDATE instances SET task_state = :t WHERE uuid = :u"),
            {"t": task_state, "u": instance},
        )


@pytest.mark.parametrize("code", [1213, 1205])
def test_an_error_at_the_callers_commit(
    mariadb_context: api.CellContext, instance: str, code: int
) -> None:
    """Galera refuses there; the caller is told to begin anew."""

    def refuse(_connection: Any) -> None:
        raise pymysql.err.OperationalError(code, "as asked for")

    with (
        mock.patch.object(pymysql.connections.Connection, "commit", refuse),
        pytest.raises(db_exc.DBDeadlock),
        mariadb_context.begin(),
    ):
        api.instance_update(mariadb_context, instance, {"progress": 1})
