# SPDX-License-Identifier: Apache-2.0
"""The documentation: its examples run, and it leaves nothing out."""

import collections
from collections.abc import Iterator
import contextlib
import doctest
import importlib
import importlib.metadata
import importlib.util
import inspect
import io
import pathlib
import re
import textwrap
from typing import Any, Final

import pytest
from rich import table as rich_table
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states import states
from nova_db_states import tables
from nova_db_states.cmd import demo_tables
from nova_db_states.demo import plan
from nova_db_states.demo import report
from nova_db_states.demo import runner
from nova_db_states.demo import saves
from nova_db_states.demo import verdict
from tests.unit import public_api

_ROOT: Final = pathlib.Path(__file__).parents[2]
_SOURCE: Final = _ROOT / "doc" / "source"
_REFERENCE: Final = _SOURCE / "reference"
_README: Final = _ROOT / "README.rst"

_UUID: Final = "2fd0c1c8-5b5e-4c0b-9d3a-0f4f9a1d7e11"
_TUTORIAL: Final = _SOURCE / "user" / "tutorial.rst"

_PAGES: Final = sorted(
    path for path in _SOURCE.rglob("*.rst") if ">>> " in path.read_text()
)
_MODULES: Final = sorted(
    path
    for path in (_ROOT / "nova_db_states").rglob("*.py")
    if ">>> " in path.read_text()
)


def _name(path: pathlib.Path) -> str:
    return str(path.relative_to(_ROOT))


