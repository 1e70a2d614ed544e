# SPDX-License-Identifier: Apache-2.0
"""Torture databases with guarded updates, and check what came of it.

Exit code 0 if every history can be explained, 1 if one cannot or a run did not
come to its end, 2 if there is nothing to run on.
"""

import argparse
from collections.abc import Iterator
import contextlib
import pathlib
import random
import shutil
import sys
import tempfile
from typing import Final

from tests.resources import galera
from tests.resources import mariadb
from tests.resources import servers
from tests.torture import check
from tests.torture import fleet
from tests.torture import history
from tests.torture import mutants
from tests.torture import report
from tests.torture import run
from tests.torture import served
from tests.torture import targets

_TARGETS: Final = ("sqlite", "mariadb", "cluster")
_OPERATIONS: Final = 100_000
# Of each kind that takes long; see targets.Kind.
_STRIKES: Final = 4
_OPERATIONS_PER_STRIKE: Final = 10_000

_VIOLATION: Final = 1
_CANNOT_RUN: Final = 2


def main() -> int:
    """Run what the command line asks for.

    :returns: the exit code
    """
    options = _options()
    worst = 0
    try:
        for name in _TARGETS if options.on == "all" else (options.on,):
            folder = options.check or _folder(options.keep, name)
            worst = max(worst, _one(name, folder, options))
    except (servers.ServerUnavailable, FileExistsError) as error:
        _say(str(error))
        return _CANNOT_RUN
    return worst


def _one(name: str, folder: pathlib.Path, options: argparse.Namespace) -> int:
    """Run on one target, or read what was run, and judge it."""
    if options.check is None:
        _say(f"{name}: seed {options.seed}, history in {folder}")
        try:
            recorded = _run(name, folder, options)
        except fleet.RunError as error:
            _say(f"{name}: seed {options.seed}: {error}; see {folder}")
            return _VIOLATION
    else:
        recorded = history.read(folder)
    violations = check.check(recorded)
    report.show(recorded, violations)
    if violations:
        for path in report.draw(recorded, violations, folder):
            _say(str(path))
        return _VIOLATION
    if options.keep is None and options.check is None:
        shutil.rmtree(folder)
    return 0


def _run(
    name: str, folder: pathlib.Path, options: argparse.Namespace
) -> history.History:
    strikes = options.strikes
    if strikes is None:
        wanted = options.operations // _OPERATIONS_PER_STRIKE
        strikes = max(_STRIKES, wanted)
    settings = run.Settings(
        options.operations,
        options.seed,
        times=strikes,
        workers=options.workers,
        threads=options.threads,
        mutant=options.mutant,
    )
    with _target(name) as target:
        return run.run(target, settings, folder, _say)


@contextlib.contextmanager
def _target(name: str) -> Iterator[targets.Target]:
    """Start what is to be tortured, and end it."""
    with contextlib.ExitStack() as stack:
        if name == "sqlite":
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="nds-torture-")
            )
            yield targets.SQLite(pathlib.Path(folder))
        elif name == "mariadb":
            server = stack.enter_context(
                mariadb.MariaDBServer(**mariadb.KILLED)
            )
            yield stack.enter_context(served.MariaDB(server))
        else:
            cluster = stack.enter_context(galera.Cluster())
            yield stack.enter_context(served.Cluster(cluster))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--on", choices=(*_TARGETS, "all"), default="cluster")
    parser.add_argument(
        "--operations",
        type=int,
        default=_OPERATIONS,
        help="on each target (default: %(default)s)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=random.SystemRandom().randrange(1 << 32),
        help="of the faults and the choices (default: drawn, and printed)",
    )
    parser.add_argument(
        "--strikes",
        type=int,
        help="of each kind of fault that takes long; the others strike twice "
        f"as often (default: one for {_OPERATIONS_PER_STRIKE} operations, at "
        f"least {_STRIKES})",
    )
    parser.add_argument("--workers", type=int, default=6, help="processes")
    parser.add_argument("--threads", type=int, default=6, help="in each")
    parser.add_argument(
        "--keep",
        type=pathlib.Path,
        metavar="DIR",
        help="keep the histories there also if nothing is wrong",
    )
    parser.add_argument(
        "--check",
        type=pathlib.Path,
        metavar="DIR",
        help="run nothing, and judge the history that is there",
    )
    parser.add_argument(
        "--mutant",
        choices=tuple(mutants.MUTANTS),
        default="",
        help="break the workers in this way, to see it found",
    )
    options = parser.parse_args()
    if options.check is not None:
        options.on = "sqlite"
    return options


def _folder(keep: pathlib.Path | None, name: str) -> pathlib.Path:
    if keep is None:
        return pathlib.Path(tempfile.mkdtemp(prefix=f"nds-torture-{name}-"))
    return history.make_folder(keep / name)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
