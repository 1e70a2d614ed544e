# SPDX-License-Identifier: Apache-2.0
"""``nova-db-states db ...``: the indexes in one cell database or in all."""

import argparse
from collections.abc import Callable, Iterable, Iterator
import dataclasses
import logging
import os
from typing import Any, Final

from cliff import command as cliff_command
from cliff import lister
from oslo_db import exception as db_exc
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_db_states import exceptions
from nova_db_states import migrations
from nova_db_states.cmd import progress
from nova_db_states.cmd import shell
from nova_db_states.cmd import targets

__all__ = ["Check", "Downgrade", "Sql", "Upgrade"]

LOG: Final = logging.getLogger(__name__)

Row = tuple[object, ...]

_EXPECTED: Final = (
    exceptions.NovaDBStatesError,
    sa_exc.SQLAlchemyError,
    db_exc.DBError,
)


def _at_least_one(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r}: give a whole number, at least 1"
        )
    return number


def _add_target_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("databases")
    group.add_argument(
        "--config-file",
        metavar="FILE",
        action="append",
        default=[],
        help="Nova's configuration: every cell in the cell_mappings of its "
        "[api_database] is meant, cell0 and disabled cells too; may be "
        "repeated",
    )
    group.add_argument(
        "--config-dir",
        metavar="DIR",
        action="append",
        default=[],
        help="a folder of such files; may be repeated",
    )
    group.add_argument(
        "--db",
        metavar="URL",
        help="one cell database, such as "
        "mysql+pymysql://nova:password@db1/nova_cell1; without this and "
        f"--config-file the environment variable {targets.DB_URL_VARIABLE} "
        "counts, which keeps the password out of the list of processes",
    )


def _add_patience_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("patience")
    group.add_argument(
        "--lock-timeout",
        metavar="SECONDS",
        type=_at_least_one,
        default=2,
        help="how long one attempt may wait for the table; every other "
        "statement on it waits as long (default: %(default)s)",
    )
    group.add_argument(
        "--attempts",
        metavar="N",
        type=_at_least_one,
        default=migrations.PATIENT.max_attempts,
        help="how often to try, with growing pauses of up to "
        f"{migrations.PATIENT.max_backoff_s:.0f} seconds between (default: "
        "%(default)s)",
    )
    group.add_argument(
        "--galera",
        choices=["toi"],
        help="on a Galera cluster, let it apply the change in total order: "
        "writes to the whole cluster stop meanwhile; without this a cluster "
        "is refused",
    )


def _resolve(parsed: argparse.Namespace) -> tuple[targets.Target, ...]:
    return targets.resolve(
        parsed.db, parsed.config_file, parsed.config_dir, os.environ
    )


def _report(
    target: targets.Target, error: Exception, *, with_traceback: bool
) -> None:
    lines = [shell.one_line(error), *getattr(error, "blockers", ())]
    LOG.error(
        "Cell %s: %s",
        target.cell,
        "\n  ".join(lines),
        exc_info=error if with_traceback else None,
    )


