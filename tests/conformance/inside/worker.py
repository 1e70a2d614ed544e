# SPDX-License-Identifier: Apache-2.0
"""Load Nova's tests and list or run them, one result a line.

Runs in a Nova virtualenv, started as a program by ``tests.conformance``::

    worker.py list SELECTION.json IDS.json
    worker.py run SELECTION.json RESULTS.jsonl
    worker.py part SELECTION.json RESULTS.jsonl

The selection has ``modules``, to be loaded as their own ``load_tests`` says,
and ``only``: the ids to be run, in this order, or parts of them to be listed.
``part`` does both: it runs the tests that would be listed from number ``from``
on in steps of ``of``, and leaves the list beside the results.
A line with the outcome ``started`` goes before each test, so that whoever
kills a process knows in which test it was.
"""

from collections.abc import Iterator
import faulthandler
import json
import pathlib
import sys
import time
from typing import Any, Final, TextIO
import unittest

import testtools  # type: ignore[import-not-found]

_LOG_TAIL: Final = 20_000
_TRACEBACK_TAIL: Final = 12_000


class Results(testtools.TestResult):  # type: ignore[misc]
    """Writes what became of each test at once, and keeps nothing."""

    def __init__(self, to: TextIO) -> None:
        super().__init__()
        self._to = to
        self._began = 0.0
        self._outcome: dict[str, Any] = {}

    def startTest(self, test: Any) -> None:  # noqa: N802
        """Say which test comes."""
        super().startTest(test)
        self._began = time.monotonic()
        self._outcome = {"outcome": "unknown"}
        self._write(test, {"outcome": "started"})

    def stopTest(self, test: Any) -> None:  # noqa: N802
        """Say what became of it."""
        super().stopTest(test)
        seconds = round(time.monotonic() - self._began, 3)
        self._write(test, {**self._outcome, "seconds": seconds})

    def addSuccess(self, test: Any, details: Any = None) -> None:  # noqa: N802
        """Take it as passed."""
        del test, details
        self._outcome = {"outcome": "pass"}

    def addSkip(  # noqa: N802
        self, test: Any, reason: Any = None, details: Any = None
    ) -> None:
        """Take it as skipped, and why."""
        del test
        if reason is None and details and "reason" in details:
            reason = details["reason"].as_text()
        self._outcome = {"outcome": "skip", "reason": str(reason)}

    def addError(  # noqa: N802
        self, test: Any, err: Any = None, details: Any = None
    ) -> None:
        """Take it as having raised, in set-up and clean-up too."""
        self._outcome = self._trouble("error", test, err, details)

    def addFailure(  # noqa: N802
        self, test: Any, err: Any = None, details: Any = None
    ) -> None:
        """Take it as not having held."""
        self._outcome = self._trouble("fail", test, err, details)

    def addExpectedFailure(  # noqa: N802
        self, test: Any, err: Any = None, details: Any = None
    ) -> None:
        """Take it as having failed, as Nova says it does."""
        del test, err, details
        self._outcome = {"outcome": "xfail"}

    def addUnexpectedSuccess(  # noqa: N802
        self, test: Any, details: Any = None
    ) -> None:
        """Take it as passed, which Nova says it does not."""
        del test, details
        self._outcome = {"outcome": "xpass"}

    def _trouble(
        self, outcome: str, test: Any, err: Any, details: Any
    ) -> dict[str, Any]:
        if details is None:
            traceback = self._err_details_to_string(test, err, details)
            return {
                "outcome": outcome,
                "traceback": traceback[-_TRACEBACK_TAIL:],
            }
        texts = {name: content.as_text() for name, content in details.items()}
        traces = [texts[name] for name in texts if "traceback" in name]
        logs = [texts[name] for name in texts if "pythonlogging" in name]
        return {
            "outcome": outcome,
            "traceback": "\n".join(traces)[-_TRACEBACK_TAIL:],
            "log": "\n".join(logs)[-_LOG_TAIL:],
        }

    def _write(self, test: Any, what: dict[str, Any]) -> None:
        self._to.write(json.dumps({"id": test.id(), **what}) + "\n")
        self._to.flush()


def load(modules: list[str]) -> dict[str, Any]:
    """Give the tests of some modules by id.

    :param modules: dotted names; each must be importable
    :returns: the tests in the order in which they were found
    :raises ImportError: a module cannot be imported
    """
    loader = unittest.TestLoader()
    suite = loader.loadTestsFromNames(modules)
    if loader.errors:
        raise ImportError("\n".join(map(str, loader.errors)))
    return {test.id(): test for test in _flat(suite)}


def chosen(ids: list[str], only: list[str]) -> list[str]:
    """Give those of some ids that are or lie below one of some names."""
    names = set(only)
    return [
        each
        for each in ids
        if any(name in names for name in _ancestors(each.split("(")[0]))
    ]


def _ancestors(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.rpartition(".")[0]


def _flat(suite: Any) -> Iterator[Any]:
    for each in suite:
        if isinstance(each, unittest.TestSuite):
            yield from _flat(each)
        else:
            yield each


def main() -> int:
    """Do as the command line says."""
    what, selection_path, to_path = sys.argv[1:]
    selection = json.loads(pathlib.Path(selection_path).read_text())
    tests = load(selection["modules"])
    ids = selection["only"]
    if what in {"list", "part"}:
        ids = chosen(sorted(tests), ids)
    if what == "list":
        pathlib.Path(to_path).write_text(json.dumps(ids))
        return 0
    if what == "part":
        pathlib.Path(f"{to_path}.ids").write_text(json.dumps(ids))
        ids = ids[selection["from"] :: selection["of"]]
    faulthandler.enable()
    with pathlib.Path(to_path).open("a") as to:
        suite = unittest.TestSuite(tests.pop(id_) for id_ in ids)
        tests.clear()
        suite.run(Results(to))
    return 0


if __name__ == "__main__":
    sys.exit(main())
