# SPDX-License-Identifier: Apache-2.0
"""Actions: what can be decorated, with what, and how a task is used."""

from collections.abc import Callable, Iterator
import contextlib
import inspect
import pathlib
import types
from typing import Any
import uuid

import pytest
import sqlalchemy as sa

from nova_db_states import actions
from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import states
from nova_db_states import tables
from tests.resources import actors
from tests.resources import rows


class Cell:
    """A cell on SQLite, and a context on it."""

    def __init__(self, path: pathlib.Path) -> None:
        url = f"sqlite:///{path}"
        self.engine = sa.create_engine(url)
        tables.metadata.create_all(self.engine)
        self.context = api.connect(url)

    def insert(self, **columns: object) -> str:
        """Add a server that has run before."""
        return actors.insert(self.engine, **columns)

    def state(self, instance: str) -> tuple[object, object]:
        """Read both state columns."""
        return actors.state_of(self.engine, instance)


@pytest.fixture
def cell(tmp_path: pathlib.Path) -> Iterator[Cell]:
    """Give an empty cell."""
    made = Cell(tmp_path / "cell.db")
    yield made
    made.context.close()
    made.engine.dispose()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("stopp", "There is no action 'stopp'. Did you mean one of .*stop"),
        ("boot", "it makes the row. Insert that"),
        (
            "attach volume",
            r"Use @check_instance_state\(vm_state=\('active', .*launched=True",
        ),
        ("confirm resize", r"vm_state=\('resized',\), .*api.instance_update"),
        (
            "reset-state",
            r"vm_state=None, task_state=None, must_have_launched=False\)",
        ),
        ("get VNC console", r"task_state=Not\('migrating', 'deleting'\)"),
        (
            "power-update event (ironic)",
            "no single update can do that: stopped / NULL -> = / powering-on",
        ),
    ],
)
def test_actions_that_cannot_be_claimed(name: str, says: str) -> None:
    """They are refused where they are written, with what to use instead."""
    with pytest.raises(exceptions.InvalidRequest, match=says):
        actions.instance_action(name)


def test_what_is_suggested_is_accepted() -> None:
    """Guards that only Not() can say are fine for a check."""
    actions.check_instance_state(
        vm_state=None,
        task_state=states.Not("migrating", "deleting"),
        must_have_launched=False,
    )


async def _coroutine(context: object, instance: object) -> None:
    del context, instance


def _generator(context: object, instance: object) -> Iterator[object]:
    yield context, instance


@contextlib.contextmanager
def _managed(context: object, instance: object) -> Iterator[None]:
    del context, instance
    yield


class Awaited:
    """What is called like a function, and waits to be awaited."""

    async def __call__(self, context: object, instance: object) -> None:
        """Do nothing."""


def _no_context(instance: object) -> None:
    del instance


def _no_instance(context: object) -> None:
    del context


def _unnamed(*context: object, **instance: object) -> None:
    del context, instance


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (_coroutine, "_coroutine: a call of a coroutine"),
        (_generator, "_generator: a call of a coroutine or a generator"),
        (_no_context, "named context or ctxt or ctx"),
        (_no_instance, "named instance or instance_uuid"),
        (_unnamed, "named context"),
        (classmethod(_no_context), "in the line below @classmethod"),
        (staticmethod(_no_context), "in the line below @staticmethod"),
        (property(_no_context), "in the line below @property"),
        (_managed, "does not run its body"),
        (Awaited(), "does not run its body"),
        (Cell, "it goes on a function"),
    ],
)
@pytest.mark.parametrize(
    "decorate",
    [actions.instance_action("stop"), actions.check_instance_state()],
)
def test_functions_that_cannot_be_decorated(
    decorate: Callable[[Any], object], function: object, says: str
) -> None:
    """They are refused at once, by name."""
    with pytest.raises(exceptions.InvalidRequest, match=says):
        decorate(function)


