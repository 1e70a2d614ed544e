# SPDX-License-Identifier: Apache-2.0
"""One instance, one guarded update: the contract, on every backend."""

from collections.abc import Callable, Iterator
import contextlib
import datetime
import pathlib
from typing import Any
import uuid

import hypothesis
from oslo_utils import timeutils
import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states import states
from nova_db_states import tables
from tests import strategies
from tests.resources import rows


@contextlib.contextmanager
def before_each_statement(
    call: Callable[[str, sa.Engine], object],
) -> Iterator[None]:
    """Call something before any engine of the process sends a statement."""

    def listener(
        connection: sa.Connection, _cursor: Any, sql: str, *_: Any
    ) -> None:
        call(sql, connection.engine)

    sa.event.listen(sa.Engine, "before_cursor_execute", listener)
    try:
        yield
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", listener)


@pytest.fixture
def context(cell_url: str) -> Iterator[api.CellContext]:
    """Give a context on the cell."""
    made = api.connect(cell_url)
    yield made
    made.close()


def test_applied(context: api.CellContext, cell_engine: sa.Engine) -> None:
    """A row that is as expected is changed, and only in what was asked."""
    instance = rows.insert_instance(cell_engine, host="c1")
    before = rows.read_instance(cell_engine, instance)
    result = api.instance_update(
        context,
        instance,
        {"task_state": "powering-off", "progress": 5},
        expected_vm_state=["active", "error"],
        expected_task_state=None,
    )
    assert result is None
    after = rows.read_instance(cell_engine, instance)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"task_state", "progress", "updated_at"}
    assert after["task_state"] == "powering-off"


