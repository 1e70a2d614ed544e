# SPDX-License-Identifier: Apache-2.0
"""What every source file must be, whatever is in it."""

import ast
import pathlib

import pytest

_ROOT = pathlib.Path(__file__).parents[2]
_FOLDERS = ("nova_db_states", "tests", "tools", "benchmarks", "doc")
_HEADER = "# SPDX-License-Identifier: Apache-2.0"
_MAX_FILE_LINES = 400
_MAX_FUNCTION_LINES = 60

_SOURCES = sorted(
    path
    for folder in _FOLDERS
    for suffix in ("py", "sh")
    for path in (_ROOT / folder).rglob(f"*.{suffix}")
    if "build" not in path.relative_to(_ROOT).parts
)


@pytest.mark.parametrize(
    "path", _SOURCES, ids=lambda path: str(path.relative_to(_ROOT))
)
def test_source_file_has_its_header_and_is_short(path: pathlib.Path) -> None:
    """A file names its licence, and it and its functions stay readable."""
    text = path.read_text()
    lines = text.splitlines()
    assert _HEADER in lines[:2]
    assert len(lines) <= _MAX_FILE_LINES
    if path.suffix == ".py":
        assert _long_functions(text) == []


def test_long_function_is_found() -> None:
    """A function over the limit is named with its length."""
    body = "\n".join(["    pass"] * _MAX_FUNCTION_LINES)
    assert _long_functions(f"def long():\n{body}\n") == ["long: 61 lines"]


def _long_functions(text: str) -> list[str]:
    return [
        f"{node.name}: {length} lines"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := _length(node)) > _MAX_FUNCTION_LINES
    ]


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines, its docstring left out."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is None:
        return lines
    return lines - ((first.end_lineno or 0) - first.lineno + 1)