def test_decorators_without_what_they_need() -> None:
    """They say what to write."""
    wrong: Any
    for wrong in (_no_instance, ["stop"], None):
        with pytest.raises(
            exceptions.InvalidRequest,
            match=r'Write @instance_action\("stop"\)',
        ):
            actions.instance_action(wrong)
    with pytest.raises(
        exceptions.InvalidRequest, match=r"Write @check_instance_state\(\)"
    ):
        actions.check_instance_state(_no_instance)
    wrong = 3
    for ask in (
        lambda: actions.instance_action("stop", retry_policy=wrong),
        lambda: actions.task(None, wrong, "pausing", retry_policy=wrong),
    ):
        with pytest.raises(exceptions.InvalidRequest, match="a nova_db_sta"):
            ask()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"task_state": "rebooting"}, "the map decides on task_state"),
        ({"vm_state": "error"}, "the map decides on vm_state"),
        ({"progres": 0}, "no column 'progres'. Did you mean 'progress'"),
        ({"progress": "0"}, "the column takes an integer"),
        (["progress"], "is no mapping"),
        ({"updated_at": actors.LAUNCHED}, "by it the claim is known again"),
        ({"uuid": "u"}, "nothing ever changes uuid"),
        ({"created_at": None}, "nothing ever changes created_at"),
    ],
)
def test_values_that_cannot_be_written(
    cell: Cell, values: Any, says: str
) -> None:
    """Fixed ones are refused at once, others before the claim."""
    with pytest.raises(exceptions.InvalidUpdate, match=says):
        actions.instance_action("stop", values=values)

    @actions.instance_action("stop", values=lambda *_: values)
    def stop(context: object, instance: object) -> None:
        del context, instance

    instance = cell.insert()
    with pytest.raises(exceptions.InvalidUpdate, match=says):
        stop(cell.context, instance)
    assert cell.state(instance) == ("active", None)


class Methods:
    """Ways to write and to call a method."""

    @actions.instance_action("stop")
    def usual(self, context: object, instance: object) -> None:
        """Take them by position."""

    @actions.instance_action("stop")
    def named(self, *, ctxt: object, instance_uuid: object) -> None:
        """Take them by other names."""

    @staticmethod
    @actions.instance_action("stop")
    def static(
        instance: object, ctx: object, force: object = None
    ) -> tuple[object, ...]:
        """Take them the other way round."""
        return instance, ctx, force


def test_ways_to_call(cell: Cell) -> None:
    """Context and instance are found by name, wherever they stand."""
    context, methods = cell.context, Methods()
    instances = [cell.insert() for _ in range(4)]
    methods.usual(context, instances[0])
    methods.usual(instance=instances[1], context=context)
    methods.named(ctxt=context, instance_uuid=uuid.UUID(instances[2]))
    assert methods.static(instances[3], context, force=1) == (
        instances[3],
        context,
        1,
    )
    for instance in instances:
        assert cell.state(instance) == ("active", "powering-off")
    assert inspect.getdoc(methods.usual) == "Take them by position."


def test_a_wrong_call_claims_nothing(cell: Cell) -> None:
    """It fails as the method itself would."""
    instance = cell.insert()
    with pytest.raises(TypeError, match=r"multiple values|too many"):
        Methods().usual(cell.context, instance, instance)  # type: ignore[call-arg]
    for wrong in (None, 7, {"id": 1}, types.SimpleNamespace()):
        with pytest.raises(exceptions.InvalidRequest, match="is no instance"):
            Methods().usual(cell.context, wrong)
    with pytest.raises(exceptions.InvalidUpdate, match="is not the uuid"):
        Methods().usual(cell.context, "server1")
    assert cell.state(instance) == ("active", None)


class Dirty:
    """An object that knows which of its fields were set."""

    changed: set[str]
    task_state: str | None
    display_name: str

    def __init__(self, instance: str) -> None:
        vars(self).update(
            changed=set(), uuid=instance, task_state=None, display_name=""
        )

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        self.changed.add(name)

    def obj_reset_changes(self, fields: list[str]) -> None:
        """Forget some."""
        self.changed.difference_update(fields)


