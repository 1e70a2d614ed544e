# SPDX-License-Identifier: Apache-2.0
"""``nova-db-states demo``: the race, without guards and with them."""

import argparse
from collections.abc import Callable, Iterator
import contextlib
import os
import signal
import time
from typing import Final, TextIO

from cliff import command as cliff_command
from rich import console as rich_console
from rich import progress as rich_progress

from nova_db_states.cmd import demo_tables
from nova_db_states.cmd import shell
from nova_db_states.demo import runner

__all__ = ["Demo", "add_options", "show"]

DB_URL_VARIABLE: Final = "NOVA_DB_STATES_DEMO_DB_URL"

_DEFAULTS: Final = runner.Settings()

# How long a second signal has no effect, in seconds.
_PATIENCE_S: Final = 10.0


class Demo(cliff_command.Command):
    """Play the race of a build against a delete, with and without guards.

    Real processes write the same servers at the same time: a build against a
    delete at a random moment, a stop and a resize against a delete, two
    rescues and two evacuations at once. First with direct saves, which are
    the statements that Nova sends, with the guards that Nova has; then with
    guarded updates, where every write says what it expects, the loser stops,
    and a download is watched. What went wrong is counted from the rows and
    from what the processes wrote down.

    It needs no Nova and no server: it makes Nova's table instances in a
    temporary SQLite file. A delete waits until the build, or the stop, is
    over; in about one of five races nova-compute is restarted meanwhile, as
    in an upgrade, and goes by what the row says.

    Exit code 0: direct saves did damage and guarded updates did none. 1: not
    so. 2: it could not run.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--db",
            metavar="URL",
            default=os.environ.get(DB_URL_VARIABLE),
            help="an empty scratch database, such as "
            "mysql+pymysql://nova@db1/scratch; it is made if it is "
            "missing, refused if it has any table, and left as it was "
            f"found (default: {DB_URL_VARIABLE} in the environment, or else "
            "a temporary SQLite file)",
        )
        add_options(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Play, print, and answer with the exit code."""
        settings = runner.Settings(
            parsed_args.db,
            parsed_args.races,
            parsed_args.workers,
            parsed_args.seed,
        )
        return show(
            lambda progress: runner.play(settings, progress),
            settings,
            parsed_args.format,
            self.app.stdout,
            self.app.stderr,
        )


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that do not depend on who writes.

    :param parser: of a command that plays the demo
    """
    parser.add_argument(
        "--races",
        metavar="NUMBER",
        type=_at_least_one,
        default=_DEFAULTS.races,
        help="races in each mode; from 8 on every pair is among them; "
        "very few may show no damage at all, which is exit code 1 "
        f"(default: {_DEFAULTS.races})",
    )
    parser.add_argument(
        "--workers",
        metavar="NUMBER",
        type=_at_least_one,
        default=_DEFAULTS.workers,
        help="races at the same time, two processes each (default: "
        f"{_DEFAULTS.workers})",
    )
    parser.add_argument(
        "--seed",
        metavar="NUMBER",
        type=int,
        default=_DEFAULTS.seed,
        help=f"another number plays other moments (default: {_DEFAULTS.seed})",
    )
    parser.add_argument(
        "-f",
        "--format",
        choices=demo_tables.FORMATS,
        default="table",
        help="how to print the result (default: table)",
    )


def show(  # noqa: PLR0917 - what, and where it is told
    play: Callable[[runner.Progress], runner.Result],
    settings: runner.Settings,
    form: str,
    out: TextIO,
    err: TextIO,
    wording: demo_tables.Wording = demo_tables.WORDING,
) -> int:
    """Play and print.

    :param play: plays
    :param settings: what is played
    :param form: ``table``, ``json`` or ``csv``
    :param out: for the result
    :param err: for the progress
    :param wording: what the modes are called
    :returns: the exit code
    """
    ending = _Ending()
    try:
        with (
            ending.at_signals(),
            _shown(err, settings.races, wording) as progress,
        ):
            result = play(progress)
    except (KeyboardInterrupt, SystemExit):
        # The terminal may be what went away.
        with contextlib.suppress(OSError):
            err.write(f"{ending}\n")
        raise
    demo_tables.print_result(result, form, out, wording)
    return shell.EXIT_DONE if result.holds else shell.EXIT_DOES_NOT_HOLD


def _at_least_one(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r}: give a whole number, at least 1"
        )
    return number


class _Ending:
    """Lets Ctrl-C, a kill and a closed terminal clean up, and tells how.

    Some of them come twice, and people press twice: a second one ends the
    cleaning only if that takes too long.
    """

    def __init__(self) -> None:
        self._began_s: float | None = None
        self._cut_short = False

    def __str__(self) -> str:
        if self._cut_short:
            return (
                "Stopped before everything was removed: look for the table "
                "instances, and drop it by hand."
            )
        return "Stopped. Nothing is left of it: what it made is removed."

    @contextlib.contextmanager
    def at_signals(self) -> Iterator[None]:
        """Handle the signals."""
        before = {
            number: signal.signal(number, self._end)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self, number: int, _: object) -> None:
        now = time.monotonic()
        if self._began_s is None:
            self._began_s = now
        elif now < self._began_s + _PATIENCE_S:
            return
        else:
            self._cut_short = True
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)


@contextlib.contextmanager
def _shown(
    stream: TextIO, races: int, wording: demo_tables.Wording
) -> Iterator[runner.Progress]:
    """Show a bar for each mode; nothing if nobody looks."""
    console = rich_console.Console(file=stream)
    with rich_progress.Progress(
        rich_progress.TextColumn("{task.description:<37}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn("{task.fields[damaged]} with damage"),
        rich_progress.TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bars:
        tasks = {
            name: bars.add_task(title, total=races, damaged=0, start=False)
            for name, title in wording.titles.items()
        }

        def show(mode: str, done: int, damaged: int) -> None:
            if not done:
                bars.start_task(tasks[mode])
            bars.update(tasks[mode], completed=done, damaged=damaged)

        yield show
