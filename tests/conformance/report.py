# SPDX-License-Identifier: Apache-2.0
"""What a person reads: lines for a terminal, a page for each cell."""

import collections
from collections.abc import Iterator
import pathlib
import re
from typing import Final

from tests.conformance import comparison
from tests.conformance import plan
from tests.conformance import results

_LOG_LINES: Final = 60
_MAX_LINES: Final = 40
_NAME: Final = "nova_db_states"
_UNIQUE: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{27}|0x[0-9a-f]+|req-[0-9a-f-]+"
)


def lines(outcome: plan.Outcome) -> Iterator[str]:
    """Give the lines for a terminal."""
    found = outcome.comparison
    yield (
        f"{outcome.cell.name}: {found.tests} tests, {found.same} same, "
        f"{found.allowed} allowed differences, {len(found.broken)} broken, "
        f"{len(found.unstable)} unstable"
    )
    for problem in found.problems:
        yield f"    PROVES NOTHING: {problem}"
    for difference in found.differences[:_MAX_LINES]:
        word = "allowed" if difference.allowance else "BROKEN"
        yield f"    {word}: {difference.id}: {difference.summary}"
    more = len(found.differences) - _MAX_LINES
    if more > 0:
        yield f"    ... and {more} more"
    for id_ in found.unstable:
        yield f"    unstable: {id_}"


def write(outcome: plan.Outcome, folder: pathlib.Path) -> pathlib.Path:
    """Write the page of a cell.

    :returns: its path
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{outcome.cell.name}.md"
    path.write_text("\n".join(page(outcome)) + "\n")
    return path


def page(outcome: plan.Outcome) -> Iterator[str]:
    """Give a page with all that is known of each difference."""
    found = outcome.comparison
    yield f"# {outcome.cell.name}"
    yield ""
    yield "```"
    yield from lines(outcome)
    yield from _counters(outcome.with_it)
    yield "```"
    yield ""
    for reason, count in _reasons(found).most_common():
        yield f"- {count} x {reason}"
    for difference in found.differences:
        yield from _section(difference)
    if outcome.with_it is None:
        return
    for id_ in found.unstable:
        yield from _section(
            comparison.Difference(
                id_,
                outcome.without.results.get(id_),
                outcome.with_it.results.get(id_),
            ),
            "unstable: ",
        )


def _reasons(found: comparison.Comparison) -> collections.Counter[str]:
    """Count what was raised with the plugin, whichever server it was."""
    return collections.Counter(
        _UNIQUE.sub("...", comparison.raised(each.with_it.traceback))
        for each in found.differences
        if each.with_it is not None and not each.with_it.is_good
    )


def _section(
    difference: comparison.Difference, before: str = ""
) -> Iterator[str]:
    yield ""
    yield f"## {before}{difference.id}"
    yield ""
    yield f"{difference.summary}"
    for word, result in (
        ("without", difference.without),
        ("with", difference.with_it),
    ):
        if result is None or result.is_good:
            continue
        yield ""
        yield f"### {word} the plugin"
        yield "```"
        yield result.traceback.strip()
        yield "```"
        yield "log, what the plugin says and the end:"
        yield "```"
        yield from _log(result.log)
        yield "```"


def _log(log: str) -> Iterator[str]:
    every = log.splitlines()
    yield from (line for line in every[:-_LOG_LINES] if _NAME in line)
    yield "..."
    yield from every[-_LOG_LINES:]


def _counters(run: results.Run | None) -> Iterator[str]:
    if run is None:
        return
    for each in run.reports:
        if each.tests:
            said = ", ".join(f"{k}={v}" for k, v in each.counters.items())
            yield f"    process {each.pid}: {each.tests} tests, {said}"
