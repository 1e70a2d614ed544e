# SPDX-License-Identifier: Apache-2.0
"""Claims, entrances and ends of which it is not known if they were made."""

from collections.abc import Callable, Iterator
import contextlib
import datetime
from typing import Any
from unittest import mock

import pymysql
import pytest
import sqlalchemy as sa

from nova_db_states import actions
from nova_db_states import api
from nova_db_states import exceptions
from tests.functional import test_lost_answers as lost_answers
from tests.resources import actors

WRITE = "UPDATE"
OTHER = datetime.datetime(2026, 2, 2)


@contextlib.contextmanager
def killed_after(word: str) -> Iterator[None]:
    """Interrupt the process once the server has done such a statement."""
    read = pymysql.connections.Connection._read_query_result
    ask = pymysql.connections.Connection._execute_command
    asked: list[str] = []

    def asking(connection: Any, command: int, sql: Any) -> Any:
        asked.append(sql if isinstance(sql, str) else bytes(sql).decode())
        return ask(connection, command, sql)

    def answering(connection: Any, *args: Any, **kwargs: Any) -> Any:
        result = read(connection, *args, **kwargs)
        if asked and asked[-1].startswith(word):
            patches.close()
            raise KeyboardInterrupt
        return result

    kind = pymysql.connections.Connection
    with contextlib.ExitStack() as patches:
        patches.enter_context(
            mock.patch.object(kind, "_execute_command", asking)
        )
        patches.enter_context(
            mock.patch.object(kind, "_read_query_result", answering)
        )
        yield


WAYS = pytest.mark.parametrize(
    ("lose", "kind"),
    [
        (lost_answers.lost_after, exceptions.UnknownUpdateOutcome),
        (killed_after, KeyboardInterrupt),
    ],
)
Lose = Callable[[str], contextlib.AbstractContextManager[Any]]


@WAYS
def test_a_claim_in_doubt_is_undone(
    mariadb_context: api.CellContext,
    mariadb_engine: sa.Engine,
    lose: Lose,
    kind: type[BaseException],
) -> None:
    """The body does not run, so nobody would ever clear the task."""
    instance = actors.insert(mariadb_engine, vm_state="error")
    server = actors.API()
    with lose(WRITE), pytest.raises(kind) as caught:
        server.stop(mariadb_context, instance)
    assert server.ran == []
    assert "that was undone" in caught.value.__notes__[-1]
    assert actors.state_of(mariadb_engine, instance) == ("error", None)


def test_a_claim_in_doubt_that_another_has(
    mariadb_context: api.CellContext, mariadb_engine: sa.Engine
) -> None:
    """The same task is no proof that it is one's own."""
    instance = actors.insert(mariadb_engine)

    def ask() -> None:
        with lost_answers.lost_after(WRITE), _then_another(mariadb_engine):
            actors.API().stop(mariadb_context, instance)

    with pytest.raises(exceptions.UnknownUpdateOutcome) as caught:
        ask()
    assert "was left as it is" in caught.value.__notes__[-1]
    state = ("active", "powering-off")
    assert actors.state_of(mariadb_engine, instance) == state


@contextlib.contextmanager
def _then_another(engine: sa.Engine) -> Iterator[None]:
    """Make every row look like another's claim when it is read afterwards."""
    read = exceptions.UnknownUpdateOutcome.__init__

    def told(*args: Any, **kwargs: Any) -> None:
        with engine.begin() as connection:
            connection.execute(
                sa.text("UPDATE instances SET updated_at = :at"), {"at": OTHER}
            )
        read(*args, **kwargs)

    with mock.patch.object(exceptions.UnknownUpdateOutcome, "__init__", told):
        yield


