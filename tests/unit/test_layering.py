# SPDX-License-Identifier: Apache-2.0
"""Imports go one way, and each rule about them is seen to bite."""

import pathlib

import pytest

from tests.unit import layering

_ROOT = pathlib.Path(__file__).parents[2]

_TYPE_ONLY = """
import typing
if typing.TYPE_CHECKING:
    from nova_db_states import api
"""
_LATE_BY_CALL = """
import importlib
def f():
    importlib.import_module("nova_db_states.states")
"""


def test_package_keeps_the_rules() -> None:
    """No file of the package breaks a rule."""
    found = layering.find(_ROOT)
    assert not found, "\n".join(map(str, found))


def _rules(tmp_path: pathlib.Path, files: dict[str, str]) -> list[str]:
    """Plant files in a package, and give the rules that they break."""
    for name, text in files.items():
        path = tmp_path / layering.PACKAGE / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return [violation.rule for violation in layering.find(tmp_path)]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("guards", "from nova_db_states import states"),
        ("guards", "from collections.abc import Mapping"),
        ("guards", "import sqlalchemy as sa"),
        ("guards", "from sqlalchemy.dialects import mysql"),
        ("_update/execute", "from nova_db_states._update import pools"),
        ("_update/execute", "from . import pools"),
        ("nova/plugin", "from nova.db.main import api"),
        ("nova/plugin", "def late():\n    from nova.db.main import api"),
        ("cmd/shell", "print(1)"),
        ("cmd/shell", "from rich import console"),
        ("actions", "logging.getLogger(__name__)"),
    ],
)
def test_what_is_allowed(tmp_path: pathlib.Path, name: str, line: str) -> None:
    """A downward import, a sibling and the exceptions are no violation."""
    planted = {"states": "", "_update/pools": "", "nova/other": ""}
    assert _rules(tmp_path, planted | {name: line}) == []


@pytest.mark.parametrize(
    ("name", "line", "rules"),
    [
        ("states", "from nova_db_states import api", ["upward"]),
        ("states", "from nova_db_states import tables", ["upward"]),
        ("guards", "from nova_db_states import retry", ["upward"]),
        ("retry", "from nova_db_states.cmd import shell", ["upward"]),
        ("_update/pools", "from .. import api", ["upward"]),
        ("api", "from nova_db_states import nova", ["upward"]),
        (
            "retry",
            _TYPE_ONLY,
            ["upward"],
        ),
        (
            "states",
            "def f():\n    from nova_db_states import api",
            ["late", "upward"],
        ),
        ("api", "def f():\n    from nova_db_states import states", ["late"]),
        (
            "api",
            _LATE_BY_CALL,
            ["late"],
        ),
        ("api", "import nova_db_states", ["root", "upward"]),
        ("api", "import nova_db_states.states", ["root"]),
        ("api", "from nova_db_states import ANY", ["name", "upward"]),
        ("api", "from nova_db_states.states import ANY", ["name"]),
        ("api", "from sqlalchemy import select", ["name"]),
        (
            "nova/plugin",
            "from nova.objects.instance import Instance",
            ["name"],
        ),
        ("api", "from nova import objects", ["nova"]),
        ("cmd/shell", "import nova.conf", ["nova"]),
        (
            "cmd/shell",
            "import importlib\nimportlib.import_module('nova.conf')",
            ["nova"],
        ),
        ("__init__", "from nova_db_states import states", ["upward"]),
        ("api", "print(1)", ["print"]),
        ("actions", "import sys\nsys.stderr.write('x')", ["print"]),
        ("demo/story", "from rich import live", ["print"]),
        ("novelty", "", ["layer"]),
    ],
)
def test_what_is_found(
    tmp_path: pathlib.Path, name: str, line: str, rules: list[str]
) -> None:
    """Each rule finds what was planted against it, and only that."""
    others = ("states", "tables", "retry", "api", "nova/__init__", "cmd/shell")
    planted = dict.fromkeys(others, "")
    assert _rules(tmp_path, planted | {name: line}) == rules


def test_cycle_is_found(tmp_path: pathlib.Path) -> None:
    """Two files of one folder may not import each other."""
    rules = _rules(
        tmp_path,
        {
            "_update/pools": "from nova_db_states._update import execute",
            "_update/execute": "from nova_db_states._update import pools",
        },
    )
    assert rules == ["cycle"]
