# SPDX-License-Identifier: Apache-2.0
"""What became of tests, and what the workers say that ran them."""

from collections.abc import Iterable, Mapping
import dataclasses
import json
import pathlib
from typing import Any, Final, Self

PASSED: Final = frozenset({"pass", "skip", "xfail"})
LOST: Final = frozenset({"killed", "died"})
"""Outcomes of tests that took their process with them."""


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of one test.

    :ivar outcome: ``pass``, ``skip``, ``xfail``, ``xpass``, ``fail``,
        ``error``, ``killed`` (ran for too long) or ``died`` (its process did)
    """

    id: str
    outcome: str
    seconds: float = 0.0
    traceback: str = ""
    log: str = ""
    reason: str = ""

    @classmethod
    def of(cls, line: Mapping[str, Any]) -> Self:
        """Read one from a line of a worker or of a saved run."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{k: v for k, v in line.items() if k in names})

    @property
    def is_good(self) -> bool:
        """Whether Nova would be content."""
        return self.outcome in PASSED


@dataclasses.dataclass(frozen=True)
class Report:
    """What one process says of the plugin in it.

    :ivar tests: how many tests it ran
    :ivar counters: the plugin's own; empty if it was not asked for
    :ivar database: what ``SELECT VERSION()`` said, empty for SQLite
    """

    pid: int
    tests: int
    counters: Mapping[str, int]
    mode: str = ""
    database: str = ""


@dataclasses.dataclass(frozen=True)
class Run:
    """A suite that was run to its end."""

    results: Mapping[str, Result]
    reports: tuple[Report, ...] = ()
    seconds: float = 0.0

    @property
    def databases(self) -> frozenset[str]:
        """The versions of all databases that tests ran on."""
        return frozenset(each.database for each in self.reports if each.tests)

    def save(self, path: pathlib.Path, **more: Any) -> None:
        """Write it to a file, or not at all.

        :param more: what else a reader of the file wants to know
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            **more,
            "seconds": round(self.seconds),
            "reports": [dataclasses.asdict(each) for each in self.reports],
            "results": [
                {k: v for k, v in dataclasses.asdict(each).items() if v}
                for _, each in sorted(self.results.items())
            ],
        }
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(content, indent=1) + "\n")
        beside.rename(path)


def load(path: pathlib.Path) -> tuple[Run, Mapping[str, Any]]:
    """Read a saved run.

    :returns: the run, and all that the file has
    :raises OSError: the file cannot be read
    :raises ValueError: it is none
    """
    content = json.loads(path.read_text())
    return (
        Run(
            results={
                line["id"]: Result.of(line) for line in content["results"]
            },
            reports=tuple(Report(**line) for line in content["reports"]),
            seconds=content["seconds"],
        ),
        content,
    )


def read_lines(path: pathlib.Path) -> tuple[dict[str, Result], str]:
    """Read what a worker wrote.

    :returns: the results of tests that ended, and the id of the one that was
        running when the worker ended, if any
    """
    done: dict[str, Result] = {}
    running = ""
    for line in _lines(path):
        result = Result.of(line)
        if result.outcome == "started":
            running = result.id
        else:
            # Scenarios of one test may share its id: the worst one counts.
            known = done.get(result.id)
            if known is None or known.is_good:
                done[result.id] = result
            running = ""
    return done, running


def read_reports(folder: pathlib.Path) -> tuple[Report, ...]:
    """Read what all processes of a run wrote of themselves."""
    return tuple(
        Report(**json.loads(path.read_text()))
        for path in sorted(folder.glob("*.json"))
    )


def _lines(path: pathlib.Path) -> Iterable[dict[str, Any]]:
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            # Cut off in the middle by the end of its writer.
            return
