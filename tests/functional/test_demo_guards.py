# SPDX-License-Identifier: Apache-2.0
"""The two ways to write: the same rows, and the guards that are shown."""

from collections.abc import Iterator
import multiprocessing
import pathlib
from typing import Any, Final

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from nova_db_states import exceptions
from nova_db_states import tables
from nova_db_states.demo import direct
from nova_db_states.demo import guarded
from nova_db_states.demo import saves
from nova_db_states.demo import writes
from tests.resources import rows

# What an action begins with, and the steps of its task.
_STORIES: Final = (
    (
        writes.START,
        writes.NETWORKING,
        writes.BLOCK_DEVICES,
        writes.SPAWNING,
        writes.ACTIVE,
    ),
    (writes.API_DELETING, writes.DESTROYED),
    (writes.API_STOP, writes.STOPPED),
    (writes.API_RESIZE, *writes.RESIZE),
    (writes.API_RESCUE, *writes.RESCUE),
    (writes.API_EVACUATE, *writes.EVACUATE),
)
_NOTHING: Final = object()
# Fits no guard where an action begins, and no guard of a step.
_TO_BEGIN: Final = {
    "vm_state": "soft-delete",
    "task_state": "deleting",
    "host": "elsewhere",
}
_ON_THE_WAY: Final = {**_TO_BEGIN, "task_state": "soft-deleting"}
_TIMES: Final = {"updated_at", "deleted_at"}


class _Cell:
    """A database for both ways, with servers as the demo makes them."""

    def __init__(self, path: pathlib.Path) -> None:
        self.url = f"sqlite:///{path / 'cell.db'}"
        self.engine = sa.create_engine(self.url)
        tables.metadata.create_all(self.engine)

    def server(self, way: Any, first: saves.Write) -> saves.Server:
        """Make a server that an action may begin on."""
        columns: dict[str, Any] = {"created_at": None, "launched_at": _NOW}
        if first is writes.START:
            columns.update(vm_state="building", task_state="scheduling")
            columns.update(host=None, node=None)
        uuid = rows.insert_instance(self.engine, **columns)
        row = way.read(uuid)
        assert row is not None
        return saves.Server(uuid, row)

    def overwrite(
        self, server: saves.Server, columns: dict[str, str] = _TO_BEGIN
    ) -> None:
        """Write it as somebody else does."""
        with self.engine.begin() as connection:
            connection.execute(
                sa.update(tables.instances)
                .where(tables.instances.c.uuid == server.uuid)
                .values(columns)
            )

    def row(self, server: saves.Server) -> dict[str, Any]:
        """Read all of it that is not its own or a time of now."""
        row = rows.read_instance(self.engine, server.uuid)
        for name in ("id", "uuid", *_TIMES):
            row.pop(name)
        return row


_NOW: Final = rows.instance_values()["created_at"]


@pytest.fixture
def cell(tmp_path: pathlib.Path) -> Iterator[_Cell]:
    """Give a database for both ways."""
    made = _Cell(tmp_path)
    yield made
    made.engine.dispose()


@pytest.fixture
def guarded_way(cell: _Cell) -> Iterator[guarded.GuardedSaves]:
    """Give the guarded way."""
    made = guarded.GuardedSaves(cell.url, None)
    yield made
    made.close()


def _begun(way: Any, server: saves.Server, first: saves.Write) -> Any:
    """Have an action accepted, and give its task."""
    if first.by_api:
        way.accept(server, first)
    return way.task(server, first)


def _rows(
    cell: _Cell, kind: type[saves.Saves], story: tuple[saves.Write, ...]
) -> list[dict[str, Any]]:
    """Play an action undisturbed; give what the row says on the way."""
    way = kind(cell.url, None)
    first, *steps, last = story
    server = cell.server(way, first)
    with _begun(way, server, first) as task:
        found = [cell.row(server)]
        if first is writes.START:
            way.write(server, writes.CLAIM)
            found.append(cell.row(server))
        for step in steps:
            task.step(step)
            found.append(cell.row(server))
        task.end(last)
    found.append(cell.row(server))
    if last is writes.DESTROYED:
        way.destroy(server, writes.DESTROY)
        found.append({**cell.row(server), "deleted": bool(server.row.deleted)})
    way.close()
    return found


_EACH_STORY: Final = pytest.mark.parametrize(
    "story", _STORIES, ids=lambda story: story[0].action
)


# oslo.db's update_on_match builds an empty and_(), with Nova as well.
@pytest.mark.filterwarnings("ignore:Invoking and_:DeprecationWarning")
@_EACH_STORY
def test_both_ways_write_the_same(
    cell: _Cell, story: tuple[saves.Write, ...]
) -> None:
    """Undisturbed, an action leaves the same row after each of its writes."""
    plain = _rows(cell, direct.DirectSaves, story)
    assert len(plain) >= len(story)
    assert _rows(cell, guarded.GuardedSaves, story) == plain