class _DbLister(lister.Lister):
    """A command that answers with a line for each index of each database."""

    result_column: str
    exit_code = shell.EXIT_DONE

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options that say which databases are meant."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        _add_target_options(parser)
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the table, and answer with the worst exit code of a row."""
        super().run(parsed_args)
        return self.exit_code

    def walk(
        self,
        found: Iterable[targets.Target],
        action: Callable[[targets.Target, sa.Engine], Iterable[Row]],
    ) -> Iterator[Row]:
        """Do one thing to each database; one that fails stops no other.

        :param found: the databases
        :param action: gives the rows of one, without cell and database
        :returns: yields the rows with cell and database in front
        """
        for target in found:
            rows: Iterable[Row]
            try:
                rows = list(action(target, targets.engine(target.url)))
            except exceptions.MigrationBlocked as error:
                self._failed(target, error, shell.EXIT_DOES_NOT_HOLD)
                rows = [self.failure_row("blocked")]
            except _EXPECTED as error:
                self._failed(target, error, shell.EXIT_CANNOT_RUN)
                rows = [self.failure_row("failed")]
            for row in rows:
                yield (target.cell, target.shown, *row)

    def failure_row(self, result: str) -> Row:
        """Give the row of a database that failed."""
        raise NotImplementedError

    def _failed(
        self, target: targets.Target, error: Exception, code: int
    ) -> None:
        _report(target, error, with_traceback=self.app.options.debug)
        self.exit_code = max(self.exit_code, code)


class _Change(_DbLister):
    """A command that changes the indexes."""

    columns = (
        "Cell",
        "Database",
        "Revision",
        "Index",
        "Result",
        "Attempts",
        "Seconds",
    )
    default_to: str | None
    change: Callable[..., tuple[migrations.Step, ...]]

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options that say how far to go and how long to wait."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--to",
            metavar="REVISION",
            default=self.default_to,
            help="stop at this revision (default: %(default)s)",
        )
        _add_patience_options(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], list[Row]]:
        """Change every database and report on each index."""
        found = _resolve(parsed_args)
        policy = dataclasses.replace(
            migrations.PATIENT, max_attempts=parsed_args.attempts
        )
        with progress.shown(self.app.stderr, len(found)) as display:

            def action(
                target: targets.Target, engine: sa.Engine
            ) -> Iterable[Row]:
                steps = type(self).change(
                    engine,
                    to=parsed_args.to,
                    lock_timeout_s=parsed_args.lock_timeout,
                    policy=policy,
                    allow_toi=parsed_args.galera == "toi",
                    progress=display.events_of(target),
                )
                for step in steps:
                    yield (
                        step.revision,
                        step.index,
                        step.action,
                        step.attempts,
                        round(step.elapsed_s, 1),
                    )

            rows = []
            for target in found:
                rows += list(self.walk([target], action))
                display.advance()
        return self.columns, rows

    def failure_row(self, result: str) -> Row:
        """Give the row of a database that failed."""
        return ("-", "-", result, "-", "-")


class Upgrade(_Change):
    """Add the indexes that are missing, while Nova goes on working.

    The table stays readable and writable. Adding an index needs the table's
    metadata lock for a moment at its beginning and at its end; if another
    transaction has the table open for longer than --lock-timeout, the attempt
    is given up, so that nobody queues behind it, and made again after a pause.

    Running it again goes on where it ended. An equal index that somebody else
    made counts as present. Exit code 1: the table stayed locked, nothing was
    changed in that cell.
    """

    default_to = "head"
    change = staticmethod(migrations.upgrade)


class Downgrade(_Change):
    """Drop the indexes that db upgrade added, and nothing else.

    Only indexes whose names begin with nova_db_states_ are touched; it waits
    for the table as db upgrade does. Exit code 1: the table stayed locked.
    """

    default_to = "base"
    change = staticmethod(migrations.downgrade)


class Check(_DbLister):
    """Say which indexes are there; change nothing.

    Exit code 1: one is missing, or one of our name is not what it should be.
    """

    columns = ("Cell", "Database", "Revision", "Index", "State", "Found as")

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], list[Row]]:
        """Look at every database."""
        return self.columns, list(self.walk(_resolve(parsed_args), self._look))

    def _look(
        self, target: targets.Target, engine: sa.Engine
    ) -> Iterable[Row]:
        entries = migrations.status(engine)
        lacking = [entry for entry in entries if entry.state != "present"]
        if lacking:
            self.exit_code = max(self.exit_code, shell.EXIT_DOES_NOT_HOLD)
            LOG.error(
                "Cell %s: %s. Run nova-db-states db upgrade.",
                target.cell,
                ", ".join(
                    f"{entry.index} is {entry.state}" for entry in lacking
                ),
            )
        for entry in entries:
            yield (
                entry.revision.revision,
                entry.index,
                entry.state,
                entry.found or "-",
            )

    def failure_row(self, result: str) -> Row:
        """Give the row of a database that failed."""
        return ("-", "-", result, "-")


class Sql(cliff_command.Command):
    """Print the exact statements of an upgrade, for a DBA; change nothing.

    With databases, only what each still lacks, with key lengths that fit its
    table. With --dialect, everything, for a cell as Nova makes it.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options that say which statements are wanted."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        _add_target_options(parser)
        parser.add_argument(
            "--dialect",
            choices=migrations.DIALECTS,
            help="write for this dialect, without any database",
        )
        parser.add_argument(
            "--down",
            action="store_true",
            help="the statements of a downgrade instead",
        )
        parser.add_argument(
            "--to",
            metavar="REVISION",
            help="stop at this revision (default: head, with --down base)",
        )
        parser.add_argument(
            "--lock-timeout",
            metavar="SECONDS",
            type=_at_least_one,
            default=2,
            help="as for db upgrade (default: %(default)s)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the statements."""
        options: dict[str, Any] = {
            "down": parsed_args.down,
            "to": parsed_args.to,
            "lock_timeout_s": parsed_args.lock_timeout,
        }
        if parsed_args.dialect:
            if parsed_args.db or parsed_args.config_file:
                raise targets.TargetError(
                    "--dialect and a database were both given. Give --dialect "
                    "alone for a cell as Nova makes it, or the database alone "
                    "for what it lacks."
                )
            lines = migrations.statements(parsed_args.dialect, **options)
            self._write(f"-- {parsed_args.dialect}", lines)
            return shell.EXIT_DONE
        code = shell.EXIT_DONE
        for target in _resolve(parsed_args):
            try:
                lines = migrations.statements(
                    targets.engine(target.url), **options
                )
            except _EXPECTED as error:
                _report(target, error, with_traceback=self.app.options.debug)
                code = shell.EXIT_CANNOT_RUN
                continue
            self._write(f"-- cell {target.cell}, {target.shown}", lines)
        return code

    def _write(self, heading: str, lines: Iterable[str]) -> None:
        text = "\n".join(lines) or "-- nothing to do"
        self.app.stdout.write(f"{heading}\n{text}\n")
