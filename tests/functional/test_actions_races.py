# SPDX-License-Identifier: Apache-2.0
"""A delete against the worker of another action, wherever it comes."""

import itertools
from typing import Any

import sqlalchemy as sa

from nova_db_states import actions
from nova_db_states import api
from nova_db_states import exceptions
from tests.resources import actors
from tests.resources import statements

ROUNDS = 20


class Loud(Exception):
    """What only the tests raise."""


def test_a_delete_between_any_two_statements(
    context: api.CellContext, cell_engine: sa.Engine, cell_url: str
) -> None:
    """Wherever it comes between the statements of a task, it stays."""
    other = api.connect(cell_url)
    server = actors.API()

    def work_on(instance: str, error: Exception | None) -> str:
        try:
            with actions.task(context, instance, "suspending"):
                if error is not None:
                    raise error
        except (exceptions.InstanceUpdateConflict, Loud):
            return "stopped"
        return "done"

    for error, number in itertools.product((None, Loud()), range(1, 4)):
        instance = actors.insert(cell_engine, task_state="suspending")
        sent: list[str] = []

        def count(
            sql: str,
            sent: list[str] = sent,
            instance: str = instance,
            number: int = number,
        ) -> None:
            if sql.startswith(("UPDATE", "SELECT instances")):
                sent.append(sql)
                if len(sent) == number:
                    server.delete(other, instance)

        with statements.before_each(count):
            outcome = work_on(instance, error)
        if len(sent) < number:
            server.delete(other, instance)
            assert (outcome == "done") is (error is None)
        else:
            assert outcome == "stopped"
        _, task_state = actors.state_of(cell_engine, instance)
        assert task_state == "deleting"
    other.close()


def test_a_delete_races_with_workers(
    cell_url: str, cell_engine: sa.Engine
) -> None:
    """Real connections: a delete that was accepted is there in the end."""
    contexts = [api.connect(cell_url) for _ in range(2)]
    for number in range(ROUNDS):
        server = actors.API()
        instance = actors.insert(cell_engine, task_state="suspending")
        fails = number % 2

        def act(
            actor: int,
            server: actors.API = server,
            instance: str = instance,
            fails: int = fails,
        ) -> Any:
            if actor:
                return server.delete(contexts[1], instance)
            with actions.task(contexts[0], instance, "suspending"):
                if fails:
                    raise Loud
            return "ended"

        worked, deleted = actors.race(2, act)
        assert deleted == "delete"
        refused = exceptions.UnexpectedDeletingTaskStateError
        if type(worked) is not refused:
            assert type(worked) is Loud if fails else worked == "ended"
        vm_state, task_state = actors.state_of(cell_engine, instance)
        assert task_state == "deleting"
        assert vm_state in {"active", "suspended", "error"}
    for context in contexts:
        context.close()