def _told(conflict: exceptions.InstanceUpdateConflict) -> str:
    """Show what was expected, as far as the row did not fit it: all of it."""
    text = " / ".join(
        saves.shown(expected)
        for name in ("vm_state", "task_state")
        if (expected := conflict.expected.get(name, _NOTHING)) is not _NOTHING
    )
    return f"{text} (no host)" if "host" in conflict.expected else text


@_EACH_STORY
def test_what_a_beginning_is_shown_to_expect_it_expects(
    cell: _Cell,
    guarded_way: guarded.GuardedSaves,
    story: tuple[saves.Write, ...],
) -> None:
    """What the demo shows for a claim is what the map made of it."""
    first = story[0]
    server = cell.server(guarded_way, first)
    cell.overwrite(server)
    with pytest.raises(exceptions.InstanceUpdateConflict) as caught:
        _begun(guarded_way, server, first).__enter__()
    assert guarded_way.expectation(first) == _told(caught.value)


@_EACH_STORY
def test_what_a_step_is_shown_to_expect_it_expects(
    cell: _Cell,
    guarded_way: guarded.GuardedSaves,
    story: tuple[saves.Write, ...],
) -> None:
    """Each step of a task expects the state that it is shown to expect."""
    first, *steps = story
    for number, step in enumerate(steps):
        server = cell.server(guarded_way, first)
        shown, conflict = _refused(
            cell, guarded_way, server, (first, *steps[:number]), step
        )
        assert shown == _told(conflict)
        # Who is refused leaves what is there.
        assert _ON_THE_WAY.items() <= cell.row(server).items()


def _refused(
    cell: _Cell,
    way: guarded.GuardedSaves,
    server: saves.Server,
    before: tuple[saves.Write, ...],
    write: saves.Write,
) -> tuple[str, exceptions.InstanceUpdateConflict]:
    """Make a step of a task when somebody else has written the row."""
    shown = ""
    try:
        with _begun(way, server, before[0]) as task:
            for each in before[1:]:
                task.step(each)
            shown = task.expectation(write)
            cell.overwrite(server, _ON_THE_WAY)
            rests = write.values["task_state"] is None
            (task.end if rests else task.step)(write)
    except exceptions.InstanceUpdateConflict as conflict:
        return shown, conflict
    pytest.fail(f"{write.did}: it was written")


@pytest.mark.parametrize(
    "write",
    [writes.CLAIM, writes.API_DESTROY, writes.DESTROY],
    ids=lambda write: write.did,
)
def test_what_no_action_writes_has_the_guard_that_is_shown(
    cell: _Cell, guarded_way: guarded.GuardedSaves, write: saves.Write
) -> None:
    """The writes that the map does not have bring their own guard."""
    server = cell.server(guarded_way, writes.START)
    cell.overwrite(server)
    with pytest.raises(exceptions.InstanceUpdateConflict) as caught:
        guarded_way.destroy(server, write)
    assert guarded_way.expectation(write) == _told(caught.value)


# As above.
@pytest.mark.filterwarnings("ignore:Invoking and_:DeprecationWarning")
@pytest.mark.parametrize("kind", [direct.DirectSaves, guarded.GuardedSaves])
def test_turn_is_held_while_writing_and_never_while_working(
    cell: _Cell, kind: type[direct.DirectSaves | guarded.GuardedSaves]
) -> None:
    """Who works, or waits for a piece of the image, keeps nobody waiting."""
    turn = multiprocessing.get_context("forkserver").Lock()
    way = kind(cell.url, turn)
    writing: list[bool] = []

    def is_free() -> bool:
        free = turn.acquire(block=False)
        if free:
            turn.release()
        return free

    def note(*given: Any) -> None:
        if given[2].startswith("UPDATE"):
            writing.append(is_free())

    event.listen(
        way.context.db_connection.writer.get_engine(),
        "before_cursor_execute",
        note,
    )
    server = cell.server(way, writes.START)
    with _begun(way, server, writes.START) as task:
        assert is_free()
        for step in _STORIES[0][1:-1]:
            task.step(step)
            assert is_free()
        pieces = (is_free() for _ in range(3))
        assert all(task.watched(pieces, 0.0))
        task.end(writes.ACTIVE)
    cell.overwrite(server)
    with pytest.raises(exceptions.InstanceUpdateConflict):
        way.accept(server, writes.API_STOP)
    assert is_free()
    assert len(writing) >= len(_STORIES[0])
    assert not any(writing)
    way.close()
