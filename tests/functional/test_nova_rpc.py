# SPDX-License-Identifier: Apache-2.0
"""Four pairings of nova-compute and nova-conductor, as during a rollout."""

from collections.abc import Callable
import json
import os
import pathlib
import subprocess
from typing import Any, Final

import pytest

from tests.resources import schema
from tools import nova_venvs

_ROOT: Final = pathlib.Path(__file__).parents[2]
_COMPUTE: Final = _ROOT / "tests" / "nova_side" / "rpc_compute.py"
_TIMEOUT_S: Final = 240

_OLDEST: Final = schema.RELEASES[0]

BOTH: Final = "compute,conductor"
COMPUTE: Final = "compute"
CONDUCTOR: Final = "conductor"
NEITHER: Final = "none"
PAIRINGS: Final = (BOTH, COMPUTE, CONDUCTOR, NEITHER)

_DELETING: Final = "UnexpectedDeletingTaskStateError"
_OTHER_TASK: Final = "UnexpectedTaskStateError"
_BUILT_ON: Final = "building/block_device_mapping"

ALIKE: Final[dict[str, list[Any]]] = {
    "delete_comes_late": [
        *("passed", "error/deleting"),
        *("passed", "deleted/None"),
        "passed",
    ],
    "from_nova_alone": ["passed", "stopped/powering-on"],
    "guarded_chain": ["passed"] * 5 + ["active/None"],
    "other_fields": [
        "passed",
        {"a": "1"},
        {"b": "2"},
        ["port"],
        ["port"],
        "active/rebuilding ",
    ],
    "refreshed": ["passed", "stopped/powering-on"],
}
"""What is the same in every pairing."""

STALE: Final[dict[str, list[Any]]] = {
    "stale_of_a_list": [_OTHER_TASK, "stopped/None"],
    "stale_of_a_newer_version": [_OTHER_TASK, "stopped/None"],
    "stale_of_an_older_version": ["2.6", _OTHER_TASK, "stopped/None"],
}
"""What is refused to whoever tells what he saw, in clean fields at least."""

BELIEVED: Final[dict[str, list[Any]]] = {
    "stale": [_OTHER_TASK, "active/None ", "stopped/None"],
    "stale_of_a_replica": ["passed", "stopped/rebuilding"],
    "in_a_handler": ["KeyError", "active/deleting"],
    "over_a_delete": [
        *(_DELETING, "building/networking "),
        *("passed", "building/deleting"),
    ],
    "writer": [_DELETING, "nova/compute/manager.py:ComputeManager.spawn_it"],
}
"""What needs the plugin on both sides."""

DISBELIEVED: Final[dict[str, list[Any]]] = {
    "stale": ["passed", "stopped/rebuilding ", "stopped/rebuilding"],
    "stale_of_a_list": ["passed", "stopped/rebuilding"],
    "stale_of_a_newer_version": ["passed", "stopped/rebuilding"],
    "stale_of_a_replica": ["passed", "stopped/rebuilding"],
    "stale_of_an_older_version": ["2.6", "passed", "stopped/rebuilding"],
}
"""What a conductor without the plugin does not see."""

JUDGED: Final[dict[str, list[Any]]] = {
    "by_hand": ["passed", "error/None", _DELETING, "active/deleting"],
    "nothing_to_write": ["passed", _DELETING],
    "suspend_of_an_error": [_OTHER_TASK, "error/None"],
    "what_it_says": [{"task_state": "deleting"}, True],
}
"""What a conductor with the plugin does for whoever saves."""

HALF_BELIEVED: Final[dict[str, list[Any]]] = {
    "in_a_handler": [_DELETING, "active/deleting"],
    "over_a_delete": [
        *(_DELETING, f"{_BUILT_ON} task_state"),
        *(_DELETING, "building/deleting"),
    ],
    "stale": [_OTHER_TASK, "active/rebuilding task_state", "stopped/None"],
    # Nova alone does not say that it has asked a replica.
    "stale_of_a_replica": [_OTHER_TASK, "stopped/None"],
    "writer": [
        _DELETING,
        "nova/conductor/manager.py:ConductorManager._object_dispatch",
    ],
}
"""What is refused to a nova-compute that tells of clean fields alone."""

