# SPDX-License-Identifier: Apache-2.0
"""The progress display on standard error, off when that is no terminal."""

from collections.abc import Iterator
import contextlib
import logging
import sys
from typing import Final, TextIO

from rich import console as rich_console
from rich import progress as rich_progress

from nova_db_states import migrations
from nova_db_states.cmd import targets

__all__ = ["Display", "shown"]

_PREFIX: Final = "nova_db_states_"


class Display:
    """One bar on standard error: the cells done, and what goes on in one."""

    def __init__(self, bars: rich_progress.Progress, total: int) -> None:
        self._bars = bars
        self._task = bars.add_task("", total=total)

    def advance(self) -> None:
        """Count a cell as done."""
        self._bars.advance(self._task)

    def events_of(self, target: targets.Target) -> migrations.Progress:
        """Give what shows the progress of one cell.

        :param target: the cell
        :returns: to be passed to the functions of ``migrations``
        """

        def show(event: migrations.Event) -> None:
            self._bars.update(
                self._task,
                # Short enough for 80 columns.
                description=f"{target.cell}: {event.doing} "
                f"{event.index.removeprefix(_PREFIX)}, attempt "
                f"{event.attempt}/{event.max_attempts}",
            )

        return show


@contextlib.contextmanager
def shown(stream: TextIO, total: int) -> Iterator[Display]:
    """Show a bar until the work is done; nothing if nobody looks.

    :param stream: standard error
    :param total: number of cells
    :returns: yields what moves the bar
    """
    console = rich_console.Console(file=stream)
    with rich_progress.Progress(
        rich_progress.SpinnerColumn(),
        rich_progress.TextColumn("{task.description}"),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bars:
        # While it runs, rich prints what is written to sys.stderr above the
        # bar; the log's handlers hold the stream of before.
        handlers = [
            handler
            for handler in logging.getLogger().handlers
            if isinstance(handler, logging.StreamHandler)
            and handler.stream is stream
        ]
        for handler in handlers:
            handler.setStream(sys.stderr if console.is_terminal else stream)
        try:
            yield Display(bars, total)
        finally:
            for handler in handlers:
                handler.setStream(stream)
