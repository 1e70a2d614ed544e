# SPDX-License-Identifier: Apache-2.0
"""The compatibility matrix: one row for each suite on each release.

The documentation has it as a table of its own, which is renewed on request.
"""

from collections.abc import Iterable
import csv
import io
import pathlib
from typing import Final

from tests.conformance import plan
from tests.conformance import proof

FOLDER: Final = pathlib.Path(__file__).parents[2] / "doc/source/reference"

COLUMNS: Final = (
    "Nova",
    "Suite",
    "Database",
    "Mode",
    "Tests",
    "Same",
    "Allowed difference",
    "Broken",
    "Writes judged",
)
_KEY: Final = 4


def row(outcome: plan.Outcome) -> list[str]:
    """Give the row of an outcome."""
    cell = outcome.cell
    found = outcome.comparison
    return [
        cell.release,
        cell.suite.name,
        f"MariaDB {cell.version.split('-')[0]}" if cell.version else "SQLite",
        cell.way.mode,
        str(found.tests),
        str(found.same),
        str(found.allowed),
        str(len(found.broken)),
        str(proof.judged(outcome.with_it) if outcome.with_it else 0),
    ]


def text(rows: Iterable[list[str]]) -> str:
    """Give the matrix as CSV."""
    to = io.StringIO()
    writer = csv.writer(to, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return to.getvalue()


def merged(old: str, rows: Iterable[list[str]]) -> list[list[str]]:
    """Put new rows in place of the old ones about the same.

    :param old: the matrix as CSV, or nothing
    :returns: all rows, sorted
    """
    known = list(csv.reader(io.StringIO(old)))[1:]
    by_key = {tuple(each[:_KEY]): each for each in [*known, *rows]}
    return [by_key[key] for key in sorted(by_key)]


def write(
    outcomes: Iterable[plan.Outcome], folder: pathlib.Path = FOLDER
) -> None:
    """Renew the table, keeping rows of what was not run."""
    table = folder / "compatibility-matrix.csv"
    old = table.read_text() if table.exists() else ""
    table.write_text(text(merged(old, [row(each) for each in outcomes])))
