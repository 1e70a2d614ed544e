# SPDX-License-Identifier: Apache-2.0
"""Whether a run had the plugin in it at all.

Tests that pass prove nothing if the plugin was not there.
"""

from collections.abc import Iterator

from tests.conformance import results
from tests.conformance import running
from tests.conformance import suites

_SEAMS = ("lower", "upper")
_JUDGED = "guarded"


def problems(
    run: results.Run, suite: suites.Suite, way: running.Way, version: str = ""
) -> tuple[str, ...]:
    """List why a run with the plugin proves nothing.

    :param way: how it was to be run
    :param version: of the database that it was to be on, empty for SQLite
    """
    return tuple(_problems(run, suite, way, version))


def _problems(
    run: results.Run, suite: suites.Suite, way: running.Way, version: str
) -> Iterator[str]:
    workers = [each for each in run.reports if each.tests]
    # A process counts a test with scenarios once.
    ended = len(
        {
            each.id.split("(", maxsplit=1)[0]
            for each in run.results.values()
            if each.outcome not in results.LOST
        }
    )
    reported = sum(each.tests for each in workers)
    if reported < ended:
        yield (
            f"{ended - reported} of {ended} tests ran in a process that did "
            "not report on the plugin"
        )
    for worker in workers:
        off = [name for name in _SEAMS if not worker.counters.get(name)]
        if off:
            yield (
                f"process {worker.pid} ran {worker.tests} tests without the "
                f"{' and the '.join(off)} seam"
            )
        if worker.mode != way.mode:
            yield (
                f"process {worker.pid} ran in the mode {worker.mode!r} "
                f"instead of {way.mode!r}"
            )
        if worker.database != version:
            yield (
                f"process {worker.pid} ran on {worker.database or 'SQLite'} "
                f"instead of {version or 'SQLite'}"
            )
    if suite.writes and not judged(run):
        yield "the plugin had no write of a state to guard"


def judged(run: results.Run) -> int:
    """Count the writes that the plugin judged, in all processes together."""
    return sum(each.counters.get(_JUDGED, 0) for each in run.reports)
