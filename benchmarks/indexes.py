# SPDX-License-Identifier: Apache-2.0
"""Measure each candidate for an index and write the evidence down.

    python -m benchmarks.indexes

fills two cells with the same rows, gives one of them each candidate in turn,
and replaces ``doc/source/admin/index-evidence.rst``.
"""

import argparse
import contextlib
import pathlib
import sys
from typing import Final

from benchmarks import candidates
from benchmarks import cell as cell_
from benchmarks import evidence
from benchmarks import probe
from benchmarks import report
from benchmarks import workload
from nova_db_states.migrations import history
from tests.resources import schema

_ROWS: Final = 1_000_000
_FILE: Final = (
    pathlib.Path(__file__).resolve().parent.parent
    / "doc/source/admin/index-evidence.rst"
)


def measure(template: schema.MariaDBSchema, rows: int) -> evidence.Evidence:
    """Measure everything that the evidence consists of.

    :param template: the schema, on the server to use
    :param rows: instances of the cells
    :returns: the evidence
    """
    without = cell_.load(template, rows)
    with_it = cell_.copy(without, template)
    chosen = {known.index.columns for known in history.load()}
    before = candidates.effects(without, workload.OURS)
    nova: list[tuple[candidates.Effect, ...]] = []
    found = []
    for columns in candidates.CANDIDATES:
        _say(", ".join(columns))
        with candidates.index(with_it, columns) as build_s:
            found.append(
                evidence.Candidate(
                    columns,
                    columns in chosen,
                    candidates.effects(with_it, workload.OURS),
                    _plan_of_single(with_it),
                    candidates.cost(with_it, without, build_s),
                )
            )
            if columns in chosen:
                nova += candidates.by_turns(without, with_it, workload.NOVAS)
    return evidence.Evidence(rows, before, tuple(found), tuple(nova))


def _plan_of_single(cell: cell_.Cell) -> probe.Plan:
    (server,) = cell.quiet_servers(1)
    with contextlib.closing(cell_.connect(cell)) as connection:
        return probe.explain(connection, workload.SINGLE.format(uuid=server))


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.indexes",
        description=__doc__.splitlines()[0],
    )
    parser.add_argument("--rows", type=int, default=_ROWS)
    parser.add_argument("--output", type=pathlib.Path, default=_FILE)
    options = parser.parse_args()
    with cell_.server() as server:
        _say("filling two cells")
        template = schema.MariaDBSchema(schema.NEWEST, server)
        ((version,),) = server.execute("SELECT VERSION()")
        found = measure(template, options.rows)
    text = evidence.as_rst(found, report.machine(f"MariaDB {version}"))
    options.output.write_text(text)
    _say(f"wrote {options.output}")


if __name__ == "__main__":
    main()
