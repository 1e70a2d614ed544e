# SPDX-License-Identifier: Apache-2.0
"""The table of differences that may be, each with its reason."""

from collections.abc import Iterable, Sequence
import dataclasses
import fnmatch
import pathlib
import re
import tomllib
from typing import Any, Final

TABLE: Final = pathlib.Path(__file__).with_name("allowed.toml")
_ROOT: Final = pathlib.Path(__file__).parents[2]


class TableError(Exception):
    """The table says something that cannot be; the message says what."""


@dataclasses.dataclass(frozen=True)
class Allowance:
    """One entry.

    :ivar tests: ids of Nova's tests, ``*`` stands for anything
    :ivar releases: of Nova
    :ivar reason: why Nova's test does not fit the plugin
    :ivar instead: our own test that stands in its place, as
        ``tests/functional/test_x.py::test_y``
    """

    tests: str
    releases: tuple[str, ...]
    reason: str
    instead: str

    def covers(self, id_: str, release: str) -> bool:
        """Tell whether it is about a test of a release."""
        return release in self.releases and fnmatch.fnmatchcase(
            id_, self.tests
        )


def find(
    allowances: Iterable[Allowance], id_: str, release: str
) -> Allowance | None:
    """Find the first entry about a test of a release."""
    return next((a for a in allowances if a.covers(id_, release)), None)


def load(path: pathlib.Path = TABLE) -> tuple[Allowance, ...]:
    """Read the table.

    :raises TableError: an entry lacks something, or the test that it names
        in place of Nova's is not there
    """
    entries = tomllib.loads(path.read_text()).get("allowed", [])
    return tuple(_entry(each) for each in entries)


def unused(
    allowances: Sequence[Allowance], release: str, used: Iterable[str]
) -> list[Allowance]:
    """List the entries of a release that no difference needed.

    :param used: the ids of all tests that were different
    """
    ids = list(used)
    return [
        each
        for each in allowances
        if release in each.releases
        and not any(each.covers(id_, release) for id_ in ids)
    ]


def _entry(given: dict[str, Any]) -> Allowance:
    names = [field.name for field in dataclasses.fields(Allowance)]
    if sorted(given) != sorted(names) or not all(given.values()):
        raise TableError(
            f"An entry needs {', '.join(names)}, and this is not it: {given}"
        )
    entry = Allowance(**{**given, "releases": tuple(given["releases"])})
    path, _, name = entry.instead.partition("::")
    ours = _ROOT / path
    if not ours.is_file() or not re.search(
        rf"^ *def {re.escape(name)}\(", ours.read_text(), re.MULTILINE
    ):
        raise TableError(f"There is no test {entry.instead}")
    return entry
