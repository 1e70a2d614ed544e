# SPDX-License-Identifier: Apache-2.0
"""The helpers that the benchmarks' numbers depend on."""

import collections
import itertools
import threading
import time

from benchmarks import crew
from benchmarks import crews
from benchmarks import figure
from benchmarks import fleet
from benchmarks import lasting
from benchmarks import memory
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


def test_percentile() -> None:
    """One call in a thousand took longer."""
    seconds = [number / 1000 for number in range(1, 10_001)]
    assert sampling.percentile_ms(seconds[::-1], 0.999) == 9991.0


def test_slope_is_that_of_a_call() -> None:
    """What grows by 3,000 in a thousand calls grows by 3 in each."""
    states = [{"size": 500 + 3_000 * step} for step in range(9)]
    assert round(memory.slope(states, "size", 1_000), 6) == 3.0
    level = [{"size": 500}] * 9
    assert memory.slope(level, "size", 1_000) == 0.0


def test_growth_of_the_second_half() -> None:
    """What is bounded stops growing; what is not grows as much again."""
    bounded = [{"size": size} for size in (100, 150, 190, 195, 200)]
    assert memory.later_percent(bounded, "size") == 10.0
    unbounded = [{"size": size} for size in range(5)]
    assert memory.later_percent(unbounded, "size") == 50.0
    assert memory.later_percent([{"size": 5}] * 3, "size") == 0.0


def test_expectations_differ() -> None:
    """No two numbers guard the same columns against as many values."""
    seen = {
        tuple((name, len(values)) for name, values in each.items())
        for each in map(lasting.expectations, range(lasting.SHAPES))
    }
    assert len(seen) == lasting.SHAPES


def test_burst_counts_what_was_done() -> None:
    """A failed call is none, and who had next to nothing was starved."""
    seconds = [[0.1] * 60, [0.1] * 58, [0.1] * 2]
    burst = crews.Burst(seconds, 2.0, 20, ["Error"], 0)
    assert (burst.calls, burst.rate, burst.starved) == (120, 50.0, 1)


def test_bursts_are_compared_round_by_round() -> None:
    """A slow round is slow for both, and one odd burst changes nothing."""
    bursts = {
        who: [crews.Burst([[0.1] * count], 1.0, 0, [], 0) for count in counts]
        for who, counts in (
            (crews.RAW, [100, 10, 100, 100, 100]),
            (crews.OURS, [50, 5, 50, 1, 50]),
        )
    }
    assert crews.against_raw(bursts, crews.OURS) == 0.5


def test_crew_works_at_once_and_in_pairs() -> None:
    """All threads are in a call together, and each call there has one back.

    A call that fails is counted, and the next one is made all the same.
    """
    meeting = threading.Barrier(4, timeout=20)
    made: list[int] = []

    def call(number: int) -> None:
        if number == 0:
            meeting.wait()
        made.append(number)
        if number == 1:
            raise ValueError("as asked for")

    workers = [crew.Worker(call, 0.001) for _ in range(4)]
    answer = crew.together(workers, time.monotonic() + 0.05, 0.2)
    assert len(answer.seconds) == 4
    assert sum(map(len, answer.seconds)) == len(made) > 8
    assert all(len(taken) % 2 == 0 for taken in answer.seconds)
    assert (answer.failed, answer.errors) == (4, ["ValueError: as asked for"])
    assert sorted(made)[:4] == [0] * 4
