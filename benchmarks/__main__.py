# SPDX-License-Identifier: Apache-2.0
"""Measure the promised figures and print them.

All of them come from one run on one private MariaDB server, but for
``cluster``, which has three nodes of its own. Exit code 0 if every figure
holds, 1 if one does not, 2 if nothing could be measured.
"""

import argparse
from collections.abc import Callable, Sequence
import dataclasses
import sys
import time
from typing import Final

from benchmarks import cell as cell_
from benchmarks import crews
from benchmarks import figure
from benchmarks import memory
from benchmarks import nodes
from benchmarks import nova_saves
from benchmarks import race
from benchmarks import report
from benchmarks import single
from benchmarks import streaming
from benchmarks import stuck
from benchmarks import sweeps
from benchmarks import upgrade
from tests.resources import schema

_CLUSTER: Final = "cluster"

NAMES: Final = (
    "upgrade",
    "hold",
    "durable",
    "refuse",
    "flat",
    "sweep",
    "stream",
    "threads",
    "processes",
    "race",
    "memory",
    "shapes",
    "stuck",
    *nova_saves.NAMES,
    _CLUSTER,
)

_ROWS: Final = 1_000_000
_UPDATES: Final = 1_000_000
_CLUSTER_UPDATES: Final = 100_000

_Measure = Callable[[], Sequence[figure.Figure]]


@dataclasses.dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything.

    :ivar rows: of the largest cell
    :ivar held_open_s: how long ``upgrade`` has a transaction open
    :ivar updates: how many ``memory`` makes
    :ivar cluster_updates: how many ``cluster`` makes
    """

    rows: int = _ROWS
    held_open_s: float = 60.0
    updates: int = _UPDATES
    cluster_updates: int = _CLUSTER_UPDATES


def run(
    template: schema.MariaDBSchema,
    names: Sequence[str],
    sizes: Sizes,
    say: Callable[[str], None],
) -> list[figure.Figure]:
    """Measure on cells of this size and, for ``flat``, of smaller ones.

    :param template: the schema, on the server to use
    :param names: which of :data:`NAMES`
    :param sizes: how much of everything
    :param say: is told what is under way
    :returns: the figures, in the order of :data:`NAMES`
    """
    figures: list[figure.Figure] = []
    if set(names) - {_CLUSTER}:
        figures += _on_one_server(template, names, sizes, say)
    if _CLUSTER in names:
        figures += nodes.against_stale_rows(
            template.statements, sizes.cluster_updates, say
        )
    return figures


def _on_one_server(
    template: schema.MariaDBSchema,
    names: Sequence[str],
    sizes: Sizes,
    say: Callable[[str], None],
) -> list[figure.Figure]:
    rows = sizes.rows
    several = [rows // 100, rows // 10, rows] if "flat" in names else [rows]
    cells = []
    for size in several:
        say(f"filling a cell with {size:,} instances")
        cells.append(cell_.load(template, size))
    largest = cells[-1]
    # First, so that everything else is measured with the indexes in place,
    # as on a cell that is ready for use.
    figures: list[figure.Figure] = []
    if "upgrade" in names:
        say("upgrade under load")
        figures += upgrade.under_load(largest, held_open_s=sizes.held_open_s)
    for cell in cells:
        upgrade.quietly(cell)
    for name, measure in _measures(cells, sizes, say).items():
        if name in names:
            say(name)
            figures += measure()
    through_nova = [name for name in nova_saves.NAMES if name in names]
    if through_nova:
        figures += nova_saves.measure(largest, through_nova, say)
    return figures


def _measures(
    cells: Sequence[cell_.Cell], sizes: Sizes, say: Callable[[str], None]
) -> dict[str, _Measure]:
    largest = cells[-1]
    return {
        "hold": lambda: single.against_raw_and_nova(largest),
        "durable": lambda: single.durable(largest),
        "refuse": lambda: single.refused(largest),
        "flat": lambda: single.flat(cells),
        "sweep": lambda: sweeps.locks(largest),
        "stream": lambda: streaming.stream(largest),
        "threads": lambda: crews.threads(largest),
        "processes": lambda: crews.processes(largest),
        "race": lambda: race.one_winner(largest),
        "memory": lambda: memory.flat(largest, say, updates=sizes.updates),
        "shapes": lambda: memory.shapes(largest, say),
        "stuck": lambda: stuck.beside_updates(largest, say),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=NAMES,
        help="measure only this; may be given several times",
    )
    parser.add_argument(
        "--rows",
        type=int,
        default=_ROWS,
        help="instances of the largest cell (default: %(default)s)",
    )
    parser.add_argument(
        "--held-open",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="how long a transaction stays open in the way of the upgrade"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--updates",
        type=int,
        default=_UPDATES,
        help="updates that memory makes (default: %(default)s)",
    )
    parser.add_argument(
        "--cluster-updates",
        type=int,
        default=_CLUSTER_UPDATES,
        help="updates that cluster makes (default: %(default)s)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON instead of tables"
    )
    return parser


def main() -> int:
    """Run from the command line."""
    parser = _parser()
    options = parser.parse_args()
    if options.updates < 1_000:
        parser.error("--updates: at least 1000, for a slope")
    if options.cluster_updates < 1_000:
        parser.error("--cluster-updates: at least 1000, of eight threads")
    if options.rows < 10_000:
        parser.error("--rows: at least 10000, for cells of a hundredth of it")
    began = time.monotonic()

    def say(what: str) -> None:
        elapsed_s = time.monotonic() - began
        print(f"[{elapsed_s:5.0f} s] {what}", file=sys.stderr, flush=True)

    with cell_.server() as server:
        say("letting Nova make its schema")
        template = schema.MariaDBSchema(schema.NEWEST, server)
        ((version,),) = server.execute("SELECT VERSION()")
        surroundings = report.machine(f"MariaDB {version}")
        figures = run(
            template,
            options.only or NAMES,
            Sizes(
                options.rows,
                options.held_open,
                options.updates,
                options.cluster_updates,
            ),
            say,
        )
    say("done")
    if options.json:
        print(report.as_json(figures, surroundings))
    else:
        report.print_tables(figures, surroundings)
    return 0 if all(one.holds for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
