# SPDX-License-Identifier: Apache-2.0
"""Many processes on one database, faults among them, and the checker.

What it finds on a cluster is in ``cluster/test_histories.py``, and longer runs
are made by ``make torture``.
"""

import pathlib
import random
import sys
from typing import Final

import pytest

from tests.resources import mariadb
from tests.torture import check
from tests.torture import history
from tests.torture import report
from tests.torture import run
from tests.torture import served
from tests.torture import targets

IN_FLIGHT: Final = 100
"""Operations that each kind of fault has to meet, in all."""

OPERATIONS: Final = 4_000
FOR_A_MUTANT: Final = 1_000


def tell(text: str) -> None:
    """Say what is under way, for the report of a test that fails."""
    sys.stdout.write(f"{text}\n")


def settings(
    kinds: tuple[str, ...],
    *,
    operations: int = OPERATIONS,
    times: int = 4,
    mutant: str = "",
) -> run.Settings:
    """Make settings with a seed that is drawn, and told."""
    seed = random.SystemRandom().randrange(1 << 32)
    tell(f"seed {seed}")
    return run.Settings(operations, seed, kinds, times, mutant=mutant)


def on_mariadb(
    server: mariadb.MariaDBServer, how: run.Settings, folder: pathlib.Path
) -> history.History:
    """Torture a server."""
    with served.MariaDB(server) as target:
        return run.run(target, how, folder, tell)


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Give the folder of a history."""
    made = tmp_path / "history"
    made.mkdir()
    return made


def test_sqlite_and_workers_that_die(
    tmp_path: pathlib.Path, folder: pathlib.Path
) -> None:
    """Processes that share a file lose no update of each other's."""
    target = targets.SQLite(tmp_path)
    how = settings(("worker kill -9", "worker SIGSTOP"))
    report.require(run.run(target, how, folder, tell), folder, IN_FLIGHT)


def test_a_server_that_dies(folder: pathlib.Path) -> None:
    """What was reported before a crash is there after it."""
    how = settings(("kill -9", "restart", "SIGSTOP"))
    with mariadb.MariaDBServer(**mariadb.KILLED) as server:
        recorded = on_mariadb(server, how, folder)
    report.require(recorded, folder, IN_FLIGHT)


def test_a_network_that_fails(folder: pathlib.Path) -> None:
    """What was lost on the way is called unknown, and nothing else is."""
    how = settings(
        ("cut before", "cut after", "cut, applied late", "refuse", "delay")
    )
    with mariadb.MariaDBServer(innodb_snapshot_isolation="ON") as server:
        recorded = on_mariadb(server, how, folder)
    report.require(recorded, folder, IN_FLIGHT)
    assert check.outcomes(recorded.operations)["unknown"] > 0


@pytest.mark.parametrize(
    ("mutant", "kind", "broken"),
    [
        (
            "success_before_commit",
            "cut before",
            {"lost success", "two winners"},
        ),
        ("no_guard_on_retry", "cut after", {"lost success", "two winners"}),
        ("retry_after_lost_answer", "cut after", {"no refusal"}),
    ],
)
def test_the_checker_finds(
    folder: pathlib.Path, mutant: str, kind: str, broken: set[str]
) -> None:
    """A mutant that reports what is not so is caught, and drawn."""
    how = settings((kind,), operations=FOR_A_MUTANT, mutant=mutant)
    with mariadb.MariaDBServer(**mariadb.KILLED) as server:
        recorded = on_mariadb(server, how, folder)
    violations = check.check(recorded)
    assert broken & {each.rule for each in violations}
    with pytest.raises(AssertionError, match=r"violation-1\.svg"):
        report.require(recorded, folder)


def test_a_kept_history_is_judged_again(folder: pathlib.Path) -> None:
    """What is on disk is all that the checker needs."""
    target = targets.SQLite(folder.parent)
    made = run.run(target, settings((), operations=200), folder, tell)
    found = history.read(folder)
    assert (found.operations, found.finals) == (made.operations, made.finals)
    assert found.facts["seed"] == made.facts["seed"]
