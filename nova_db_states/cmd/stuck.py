# SPDX-License-Identifier: Apache-2.0
"""``nova-db-states stuck``: servers that are under way for too long."""

import argparse
from collections.abc import Iterable
import contextlib

from oslo_db import exception as db_exc
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_db_states import actions
from nova_db_states import api
from nova_db_states.cmd import options
from nova_db_states.cmd import shell
from nova_db_states.cmd import targets
from nova_db_states.cmd import walk

__all__ = ["Stuck"]


class Stuck(walk.DbLister):
    """List the servers that are in the middle of something for too long.

    Each state that passes has its time in the map (map show STATE); what has
    been in one for longer, since its last sign of life, is probably nobody's
    work any more. The clock is that of each database, and times are in UTC.
    Nothing is changed: look at the host, then ask for one of the actions that
    are allowed.

    Exit code 1: there are such servers.
    """

    columns = (
        "Cell",
        "Database",
        "Instance",
        "Host",
        "VM state",
        "Task state",
        "Since",
        "Age s",
        "Limit s",
        "Allowed actions",
        "Result",
        "Message",
    )
    table_columns = ("Instance", "Task state", "Age s", "Result")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the option for an age of the caller's own."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--older-than",
            metavar="SECONDS",
            type=_seconds,
            help="one limit for every state (default: what the map gives "
            "each)",
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], list[walk.Row]]:
        """Look at every database."""

        def look(_: targets.Target, engine: sa.Engine) -> Iterable[walk.Row]:
            found = _find(engine.url, parsed_args.older_than)
            if found:
                self.exit_code = max(self.exit_code, shell.EXIT_DOES_NOT_HOLD)
            return map(_row, found)

        found = options.resolve(parsed_args)
        return self.columns, list(self.walk(found, look))

    def failure_row(self, result: str, message: str) -> walk.Row:
        """Give the row of a database that has no other."""
        return (*(None,) * 8, result, message)


def _find(
    url: sa.URL, older_than_s: int | None
) -> tuple[actions.StuckInstance, ...]:
    with contextlib.closing(api.connect(url)) as context:
        try:
            return actions.stuck(context, older_than_s)
        except db_exc.DBError as error:
            # What the driver said is what the remedies go by.
            inner = error.inner_exception
            if isinstance(inner, sa_exc.DBAPIError):
                raise inner from error
            raise


def _row(one: actions.StuckInstance) -> walk.Row:
    return (
        one.instance_uuid,
        one.host,
        one.vm_state,
        one.task_state,
        f"{one.since:%Y-%m-%d %H:%M:%S}",
        one.age_s,
        one.max_age_s,
        ", ".join(one.allowed_actions),
        "stuck",
        None,
    )


def _seconds(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(
            f"{text!r}: give a whole number of seconds"
        )
    return int(text)
