# SPDX-License-Identifier: Apache-2.0
"""Actions on the contexts, objects and green threads of Nova releases."""

from collections.abc import Callable
import json
import os
import pathlib
import subprocess

import pytest
import sqlalchemy as sa

from tests.resources import actors
from tests.resources import schema
from tools import nova_venvs

_SCRIPT = pathlib.Path(__file__).parent / "nova_actions.py"
_ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("release", schema.RELEASES)
def test_actions_on_sqlite(
    make_nova_sqlite: Callable[[str], str], release: str
) -> None:
    """Every supported release, on the schema of its own migrations."""
    check(make_nova_sqlite(release), release)


@pytest.mark.parametrize("scheme", ["mysql+pymysql", "mariadb+pymysql"])
def test_actions_on_mariadb(
    shared_mariadb_cell: schema.SharedCell, scheme: str
) -> None:
    """The newest release, where green threads wait for a real server."""
    check(shared_mariadb_cell.url(scheme), schema.NEWEST)


def check(url: str, release: str) -> None:
    """Objects, projects, decorators of Nova's and green threads."""
    engine = sa.create_engine(url)
    nova_venvs.ensure(release)
    uuids = [actors.insert(engine, project_id="mine") for _ in range(4)]
    done = subprocess.run(
        [str(nova_venvs.python(release)), _SCRIPT, url, *uuids],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={
            **os.environ,
            "PYTHONPATH": str(_ROOT),
            "PYTHONWARNINGS": "ignore",
        },
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    conflict = "UnexpectedTaskStateError"
    assert found == {
        "remembered": {
            "task_state": "powering-off",
            "dirty": ["display_name"],
            "saved": ["mine", "deleting"],
        },
        "stale": [
            "('error', None)",
            "powering-off",
            "('error', 'powering-off')",
        ],
        "projects": ["InstanceNotFound", "stopped"],
        "green": {
            "ran": 1,
            "raced": [conflict] * 7 + ["stopped"],
            "before": ["active", "powering-off"],
            "after": ["active", None],
        },
        "stuck": sorted(uuids[:3]),
    }
    assert actors.state_of(engine, uuids[3]) == ("active", None)
    engine.dispose()
