# SPDX-License-Identifier: Apache-2.0
"""How a run of Nova's tests with the plugin is judged."""

from collections.abc import Mapping
import json
import pathlib

import pytest

from tests.conformance import allowed
from tests.conformance import comparison
from tests.conformance import matrix
from tests.conformance import plan
from tests.conformance import proof
from tests.conformance import report
from tests.conformance import results
from tests.conformance import running
from tests.conformance import suites

_SUITE = suites.Suite("small", ("nova.tests.unit.a.test_b",))
_WAY = running.Way(mode="enforce")
_ON = {"lower": 1, "upper": 1, "guarded": 3}
_ALLOWANCE = allowed.Allowance(
    "m.C.test_*", ("34.0.0",), "Nova is wrong", "tests/x.py::test_y"
)


def _results(**outcomes: str) -> dict[str, results.Result]:
    return {
        f"m.C.test_{name}": results.Result(f"m.C.test_{name}", outcome)
        for name, outcome in outcomes.items()
    }


def _failed(name: str, raised: str) -> dict[str, results.Result]:
    trace = (
        f'Traceback:\n  File "x", line 1\n{raised}: too bad\nMuch: worse\n\n'
    )
    id_ = f"m.C.test_{name}"
    return {id_: results.Result(id_, "error", traceback=trace)}


def _run(
    *reports: results.Report, found: Mapping[str, results.Result] | None = None
) -> results.Run:
    known = _results(a="pass", b="pass") if found is None else found
    return results.Run(known, reports)


def _worker(
    tests: int = 2,
    counters: Mapping[str, int] | None = None,
    mode: str = "enforce",
    database: str = "",
) -> results.Report:
    said = _ON if counters is None else counters
    return results.Report(7, tests, said, mode, database)


def test_same_results_are_no_difference() -> None:
    """What fails in the same way without the plugin is the same."""
    without = {**_results(a="pass", b="skip"), **_failed("c", "KeyError")}
    with_it = {**_results(a="pass", b="skip"), **_failed("c", "KeyError")}
    assert comparison.differing(without, with_it) == []


@pytest.mark.parametrize(
    ("without", "with_it", "summary"),
    [
        (_results(a="pass"), _results(a="fail"), "pass -> fail"),
        (_results(a="fail"), _results(a="pass"), "fail -> pass"),
        (_results(a="pass"), _results(a="skip"), "pass -> skip"),
        (_results(a="pass"), {}, "pass -> not run"),
        ({}, _results(a="pass"), "not run -> pass"),
        (_results(a="pass"), _results(a="killed"), "pass -> killed"),
        (
            _failed("a", "KeyError"),
            _failed("a", "nova.exception.Conflict"),
            "error (KeyError) -> error (Conflict)",
        ),
    ],
)
def test_other_result_is_a_difference(
    without: dict[str, results.Result],
    with_it: dict[str, results.Result],
    summary: str,
) -> None:
    """A test that is better, worse, gone or new is not the same."""
    [found] = comparison.differences(without, with_it, "34.0.0", [])
    assert found.id == "m.C.test_a"
    assert found.summary == summary
    assert found.allowance is None


def test_allowed_difference_is_not_broken() -> None:
    """An entry of the table counts for its releases only."""
    pair = _results(a="pass"), _results(a="fail")
    for release, broken in (("34.0.0", 0), ("33.0.2", 1)):
        found = comparison.Comparison(
            1, comparison.differences(*pair, release, [_ALLOWANCE])
        )
        assert len(found.broken) == broken
        assert found.allowed == 1 - broken
        assert found.is_good == (broken == 0)


def test_run_with_both_seams_and_guarded_writes_proves_something() -> None:
    """A process that ran no test needs no plugin."""
    other = results.Report(8, 0, {})
    assert proof.problems(_run(_worker(), other), _SUITE, _WAY) == ()


@pytest.mark.parametrize(
    ("workers", "problem"),
    [
        ([], "2 of 2 tests ran in a process that did not report"),
        ([_worker(1)], "1 of 2 tests ran in a process that did not report"),
        ([_worker(2, {})], "without the lower and the upper seam"),
        (
            [_worker(2, {**_ON, "upper": 0})],
            "ran 2 tests without the upper seam",
        ),
        (
            [_worker(1), _worker(1, {**_ON, "lower": 0})],
            "ran 1 tests without the lower seam",
        ),
        ([_worker(2, {**_ON, "guarded": 0})], "no write of a state to guard"),
        ([_worker(mode="observe")], "in the mode 'observe' instead of"),
        ([_worker(database="10.11")], "on 10.11 instead of SQLite"),
    ],
)
def test_run_without_the_plugin_proves_nothing(
    workers: list[results.Report], problem: str
) -> None:
    """Tests that pass are not enough if the plugin was not there."""
    found = proof.problems(_run(*workers), _SUITE, _WAY)
    assert any(problem in each for each in found)
    assert not comparison.Comparison(2, problems=found).is_good


def test_suite_that_writes_nothing_needs_no_guarded_write() -> None:
    """Only suites that write states must have had something to guard."""
    suite = suites.Suite("small", (), writes=False)
    idle = _worker(2, {**_ON, "guarded": 0})
    assert proof.problems(_run(idle), suite, _WAY) == ()


def test_guarded_writes_may_be_in_one_process_only() -> None:
    """They are counted over the suite: a process may have had none."""
    idle = _worker(1, {**_ON, "guarded": 0})
    assert proof.problems(_run(_worker(1), idle), _SUITE, _WAY) == ()


