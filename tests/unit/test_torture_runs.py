# SPDX-License-Identifier: Apache-2.0
"""What is around the checker: schedules, sums and pictures."""

import pathlib
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.torture import check
from tests.torture import history
from tests.torture import mutants
from tests.torture import report
from tests.torture import run
from tests.torture import schedule
from tests.torture import timeline

QUOTAS = {
    "kill -9": schedule.Quota(3, (1.0, 2.0)),
    "delay": schedule.Quota(6, (0.1, 0.2)),
}
SVG = "{http://www.w3.org/2000/svg}"


def made(
    op: int, start: int, end: int | None, **more: Any
) -> history.Operation:
    """Make an operation that succeeded."""
    return history.Operation(
        **{
            "op": op,
            "worker": "w001.2",
            "node": 0,
            "instance": 0,
            "expected": 0,
            "way": "single",
            "start": start,
            "end": end,
            "outcome": history.Outcome.OK,
            **more,
        }
    )


def test_a_seed_makes_one_schedule() -> None:
    """The same seed gives the same faults, another one gives others."""
    plans = [schedule.plan(seed, 10_000, QUOTAS) for seed in (1, 1, 2)]
    assert plans[0] == plans[1]
    assert plans[0] != plans[2]


def test_a_schedule_keeps_to_its_quotas() -> None:
    """Each kind comes as often and lasts as long as it may, in the run."""
    plan = schedule.plan(5, 10_000, QUOTAS)
    assert (
        sorted(each.kind for each in plan) == ["delay"] * 6 + ["kill -9"] * 3
    )
    dues = [each.due for each in plan]
    assert dues == sorted(dues)
    assert 0 < dues[0] < dues[-1] < 10_000
    for each in plan:
        shortest, longest = QUOTAS[each.kind].lasts_s
        assert shortest <= each.seconds <= longest
        assert 0 <= each.dice < 1


def test_a_schedule_without_faults() -> None:
    """None is a schedule as well."""
    assert schedule.plan(1, 100, {}) == []


def test_operations_in_flight() -> None:
    """Those begun and not returned when a fault struck, the dead once."""
    operations = [
        made(1, 0, 9),
        made(2, 5, 15),
        made(3, 5, None),
        made(4, 11, 30),
        made(5, 10, 10),
    ]
    faults = [history.Fault("kill -9", 0, begin, 99) for begin in (10, 20)]
    found = run.in_flight(faults, operations)
    assert [[each.op for each in one] for one in found] == [[2, 3, 5], [4]]


def test_faults_are_added_up_by_kind() -> None:
    """In all, and on the node or of the worker that was struck."""
    operations = [
        made(1, 0, 100),
        made(2, 0, 100, node=1),
        made(3, 0, 100, worker="w002.0"),
    ]
    faults = [
        history.Fault("kill -9", 1, 10, 2_000_000_010),
        history.Fault("worker kill -9", 2, 20, 30),
        history.Fault("kill -9", 0, 40, 1_000_000_040),
    ]
    found = report.by_kind(history.History(operations, [[0]], faults))
    assert found["kill -9"] == report.Faults(2, 6, 3, 3.0)
    assert found["worker kill -9"].in_flight == 3
    assert found["worker kill -9"].there == 1


def failing() -> history.History:
    """Make a history with two winners, a fault and a dead worker in it."""
    begin = 10_000_000_000
    operations = [
        made(1_000_001, begin, begin + 3_000_000),
        made(2_000_001, begin, begin + 4_000_000, worker="w002.0", node=1),
        made(
            3_000_001,
            begin,
            None,
            worker="w003.0",
            outcome=history.Outcome.UNKNOWN,
        ),
        made(4_000_001, begin + 10**12, begin + 2 * 10**12),
    ]
    faults = [
        history.Fault("kill -9", 1, begin + 1_000_000, begin + 2_000_000),
        history.Fault("far away", 1, begin + 10**12, begin + 2 * 10**12),
    ]
    facts = {"target": "SQLite", "seed": 1, "seconds": 1.0}
    return history.History(operations, [[2_000_001]], faults, facts)


def test_a_violation_is_drawn() -> None:
    """Lanes, bars, the fault and a mark on what does not go together."""
    recorded = failing()
    violation, *_ = check.check(recorded)
    svg = ET.fromstring(timeline.draw(recorded, violation))  # noqa: S314
    text = "\n".join(svg.itertext())
    assert "Instance 0: two winners" in text
    assert "op 1.1 and op 2.1 (ok) both replaced 0" in text
    assert "kill -9 at 1" in text
    assert "far away" not in text
    for lane in ("w001.2 at 0", "w002.0 at 1", "w003.0 at 0"):
        assert lane in text
    bars = [bar for bar in svg.iter(f"{SVG}rect") if bar.get("rx")]
    assert [bar.get("stroke-width") for bar in bars].count("2.5") == 2
    assert [bar.get("stroke-dasharray") for bar in bars].count("4 3") == 1
    assert len(bars) == 3


def test_a_crowded_picture_stays_readable() -> None:
    """Of very many operations those nearest to the violation are drawn."""
    crowd = [
        made(1_000_001 + n, 1000 * n, 1000 * n + 500, worker=f"w{n:03}.0")
        for n in range(1000)
    ]
    one = check.Violation("gap", 0, "all of it", (crowd[500].op,))
    svg = ET.fromstring(  # noqa: S314
        timeline.draw(history.History(crowd, [[0]]), one)
    )
    assert float(svg.attrib["height"]) < 4000
    assert "w500.0 at 0" in "\n".join(svg.itertext())


def test_a_violation_of_no_operation_is_drawn() -> None:
    """Also what no operation can be named for."""
    nothing = check.Violation("nodes", 0, "they differ", ())
    assert "they differ" in timeline.draw(failing(), nothing)
    empty = history.History([], [[0, 1]])
    assert "they differ" in timeline.draw(empty, nothing)


def test_what_is_printed(
    capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    """The counts, the faults and the violations; pictures in the folder."""
    recorded = failing()
    violations = check.check(recorded)
    report.show(recorded, violations)
    shown = capsys.readouterr().out
    assert "SQLite, seed 1" in shown
    assert "kill -9" in shown
    assert "two winners" in shown
    assert report.draw(recorded, violations, tmp_path) == [
        tmp_path / f"violation-{number}.svg"
        for number in range(1, len(violations) + 1)
    ]


def test_a_folder_of_another_run_is_refused(tmp_path: pathlib.Path) -> None:
    """Two histories are never mixed."""
    folder = tmp_path / "kept"
    assert history.make_folder(folder) == folder
    folder.joinpath("w000.jsonl").touch()
    with pytest.raises(FileExistsError, match="not empty"):
        history.make_folder(folder)


def test_a_mutant_that_is_not_there() -> None:
    """A misspelt mutant must not pass for one that was survived."""
    with pytest.raises(KeyError):
        mutants.install("no_such_mutant")
