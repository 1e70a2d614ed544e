# SPDX-License-Identifier: Apache-2.0
"""The command line of ``python -m tests.conformance``."""

import argparse
from collections.abc import Iterator, Sequence
import contextlib
import dataclasses
import itertools
import os
import pathlib
import signal
import sys
from typing import Final

from tests.conformance import allowed
from tests.conformance import matrix
from tests.conformance import plan
from tests.conformance import report
from tests.conformance import running
from tests.conformance import suites
from tests.resources import mariadb
from tests.resources import servers
from tools import nova_venvs

_DATABASES: Final = ("sqlite", "mariadb")
_MODES: Final = ("enforce", "observe")

_DONE: Final = 0
_BROKEN: Final = 1
_CANNOT_RUN: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the matrix, or the part of it that is asked for.

    :returns: 0 if every test has the result that it has without the plugin
        or one that is allowed, 1 if not, 2 if tests could not be run
    """
    asked = _asked(arguments)
    # Whoever ends this ends its processes too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_CANNOT_RUN))
    try:
        allowances = allowed.load()
        with contextlib.ExitStack() as stack:
            outcomes = list(_outcomes(asked, allowances, stack))
    except (
        allowed.TableError,
        nova_venvs.VenvError,
        running.RunError,
        servers.ServerUnavailable,
    ) as error:
        _tell(f"Cannot run: {error}")
        return _CANNOT_RUN
    if asked.baseline_only:
        return _DONE
    if asked.write:
        matrix.write(outcomes)
    sys.stdout.write(matrix.text(matrix.row(each) for each in outcomes))
    good = all(each.comparison.is_good for each in outcomes)
    return _DONE if good else _BROKEN


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance",
        description="Run Nova's own tests without and with the plugin, and "
        "compare. Options that choose may be given more than once.",
    )
    choices = {
        "release": (nova_venvs.RELEASES, nova_venvs.RELEASES),
        "suite": (tuple(suites.SUITES), suites.WHOLE),
        "database": (_DATABASES, _DATABASES),
        "mode": (_MODES, _MODES[:1]),
    }
    for name, (possible, default) in choices.items():
        parser.add_argument(
            f"--{name}",
            action="append",
            choices=possible,
            help=f"default: {' '.join(default)}",
        )
    _add_options(parser)
    asked = parser.parse_args(arguments)
    for name, (_, default) in choices.items():
        if getattr(asked, name) is None:
            setattr(asked, name, default)
    return asked


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--concurrency",
        type=int,
        default=len(os.sched_getaffinity(0)),
        metavar="N",
        help="processes that run tests (default: one for each core)",
    )
    parser.add_argument(
        "--only",
        default="",
        metavar="TEXT",
        help="leave out tests without this in their id",
    )
    parser.add_argument(
        "--report",
        type=pathlib.Path,
        metavar="FOLDER",
        help="write all that is known of each difference there",
    )
    parser.add_argument(
        "--keep",
        type=pathlib.Path,
        metavar="FOLDER",
        help="leave what the processes wrote there",
    )
    parser.add_argument(
        "--checkout",
        type=pathlib.Path,
        default=nova_venvs.ROOT,
        metavar="FOLDER",
        help="take the plugin from another checkout of this project",
    )
    parser.add_argument(
        "--baseline-only",
        action="store_true",
        help="run without the plugin only, to have the results later",
    )
    parser.add_argument(
        "--assume-good",
        action="store_true",
        help="take it that Nova alone passes every test, and run without the "
        "plugin only what does not pass with it",
    )
    parser.add_argument(
        "--write",
        action="store_true",
        help="renew the matrix in the documentation",
    )


def _outcomes(
    asked: argparse.Namespace,
    allowances: Sequence[allowed.Allowance],
    stack: contextlib.ExitStack,
) -> Iterator[plan.Outcome]:
    """Carry out each cell and tell what came of it at once."""
    # Asked for in any order; run in that of the tables.
    modes = asked.mode[:1] if asked.baseline_only else asked.mode
    ways = {
        name: _way(name, asked.concurrency, stack)
        for name in _DATABASES
        if name in asked.database
        and any(name in suites.SUITES[s].databases for s in asked.suite)
    }
    for release in asked.release:
        nova_venvs.ensure(release)
        for name, database, mode in itertools.product(
            asked.suite, ways, modes
        ):
            suite = suites.SUITES[name]
            if database not in suite.databases:
                continue
            way, version = ways[database]
            way = dataclasses.replace(
                way, mode=mode, checkout=asked.checkout.resolve()
            )
            cell = plan.Cell(release, suite, way, version)
            keep = asked.keep / cell.name if asked.keep else None
            with running.tree(release, keep) as tree:
                outcome = plan.carry_out(
                    cell,
                    tree,
                    allowances,
                    _tell,
                    only=asked.only,
                    baseline_only=asked.baseline_only,
                    assume_good=asked.assume_good,
                )
            if not asked.baseline_only:
                _say(outcome, asked.report)
            yield outcome


def _way(
    database: str, concurrency: int, stack: contextlib.ExitStack
) -> tuple[running.Way, str]:
    if database == "sqlite":
        return running.Way(concurrency=concurrency), ""
    server = stack.enter_context(mariadb.any_server())
    [(version,)] = server.execute("SELECT VERSION()")
    way = running.Way(mariadb_url=server.url(), concurrency=concurrency)
    return way, str(version)


def _say(outcome: plan.Outcome, folder: pathlib.Path | None) -> None:
    for line in report.lines(outcome):
        _tell(line)
    if folder:
        _tell(f"    {report.write(outcome, folder)}")


def _tell(line: str) -> None:
    """Write to stderr: stdout is for the matrix."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
