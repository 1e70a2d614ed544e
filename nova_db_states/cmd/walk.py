# SPDX-License-Identifier: Apache-2.0
"""Doing one thing to every cell database, whatever becomes of the others."""

import abc
import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
import logging
from typing import Any, Final

from cliff import lister
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states.cmd import options
from nova_db_states.cmd import shell
from nova_db_states.cmd import signals
from nova_db_states.cmd import targets

__all__ = ["DbLister", "Row", "explained", "report"]

LOG: Final = logging.getLogger(__name__)

Row = tuple[object, ...]

_REACH: Final = (
    "Check host and port in the URL, and that the server runs and can be "
    "reached from here."
)
_ACCOUNT: Final = "Check user and password in the URL, and the user's grants."
_REMEDIES: Final[dict[int | str | None, str]] = {
    **dict.fromkeys((2002, 2003, 2005), _REACH),
    **dict.fromkeys((1044, 1045, 1142, 1698), _ACCOUNT),
    1049: "Check the name of the database in the URL.",
    1040: "The server has no connection left; run it again later.",
    **dict.fromkeys(
        (2006, 2013), "The connection was lost; run the same command again."
    ),
}


def report(
    target: targets.Target, error: Exception, *, with_traceback: bool
) -> str:
    """Say on standard error what went wrong in a cell.

    :param target: the cell
    :param error: what it ended with
    :param with_traceback: whether to show where
    :returns: what was said, without passwords
    """
    message = explained(target, error)
    lines = [message, *getattr(error, "blockers", ())]
    LOG.error(
        "Cell %s: %s",
        target.cell,
        "\n  ".join(lines),
        exc_info=error if with_traceback else None,
    )
    return message


def explained(target: targets.Target, error: Exception) -> str:
    """Say what went wrong in a cell, and what to do about it.

    :param target: the cell
    :param error: what it ended with
    :returns: a sentence without passwords
    """
    return shell.scrubbed(_message(target, error))


def _message(target: targets.Target, error: Exception) -> str:
    origin = retry.driver_error(error)
    if not isinstance(error, sa_exc.DBAPIError):
        return shell.one_line(error)
    code = retry.error_code(error)
    text = " ".join(str(origin).split())
    if isinstance(code, int) and len(origin.args) > 1:
        # Drivers of MySQL raise a pair of number and text.
        text = f"{' '.join(str(origin.args[1]).split())} (error {code})"
    return f"{target.shown}: {text}. {_REMEDIES.get(code, '')}".rstrip()


class DbLister(lister.Lister):
    """A command that answers with a line for each index of each database."""

    columns: tuple[str, ...]
    table_columns: tuple[str, ...]
    """What a table for people shows unless told; it fits 80 characters."""

    exit_code = shell.EXIT_DONE

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options that say which databases are meant."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        options.add_targets(parser)
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the rows, and answer with the worst exit code of one."""
        known = {self._normalize_column_name(name) for name in self.columns}
        for name in parsed_args.columns:
            # cliff would look only when all is done, and then print nothing.
            if self._normalize_column_name(name) not in known:
                raise targets.TargetError(
                    f"--column {name}: there is no such column. Give one of: "
                    f"{', '.join(self.columns)}."
                )
        with signals.as_exceptions():
            super().run(parsed_args)
        return self.exit_code

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
    ) -> int:
        """Print the rows; what a cell has no answer for is a dash.

        Formats for programs keep it apart, as null.
        """
        rows = list(data)
        if not rows:
            LOG.info("Nothing to do.")
        if parsed_args.formatter in {"table", "value"}:
            if not rows:
                return shell.EXIT_DONE
            rows = [
                tuple("-" if value is None else value for value in row)
                for row in rows
            ]
        if parsed_args.formatter == "table" and not parsed_args.columns:
            parsed_args.columns = list(self.table_columns)
        printed: int = super().produce_output(parsed_args, column_names, rows)
        return printed

    def walk(
        self,
        found: Sequence[targets.Target],
        action: Callable[[targets.Target, sa.Engine], Iterable[Row]],
        done: Callable[[], None] = lambda: None,
    ) -> Iterator[Row]:
        """Do one thing to each database; one that fails stops no other.

        When the process is told to end, the cells done so far keep their
        rows, and the others say that they are not.

        :param found: the databases
        :param action: gives the rows of one, without cell and database
        :param done: called after each database
        :returns: yields the rows with cell and database in front
        """
        for position, target in enumerate(found):
            rows: Iterable[Row]
            try:
                rows = self._try(target, action)
            except (KeyboardInterrupt, SystemExit) as stop:
                self.exit_code = signals.exit_code(stop)
                yield from self._interrupted(found[position:])
                return
            for row in rows:
                yield (target.cell, target.shown, *row)
            done()

    def _try(
        self,
        target: targets.Target,
        action: Callable[[targets.Target, sa.Engine], Iterable[Row]],
    ) -> Iterable[Row]:
        try:
            return list(action(target, target.engine()))
        except exceptions.MigrationBlocked as error:
            message = self._failed(target, error, shell.EXIT_DOES_NOT_HOLD)
            return [self.failure_row("blocked", message)]
        except Exception as error:  # noqa: BLE001 - of a driver, of a URL
            message = self._failed(target, error, shell.EXIT_CANNOT_RUN)
            return [self.failure_row("failed", message)]

    def _interrupted(
        self, remaining: Sequence[targets.Target]
    ) -> Iterator[Row]:
        message = "interrupted: run it again"
        LOG.error("Cell %s: %s.", remaining[0].cell, message)
        result = "interrupted"
        for target in remaining:
            row = self.failure_row(result, message)
            yield (target.cell, target.shown, *row)
            result = "not begun"

    @abc.abstractmethod
    def failure_row(self, result: str, message: str) -> Row:
        """Give the row of a database that has no other.

        :param result: in a word
        :param message: in a sentence
        :returns: the columns after cell and database
        """

    def _failed(
        self, target: targets.Target, error: Exception, code: int
    ) -> str:
        self.exit_code = max(self.exit_code, code)
        return report(target, error, with_traceback=self.app.options.debug)
