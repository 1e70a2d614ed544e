# SPDX-License-Identifier: Apache-2.0
"""Nova's tests are run as they are, and with the plugin in them."""

import pathlib

import pytest

from tests.conformance import baseline
from tests.conformance import plan
from tests.conformance import proof
from tests.conformance import running
from tests.conformance import suites
from tests.resources import servers
from tools import nova_venvs

_RELEASE = nova_venvs.RELEASES[-1]
_ENFORCED = running.Way(mode="enforce")
_WRITES = suites.Suite(
    "small",
    ("nova.tests.unit.db.main.test_api.InstanceTestCase",),
    databases=("sqlite", "mariadb"),
)
_WRITE = "test_instance_update_with_expected_vm_state"

_SMALL = """
import os
import time
import testtools

class Small(testtools.TestCase):
    def test_dies(self):
        os._exit(1)

    def test_fails(self):
        raise KeyError("a")

    def test_hangs(self):
        time.sleep(600)

    def test_passes(self):
        pass

    def test_skips(self):
        self.skipTest("as it likes")

    def test_sees_no_checkout(self):
        self.assertRaises(ImportError, __import__, "tests")
"""
_SUITE = suites.Suite("small", ("small_tests",), test_timeout_s=3)


@pytest.fixture
def tree(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> running.Tree:
    """Give a tree of the newest Nova, and a place for its baselines."""
    monkeypatch.setenv(baseline.FOLDER_VARIABLE, str(tmp_path / "kept"))
    nova_venvs.ensure(_RELEASE)
    folder = tmp_path / "tree"
    folder.mkdir()
    return running.Tree(_RELEASE, folder)


@pytest.fixture
def small(tree: running.Tree, monkeypatch: pytest.MonkeyPatch) -> running.Tree:
    """Give a tree with tests that do not need Nova and are soon given up."""
    monkeypatch.setattr(running, "_GRACE_S", 1)
    (tree.source / "small_tests.py").write_text(_SMALL)
    return tree


def _small(*names: str) -> list[str]:
    return [f"small_tests.Small.test_{name}" for name in names]


def test_every_test_has_a_result(small: running.Tree) -> None:
    """A test that takes its process with it does not take the next ones."""
    ids = small.list_ids(_SUITE)
    assert ids == _small(
        "dies", "fails", "hangs", "passes", "sees_no_checkout", "skips"
    )
    way = running.Way(concurrency=1)
    found = small.run(_SUITE, ids, way).results
    assert [found[id_].outcome for id_ in ids] == [
        *("died", "error", "killed", "pass", "pass", "skip")
    ]
    [_, fails, hangs, *_] = [found[id_] for id_ in ids]
    assert fails.traceback.strip().endswith("KeyError: 'a'")
    assert "in test_hangs" in hangs.log


def test_tests_that_never_met_the_plugin_prove_nothing(
    small: running.Tree,
) -> None:
    """The processes report, and say that no seam was put in."""
    ids = _small("passes", "sees_no_checkout")
    run = small.run(_SUITE, ids, _ENFORCED)
    assert all(result.is_good for result in run.results.values())
    found = proof.problems(run, _SUITE, _ENFORCED)
    assert any("without the lower and the upper seam" in p for p in found)
    assert any("no write of a state to guard" in p for p in found)


def test_process_that_does_not_report_is_noticed(
    small: running.Tree,
) -> None:
    """Tests that ran without what switches the plugin on are missed."""
    run = small.run(_SUITE, _small("passes"), running.Way())
    [problem, *_] = proof.problems(run, _SUITE, _ENFORCED)
    assert problem.startswith("1 of 1 tests ran in a process that did not")


def test_baseline_is_kept_and_grows(small: running.Tree) -> None:
    """Only what is not known yet is run; a kept failure stays one."""
    way = running.Way(concurrency=1)
    few = _small("fails", "passes")
    run, made = baseline.run(small, _SUITE, few, way)
    assert made == 2
    more = [*few, *_small("skips")]
    again, made = baseline.run(small, _SUITE, more, way)
    assert made == 1
    assert again.results.items() >= run.results.items()
    less, made = baseline.run(small, _SUITE, _small("skips"), way)
    assert made == 0
    assert list(less.results) == _small("skips")


def test_suite_that_takes_too_long_is_ended(small: running.Tree) -> None:
    """What is still running is killed, and the run is none."""
    hasty = suites.Suite("small", _SUITE.entries, timeout_s=0)
    with pytest.raises(running.RunError, match="took over 0 s"):
        small.run(hasty, _small("hangs"), running.Way())


@pytest.mark.parametrize("database", _WRITES.databases)
@pytest.mark.parametrize("mode", ["enforce", "observe"])
def test_nova_has_the_plugin_in_it(
    tree: running.Tree,
    mariadb_server: servers.Server,
    database: str,
    mode: str,
) -> None:
    """Nova's own test of a guarded write passes, and the plugin guarded it."""
    way, version = running.Way(mode=mode), ""
    if database == "mariadb":
        [(said,)] = mariadb_server.execute("SELECT VERSION()")
        version = str(said)
        way = running.Way(mode=mode, mariadb_url=mariadb_server.url())
    cell = plan.Cell(_RELEASE, _WRITES, way, version)
    outcome = plan.carry_out(cell, tree, [], lambda _: None, only=_WRITE)
    assert outcome.comparison.problems == ()
    assert outcome.comparison.differences == ()
    assert outcome.comparison.tests == 1
    assert outcome.with_it is not None
    assert proof.judged(outcome.with_it) > 0
    if version:
        assert outcome.without.databases == {version}
        left = mariadb_server.execute("SHOW DATABASES LIKE 'conformance%'")
        assert list(left) == []
