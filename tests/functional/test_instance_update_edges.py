# SPDX-License-Identifier: Apache-2.0
"""One instance, one guarded update: bad input, odd rows, odd schemas."""

from collections.abc import Callable, Iterator
import datetime
import pathlib
from typing import Any

import hypothesis
import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states import states
from nova_db_states import tables
from tests import strategies
from tests.resources import rows
from tests.resources import statements


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        ({"values": {}}, exceptions.InvalidUpdate, "at least one column"),
        ({"values": None}, exceptions.InvalidUpdate, "at least one column"),
        ({"values": {"id": 5}}, exceptions.InvalidUpdate, "never changes"),
        ({"values": {"uuid": "u"}}, exceptions.InvalidUpdate, "never changes"),
        (
            {"values": {"created_at": None}},
            exceptions.InvalidUpdate,
            "never changes",
        ),
        (
            {"values": {"taskstate": None}},
            exceptions.InvalidUpdate,
            "Did you mean 'task_state'",
        ),
        (
            {"values": {"task_state": "powering_off"}},
            exceptions.InvalidState,
            "Did you mean 'powering-off'",
        ),
        (
            {"values": {"host": "x" * 256}},
            exceptions.InvalidUpdate,
            "holds 255",
        ),
        (
            {"expected_vm_state": []},
            exceptions.InvalidGuard,
            "empty",
        ),
        ({"returning": "host"}, exceptions.InvalidUpdate, "collection"),
        ({"returning": None}, exceptions.InvalidUpdate, "collection"),
        ({"retry_policy": 3}, exceptions.InvalidUpdate, "retry_policy=3"),
        ({"returning": ["hots"]}, exceptions.InvalidUpdate, "'host'"),
        ({"instance_uuid": "server1"}, exceptions.InvalidUpdate, "server1"),
    ],
)
def test_bad_input_sends_nothing(
    context: api.CellContext,
    cell_engine: sa.Engine,
    arguments: dict[str, Any],
    kind: type[Exception],
    says: str,
) -> None:
    """What cannot be right is refused before any SQL."""
    instance = rows.insert_instance(cell_engine)
    before = rows.read_instance(cell_engine, instance)
    call = {
        "instance_uuid": instance,
        "values": {"progress": 1},
        **arguments,
    }
    sent: list[str] = []
    with (
        statements.before_each(sent.append),
        pytest.raises(kind, match=says),
    ):
        api.instance_update(context, **call)
    assert sent == []
    assert rows.read_instance(cell_engine, instance) == before


@hypothesis.settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(
    vm=strategies.expectations(strategies.vm_states),
    task=strategies.expectations(strategies.task_states),
    row_vm=strategies.vm_states,
    row_task=strategies.task_states,
)
def test_the_model(
    context: api.CellContext,
    cell_engine: sa.Engine,
    vm: Any,
    task: Any,
    row_vm: str | None,
    row_task: str | None,
) -> None:
    """Applied if and only if the row is as the caller expects."""
    instance = rows.insert_instance(
        cell_engine, vm_state=row_vm, task_state=row_task
    )
    wanted = {
        "vm_state": strategies.model_admits(vm, row_vm),
        "task_state": strategies.model_admits(task, row_task),
    }
    refused: set[str] = set()
    try:
        api.instance_update(
            context,
            instance,
            {"progress": 77},
            expected_vm_state=vm,
            expected_task_state=task,
        )
    except exceptions.InstanceUpdateConflict as conflict:
        refused = set(conflict.actual)
    assert refused == {name for name, fits in wanted.items() if not fits}
    applied = rows.read_instance(cell_engine, instance)["progress"] == 77
    assert applied == (not refused)


@pytest.fixture(params=["sqlite", "mariadb"])
def damaged(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path
) -> Iterator[sa.Engine]:
    """Give a cell whose uuids are not kept unique."""
    if request.param == "sqlite":
        engine = sa.create_engine(f"sqlite:///{tmp_path}/damaged.sqlite")
        bare = tables.instances.to_metadata(sa.MetaData())
        bare.constraints = {bare.primary_key}
        bare.create(engine)
    else:
        url = request.getfixturevalue("nova_mariadb_url")
        engine = sa.create_engine(url)
        with engine.begin() as connection:
            connection.execute(
                sa.text("ALTER TABLE instances DROP INDEX uniq_instances0uuid")
            )
    yield engine
    engine.dispose()


