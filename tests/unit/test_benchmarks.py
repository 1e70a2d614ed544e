# SPDX-License-Identifier: Apache-2.0
"""The helpers that the benchmarks' numbers depend on."""

import collections
import itertools

from benchmarks import figure
from benchmarks import fleet
from benchmarks import sampling
from benchmarks import streaming
from nova_db_states import states
from nova_db_states import tables


def test_fleet_is_the_same_for_the_same_seed() -> None:
    """Two loads of one seed give the same rows, another seed others."""
    first = list(fleet.rows(200, seed=1))
    assert first == list(fleet.rows(200, seed=1))
    assert first != list(fleet.rows(200, seed=2))


def test_fleet_is_like_a_cell() -> None:
    """States are Nova's, most rows active, uuids unique, deleted rows marked.

    A row is deleted exactly if its ``deleted`` is its id.
    """
    assert set(fleet.COLUMNS) <= set(tables.instances.c.keys())
    seen = collections.Counter[object]()
    uuids = set()
    for values in fleet.rows(5_000, seed=3):
        row = dict(zip(fleet.COLUMNS, values, strict=True))
        uuids.add(row["uuid"])
        states.VMState(row["vm_state"])
        if row["task_state"] is not None:
            states.TaskState(row["task_state"])
        deleted = row["deleted_at"] is not None
        assert row["deleted"] == (row["id"] if deleted else 0)
        assert (row["vm_state"] == "deleted") == deleted
        seen[row["vm_state"], row["task_state"]] += 1
    assert len(uuids) == 5_000
    assert 0.5 < seen["active", None] / 5_000 < 0.75
    assert 0.25 < seen["deleted", None] / 5_000 < 0.35


def test_contenders_take_turns() -> None:
    """Each contender makes as many calls, and none many in a row."""
    made: list[str] = []
    blocks = {
        name: sampling.timed(lambda _, name=name: made.append(name))  # type: ignore[misc]
        for name in "abc"
    }
    samples = sampling.interleave(blocks, rounds=20, calls=2, limit_s=60)
    assert {
        name: len(times) for name, times in samples.items()
    } == dict.fromkeys("abc", 40)
    longest = max(len(list(run)) for _, run in itertools.groupby(made))
    assert longest <= 4


def test_calls_are_numbered_across_blocks() -> None:
    """Number follows number, so that there and back stay in step."""
    numbers: list[int] = []
    block = sampling.timed(numbers.append)
    block(3)
    block(2)
    assert numbers == [0, 1, 2, 3, 4]


def test_summary() -> None:
    """Median and percentile are in milliseconds."""
    summary = sampling.summarise([number / 1000 for number in range(1, 101)])
    assert summary == sampling.Summary(100, 50.5, 96.0, 100.0)


def test_figure_holds() -> None:
    """A bound is an upper one unless it is said to be a lower one."""
    at_most = figure.Figure("x", "y", 1.6, 1.6, "times")
    assert at_most.holds
    assert not figure.Figure("x", "y", 1.7, 1.6, "times").holds
    assert figure.Figure("x", "y", 4.1, 4.0, "times", at_least=True).holds
    assert not figure.Figure("x", "y", 3.9, 4.0, "times", at_least=True).holds
    assert at_most.as_dict()["holds"] is True


def test_passes_are_compared_round_by_round() -> None:
    """A slow round is slow for both, and one odd pass changes nothing."""
    bare = [1.0, 10.0, 1.0, 1.0, 1.0]
    watched = [1.02, 10.2, 7.0, 1.02, 0.5]
    assert round(streaming.extra_percent(bare, watched), 6) == 2.0
