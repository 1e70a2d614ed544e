# SPDX-License-Identifier: Apache-2.0
"""Every row of the table of faults has a test that exists."""

import ast
import csv
import pathlib

import pytest

_ROOT = pathlib.Path(__file__).parents[2]
_FUNCTIONAL = _ROOT / "tests" / "functional"
_ROWS = list(
    csv.DictReader(
        (_ROOT / "doc/source/reference/faults.csv").read_text().splitlines()
    )
)
_ANSWERS = {
    "retry",
    "conflict",
    "not found",
    "verified",
    "begin anew",
    "unknown",
    "unavailable",
}


def functions_of(path: str) -> set[str]:
    """List the test functions of a file below ``tests/functional``."""
    tree = ast.parse((_FUNCTIONAL / path).read_text())
    return {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.parametrize("row", _ROWS, ids=lambda row: str(row["Fault"]))
def test_a_row_names_its_tests(row: dict[str, str]) -> None:
    """Nobody finds a fault there that no test has seen."""
    named = row["Test"].split()
    assert named
    for each in named:
        path, _, name = each.partition("::")
        assert name in functions_of(path)
    assert row["Answer"] in _ANSWERS


def test_every_fault_that_is_tested_is_told() -> None:
    """Nor is there a test of a fault that is not in the table."""
    named = {each for row in _ROWS for each in row["Test"].split()}
    for path in ("test_faults.py", "cluster/test_faults.py"):
        for name in functions_of(path):
            if name.startswith("test_"):
                assert f"{path}::{name}" in named
