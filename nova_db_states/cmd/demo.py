# SPDX-License-Identifier: Apache-2.0
"""``nova-db-states demo``: the race, without guards and with them."""

import argparse
from collections.abc import Iterator
import contextlib
import csv
import json
import os
import signal
import time
from typing import Any, Final, TextIO

from cliff import command as cliff_command
from rich import box
from rich import console as rich_console
from rich import progress as rich_progress
from rich import table as rich_table
from rich import text as rich_text

from nova_db_states.cmd import shell
from nova_db_states.demo import actor
from nova_db_states.demo import report
from nova_db_states.demo import runner
from nova_db_states.demo import verdict

__all__ = ["Demo"]

DB_URL_VARIABLE: Final = "NOVA_DB_STATES_DEMO_DB_URL"

_DEFAULTS: Final = runner.Settings()

# Wide enough for the tables, where the output is no terminal.
_WIDTH: Final = 110

# How long a second signal has no effect, in seconds.
_PATIENCE_S: Final = 10.0

_PREFACE: Final = (
    "{races} races: two processes write the row of the same server, first as "
    "Nova saves it, then with guards. A delete waits until the build is over; "
    "in {restarts} of the races nova-compute is restarted meanwhile, and goes "
    "by what the row says."
)
_OVERWRITTEN: Final = "<- delete overwritten"
_TITLES: Final = {
    "direct": "Direct saves, as Nova 34 makes them",
    "guarded": "Guarded updates",
}
_STYLES: Final = {
    actor.Outcome.REFUSED: "yellow",
    actor.Outcome.GONE: "yellow",
    actor.Outcome.STOPPED: "yellow",
    actor.Outcome.NOTED: "italic",
    actor.Outcome.WRITTEN: "",
}


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
            help="another number plays other moments (default: "
            f"{_DEFAULTS.seed})",
        )
        parser.add_argument(
            "-f",
            "--format",
            choices=("table", "json", "csv"),
            default="table",
            help="how to print the result (default: table)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Play, print, and answer with the exit code."""
        settings = runner.Settings(
            parsed_args.db,
            parsed_args.races,
            parsed_args.workers,
            parsed_args.seed,
        )
        ending = _Ending()
        try:
            with (
                ending.at_signals(),
                _shown(self.app.stderr, settings.races) as progress,
            ):
                result = runner.play(settings, progress)
        except (KeyboardInterrupt, SystemExit):
            # The terminal may be what went away.
            with contextlib.suppress(OSError):
                self.app.stderr.write(f"{ending}\n")
            raise
        show = {"table": _print_tables, "json": _print_json, "csv": _print_csv}
        show[parsed_args.format](result, self.app.stdout)
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
def _shown(stream: TextIO, races: int) -> Iterator[runner.Progress]:
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
            for name, title in _TITLES.items()
        }

        def show(mode: str, done: int, damaged: int) -> None:
            if not done:
                bars.start_task(tasks[mode])
            bars.update(tasks[mode], completed=done, damaged=damaged)

        yield show


def _print_json(result: runner.Result, stream: TextIO) -> None:
    json.dump(report.as_mapping(result), stream, indent=2)
    stream.write("\n")


def _print_csv(result: runner.Result, stream: TextIO) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("figure", "direct", "guarded"))
    for figure in report.figures(result):
        writer.writerow((figure.name, *_numbers(figure)))


def _print_tables(result: runner.Result, stream: TextIO) -> None:
    console = rich_console.Console(file=stream, highlight=False)
    if console.is_terminal:
        _print_on(console, result)
        return
    console.width = _WIDTH
    with console.capture() as captured:
        _print_on(console, result)
    # A file is no place for the blanks that fill a terminal's line.
    stream.writelines(
        f"{line.rstrip()}\n" for line in captured.get().splitlines()
    )