def test_a_uuid_that_is_not_unique(damaged: sa.Engine) -> None:
    """On a damaged schema two rows of one uuid are left as they were."""
    instance = rows.insert_instance(damaged)
    rows.insert_instance(damaged, uuid=instance)
    alone = rows.insert_instance(damaged)
    context = api.connect(damaged.url)
    with pytest.raises(exceptions.MultipleInstancesMatched, match="2 rows"):
        api.instance_update(context, instance, {"progress": 9})
    with (
        pytest.raises(exceptions.MultipleInstancesMatched, match="roll"),
        context.begin(),
    ):
        api.instance_update(context, instance, {"progress": 9})
    api.instance_update(context, alone, {"progress": 5})
    with damaged.connect() as connection:
        found = connection.execute(sa.select(tables.instances.c.progress))
        assert sorted(found.scalars(), key=str) == [5, None, None]
    context.close()


def to_and_fro(engine: sa.Engine, *, times: int) -> Callable[[str], None]:
    """Make another writer, who is there for the length of an UPDATE.

    :param engine: the other writer's
    :param times: how many updates that lasts; after the last of these the
        row stays as the other writer has made it
    :returns: to be called before each statement
    """
    updates = 0

    def act(sql: str) -> None:
        nonlocal updates
        updating = sql.startswith("UPDATE")
        updates += updating
        if updates > times or (updates == times and not updating):
            return
        with engine.begin() as other:
            other.execute(
                sa.update(tables.instances).values(
                    task_state="spawning" if updating else None
                )
            )

    return act


def test_a_row_that_fitted_again(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """The second refusal is explained under the lock that it took."""
    instance = rows.insert_instance(cell_engine)
    # The first call also looks at the schema.
    api.instance_update(context, instance, {"progress": 1})
    with (
        statements.before_each(to_and_fro(cell_engine, times=2)),
        pytest.raises(exceptions.UnexpectedTaskStateError) as caught,
    ):
        api.instance_update(
            context,
            instance,
            {"task_state": "networking"},
            expected_task_state=None,
        )
    assert caught.value.actual == {"task_state": "spawning"}
    assert rows.read_instance(cell_engine, instance)["task_state"] == (
        "spawning"
    )


def test_changed_back_and_no_attempt_left(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """A row that fits when it is read, with no attempt left, is not known."""
    instance = rows.insert_instance(cell_engine)
    api.instance_update(context, instance, {"progress": 1})
    with (
        statements.before_each(to_and_fro(cell_engine, times=9)),
        pytest.raises(exceptions.UnknownInstanceUpdateConflict) as caught,
    ):
        api.instance_update(
            context,
            instance,
            {"task_state": "networking"},
            expected_task_state=None,
            retry_policy=retry.Policy(max_attempts=1),
        )
    assert caught.value.expected == {"task_state": (None,)}


def test_changed_back_and_tried_again(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """A row that fits when it is read is tried again, and changed."""
    instance = rows.insert_instance(cell_engine)
    api.instance_update(context, instance, {"progress": 1})

    def once(sql: str) -> None:
        if len(slept) == 0:
            act(sql)

    slept: list[float] = []
    act = to_and_fro(cell_engine, times=9)
    with statements.before_each(once):
        api.instance_update(
            context,
            instance,
            {"task_state": "networking"},
            expected_task_state=None,
            retry_policy=retry.Policy(sleep=slept.append),
        )
    assert len(slept) == 1
    assert rows.read_instance(cell_engine, instance)["task_state"] == (
        "networking"
    )


def test_guards_by_any_column(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Times, numbers and flags can be guarded as states can."""
    launched = datetime.datetime(2026, 5, 4, 3, 2, 1)
    row = {
        "launched_at": launched,
        "power_state": 4,
        "locked": True,
        "locked_by": "admin",
        "access_ip_v4": "192.0.2.7",
        "user_data": "eA==",
        "cleaned": 1,
    }
    instance = rows.insert_instance(cell_engine, **row)
    api.instance_update(context, instance, {"progress": 1}, expected=row)
    for name, value in row.items():
        with pytest.raises(exceptions.InstanceUpdateConflict) as caught:
            api.instance_update(
                context,
                instance,
                {"progress": 2},
                expected={name: states.Not(value)},
            )
        assert caught.value.actual == {name: value}
    assert rows.read_instance(cell_engine, instance)["progress"] == 1


def test_the_server_judges_by_its_collation(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Where the server takes "C1" for "c1", so does the explanation."""
    instance = rows.insert_instance(cell_engine, host="C1")
    refused: dict[str, Any] = {}
    try:
        api.instance_update(
            context,
            instance,
            {"progress": 1},
            expected={"host": states.Not("c1")},
        )
    except exceptions.InstanceUpdateConflict as conflict:
        refused = dict(conflict.actual)
    ignores_case = cell_engine.dialect.name != "sqlite"
    assert refused == ({"host": "C1"} if ignores_case else {})
