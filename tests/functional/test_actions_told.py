# SPDX-License-Identifier: Apache-2.0
"""What an instance in memory is told of its row, and what cannot be told."""

import dataclasses
import types
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from nova_db_states import actions
from nova_db_states import api
from nova_db_states import tables
from tests.resources import actors


class Loud(Exception):
    """What only the tests raise."""


def _raise() -> None:
    raise Loud


class Pair(NamedTuple):
    """A row as some libraries give it."""

    uuid: str
    task_state: str | None


@dataclasses.dataclass(frozen=True)
class Frozen:
    """An object that cannot be told."""

    uuid: str
    task_state: str | None = None


@pytest.mark.parametrize(
    "make",
    [
        lambda name: types.MappingProxyType({"uuid": name}),
        lambda name: Pair(name, None),
        Frozen,
    ],
)
def test_who_cannot_be_told_is_left_alone(
    context: api.CellContext, cell_engine: sa.Engine, make: Any
) -> None:
    """The body runs, and its own error comes out."""
    instance = make(actors.insert(cell_engine))
    server = actors.API()
    with pytest.raises(Loud):
        server.stop(context, instance, _raise)
    assert server.stop(context, instance) == "stop"
    assert server.ran == ["stop", "stop"]


def test_a_mapped_object_is_not_dirty(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """What is in its row already is not flushed once more."""

    class Base(orm.DeclarativeBase):
        pass

    class Instance(Base):
        __table__ = tables.instances
        __mapper_args__ = types.MappingProxyType(
            {"primary_key": [tables.instances.c.id]}
        )

    instance = actors.insert(cell_engine)
    with orm.Session(cell_engine) as session:
        found = session.query(Instance).filter_by(uuid=instance).one()
        assert found.task_state is None
        session.rollback()
        assert found.vm_state == "active"
        session.expunge(found)
        actors.API().stop(context, found)
        assert found.task_state == "powering-off"
        assert not session.is_modified(found)
    Base.registry.dispose()


def test_a_task_tells_its_instance(
    context: api.CellContext, cell_engine: sa.Engine
) -> None:
    """After each step, the end and a failure."""
    copy: dict[str, Any] = {
        "uuid": actors.insert(cell_engine, task_state="rebooting")
    }
    with actions.task(context, copy, "rebooting") as work:
        assert (copy["vm_state"], copy["task_state"]) == (
            "active",
            "rebooting",
        )
        work.step("reboot_pending", progress=3)
        assert (copy["task_state"], copy["progress"]) == ("reboot_pending", 3)
        work.step("reboot_started")
    assert copy["task_state"] is None

    def fail() -> None:
        with actions.task(context, copy, "suspending"):
            raise Loud

    api.instance_update(context, copy["uuid"], {"task_state": "suspending"})
    with pytest.raises(Loud):
        fail()
    assert (copy["vm_state"], copy["task_state"]) == ("error", None)
