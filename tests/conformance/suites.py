# SPDX-License-Identifier: Apache-2.0
"""Which of Nova's own tests are run, in suites."""

from collections.abc import Iterable
import dataclasses
import fnmatch
import pathlib
from typing import Final

_FOLDER: Final = pathlib.Path(__file__).parent
_UNIT: Final = "nova.tests.unit"


@dataclasses.dataclass(frozen=True)
class Suite:
    """Some of Nova's tests.

    :ivar entries: names of modules, where ``*`` stands for anything, of
        classes or of tests; what a release does not have is left out
    :ivar writes: whether the tests write states through Nova's database API,
        so that the plugin must have something to guard
    :ivar part_of: the suite that has its tests too
    :ivar databases: which ones it is run on, of those that may be asked for
    :ivar test_timeout_s: after which a single test is given up
    :ivar timeout_s: after which the whole suite is
    """

    name: str
    entries: tuple[str, ...]
    writes: bool = True
    part_of: str = ""
    databases: tuple[str, ...] = ("sqlite",)
    test_timeout_s: int = 160
    timeout_s: int = 3600

    def modules(self, tree: pathlib.Path) -> list[str]:
        """List the modules that its tests are in.

        :param tree: the folder that has Nova's folder ``nova``
        :returns: dotted names, sorted, of those that this Nova has
        """
        found: set[str] = set()
        for entry in self.entries:
            found.update(_modules(entry, tree))
        return sorted(found)

    def names(self, tree: pathlib.Path) -> list[str]:
        """Give the entries with modules in place of patterns."""
        plain = [entry for entry in self.entries if "*" not in entry]
        for entry in self.entries:
            if "*" in entry:
                plain += _modules(entry, tree)
        return sorted(set(plain))


def _modules(entry: str, tree: pathlib.Path) -> Iterable[str]:
    if "*" in entry:
        folder, _, pattern = entry.rpartition(".")
        paths = tree.joinpath(*folder.split(".")).glob("*.py")
        return [
            f"{folder}.{path.stem}"
            for path in paths
            if fnmatch.fnmatchcase(path.stem, pattern)
        ]
    module = entry
    while module:
        if tree.joinpath(*module.split(".")).with_suffix(".py").is_file():
            return [module]
        module = module.rpartition(".")[0]
    return []


def _listed(name: str) -> tuple[str, ...]:
    lines = (_FOLDER / name).read_text().splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


SUITES: Final = {
    suite.name: suite
    for suite in (
        Suite(
            "db-api",
            (f"{_UNIT}.db.main.test_api",),
            databases=("sqlite", "mariadb"),
        ),
        Suite(
            "objects",
            (
                f"{_UNIT}.objects.test_instance*",
                # The fingerprints of all objects' methods and fields.
                f"{_UNIT}.objects.test_objects",
            ),
        ),
        Suite("compute", (f"{_UNIT}.compute.test_compute",)),
        Suite("compute-mgr", (f"{_UNIT}.compute.test_compute_mgr",)),
        # Every save in it is a mock.
        Suite("compute-api", (f"{_UNIT}.compute.test_api",), writes=False),
        Suite("conductor", (f"{_UNIT}.conductor.test_conductor",)),
        Suite(
            "functional",
            _listed("functional_tests.txt"),
            timeout_s=3 * 3600,
        ),
        Suite(
            "functional-short",
            _listed("functional_short.txt"),
            part_of="functional",
            timeout_s=1800,
        ),
    )
}

WHOLE: Final = tuple(
    name for name, suite in SUITES.items() if not suite.part_of
)
"""All there is."""