def test_updated_at_is_the_writers_clock(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """updated_at is set to now in UTC, unless the caller gives it."""
    instance = rows.insert_instance(cell_engine)
    now = timeutils.utcnow()
    api.instance_update(context, instance, {"progress": 1})
    written = rows.read_instance(cell_engine, instance)["updated_at"]
    assert abs(written - now) < datetime.timedelta(seconds=10)
    given = datetime.datetime(2020, 2, 3, tzinfo=datetime.UTC)
    api.instance_update(context, instance, {"updated_at": given})
    assert rows.read_instance(cell_engine, instance)[
        "updated_at"
    ] == given.replace(tzinfo=None)


def test_an_update_that_changes_nothing_is_applied(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Matched rows count, not changed ones."""
    now = timeutils.utcnow().replace(microsecond=0)
    instance = rows.insert_instance(cell_engine, updated_at=now, host="c1")
    api.instance_update(
        context,
        instance,
        {"host": "c1", "updated_at": now},
        expected={"host": "c1"},
    )


@pytest.mark.parametrize(
    ("row", "expectations", "kind", "expected", "actual"),
    [
        (
            {"task_state": "deleting"},
            {"expected_task_state": None},
            exceptions.UnexpectedDeletingTaskStateError,
            {"task_state": (None,)},
            {"task_state": "deleting"},
        ),
        (
            {"task_state": "spawning"},
            {"expected_task_state": states.Not("spawning", None)},
            exceptions.UnexpectedTaskStateError,
            {"task_state": states.Not("spawning", None)},
            {"task_state": "spawning"},
        ),
        (
            {"task_state": None},
            {"expected_task_state": "spawning", "expected_vm_state": "active"},
            exceptions.UnexpectedTaskStateError,
            {"task_state": ("spawning",)},
            {"task_state": None},
        ),
        (
            {"vm_state": "error"},
            {
                "expected_vm_state": ["active", None],
                "expected_task_state": None,
            },
            exceptions.UnexpectedVMStateError,
            {"vm_state": ("active", None)},
            {"vm_state": "error"},
        ),
        (
            {"vm_state": "error", "task_state": "deleting", "host": "c2"},
            {
                "expected_vm_state": "active",
                "expected_task_state": "spawning",
                "expected": {"host": "c1", "node": "n1"},
            },
            exceptions.UnexpectedDeletingTaskStateError,
            {
                "vm_state": ("active",),
                "task_state": ("spawning",),
                "host": ("c1",),
            },
            {"vm_state": "error", "task_state": "deleting", "host": "c2"},
        ),
        (
            {"host": None},
            {"expected": {"host": ["c1", "c2"]}},
            exceptions.InstanceUpdateConflict,
            {"host": ("c1", "c2")},
            {"host": None},
        ),
    ],
)
def test_refused(
    context: api.CellContext,
    cell_engine: sa.Engine,
    row: dict[str, Any],
    expectations: dict[str, Any],
    kind: type[exceptions.InstanceUpdateConflict],
    expected: dict[str, Any],
    actual: dict[str, Any],
) -> None:
    """The loser is told, per field, what was expected and what is there."""
    instance = rows.insert_instance(cell_engine, **{"node": "n1", **row})
    before = rows.read_instance(cell_engine, instance)
    with pytest.raises(exceptions.InstanceUpdateConflict) as caught:
        api.instance_update(
            context, instance, {"task_state": "rebooting"}, **expectations
        )
    assert type(caught.value) is kind
    assert caught.value.instance_uuid == instance
    assert caught.value.expected == expected
    assert caught.value.actual == actual
    assert instance in str(caught.value)
    for value in actual.values():
        assert ("NULL" if value is None else repr(value)) in str(caught.value)
    assert rows.read_instance(cell_engine, instance) == before


def test_never_existed(context: api.CellContext) -> None:
    """A uuid that no row has is not found, and that is no conflict."""
    with pytest.raises(exceptions.InstanceNotFound, match="no such row"):
        api.instance_update(
            context, uuid.uuid4(), {"progress": 1}, expected_vm_state="active"
        )


def test_deleted_rows_are_out_of_sight(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """A deleted server is not found, and the message says that it was."""
    gone = rows.insert_instance(
        cell_engine,
        deleted=7,
        deleted_at=datetime.datetime(2026, 1, 2),
    )
    with pytest.raises(
        exceptions.InstanceNotFound, match="deleted at 2026-01-02"
    ):
        api.instance_update(context, gone, {"progress": 1})


def test_read_deleted(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """The context's read_deleted decides which rows may be changed."""
    gone = rows.insert_instance(cell_engine, deleted=7)
    live = rows.insert_instance(cell_engine)
    context.read_deleted = "yes"
    api.instance_update(context, gone, {"progress": 1})
    api.instance_update(context, live, {"progress": 1})
    context.read_deleted = "only"
    api.instance_update(context, gone, {"progress": 2})
    with pytest.raises(exceptions.InstanceNotFound, match="not deleted"):
        api.instance_update(context, live, {"progress": 2})
    context.read_deleted = "maybe"
    with pytest.raises(exceptions.InvalidContext, match="'maybe'"):
        api.instance_update(context, live, {"progress": 3})
    assert rows.read_instance(cell_engine, gone)["progress"] == 2
    assert rows.read_instance(cell_engine, live)["progress"] == 1


class User:
    """A context of an ordinary user, as Nova's RequestContext has it."""

    def __init__(self, context: api.CellContext, project_id: str) -> None:
        self.db_connection = context.db_connection
        self.is_admin = False
        self.user_id = "user"
        self.project_id = project_id


def test_an_ordinary_user_sees_own_rows_only(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """Another project's server is not found, and nothing of it is told."""
    instance = rows.insert_instance(cell_engine, project_id="mine")
    api.instance_update(User(context, "mine"), instance, {"progress": 1})
    with pytest.raises(exceptions.InstanceNotFound) as caught:
        api.instance_update(User(context, "yours"), instance, {"progress": 2})
    assert "active" not in str(caught.value)
    admin = User(context, "yours")
    admin.is_admin = True
    api.instance_update(admin, instance, {"progress": 3})
    assert rows.read_instance(cell_engine, instance)["progress"] == 3


def test_returning(context: api.CellContext, cell_engine: sa.Engine) -> None:
    """The columns asked for are those of the row after the update."""
    instance = rows.insert_instance(cell_engine, host="c1", progress=1)
    result = api.instance_update(
        context,
        instance,
        {"task_state": "spawning"},
        expected_task_state=None,
        returning=("host", "task_state"),
    )
    assert result == {"host": "c1", "task_state": "spawning"}
    with pytest.raises(exceptions.UnexpectedTaskStateError):
        api.instance_update(
            context,
            instance,
            {"task_state": "networking"},
            expected_task_state=None,
            returning=["host"],
        )
    assert (
        rows.read_instance(cell_engine, instance)["task_state"] == "spawning"
    )


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
        ({"returning": "host"}, exceptions.InvalidUpdate, "one string"),
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
        before_each_statement(lambda sql, _engine: sent.append(sql)),
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


def test_changed_back_each_time(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """A row that fits whenever it is read is tried again, then given up."""
    instance = rows.insert_instance(cell_engine)
    updates = 0

    def another_writer(sql: str, engine: sa.Engine) -> None:
        # It comes between the two statements of the library, which no timing
        # of threads can do each time.
        nonlocal updates
        if engine is cell_engine:
            return
        updating = sql.startswith("UPDATE")
        updates += updating
        with cell_engine.begin() as other:
            other.execute(
                sa.update(tables.instances).values(
                    task_state="spawning" if updating else None
                )
            )

    # The first call also looks at the schema.
    api.instance_update(context, instance, {"progress": 1})
    slept: list[float] = []
    with (
        before_each_statement(another_writer),
        pytest.raises(exceptions.UnknownInstanceUpdateConflict) as caught,
    ):
        api.instance_update(
            context,
            instance,
            {"task_state": "networking"},
            expected_task_state=None,
            retry_policy=retry.Policy(max_attempts=4, sleep=slept.append),
        )
    assert updates == 4
    assert len(slept) == 3
    assert caught.value.expected == {"task_state": (None,)}


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