@pytest.fixture
def cell(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[sa.Engine]:
    """Make ``cell1.db`` in the current folder, with one active server."""
    monkeypatch.chdir(tmp_path)
    engine = sa.create_engine("sqlite:///cell1.db")
    tables.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(
            sa.insert(tables.instances).values(
                uuid=_UUID, vm_state="active", host="compute1", deleted=0
            )
        )
    yield engine
    engine.dispose()


def _run(example: doctest.DocTest) -> None:
    """Run the examples of one text; fail with doctest's own report."""
    report = io.StringIO()
    runner = doctest.DocTestRunner(
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    result = runner.run(example, out=report.write)
    assert result.attempted
    assert not result.failed, report.getvalue()


@pytest.mark.parametrize("page", _PAGES, ids=_name)
@pytest.mark.usefixtures("cell")
def test_examples_of_pages(page: pathlib.Path) -> None:
    """Every example on a page does what the page says."""
    context = api.connect("sqlite:///cell1.db")
    names: dict[str, Any] = {}
    if page != _TUTORIAL:
        names = {
            "api": api,
            "exceptions": exceptions,
            "retry": retry,
            "ANY": states.ANY,
            "Not": states.Not,
            "TaskState": states.TaskState,
            "VMState": states.VMState,
            "ctx": context,
            "uuid": _UUID,
        }
    _run(
        doctest.DocTestParser().get_doctest(
            page.read_text(), names, page.name, str(page), 0
        )
    )
    context.close()


@pytest.mark.parametrize("path", _MODULES, ids=_name)
def test_examples_of_docstrings(path: pathlib.Path) -> None:
    """Every example in a docstring does what the docstring says."""
    dotted = ".".join(path.relative_to(_ROOT).with_suffix("").parts)
    module = importlib.import_module(dotted)
    for example in doctest.DocTestFinder().find(module):
        if any(not _skipped(each) for each in example.examples):
            _run(example)


def _skipped(example: doctest.Example) -> bool:
    return bool(example.options.get(doctest.SKIP))


def test_readme_example(cell: sa.Engine) -> None:
    """The Python of the README updates a server, then meets a conflict."""
    source, declared = _code_blocks(_README, "python")
    # What it declares can be declared: the map has that action and that task.
    exec(compile(declared, _README.name, "exec"), {})  # noqa: S102

    def run() -> str:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(source, _README.name, "exec"), {})  # noqa: S102
        return printed.getvalue()

    with cell.begin() as connection:
        connection.execute(
            sa.update(tables.instances).values(uuid=_uuid_in(source))
        )
    assert run() == "powering off\n"
    assert run() == "refused: {'task_state': 'powering-off'}\n"
    with cell.begin() as connection:
        connection.execute(
            sa.update(tables.instances).values(task_state="deleting")
        )
    assert run() == "being deleted, nothing to do\n"


def _uuid_in(source: str) -> str:
    [found] = re.findall(
        r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", source
    )
    return str(found)


def _code_blocks(page: pathlib.Path, language: str) -> list[str]:
    blocks = re.findall(
        rf"^\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)",
        page.read_text(),
        re.MULTILINE,
    )
    return [textwrap.dedent(block) for block in blocks]


def _headings(table: rich_table.Table) -> str:
    return " ".join(str(column.header) for column in table.columns).strip()


def test_readme_shows_the_demo_as_it_is() -> None:
    """What does not differ from run to run is what the demo prints now."""
    shown = _code_blocks(_README, "text")[0]
    lines = {" ".join(line.split()) for line in shown.splitlines()}
    races = plan.draw(runner.Settings().seed, runner.Settings().races)
    preface = demo_tables.WORDING.preface.format(
        races=len(races), restarts=sum(race.restart for race in races)
    )
    assert " ".join(shown.split()).startswith(f"{preface} Race ")
    nothing = runner.Mode("", (), (), verdict.count((), 0.0))
    result = runner.Result(runner.Settings(), nothing, nothing)
    row = saves.Row(1, None, None, None, 0)
    told = verdict.Played(races[0], (), (), row)
    tables_shown = [
        demo_tables._summary(result, demo_tables.WORDING),
        demo_tables._pairs(result, demo_tables.WORDING),
        *(
            demo_tables._timeline(title, told, wide=True)
            for title in demo_tables.WORDING.titles.values()
        ),
    ]
    for table in tables_shown:
        assert {str(table.title), _headings(table)} <= lines
    assert demo_tables._OVERWRITTEN in lines
    for figure in report.figures(result):
        line = rf"{figure.title} [\d.]+ [\d.]+ {re.escape(figure.meaning)}"
        assert any(re.fullmatch(line.strip(), each) for each in lines), line
    for pair, count in collections.Counter(
        str(race.pair) for race in races
    ).items():
        line = rf"{pair} {count} \d+ 0"
        assert any(re.fullmatch(line, each) for each in lines), line


def _public_names() -> dict[str, list[str]]:
    """Read the public names of each module from the checked-in list."""
    names: dict[str, list[str]] = {}
    for line in public_api.CHECKED_IN.read_text().splitlines():
        if line.endswith(":") and not line.startswith(" "):
            module = line.removesuffix(":")
            names[module] = []
        elif found := re.match(r" {4}(?:class |def )?(\w+)", line):
            names[module].append(found[1])
    return names


def test_public_names_are_in_the_reference() -> None:
    """Every public name of every public module has an entry."""
    public = {
        f"{module}.{name}"
        for module, names in _public_names().items()
        for name in names
    }
    assert public - _documented() == set()


def _documented() -> set[str]:
    """Collect the dotted names that the reference has entries for."""
    found: set[str] = set()
    for page in _REFERENCE.glob("*.rst"):
        module = ""
        for line in page.read_text().splitlines():
            directive = re.match(r"\.\. (\w+):: ([\w.]+)", line)
            if directive is None:
                continue
            kind, name = directive.groups()
            if kind in {"module", "automodule"}:
                module = name
            elif kind in {"autofunction", "autoclass", "data"}:
                found.add(f"{module}.{name}")
    # One automodule names its members in one option.
    text = (_REFERENCE / "exceptions.rst").read_text()
    [members] = re.findall(r":members: ((?:.+\n)+?) +:show", text)
    found.update(
        f"nova_db_states.exceptions.{name.strip()}"
        for name in members.split(",")
    )
    return found


def test_exceptions_are_in_the_table() -> None:
    """Every exception that is raised has a reaction."""
    table = set(
        re.findall(
            r"^   \* - :exc:`~nova_db_states\.exceptions\.(\w+)`$",
            (_REFERENCE / "exceptions.rst").read_text(),
            re.MULTILINE,
        )
    )
    assert table == set(exceptions.__all__) - {"NovaDBStatesError"}


def test_classified_errors_are_in_the_table() -> None:
    """The table has every classified error, with the verdict of the code."""
    rows = re.findall(
        r"^   \* - (\d+|SQLITE_\w+)\n     - .+(?:\n       .+)*\n     - (\w+)$",
        (_REFERENCE / "errors.rst").read_text(),
        re.MULTILINE,
    )
    table = {
        int(code) if code.isdecimal() else code: retry.Verdict[verdict]
        for code, verdict in rows
    }
    assert table == dict.fromkeys(
        (*retry._RETRY, *retry._SQLITE_BUSY), retry.Verdict.RETRY
    ) | dict.fromkeys(retry._LOST, retry.Verdict.LOST)


def test_commands_are_in_the_reference() -> None:
    """Every command is in the reference: a pattern there matches it."""
    text = (_REFERENCE / "cli.rst").read_text()
    patterns = re.findall(r"^   :command: (.+)$", text, re.MULTILINE)
    commands = [
        entry.name.replace("_", " ")
        for entry in importlib.metadata.entry_points(
            group="nova_db_states.cli"
        )
        if _is_there(entry.module)
    ]
    assert commands
    undocumented = [
        command
        for command in commands
        if not any(pathlib.PurePath(command).match(each) for each in patterns)
    ]
    assert not undocumented


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def test_environment_variables_are_in_the_reference() -> None:
    """Every environment variable that is read is explained."""
    text = (_REFERENCE / "environment.rst").read_text()
    read = {
        name
        for folder in ("nova_db_states", "tests/resources", "benchmarks")
        for path in (_ROOT / folder).rglob("*.py")
        for name in re.findall(r'"(NOVA_DB_STATES_\w+)"', path.read_text())
    }
    assert read
    assert {name for name in read if f"``{name}``" not in text} == set()


def test_docstrings_name_every_parameter() -> None:
    """Every public function explains each of its parameters."""
    unexplained = [
        f"{module}.{name}({parameter})"
        for module, names in _public_names().items()
        for name in names
        if inspect.isfunction(
            function := getattr(importlib.import_module(module), name)
        )
        for parameter in inspect.signature(function).parameters
        if f":param {parameter}:" not in (inspect.getdoc(function) or "")
    ]
    assert unexplained == []