def _print_on(console: rich_console.Console, result: runner.Result) -> None:
    told = report.told(result)
    console.print(
        _PREFACE.format(
            races=result.settings.races,
            restarts=report.restarts(result) or "none",
        )
    )
    if told is not None:
        race = told[0].race
        console.print(
            f"\nRace {race.number}, {race.pair}: who wrote what, and what "
            f"the row said after\n",
            style="bold",
        )
        wide = console.width >= _WIDTH
        for title, played in zip(_TITLES.values(), told, strict=True):
            console.print(_timeline(title, played, wide=wide))
    console.print(_summary(result))
    console.print(_pairs(result))
    console.print(
        report.verdict_of(result), style="green" if result.holds else "red"
    )
    console.print(
        f"seed {result.settings.seed}, {2 * result.settings.workers} "
        f"processes",
        style="dim",
    )


def _timeline(
    title: str, played: verdict.Played, *, wide: bool
) -> rich_table.Table:
    table = _table(title)
    table.add_column("ms", justify="right")
    table.add_column("process" if wide else "who", overflow="fold")
    table.add_column("what happened", overflow="fold")
    table.add_column("expects" if wide else "guard", overflow="fold")
    table.add_column("row after: vm / task", overflow="fold")
    accepted = marked = False
    for event in played.events:
        style = _STYLES[event.outcome]
        bad = accepted and verdict.wiped(event)
        accepted = accepted or verdict.accepts_delete(event)
        row = str(event.row or "")
        if bad and not marked:
            row = f"{row}\n{_OVERWRITTEN}"
            marked = True
        table.add_row(
            f"{event.ended_s * 1000:.0f}",
            event.who if wide else event.who.split()[0][5:],
            _happened(played, event),
            _expected(event, wide=wide),
            rich_text.Text(row, "bold red" if bad else ""),
            style=style,
        )
    table.add_row("", "", "in the end", "", _ending(played), style="bold")
    return table


def _happened(played: verdict.Played, event: actor.Event) -> str:
    text = report.did(played, event)
    if event.outcome == actor.Outcome.REFUSED:
        return f"REFUSED: {text}"
    if event.outcome == actor.Outcome.GONE:
        return f"row is gone: {text}"
    return text


def _expected(event: actor.Event, *, wide: bool) -> str:
    if event.outcome == actor.Outcome.NOTED:
        return ""
    if wide:
        return event.expected or "anything"
    return "yes" if event.expected else "none"


def _ending(played: verdict.Played) -> rich_text.Text:
    if played.final.deleted:
        return rich_text.Text("deleted", "green")
    return rich_text.Text(f"still there: {played.final}", "bold red")


def _summary(result: runner.Result) -> rich_table.Table:
    table = _table("What happened")
    table.add_column("")
    table.add_column("direct", justify="right")
    table.add_column("guarded", justify="right")
    table.add_column("", style="dim")
    for figure in report.figures(result):
        direct, guarded = _numbers(figure)
        table.add_row(
            figure.title,
            _coloured(direct, figure),
            _coloured(guarded, figure),
            figure.meaning,
        )
    return table


def _pairs(result: runner.Result) -> rich_table.Table:
    table = _table("Races with damage, by what raced")
    table.add_column("")
    table.add_column("races", justify="right")
    table.add_column("direct", justify="right")
    table.add_column("guarded", justify="right")
    for pair, races, direct, guarded in report.by_pair(result):
        table.add_row(pair, str(races), str(direct), str(guarded))
    return table


def _table(title: str) -> rich_table.Table:
    return rich_table.Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )


def _numbers(figure: report.Figure) -> tuple[Any, Any]:
    if figure.name == "seconds":
        return round(figure.direct, 1), round(figure.guarded, 1)
    return figure.direct, figure.guarded


def _coloured(number: float, figure: report.Figure) -> rich_text.Text:
    style = ""
    if figure.damage:
        style = "bold red" if number else "bold green"
    return rich_text.Text(str(number), style)