def test_what_was_claimed_is_not_dirty(cell: Cell) -> None:
    """The next save of the object does not write it once more."""
    instance = Dirty(cell.insert())
    instance.display_name = "mine"
    Methods().usual(cell.context, instance)
    assert instance.task_state == "powering-off"
    assert instance.changed == {"display_name"}


def test_a_body_that_finds_nothing(cell: Cell) -> None:
    """It looked in another place: the claim is given back all the same."""
    instance = cell.insert()
    missing = exceptions.InstanceNotFound("m", instance_uuid=instance)

    def fail() -> None:
        raise missing

    with pytest.raises(exceptions.InstanceNotFound) as caught:
        actors.API().stop(cell.context, instance, fail)
    assert caught.value is missing
    assert cell.state(instance) == ("active", None)


def test_the_defaults_are_novas() -> None:
    """What is written for Nova's decorator means the same here."""
    parameters = inspect.signature(actions.check_instance_state).parameters
    assert {name: one.default for name, one in parameters.items()} == {
        "vm_state": None,
        "task_state": (None,),
        "must_have_launched": True,
    }


@pytest.mark.parametrize(
    ("given", "columns", "refused"),
    [
        ({}, {}, None),
        ({}, {"vm_state": "error"}, None),
        ({}, {"task_state": "rebooting"}, "task_state"),
        ({}, {"launched_at": None}, "launched_at"),
        ({"must_have_launched": False}, {"launched_at": None}, None),
        ({"task_state": None}, {"task_state": "deleting"}, None),
        ({"task_state": ["migrating"]}, {}, "task_state"),
        (
            {"vm_state": {"active", "error"}},
            {"vm_state": "paused"},
            "vm_state",
        ),
        ({"vm_state": ["paused"]}, {"vm_state": "paused"}, None),
    ],
)
def test_check_instance_state(
    cell: Cell,
    given: dict[str, Any],
    columns: dict[str, Any],
    refused: str | None,
) -> None:
    """The row is judged, in one read; the copy is neither asked nor told."""

    @actions.check_instance_state(**given)
    def attach(context: object, instance: object) -> object:
        del context
        return instance

    row = {"launched_at": actors.LAUNCHED, **columns}
    copy = {"uuid": rows.insert_instance(cell.engine, **row), "a": 1}
    before = rows.read_instance(cell.engine, copy["uuid"])
    if refused is None:
        assert attach(cell.context, copy) is copy
    else:
        with pytest.raises(exceptions.InstanceUpdateConflict) as caught:
            attach(cell.context, copy)
        assert set(caught.value.actual) == {refused}
        assert "delete" in caught.value.allowed_actions
        assert "is not as expected: " in str(caught.value)
    assert rows.read_instance(cell.engine, copy["uuid"]) == before
    assert copy == {"uuid": before["uuid"], "a": 1}


def test_states_of_a_check_are_checked_at_once() -> None:
    """A state that Nova does not have is found where it is written."""
    with pytest.raises(exceptions.InvalidState, match="'activ'"):
        actions.check_instance_state(vm_state=["activ"])
    with pytest.raises(exceptions.InvalidGuard):
        actions.check_instance_state(task_state=[])


def test_a_state_that_nova_does_not_have(cell: Cell) -> None:
    """Its conflict is told, although the map cannot say what is allowed."""
    instance = cell.insert(vm_state="dreaming")
    with pytest.raises(exceptions.UnexpectedVMStateError) as caught:
        Methods().usual(cell.context, instance)
    assert caught.value.state == ("dreaming", None)
    assert caught.value.allowed_actions == ()
    # It can be deleted all the same, and the delete be taken over and done.
    server = actors.API()
    server.delete(cell.context, instance)
    old = {"updated_at": actors.LAUNCHED}
    api.instance_update(cell.context, instance, old)
    server.delete(cell.context, instance)
    with actions.task(cell.context, instance, "deleting") as work:
        assert work.state.task_state == "deleting"
    assert cell.state(instance) == ("deleted", None)
