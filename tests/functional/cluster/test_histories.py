# SPDX-License-Identifier: Apache-2.0
"""Many processes on all nodes of a cluster, faults among them, checked."""

import pathlib
import random
import sys
from typing import Final

import pytest

from tests.resources import galera
from tests.torture import check
from tests.torture import history
from tests.torture import report
from tests.torture import run
from tests.torture import served

IN_FLIGHT: Final = 100
"""Operations that each kind of fault has to meet, in all."""

OPERATIONS: Final = 20_000
FOR_A_MUTANT: Final = 1_500


def tell(text: str) -> None:
    """Say what is under way, for the report of a test that fails."""
    sys.stdout.write(f"{text}\n")


def torture(
    cluster: galera.Cluster,
    folder: pathlib.Path,
    operations: int,
    kinds: tuple[str, ...] | None,
    mutant: str = "",
) -> history.History:
    """Torture the cluster, with a seed that is drawn and told."""
    seed = random.SystemRandom().randrange(1 << 32)
    tell(f"seed {seed}")
    how = run.Settings(
        operations, seed, kinds, times=3, threads=8, mutant=mutant
    )
    with served.Cluster(cluster) as target:
        return run.run(target, how, folder, tell)


@pytest.mark.timeout(900)
def test_a_cluster_with_faults(
    cluster: galera.Cluster, tmp_path: pathlib.Path
) -> None:
    """One row each, whatever befalls its nodes and the way to them."""
    recorded = torture(cluster, tmp_path, OPERATIONS, None)
    report.require(recorded, tmp_path, IN_FLIGHT)
    assert len(recorded.operations) >= OPERATIONS


@pytest.mark.parametrize(
    ("mutant", "kinds", "broken"),
    [
        ("success_before_commit", (), {"lost success", "two winners"}),
        ("no_causal_check", ("lag",), {"real time", "false conflict"}),
        (
            "no_guard_on_retry",
            ("cut after",),
            {"lost success", "two winners"},
        ),
    ],
)
def test_the_checker_finds(
    cluster: galera.Cluster,
    tmp_path: pathlib.Path,
    mutant: str,
    kinds: tuple[str, ...],
    broken: set[str],
) -> None:
    """A mutant that reports what is not so is caught, and drawn."""
    recorded = torture(cluster, tmp_path, FOR_A_MUTANT, kinds, mutant)
    assert broken & {each.rule for each in check.check(recorded)}
    with pytest.raises(AssertionError, match=r"violation-1\.svg"):
        report.require(recorded, tmp_path)
