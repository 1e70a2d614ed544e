# SPDX-License-Identifier: Apache-2.0
"""Figures as tables for people and as JSON for machines."""

from collections.abc import Mapping, Sequence
import json
import os
import pathlib
import platform
import sys

import pymysql
from rich import box
from rich import console as rich_console
from rich import table as rich_table
import sqlalchemy as sa

from benchmarks import figure

__all__ = ["as_json", "machine", "print_tables"]


def machine(server_version: str) -> dict[str, str]:
    """Say what the numbers were measured on.

    :param server_version: of the database server
    :returns: label to value
    """
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
        "server": server_version,
        "python": platform.python_version(),
        "SQLAlchemy": sa.__version__,
        "PyMySQL": pymysql.__version__,
    }


def as_json(
    figures: Sequence[figure.Figure], surroundings: Mapping[str, str]
) -> str:
    """Write everything measured as one JSON document.

    :param figures: all of them
    :param surroundings: from :func:`machine`
    :returns: the document
    """
    return json.dumps(
        {
            "machine": dict(surroundings),
            "figures": [one.as_dict() for one in figures],
        },
        indent=2,
    )


def print_tables(
    figures: Sequence[figure.Figure], surroundings: Mapping[str, str]
) -> None:
    """Print the figures, what they were made from, and the machine.

    :param figures: all of them
    :param surroundings: from :func:`machine`
    """
    # A pipe has no width; what is cut off there is lost.
    width = None if sys.stdout.isatty() else 110
    console = rich_console.Console(width=width)
    console.print(_promises(figures))
    console.print(_times(figures))
    console.print(_numbers(figures))
    for label, value in surroundings.items():
        console.print(f"{label}: {value}", highlight=False)


def _promises(figures: Sequence[figure.Figure]) -> rich_table.Table:
    table = rich_table.Table(title="Figures", box=box.ASCII2)
    for heading in ("", "figure"):
        table.add_column(heading)
    table.add_column("measured", justify="right")
    table.add_column("must be", justify="right")
    for one in figures:
        word = "at least" if one.at_least else "at most"
        table.add_row(
            "ok" if one.holds else "NO",
            one.what,
            f"{_plain(one.value)} {one.unit}",
            f"{word} {_plain(one.bound)}",
            style=None if one.holds else "bold red",
        )
    return table


def _times(figures: Sequence[figure.Figure]) -> rich_table.Table:
    table = rich_table.Table(title="Times, in milliseconds", box=box.ASCII2)
    table.add_column("benchmark")
    table.add_column("who")
    for heading in ("p50", "p95", "max", "calls"):
        table.add_column(heading, justify="right")
    for one in figures:
        for name, times in one.samples.items():
            table.add_row(
                one.name,
                name,
                f"{times.p50_ms:.3f}",
                f"{times.p95_ms:.3f}",
                f"{times.max_ms:.1f}",
                f"{times.count:,}",
            )
    return table


def _numbers(figures: Sequence[figure.Figure]) -> rich_table.Table:
    table = rich_table.Table(title="Other numbers", box=box.ASCII2)
    table.add_column("figure")
    table.add_column("what")
    table.add_column("measured", justify="right")
    for one in figures:
        what = one.what
        for name, value in one.numbers.items():
            table.add_row(what, name, _plain(value))
            what = ""
    return table


def _plain(value: float) -> str:
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.2f}"


def _processor() -> str:
    info = pathlib.Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