@WAYS
def test_a_claim_in_doubt_over_a_task_stays(
    mariadb_context: api.CellContext,
    mariadb_engine: sa.Engine,
    lose: Lose,
    kind: type[BaseException],
) -> None:
    """What it overruled cannot be brought back."""
    instance = actors.insert(mariadb_engine, task_state="rebooting")

    def ask() -> None:
        def body() -> None:
            raise AssertionError

        server.delete(mariadb_context, instance, body)

    server = actors.API()
    # The first is refused; the second is the one to lose.
    with _second(lose), pytest.raises(kind) as caught:
        ask()
    assert "may be claimed for 'delete'" in caught.value.__notes__[-1]
    assert "overruled active / rebooting" in caught.value.__notes__[-1]
    state = ("active", "deleting")
    assert actors.state_of(mariadb_engine, instance) == state


@contextlib.contextmanager
def _second(lose: Lose) -> Iterator[None]:
    """Lose the answer to the second update, not to the first."""
    real = api.instance_update
    count = 0

    def update(*args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count != 2:
            return real(*args, **kwargs)
        with lose(WRITE):
            return real(*args, **kwargs)

    with mock.patch.object(api, "instance_update", update):
        yield


@WAYS
def test_entering_in_doubt_is_given_up(
    mariadb_context: api.CellContext,
    mariadb_engine: sa.Engine,
    lose: Lose,
    kind: type[BaseException],
) -> None:
    """The block does not run, and leaves what its failure would."""
    instance = actors.insert(
        mariadb_engine, task_state="image_snapshot_pending"
    )
    work = actions.task(mariadb_context, instance, "image_snapshot")
    with lose(WRITE), pytest.raises(kind) as caught:
        work.__enter__()
    assert "is not known" in caught.value.__notes__[0]
    assert actors.state_of(mariadb_engine, instance) == ("active", None)


def test_entering_in_doubt_spares_another_worker(
    mariadb_context: api.CellContext, mariadb_engine: sa.Engine
) -> None:
    """Who entered by the same step is not given up."""
    instance = actors.insert(
        mariadb_engine, task_state="image_snapshot_pending"
    )
    work = actions.task(mariadb_context, instance, "image_snapshot")
    with (
        lost_answers.lost_after(WRITE),
        _then_another(mariadb_engine),
        pytest.raises(exceptions.UnknownUpdateOutcome) as caught,
    ):
        work.__enter__()
    assert "was left as it is" in caught.value.__notes__[-1]
    state = ("active", "image_snapshot")
    assert actors.state_of(mariadb_engine, instance) == state


@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("again", ["end", "leave"])
def test_an_end_whose_answer_is_lost_may_be_made_again(
    mariadb_context: api.CellContext,
    mariadb_engine: sa.Engine,
    again: str,
    *,
    made: bool,
) -> None:
    """By itself or by leaving the block, where it was made or not."""
    instance = actors.insert(mariadb_engine, task_state="shelving")
    with actions.task(mariadb_context, instance, "shelving") as work:
        with (
            lost_answers.lost_after(WRITE),
            pytest.raises(exceptions.UnknownUpdateOutcome),
        ):
            work.end(vm_state="shelved", progress=7)
        if not made:
            undone = {"vm_state": "active", "task_state": "shelving"}
            api.instance_update(mariadb_context, instance, undone)
        if again == "end":
            work.end(vm_state="shelved", progress=7)
    assert work.state == ("shelved", None)
    assert actors.state_of(mariadb_engine, instance) == ("shelved", None)


def test_an_end_whose_answer_is_lost_is_no_failure_later(
    mariadb_context: api.CellContext, mariadb_engine: sa.Engine
) -> None:
    """It has ended, whatever the block raises after that."""
    instance = actors.insert(mariadb_engine, task_state="suspending")

    def lose() -> None:
        with actions.task(mariadb_context, instance, "suspending") as work:
            with (
                lost_answers.lost_after(WRITE),
                pytest.raises(exceptions.UnknownUpdateOutcome),
            ):
                work.end()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lose()
    state = ("suspended", None)
    assert actors.state_of(mariadb_engine, instance) == state
