# SPDX-License-Identifier: Apache-2.0
"""The demo through Nova's own objects, the plugin off and on."""

import json
import subprocess
from typing import Any, Final

import pytest

from tests.resources import schema
from tools import nova_venvs

_TOOL: Final = nova_venvs.ROOT / "tools" / "nova_demo.py"
_DAMAGE: Final = ("overwritten", "resurrected", "lost", "double")


def _run(*options: str) -> tuple[int, str, str]:
    nova_venvs.ensure(schema.NEWEST)
    done = subprocess.run(
        [
            str(nova_venvs.python(schema.NEWEST)),
            "-W",
            "ignore",
            str(_TOOL),
            *options,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("database", [(), ("--mariadb",)], ids=str)
def test_damage_without_the_plugin_and_none_with_it(
    database: tuple[str, ...],
) -> None:
    """Nova alone overwrites deletes; with the plugin nothing goes wrong."""
    code, out, err = _run(
        *database, "--races", "16", "--workers", "2", "-f", "json"
    )
    assert code == 0, err
    shown: dict[str, Any] = json.loads(out)
    alone, guarded = shown["direct"], shown["guarded"]
    assert alone["races"] == guarded["races"] == 16
    assert alone["overwritten"] > 0
    assert alone["double"] > 0
    assert [guarded[name] for name in _DAMAGE] == [0, 0, 0, 0]
    assert guarded["conflicts"] > 0


def test_the_table_says_which_is_which() -> None:
    """The table names Nova with the plugin off and on, and sums up."""
    code, out, err = _run("--races", "8", "--workers", "2")
    assert code == 0, err
    for text in (
        "Nova, plugin off",
        "Nova, plugin on",
        "delete marks overwritten",
        "Nova with the plugin in none.",
    ):
        assert text in out
