# SPDX-License-Identifier: Apache-2.0
"""What a heartbeat writes, and what a watch cannot be made of."""

from collections.abc import Iterator
import datetime
import pathlib
from typing import Any

import pytest
import sqlalchemy as sa

from nova_db_states import exceptions
from nova_db_states import states
from nova_db_states import tables
from nova_db_states._actions import watch
from tests.resources import watched


@pytest.fixture(name="cell")
def make_cell(tmp_path: pathlib.Path) -> Iterator[watched.Cell]:
    """Give a cell of the test's own."""
    with watched.cell(tmp_path) as made:
        yield made


def test_a_heartbeat(cell: watched.Cell) -> None:
    """It writes progress and updated_at, and nothing else."""
    then = datetime.datetime(2020, 2, 3)
    cell.write(updated_at=then)
    before = cell.row()
    checkpoint = cell.watch()
    assert cell.row() == {**before, "updated_at": cell.row()["updated_at"]}
    assert cell.row()["updated_at"] > then
    cell.write(updated_at=then)
    cell.clock.now += watched.INTERVAL_S
    checkpoint(progress=40)
    row = cell.row()
    assert row == {
        **before,
        "progress": 40,
        "updated_at": row["updated_at"],
    }
    assert row["updated_at"] > then


def test_the_largest_progress_counts(cell: watched.Cell) -> None:
    """What is told late, or by a slower thread, takes nothing back."""
    checkpoint = cell.watch()
    checkpoint(progress=20)
    checkpoint(progress=10)
    cell.clock.now += watched.INTERVAL_S
    checkpoint()
    assert cell.row()["progress"] == 20
    for told, written in [(40, 40), (30, 40), (None, 40), (100, 100)]:
        cell.clock.now += watched.INTERVAL_S
        checkpoint(progress=told)
        checkpoint(progress=5)
        assert cell.row()["progress"] == written


def test_progress_told_and_counted(cell: watched.Cell) -> None:
    """With a total there is no 100, whatever is told, before all is there."""
    made = cell.watch(total=10)
    assert cell.row()["progress"] == 0
    cell.clock.now += watched.INTERVAL_S
    made.checkpoint(progress=100)
    assert cell.row()["progress"] == 99
    assert list(made.iterate([b"12345", b"67890"])) == [b"12345", b"67890"]
    cell.clock.now += watched.INTERVAL_S
    made.checkpoint()
    assert cell.row()["progress"] == 100


@pytest.mark.parametrize(
    ("expectation", "left_alone"),
    [
        ("rebooting", True),
        (["spawning", "reboot_started"], True),
        (["spawning", "reboot_pending", None], True),
        (states.Not("deleting"), True),
        (states.ANY, True),
        ("spawning", False),
        ("rebooting_hard", False),
        (None, False),
        (states.Not(*watch.POLLED_BY_AGE), False),
    ],
)
def test_updated_at(
    cell: watched.Cell, expectation: Any, *, left_alone: bool
) -> None:
    """It is left alone wherever Nova may look for hung reboots by it."""
    wanted = "spawning"
    if not isinstance(expectation, (states.Not, list, states.Any)):
        wanted = expectation
    then = datetime.datetime(2020, 2, 3)
    instance = cell.insert(task_state=wanted, updated_at=then)
    before = cell.row(instance)
    checkpoint = cell.watch(
        instance=instance,
        expected_task_state=expectation,
        expected_vm_state="active",
    )
    assert (cell.row(instance)["updated_at"] == then) is left_alone
    assert (cell.row(instance) == before) is left_alone
    cell.clock.now += watched.INTERVAL_S
    checkpoint(progress=7)
    assert cell.row(instance)["progress"] == 7
    assert (cell.row(instance)["updated_at"] == then) is left_alone
    # Nothing to write is no reason not to look.
    with cell.engine.begin() as connection:
        connection.execute(
            sa.update(tables.instances).values(vm_state="error")
        )
    cell.clock.now += watched.INTERVAL_S
    with pytest.raises(exceptions.UnexpectedVMStateError):
        checkpoint()


@pytest.mark.parametrize("name", ["interval_s", "max_away_s"])
@pytest.mark.parametrize(
    "seconds", [-1, -0.5, float("nan"), float("inf"), "5", None, True]
)
def test_bad_seconds(cell: watched.Cell, name: str, seconds: Any) -> None:
    """The error names the value and what is accepted."""
    with pytest.raises(exceptions.InvalidUpdate) as caught:
        cell.watch(**{name: seconds})
    assert f"{name}={seconds!r}" in str(caught.value)
    assert "at least 0" in str(caught.value)


@pytest.mark.parametrize("total", [-1, 1.5, "1024", True])
def test_bad_total(cell: watched.Cell, total: Any) -> None:
    """The error names the value and what is accepted."""
    with pytest.raises(exceptions.InvalidUpdate) as caught:
        cell.watch(total=total)
    assert f"total={total!r}" in str(caught.value)
    assert "whole number of bytes" in str(caught.value)


@pytest.mark.parametrize("progress", [-1, 101, 40.0, "40", True])
def test_bad_progress(cell: watched.Cell, progress: Any) -> None:
    """The error names the value and what is accepted; the work may go on."""
    made = cell.watch()
    with pytest.raises(exceptions.InvalidUpdate) as caught:
        made.checkpoint(progress=progress)
    assert f"progress={progress!r}" in str(caught.value)
    assert "from 0 to 100" in str(caught.value)
    made.checkpoint(progress=100)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"instance": "server1"}, exceptions.InvalidUpdate),
        ({"expected_task_state": []}, exceptions.InvalidGuard),
        ({"expected_task_state": states.ANY}, exceptions.InvalidGuard),
        ({"expected_task_state": "spawnig"}, exceptions.InvalidState),
        ({"expected_vm_state": "spawning"}, exceptions.InvalidState),
    ],
)
def test_what_cannot_be_watched(
    cell: watched.Cell, options: dict[str, Any], kind: type[Exception]
) -> None:
    """It is refused before anything is sent."""
    with pytest.raises(kind):
        cell.watch(**options)
    assert cell.updates == []
