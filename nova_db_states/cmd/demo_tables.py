# SPDX-License-Identifier: Apache-2.0
"""What a run of the demo shows: tables, JSON, CSV."""

from collections.abc import Mapping
import csv
import dataclasses
import json
from typing import Any, Final, TextIO

from rich import box
from rich import console as rich_console
from rich import table as rich_table
from rich import text as rich_text

from nova_db_states.demo import actor
from nova_db_states.demo import report
from nova_db_states.demo import runner
from nova_db_states.demo import verdict

__all__ = ["FORMATS", "WORDING", "Wording", "print_result"]

FORMATS: Final = ("table", "json", "csv")

# Wide enough for the tables, where the output is no terminal.
_WIDTH: Final = 110

_PREFACE: Final = (
    "{races} races: two processes write the row of the same server, first as "
    "Nova saves it, then with guards. A delete waits until the build is over; "
    "in {restarts} of the races nova-compute is restarted meanwhile, and goes "
    "by what the row says."
)
_OVERWRITTEN: Final = "<- delete overwritten"
_STYLES: Final = {
    actor.Outcome.REFUSED: "yellow",
    actor.Outcome.GONE: "yellow",
    actor.Outcome.STOPPED: "yellow",
    actor.Outcome.NOTED: "italic",
    actor.Outcome.WRITTEN: "",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Wording:
    """What the two modes are called.

    :ivar preface: to be given the numbers ``races`` and ``restarts``
    :ivar titles: by the name of the mode, the unguarded one first
    :ivar columns: the same, short
    :ivar modes: the same in a sentence, the first at its beginning
    """

    preface: str
    titles: Mapping[str, str]
    columns: tuple[str, str]
    modes: tuple[str, str]


WORDING: Final = Wording(
    _PREFACE,
    {
        "direct": "Direct saves, as Nova 34 makes them",
        "guarded": "Guarded updates",
    },
    ("direct", "guarded"),
    ("Direct saves", "guarded updates"),
)


def print_result(
    result: runner.Result, form: str, stream: TextIO, wording: Wording
) -> None:
    """Print what a run has to say.

    :param result: of the run
    :param form: one of :data:`FORMATS`
    :param stream: where to
    :param wording: what the modes are called in tables
    """
    if form == "json":
        _print_json(result, stream)
    elif form == "csv":
        _print_csv(result, stream)
    else:
        _print_tables(result, stream, wording)


def _print_json(result: runner.Result, stream: TextIO) -> None:
    json.dump(report.as_mapping(result), stream, indent=2)
    stream.write("\n")


def _print_csv(result: runner.Result, stream: TextIO) -> None:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(("figure", "direct", "guarded"))
    for figure in report.figures(result):
        writer.writerow((figure.name, *_numbers(figure)))


def _print_tables(
    result: runner.Result, stream: TextIO, wording: Wording
) -> None:
    console = rich_console.Console(file=stream, highlight=False)
    if console.is_terminal:
        _print_on(console, result, wording)
        return
    console.width = _WIDTH
    with console.capture() as captured:
        _print_on(console, result, wording)
    # A file is no place for the blanks that fill a terminal's line.
    stream.writelines(
        f"{line.rstrip()}\n" for line in captured.get().splitlines()
    )


def _print_on(
    console: rich_console.Console, result: runner.Result, wording: Wording
) -> None:
    told = report.told(result)
    console.print(
        wording.preface.format(
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
        for title, played in zip(wording.titles.values(), told, strict=True):
            console.print(_timeline(title, played, wide=wide))
    console.print(_summary(result, wording))
    console.print(_pairs(result, wording))
    console.print(
        report.verdict_of(result, *wording.modes),
        style="green" if result.holds else "red",
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


def _summary(result: runner.Result, wording: Wording) -> rich_table.Table:
    table = _table("What happened")
    table.add_column("")
    for name in wording.columns:
        table.add_column(name, justify="right")
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


def _pairs(result: runner.Result, wording: Wording) -> rich_table.Table:
    table = _table("Races with damage, by what raced")
    table.add_column("")
    table.add_column("races", justify="right")
    for name in wording.columns:
        table.add_column(name, justify="right")
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
