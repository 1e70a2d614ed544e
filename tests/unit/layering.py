# SPDX-License-Identifier: Apache-2.0
"""The rules for imports, judged by parsing the tree and importing nothing."""

import ast
from collections.abc import Iterator
import dataclasses
import functools
import graphlib
import importlib.util
import pathlib
from typing import Final

PACKAGE: Final = "nova_db_states"

# From the bottom to the top. A file imports only what stands in a line above
# its own, or in its own folder. A new file or folder must be put somewhere.
LAYERS: Final = (
    ("exceptions", "states", "tables", "conf"),
    ("columns", "database"),
    ("guards", "retry", "machine"),
    ("_update", "drift", "migrations"),
    ("api",),
    ("_actions",),
    ("actions",),
    ("demo",),
    ("nova", "cmd"),
)
_HEIGHT: Final = {
    unit: height for height, units in enumerate(LAYERS) for unit in units
}

# Names for annotations, which are no modules.
_NAMES_ALLOWED_FROM: Final = frozenset(
    {"__future__", "collections.abc", "types", "typing", "typing_extensions"}
)
_PRINTERS: Final = frozenset(
    {"print", "pprint.pprint", "sys.stderr", "sys.stdout"}
)
_PRINTING_MODULES: Final = ("rich.console", "rich.live", "rich.progress")
_IMPORTERS: Final = frozenset({"importlib.import_module", "__import__"})


@dataclasses.dataclass(frozen=True)
class Violation:
    """One line that breaks a rule."""

    path: str
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.text}"


@dataclasses.dataclass(frozen=True)
class Import:
    """One thing that one line imports."""

    line: int
    module: str
    name: str | None
    late: bool

    @property
    def target(self) -> str:
        """The dotted path of what is imported."""
        return f"{self.module}.{self.name}" if self.name else self.module

    def is_of(self, package: str) -> bool:
        """Tell whether it comes from a package or is the package."""
        return f"{self.target}.".startswith(f"{package}.")


def find(root: pathlib.Path) -> list[Violation]:
    """Find every violation in the package below a folder.

    :param root: the folder that holds the folder ``nova_db_states``
    """
    found: list[Violation] = []
    graph: dict[str, set[str]] = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        source = _File(root, path)
        found += source.violations()
        graph[source.module] = source.own_modules()
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        cycle = " -> ".join(error.args[1])
        found.append(Violation(PACKAGE, 0, "cycle", cycle))
    return found


class _File:
    """One source file and what it imports and prints."""

    def __init__(self, root: pathlib.Path, path: pathlib.Path) -> None:
        self._root = root
        self._path = str(path.relative_to(root))
        parts = path.relative_to(root).with_suffix("").parts
        self._folder = ".".join(parts[:-1])
        self.module = ".".join(p for p in parts if p != "__init__")
        self._unit = parts[1]
        self._tree = ast.parse(path.read_text(), str(path))
        self._imports = list(_imports(self._tree, self._folder))

    def own_modules(self) -> set[str]:
        """List the modules of the package that this file imports."""
        return {
            each.target
            for each in self._imports
            if each.is_of(PACKAGE) and self._is_own_module(each.target)
        } - {self.module}

    def violations(self) -> Iterator[Violation]:
        """Judge every import and every print."""
        if self._unit not in {*_HEIGHT, "__init__"}:
            yield Violation(
                self._path, 1, "layer", "is in no layer: put it into LAYERS"
            )
        for each in self._imports:
            for rule in self._rules_broken(each):
                yield Violation(self._path, each.line, rule, each.target)
        if self._unit != "cmd":
            for line, text in _prints(self._tree, self._imports):
                yield Violation(self._path, line, "print", text)

    def _rules_broken(self, each: Import) -> Iterator[str]:
        if each.is_of("nova") and self._unit != "nova":
            yield "nova"
        if not each.is_of(PACKAGE):
            if each.name and not _is_module(each.module, each.name):
                yield "name"
            return
        if each.late:
            yield "late"
        if each.name is None:
            # It binds the root package, and so all of it.
            yield "root"
        elif not self._is_own_module(each.target):
            yield "name"
        if not self._may_import(each.target):
            yield "upward"

    def _may_import(self, target: str) -> bool:
        unit = f"{target}.".split(".")[1]
        if unit == self._unit and unit != "__init__":
            return True
        height = _HEIGHT.get(self._unit, -1)
        return _HEIGHT.get(unit, len(LAYERS)) < height

    def _is_own_module(self, target: str) -> bool:
        path = self._root.joinpath(*target.split("."))
        return path.is_dir() or path.with_suffix(".py").is_file()


def _imports(tree: ast.Module, folder: str) -> Iterator[Import]:
    late = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef | ast.AsyncFunctionDef)
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        is_late = id(node) in late
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, None, is_late)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, folder)
            for alias in node.names:
                yield Import(node.lineno, module, alias.name, is_late)
        elif isinstance(node, ast.Call):
            module = _imported_by_call(node)
            if module:
                base, _, name = module.rpartition(".")
                yield Import(node.lineno, base or name, name, is_late)


def _absolute(node: ast.ImportFrom, folder: str) -> str:
    if not node.level:
        return node.module or ""
    base = folder.split(".")[: len(folder.split(".")) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _imported_by_call(node: ast.Call) -> str:
    if ast.unparse(node.func) not in _IMPORTERS or not node.args:
        return ""
    argument = node.args[0]
    if not isinstance(argument, ast.Constant):
        return ""
    return str(argument.value)


def _prints(
    tree: ast.Module, imports: list[Import]
) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            text = ast.unparse(node)
            if text in _PRINTERS:
                yield node.lineno, text
    for each in imports:
        if any(each.is_of(module) for module in _PRINTING_MODULES):
            yield each.line, each.target


@functools.cache
def _is_module(package: str, name: str) -> bool:
    """Tell whether ``from package import name`` imports a module.

    Nova is not installed where this runs; there the spelling must do.
    """
    if package in _NAMES_ALLOWED_FROM:
        return True
    if package.split(".", maxsplit=1)[0] == "nova":
        return name.islower()
    try:
        return importlib.util.find_spec(f"{package}.{name}") is not None
    except ModuleNotFoundError:
        return False
