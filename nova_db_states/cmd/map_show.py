# SPDX-License-Identifier: Apache-2.0
"""``nova-db-states map show``: one state, explained."""

import argparse
from collections.abc import Iterable, Iterator
import json
from typing import Final, TextIO

from cliff import command as cliff_command
from rich import console as rich_console
from rich import table as rich_table
from rich import text as rich_text

from nova_db_states.cmd import shell
from nova_db_states.machine import model
from nova_db_states.machine.render import portrait
from nova_db_states.machine.render import wording

__all__ = ["Show"]

# Where the output is no terminal.
_WIDTH: Final = 80

_LEFT_WIDTH: Final = 34

_STUCK: Final = (
    "whoever is at work on it is gone, or hangs; the log of nova-compute on "
    "its host says why."
)

Shown = rich_text.Text | rich_table.Table


class Show(cliff_command.Command):
    """Explain a state: what it means, what may be done, what comes next."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options that say which state is wanted."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "state",
            metavar="STATE",
            nargs="+",
            help='vm_state and task_state, such as "active / powering-off"; '
            "without the second, or with NULL or None, no task runs",
        )
        parser.add_argument(
            "-f",
            "--format",
            choices=("table", "json"),
            default="table",
            help="how to print it (default: table)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print what the map says of the state."""
        made = portrait.of(" ".join(parsed_args.state))
        if parsed_args.format == "json":
            json.dump(portrait.as_mapping(made), self.app.stdout, indent=2)
            self.app.stdout.write("\n")
        else:
            _print(made, self.app.stdout)
        return shell.EXIT_DONE


def _print(made: portrait.Portrait, stream: TextIO) -> None:
    console = rich_console.Console(file=stream, highlight=False)
    if console.is_terminal:
        console.print(*_told(made), sep="\n")
        return
    console.width = _WIDTH
    with console.capture() as captured:
        console.print(*_told(made), sep="\n")
    # A file is no place for the blanks that fill a terminal's line.
    stream.writelines(
        f"{line.rstrip()}\n" for line in captured.get().splitlines()
    )


def _told(made: portrait.Portrait) -> Iterator[Shown]:
    status = f"   status {made.status}" if made.status else ""
    yield rich_text.Text.assemble((str(made.state), "bold"), status)
    yield rich_text.Text(made.description)
    if not made.reached:
        yield rich_text.Text("No action of Nova's leads here.", "yellow")
    if made.status:
        yield from _section("How long", [("", _patience(made))])
    others = [name for name in made.allowed if name not in made.ending]
    yield from _section(
        "May be asked for now",
        [
            ("to change its state", wording.listed(made.ending)),
            ("leaving its state alone", wording.listed(others)),
        ],
    )
    yield from _section("What comes next", _lines(made.next))
    yield from _section("What may have led here", _lines(made.before))
    yield from _section(
        "What may be going on although the row does not say so",
        [(action.name, gap.why) for action, gap in made.gaps],
    )
    yield from _wrong(made)


def _wrong(made: portrait.Portrait) -> Iterator[Shown]:
    """Say each reason once, below all that it is the reason for."""
    reasons: dict[str, list[portrait.Step]] = {}
    for step in made.defects:
        reasons.setdefault(step.why, []).append(step)
    for reason, steps in reasons.items():
        yield from _section(
            "What nobody may do, although Nova's code does it", _lines(steps)
        )
        yield rich_text.Text(reason, "italic")


def _section(title: str, rows: Iterable[tuple[str, str]]) -> Iterator[Shown]:
    rows = [row for row in rows if row[-1]]
    if not rows:
        return
    yield rich_text.Text(f"\n{title}", "bold")
    grid = rich_table.Table.grid(padding=(0, 0, 0, 2))
    if any(left for left, _ in rows):
        grid.add_column(max_width=_LEFT_WIDTH, overflow="fold")
    grid.add_column(overflow="fold")
    for row in rows:
        cells = row[-len(grid.columns) :]
        grid.add_row(*map(rich_text.Text, cells))
    yield grid


def _lines(steps: Iterable[portrait.Step]) -> Iterator[tuple[str, str]]:
    for step in steps:
        given_up = step.path is model.Path.FAILURE
        names = wording.listed(step.actions)
        yield step.where, f"given up: {names}" if given_up else names


def _patience(made: portrait.Portrait) -> str:
    if made.max_age_s is None:
        return "A server may stay in it as long as it likes."
    text = (
        f"It counts as stuck after {wording.duration(made.max_age_s)}: "
        f"{made.stranded or _STUCK}"
    )
    if made.unattended:
        text += f" By itself ends it: {wording.listed(made.unattended)}."
    return f"{text} To be asked for: {wording.listed(made.ending)}."
