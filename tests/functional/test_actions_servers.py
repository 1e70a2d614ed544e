# SPDX-License-Identifier: Apache-2.0
"""Actions and their server: what they send, and answers that are lost."""

from collections.abc import Callable
import contextlib
import datetime
import functools
from typing import Any

from oslo_db import exception as db_exc
from oslo_utils import timeutils
import pytest
import sqlalchemy as sa

from nova_db_states import actions
from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import retry
from tests.functional import test_lost_answers as lost_answers
from tests.resources import actors
from tests.resources import rows
from tests.resources import statements

Sent = Callable[[Callable[[], object]], list[str]]

READ = "SELECT"
WRITE = "UPDATE"


class Loud(Exception):
    """What only the tests raise."""


def _raise() -> None:
    raise Loud


@pytest.fixture
def sent(mariadb_context: api.CellContext, mariadb_engine: sa.Engine) -> Sent:
    """Run something and give the first words of what it sent."""
    # The first call looks at the schema, and the first that is refused asks
    # whether the server is a node of a cluster.
    warm = rows.insert_instance(mariadb_engine)
    api.instance_update(mariadb_context, warm, {"progress": 1})
    with pytest.raises(exceptions.UnexpectedTaskStateError):
        api.instance_check(
            mariadb_context, warm, expected_task_state="spawning"
        )

    def run(work: Callable[[], object]) -> list[str]:
        found: list[str] = []
        expected = (exceptions.InstanceUpdateConflict, Loud)
        with (
            statements.before_each(found.append),
            contextlib.suppress(*expected),
        ):
            work()
        return [sql.split()[0] for sql in found]

    return run


def test_what_a_claim_costs(
    mariadb_context: api.CellContext, mariadb_engine: sa.Engine, sent: Sent
) -> None:
    """One update; what is refused or goes wrong costs a little more."""
    server = actors.API()
    idle = actors.insert(mariadb_engine)
    assert sent(lambda: server.stop(mariadb_context, idle)) == [WRITE]
    assert sent(lambda: server.stop(mariadb_context, idle)) == [WRITE, READ]
    failing = actors.insert(mariadb_engine)
    assert sent(lambda: server.stop(mariadb_context, failing, _raise)) == [
        WRITE,
        WRITE,
    ]
    stuck = actors.insert(
        mariadb_engine,
        task_state="deleting",
        updated_at=timeutils.utcnow() - datetime.timedelta(days=1),
    )
    # A delete is tried on an idle server and on any other, then taken over.
    refused = [WRITE, READ, WRITE, READ, READ]
    delete = functools.partial(server.delete, mariadb_context, stuck)
    assert sent(delete) == [*refused, WRITE]
    assert sent(delete) == refused


def test_what_a_check_costs(
    mariadb_context: api.CellContext, mariadb_engine: sa.Engine, sent: Sent
) -> None:
    """One read, whatever it finds."""

    @actions.check_instance_state(vm_state=["active"])
    def attach(context: object, instance: object) -> None:
        del context, instance

    for vm_state in ("active", "error"):
        instance = actors.insert(mariadb_engine, vm_state=vm_state)

        def call(instance: str = instance) -> None:
            attach(mariadb_context, instance)

        assert sent(call) == [READ]


def _work(
    context: api.CellContext,
    instance: str,
    action: str,
    first: str,
    *steps: str,
    body: Callable[[], object] = lambda: None,
) -> Callable[[], None]:
    def work() -> None:
        with actions.task(context, instance, first, action=action) as entered:
            for step in steps:
                entered.step(step)
            body()

    return work


@pytest.mark.parametrize(
    ("columns", "action", "way", "expected"),
    [
        (
            {"task_state": "powering-off"},
            "stop",
            ["powering-off"],
            [READ, WRITE],
        ),
        (
            {"task_state": "rebooting"},
            "reboot soft",
            ["rebooting", "reboot_pending", "reboot_started"],
            [READ, WRITE, WRITE, WRITE],
        ),
        # Whether it was active, stopped or error need not be known.
        (
            {"task_state": "rebuild_block_device_mapping"},
            "rebuild",
            ["rebuild_spawning"],
            [WRITE, WRITE],
        ),
    ],
)
def test_what_a_task_costs(
    mariadb_context: api.CellContext,
    mariadb_engine: sa.Engine,
    sent: Sent,
    columns: dict[str, str],
    action: str,
    way: list[str],
    expected: list[str],
) -> None:
    """The claim is verified by one read; each step and the end are one."""
    instance = actors.insert(mariadb_engine, **columns)
    work = _work(mariadb_context, instance, action, *way)
    assert sent(work) == expected
    _, task_state = actors.state_of(mariadb_engine, instance)
    assert task_state is None


@pytest.mark.parametrize(
    ("columns", "action", "task_state", "expected"),
    [
        (
            {"task_state": "powering-off"},
            "stop",
            "powering-off",
            [READ, WRITE],
        ),
        (
            {"task_state": "suspending"},
            "suspend",
            "suspending",
            [READ, WRITE, WRITE],
        ),
        # The way depends on the vm_state, which the step did not have to
        # know.
        (
            {"task_state": "rebuild_block_device_mapping"},
            "rebuild",
            "rebuild_spawning",
            [WRITE, READ, WRITE, WRITE],
        ),
    ],
)
def test_what_a_failure_costs(
    mariadb_context: api.CellContext,
    mariadb_engine: sa.Engine,
    sent: Sent,
    columns: dict[str, str],
    action: str,
    task_state: str,
    expected: list[str],
) -> None:
    """One update for each declared step, and a read where it must know."""
    instance = actors.insert(mariadb_engine, **columns)
    work = _work(mariadb_context, instance, action, task_state, body=_raise)
    assert sent(work) == expected


