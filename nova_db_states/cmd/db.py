# SPDX-License-Identifier: Apache-2.0
"""``nova-db-states db ...``: the indexes in one cell database or in all."""

import argparse
from collections.abc import Callable, Iterable
import dataclasses
import logging
import os
from typing import Any, Final

from cliff import command as cliff_command
import sqlalchemy as sa

from nova_db_states import database
from nova_db_states import migrations
from nova_db_states.cmd import options
from nova_db_states.cmd import progress
from nova_db_states.cmd import shell
from nova_db_states.cmd import targets
from nova_db_states.cmd import walk

__all__ = ["Check", "Downgrade", "Sql", "Upgrade"]

LOG: Final = logging.getLogger(__name__)


class _Change(walk.DbLister):
    """A command that changes the indexes."""

    columns = (
        "Cell",
        "Database",
        "Revision",
        "Index",
        "Result",
        "Attempts",
        "Seconds",
        "Message",
    )
    table_columns = ("Cell", "Index", "Result", "Seconds")
    default_to: str | None
    change: Callable[..., tuple[migrations.Step, ...]]

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options that say how far to go and how long to wait."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--to",
            metavar="REVISION",
            default=self.default_to,
            help=f"stop at this revision (default: {self.default_to})",
        )
        options.add_patience(parser)
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], list[walk.Row]]:
        """Change every database and report on each index."""
        found = options.resolve(parsed_args)
        policy = dataclasses.replace(
            migrations.PATIENT, max_attempts=parsed_args.attempts
        )
        with progress.shown(self.app.stderr, len(found)) as display:

            def action(
                target: targets.Target, engine: sa.Engine
            ) -> Iterable[walk.Row]:
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
                        None,
                    )

            rows = list(self.walk(found, action, display.advance))
        return self.columns, rows

    def failure_row(self, result: str, message: str) -> walk.Row:
        """Give the row of a database that has no other."""
        return (None, None, result, None, None, message)


class Upgrade(_Change):
    """Add the indexes that are missing, while Nova goes on working.

    The table stays readable and writable. Adding an index needs the table's
    metadata lock for a moment at its beginning and at its end; if another
    transaction has the table open for longer than --lock-timeout, the attempt
    is given up, so that nobody queues behind it, and made again after a pause.

    Running it again goes on where it ended. An equal index that somebody else
    made counts as present. Exit code 1: the table stayed locked, nothing was
    changed in that cell.

    A Galera cluster is changed only with --galera=toi, and only through a node
    in sync with it.
    """

    default_to = "head"
    change = staticmethod(migrations.upgrade)


class Downgrade(_Change):
    """Drop the indexes that db upgrade added, and nothing else.

    Only indexes whose names begin with ``nova_db_states_`` are touched; it
    waits for the table as db upgrade does. Exit code 1: the table stayed
    locked.
    """

    default_to = "base"
    change = staticmethod(migrations.downgrade)


class Check(walk.DbLister):
    """Say which indexes are there; change nothing.

    Of a Galera cluster this is said of the one node that the URL leads to,
    which first applies what the cluster has committed. Exit code 1: one is
    missing, or one of our name is not what it should be, or that node is
    behind its cluster.
    """

    columns = (
        "Cell",
        "Database",
        "Revision",
        "Index",
        "State",
        "Found as",
        "Message",
    )
    table_columns = ("Cell", "Index", "State")

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], list[walk.Row]]:
        """Look at every database."""
        found = options.resolve(parsed_args)
        return self.columns, list(self.walk(found, self._look))

    def _look(
        self, target: targets.Target, engine: sa.Engine
    ) -> Iterable[walk.Row]:
        entries = migrations.status(engine)
        for entry in entries:
            message = _lacking(entry)
            if message is not None:
                self.exit_code = max(self.exit_code, shell.EXIT_DOES_NOT_HOLD)
                LOG.error("Cell %s: %s", target.cell, message)
            elif entry.found != entry.index:
                message = f"it is there as {entry.found}"
                LOG.info("Cell %s: %s: %s", target.cell, entry.index, message)
            yield (
                entry.revision.revision,
                entry.index,
                entry.state,
                entry.found,
                message,
            )

    def failure_row(self, result: str, message: str) -> walk.Row:
        """Give the row of a database that has no other."""
        return (None, None, result, None, message)


def _lacking(entry: migrations.IndexStatus) -> str | None:
    """Say what to do about an index; nothing about one that is there."""
    if entry.state == "present":
        return None
    remedy = "Run nova-db-states db upgrade."
    if entry.state == "different":
        remedy = "Run nova-db-states db downgrade, then db upgrade."
    return f"{entry.index} is {entry.state}. {remedy}"


class Sql(cliff_command.Command):
    """Print the exact statements of an upgrade, for a DBA; change nothing.

    With databases, only what each still lacks, with key lengths that fit its
    table; for a node of a Galera cluster they change that node alone. With
    --dialect, everything, for a cell as Nova makes it.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options that say which statements are wanted."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        options.add_targets(parser)
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
        options.add_lock_timeout(parser, "as for db upgrade")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the statements."""
        wanted: dict[str, Any] = {
            "down": parsed_args.down,
            "to": parsed_args.to,
            "lock_timeout_s": parsed_args.lock_timeout,
        }
        if parsed_args.dialect:
            _refuse_database(parsed_args)
            lines = migrations.statements(parsed_args.dialect, **wanted)
            self._write(f"-- {parsed_args.dialect}", lines)
            return shell.EXIT_DONE
        code = shell.EXIT_DONE
        for target in options.resolve(parsed_args):
            try:
                engine = target.engine()
                lines = migrations.statements(engine, **wanted)
            except Exception as error:  # noqa: BLE001 - of a driver, of a URL
                walk.report(
                    target, error, with_traceback=self.app.options.debug
                )
                code = shell.EXIT_CANNOT_RUN
                continue
            # A name may be anything, and must not end the comment.
            cell = " ".join(target.cell.split())
            self._write(
                f"-- cell {cell}, {target.shown}",
                (*_use(engine, lines), *lines),
            )
        return code

    def _write(self, heading: str, lines: Iterable[str]) -> None:
        text = "\n".join(lines) or "-- nothing to do"
        self.app.stdout.write(f"{heading}\n{text}\n")


def _refuse_database(parsed: argparse.Namespace) -> None:
    """Refuse a database beside ``--dialect``, which needs none."""
    if parsed.db or parsed.config_file or parsed.config_dir:
        raise targets.TargetError(
            "--dialect and a database were both given. Give --dialect alone "
            "for a cell as Nova makes it, or the database alone for what it "
            "lacks."
        )
    if os.environ.get(targets.DB_URL_VARIABLE):
        LOG.info(
            "--dialect needs no database; %s is left aside.",
            targets.DB_URL_VARIABLE,
        )


def _use(engine: sa.Engine, lines: tuple[str, ...]) -> tuple[str, ...]:
    """Give the statement that makes a client go to the database.

    :param engine: of the database
    :param lines: the statements to be run there
    :returns: none if there is nothing to do, or no client would need it
    """
    if not lines or not database.is_mysql(engine.dialect):
        return ()
    quote = engine.dialect.identifier_preparer.quote_identifier
    return (f"USE {quote(str(engine.url.database))};",)
