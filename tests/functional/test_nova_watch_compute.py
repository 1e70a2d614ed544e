# SPDX-License-Identifier: Apache-2.0
"""The long steps of real nova-compute, with the plugin and without it."""

from collections.abc import Callable
import json
import os
import pathlib
import subprocess
from typing import Final

import pytest

from tests.nova_side import runner
from tools import nova_venvs

_ROOT: Final = pathlib.Path(__file__).parents[2]
_PROCESS: Final = _ROOT / "tests" / "nova_side" / "rpc_watch.py"

_DELETED = (
    "Boot.test_deleted",
    "Rebuild.test_deleted",
    "Resize.test_deleted",
    "Snapshot.test_deleted",
    "Shelve.test_deleted",
    "Shelve.test_deleted_in_unshelve",
)


@pytest.mark.timeout(900)
def test_a_delete_stops_the_data_and_progress_is_seen(
    played_release: str,
) -> None:
    """Stops every transfer of a deleted server, and shows all of them."""
    found = runner.run(played_release, "watch_cases", plugin=True)
    failed = {name: said for name, said in found.items() if said != runner.OK}
    assert not failed
    assert set(_DELETED) < set(found)


@pytest.mark.timeout(900)
def test_nova_alone_goes_on_to_the_end() -> None:
    """Transfers all the data of a server that was deleted long ago."""
    found = runner.run("34.0.0", "watch_cases", plugin=False, only=_DELETED)
    assert set(found) == set(_DELETED)
    passed = [name for name, said in found.items() if said == runner.OK]
    assert not passed


@pytest.mark.parametrize("sides", ["compute,conductor", "compute"])
def test_looks_go_through_a_conductor_with_the_plugin_and_without(
    make_nova_sqlite: Callable[[str], str], played_release: str, sides: str
) -> None:
    """Checks and tells progress by calls of any nova-conductor."""
    nova_venvs.ensure(played_release)
    python = str(nova_venvs.python(played_release))
    url = make_nova_sqlite(played_release)
    done = subprocess.run(
        [python, str(_PROCESS), url, python, sides],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={
            **os.environ,
            "PYTHONPATH": str(_ROOT),
            "PYTHONWARNINGS": "ignore",
        },
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["compute"]["watched"] > 20
    assert said["played"] == {
        "away": [None, None, None, None, True],
        "deleted": [
            *(0, 25),
            "UnexpectedDeletingTaskStateError",
            [0, "deleting"],
        ],
        "gone": ["InstanceNotFound"],
        "reset": ["UnexpectedDeletingTaskStateError", "error/None"],
        "undisturbed": [
            *(0, 25, 50, 75),
            [None, "spawning", None],
            "building/spawning display_name",
        ],
    }