UNJUDGED: Final[dict[str, list[Any]]] = {
    "by_hand": ["passed", "error/None", "passed", "error/None"],
    "in_a_handler": ["KeyError", "error/None"],
    "nothing_to_write": ["passed", "passed"],
    "over_a_delete": ["passed", f"{_BUILT_ON} ", "passed", _BUILT_ON],
    "suspend_of_an_error": ["passed", "error/suspending"],
    "what_it_says": [],
    "writer": ["passed"],
}
"""What a conductor without the plugin lets pass, as Nova does."""

ROLLED_BACK: Final[dict[str, list[Any]]] = {
    "expectation_fails": [_OTHER_TASK, "active/None ", "active/powering-off"],
    "said_beside_the_fields": ["nova_db_states"],
}
"""What a nova-compute with the plugin does by itself."""

LEFT_DIRTY: Final[dict[str, list[Any]]] = {
    "expectation_fails": [
        _OTHER_TASK,
        "active/rebooting task_state",
        "active/powering-off",
    ],
    "said_beside_the_fields": [],
}
"""What Nova alone leaves behind and sends."""

EXPECTED: Final = {
    BOTH: ALIKE | JUDGED | STALE | BELIEVED | ROLLED_BACK,
    COMPUTE: ALIKE | UNJUDGED | DISBELIEVED | ROLLED_BACK,
    CONDUCTOR: ALIKE | JUDGED | STALE | HALF_BELIEVED | LEFT_DIRTY,
    NEITHER: ALIKE | UNJUDGED | DISBELIEVED | LEFT_DIRTY,
}


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("release", [_OLDEST, schema.NEWEST])
def test_on_sqlite(
    make_nova_sqlite: Callable[[str], str], release: str, pairing: str
) -> None:
    """Each pairing does what its sides can know."""
    check(make_nova_sqlite(release), release, release, pairing)


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize("scheme", ["mysql+pymysql", "mariadb+pymysql"])
def test_on_mariadb(
    shared_mariadb_cell: schema.SharedCell, scheme: str, pairing: str
) -> None:
    """And on MariaDB under both schemes."""
    newest = schema.NEWEST
    check(shared_mariadb_cell.url(scheme), newest, newest, pairing)


@pytest.mark.parametrize("pairing", PAIRINGS)
@pytest.mark.parametrize(
    ("compute", "conductor"),
    [(_OLDEST, schema.NEWEST), (schema.RELEASES[1], schema.RELEASES[2])],
)
def test_across_releases(
    make_nova_sqlite: Callable[[str], str],
    compute: str,
    conductor: str,
    pairing: str,
) -> None:
    """And where Nova itself is being upgraded, the conductor first."""
    check(make_nova_sqlite(conductor), compute, conductor, pairing)


def check(url: str, compute: str, conductor: str, pairing: str) -> None:
    """Play all scenarios in two processes, and compare what came of them."""
    said = play(url, compute, conductor, pairing)
    for side in ("compute", "conductor"):
        seams = {said[side].get(name) for name in ("lower", "upper")}
        assert seams == ({1} if side in pairing.split(",") else {None}), side
    guarded = said["conductor"].get("guarded", 0)
    assert bool(guarded) is (CONDUCTOR in pairing)
    assert said["played"] == EXPECTED[pairing]


def play(url: str, compute: str, conductor: str, pairing: str) -> Any:
    """Run both sides, and give what they said."""
    python = nova_venvs.python
    for release in (compute, conductor):
        nova_venvs.ensure(release)
    done = subprocess.run(
        [str(python(compute)), _COMPUTE, url, str(python(conductor)), pairing],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
        env={
            **os.environ,
            "PYTHONPATH": str(_ROOT),
            "PYTHONWARNINGS": "ignore",
        },
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
