# SPDX-License-Identifier: Apache-2.0
"""The API on the RequestContext of real Nova releases."""

from collections.abc import Callable
import os
import pathlib
import subprocess

import pytest
import sqlalchemy as sa

from tests.resources import rows
from tests.resources import schema
from tools import nova_venvs

_SCRIPT = pathlib.Path(__file__).parent / "nova_context.py"
_ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize("release", schema.RELEASES)
def test_request_context_on_sqlite(
    make_nova_sqlite: Callable[[str], str], release: str
) -> None:
    """Every supported release, on the schema of its own migrations."""
    check(make_nova_sqlite(release), release)


@pytest.mark.parametrize("scheme", ["mysql+pymysql", "mariadb+pymysql"])
def test_request_context_on_mariadb(
    shared_mariadb_cell: schema.SharedCell, scheme: str
) -> None:
    """The newest release under both schemes."""
    check(shared_mariadb_cell.url(scheme), schema.NEWEST)


def check(url: str, release: str) -> None:
    """Targets, projects, read_deleted, joining and resolving as in Nova."""
    cell_engine = sa.create_engine(url)
    nova_venvs.ensure(release)
    live = rows.insert_instance(cell_engine, project_id="mine")
    deleted = rows.insert_instance(cell_engine, deleted=9)
    done = subprocess.run(
        [
            str(nova_venvs.python(release)),
            _SCRIPT,
            url,
            live,
            deleted,
        ],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "PYTHONPATH": str(_ROOT),
            "PYTHONWARNINGS": "ignore",
        },
    )
    assert done.returncode == 0, done.stderr
    assert dict(line.split() for line in done.stdout.splitlines()) == {
        "untargeted": "InvalidContext",
        "admin": "applied",
        "deleted": "InstanceNotFound",
        "mine": "applied",
        "yours": "InstanceNotFound",
        "read_deleted": "applied",
        "joined": "3",
        "resolved": "applied",
    }
    assert rows.read_instance(cell_engine, live)["progress"] == 7
    assert rows.read_instance(cell_engine, deleted)["progress"] == 5
    cell_engine.dispose()