def test_scenarios_of_a_test_count_once() -> None:
    """A process counts calls of tests, each of which may have scenarios."""
    found = {
        f"m.C.test_a({name})": results.Result(f"m.C.test_a({name})", "pass")
        for name in ("x", "y")
    }
    assert proof.problems(_run(_worker(1), found=found), _SUITE, _WAY) == ()


def test_lost_test_is_not_asked_for() -> None:
    """A test that took its process with it could not be counted by it."""
    found = _results(a="pass", b="died")
    assert proof.problems(_run(_worker(1), found=found), _SUITE, _WAY) == ()


def test_worker_lines_tell_what_ended_and_what_runs(
    tmp_path: pathlib.Path,
) -> None:
    """A line cut off at the end of its process is no result."""
    path = tmp_path / "lines"
    path.write_text(
        '{"id": "a", "outcome": "started"}\n'
        '{"id": "a", "outcome": "pass", "seconds": 1.5}\n'
        '{"id": "b", "outcome": "started"}\n'
        '{"id": "b", "outc'
    )
    done, running_test = results.read_lines(path)
    assert done == {"a": results.Result("a", "pass", 1.5)}
    assert running_test == "b"
    assert results.read_lines(tmp_path / "none") == ({}, "")


def test_saved_run_is_read_back(tmp_path: pathlib.Path) -> None:
    """A kept baseline is the run that was kept."""
    run = results.Run(
        {**_results(a="pass"), **_failed("b", "KeyError")}, (_worker(),), 5
    )
    path = tmp_path / "folder" / "run.json"
    run.save(path, key={"nova": "34.0.0"})
    read, content = results.load(path)
    assert read == run
    assert content["key"] == {"nova": "34.0.0"}


def test_suite_has_what_this_nova_has(tmp_path: pathlib.Path) -> None:
    """Patterns stand for modules; what a release lacks is left out."""
    folder = tmp_path / "nova" / "tests" / "unit"
    folder.mkdir(parents=True)
    for name in ("test_a", "test_ab", "test_c"):
        (folder / f"{name}.py").touch()
    unit = "nova.tests.unit"
    suite = suites.Suite(
        "small", (f"{unit}.test_a*", f"{unit}.test_c.C.test_x", f"{unit}.no.D")
    )
    assert suite.modules(tmp_path) == [
        f"{unit}.test_a",
        f"{unit}.test_ab",
        f"{unit}.test_c",
    ]
    assert f"{unit}.test_a*" not in suite.names(tmp_path)
    assert f"{unit}.test_c.C.test_x" in suite.names(tmp_path)


def test_short_suite_is_part_of_the_long_one() -> None:
    """What the short suite proves, the whole matrix proves too."""
    short = suites.SUITES["functional-short"].entries
    assert short
    assert set(short) <= set(suites.SUITES["functional"].entries)


def test_table_of_allowed_differences_can_be_read() -> None:
    """Each entry of the real table names a test of ours that is there."""
    allowed.load()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reason": ""}, "An entry needs"),
        ({"instead": "tests/unit/test_no.py::test_x"}, "There is no test"),
        ({"instead": "tests/unit/test_conformance.py::x"}, "There is no test"),
    ],
)
def test_entry_needs_a_reason_and_a_test_of_ours(
    tmp_path: pathlib.Path, change: dict[str, str], message: str
) -> None:
    """Nothing is allowed without saying why and what is tested instead."""
    ours = test_entry_needs_a_reason_and_a_test_of_ours.__name__
    entry = {
        "tests": "m.C.*",
        "reason": "Nova is wrong",
        "instead": f"tests/unit/test_conformance.py::{ours}",
    }
    path = tmp_path / "allowed.toml"

    def write(given: dict[str, str]) -> None:
        lines = [f"{k} = {json.dumps(v)}" for k, v in given.items()]
        path.write_text(
            "\n".join(["[[allowed]]", 'releases = ["34.0.0"]', *lines])
        )

    write(entry)
    [read] = allowed.load(path)
    assert read.covers("m.C.test_a", "34.0.0")
    write({**entry, **change})
    with pytest.raises(allowed.TableError, match=message):
        allowed.load(path)


def _outcome(broken: bool) -> plan.Outcome:  # noqa: FBT001
    without = _results(a="pass", b="pass")
    with_it = {**without, **(_failed("b", "Boom") if broken else {})}
    return plan.Outcome(
        plan.Cell("34.0.0", _SUITE, _WAY),
        comparison.Comparison(
            2, comparison.differences(without, with_it, "34.0.0", [])
        ),
        _run(found=without),
        _run(_worker(), found=with_it),
    )


def test_matrix_keeps_rows_of_what_was_not_run() -> None:
    """New rows take the place of those about the same suite."""
    old = matrix.text(
        [
            ["33.0.2", "small", "SQLite", "enforce", *"99000"],
            ["34.0.0", "small", "SQLite", "enforce", *"99000"],
        ]
    )
    assert matrix.merged(old, [matrix.row(_outcome(broken=True))]) == [
        ["33.0.2", "small", "SQLite", "enforce", *"99000"],
        ["34.0.0", "small", "SQLite", "enforce", *"21013"],
    ]


def test_report_names_the_test_and_why() -> None:
    """The page of a cell has the traceback of what is broken."""
    page = "\n".join(report.page(_outcome(broken=True)))
    assert "BROKEN: m.C.test_b: pass -> error (Boom)" in page
    assert "- 1 x Boom: too bad" in page
    assert "guarded=3" in page
    assert "BROKEN" not in "\n".join(report.page(_outcome(broken=False)))