def test_what_the_state_costs(
    mariadb_context: api.CellContext, mariadb_engine: sa.Engine, sent: Sent
) -> None:
    """A state that is known costs nothing, another is read once."""
    instance = actors.insert(
        mariadb_engine,
        vm_state="error",
        task_state="rebuild_block_device_mapping",
    )
    with actions.task(
        mariadb_context, instance, "rebuild_spawning", action="rebuild"
    ) as work:
        state = ("error", "rebuild_spawning")
        assert sent(lambda: [work.state, work.state]) == [READ]
        assert work.state == state
        work.end()
        assert sent(lambda: work.state) == []


def _task(context: api.CellContext, instance: str) -> actions.Task:
    return actions.task(context, instance, "rebooting")


def test_a_step_whose_answer_is_lost_may_be_taken_again(
    mariadb_context: api.CellContext, mariadb_engine: sa.Engine
) -> None:
    """It is no conflict that it was made already."""
    instance = actors.insert(mariadb_engine, task_state="resize_prep")
    with actions.task(
        mariadb_context,
        instance,
        "resize_prep",
        action="resize / cold migrate",
    ) as work:
        with (
            lost_answers.lost_after(WRITE),
            pytest.raises(exceptions.UnknownUpdateOutcome),
        ):
            work.step("resize_migrating")
        work.step("resize_migrating")
        assert work.state == ("active", "resize_migrating")
        work.step("resize_migrated")
        work.step("resize_finish")
    assert actors.state_of(mariadb_engine, instance) == ("resized", None)


@pytest.mark.parametrize("made", [True, False])
def test_a_failure_admits_both_sides_of_a_lost_answer(
    mariadb_context: api.CellContext, mariadb_engine: sa.Engine, *, made: bool
) -> None:
    """Whether the step was made or not, its failure is written."""
    instance = actors.insert(mariadb_engine, task_state="rebooting")

    def lose() -> None:
        with (
            _task(mariadb_context, instance) as work,
            lost_answers.lost_after(WRITE),
        ):
            work.step("reboot_pending")

    def lose_and_undo() -> None:
        with _task(mariadb_context, instance) as work:
            try:
                with lost_answers.lost_after(WRITE):
                    work.step("reboot_pending")
            finally:
                # As if the server had never got it.
                api.instance_update(
                    mariadb_context, instance, {"task_state": "rebooting"}
                )

    with pytest.raises(exceptions.UnknownUpdateOutcome) as caught:
        (lose if made else lose_and_undo)()
    assert not hasattr(caught.value, "__notes__")
    assert actors.state_of(mariadb_engine, instance) == ("active", None)


@pytest.mark.parametrize("task_state", ["resize_prep", "resize_migrating"])
def test_a_failure_in_two_steps_admits_both_sides_too(
    mariadb_context: api.CellContext,
    mariadb_engine: sa.Engine,
    task_state: str,
) -> None:
    """Each side has a way of its own, by way of error and its own task."""
    instance = actors.insert(mariadb_engine, task_state="resize_prep")

    def lose() -> None:
        with actions.task(
            mariadb_context,
            instance,
            "resize_prep",
            action="resize / cold migrate",
        ) as work:
            try:
                with lost_answers.lost_after(WRITE):
                    work.step("resize_migrating")
            finally:
                # As if the server had never got it, or as it is.
                api.instance_update(
                    mariadb_context, instance, {"task_state": task_state}
                )

    with pytest.raises(exceptions.UnknownUpdateOutcome) as caught:
        lose()
    assert not hasattr(caught.value, "__notes__")
    assert actors.state_of(mariadb_engine, instance) == ("error", None)


def test_no_failure_is_written_over_an_end_whose_answer_is_lost(
    mariadb_context: api.CellContext, mariadb_engine: sa.Engine
) -> None:
    """It has ended: a suspended server is not set to error."""
    instance = actors.insert(mariadb_engine, task_state="suspending")

    def lose() -> None:
        with (
            actions.task(mariadb_context, instance, "suspending") as work,
            lost_answers.lost_after(WRITE),
        ):
            work.end()

    with pytest.raises(exceptions.UnknownUpdateOutcome) as caught:
        lose()
    [note] = caught.value.__notes__
    assert "it is suspended / NULL by now" in note
    assert actors.state_of(mariadb_engine, instance) == ("suspended", None)


@pytest.mark.parametrize(
    ("lost", "kind"),
    [
        ("UPDATE instances FORCE", exceptions.UnknownUpdateOutcome),
        ("SELECT instances.id", db_exc.DBConnectionError),
    ],
)
def test_a_take_over_whose_answer_is_lost(
    mariadb_cell_url: str,
    mariadb_engine: sa.Engine,
    connect: Callable[..., api.CellContext],
    lost: str,
    kind: type[Exception],
) -> None:
    """The body does not run on a claim that nobody knows of."""
    context = connect(
        mariadb_cell_url, retry_policy=retry.Policy(max_attempts=1)
    )
    instance = actors.insert(
        mariadb_engine,
        task_state="deleting",
        updated_at=timeutils.utcnow() - datetime.timedelta(days=1),
    )
    server = actors.API()
    with lost_answers.lost_after(lost) as found, pytest.raises(kind):
        server.delete(context, instance)
    assert len(found) == 1
    assert server.ran == []


def test_a_check_is_asked_again(
    mariadb_context: api.CellContext, mariadb_engine: sa.Engine
) -> None:
    """A lost answer to a read is no trouble to anybody."""
    instance = actors.insert(mariadb_engine)
    found: Any = None
    with lost_answers.lost_after(READ) as lost:
        found = api.instance_check(mariadb_context, instance)
    assert len(lost) == 1
    assert found == ("active", None)
