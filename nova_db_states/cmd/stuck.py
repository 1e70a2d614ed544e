# SPDX-License-Identifier: Apache-2.0
"""``nova-db-states stuck``: servers that are under way for too long."""

import argparse
from collections.abc import Iterable, Sequence
import contextlib
import logging
from typing import Any, Final

from oslo_db import exception as db_exc
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_db_states import actions
from nova_db_states import api
from nova_db_states._actions import refusals
from nova_db_states._actions import stuck
from nova_db_states.cmd import options
from nova_db_states.cmd import shell
from nova_db_states.cmd import targets
from nova_db_states.cmd import walk

__all__ = ["Stuck"]

LOG: Final = logging.getLogger(__name__)

# What a line has room for, beside the rest.
_SHOWN: Final = 2


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
    table_columns = (
        "Instance",
        "VM state",
        "Task state",
        "Host",
        "Age s",
        "Allowed actions",
    )

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the option for an age of the caller's own."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--older-than",
            metavar="SECONDS",
            type=_seconds,
            help="one limit for every state, fractions too (default: what "
            "the map gives each)",
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], list[walk.Row]]:
        """Look at every database."""
        as_lists = parsed_args.formatter == "json"

        def look(_: targets.Target, engine: sa.Engine) -> Iterable[walk.Row]:
            found = _find(engine.url, parsed_args.older_than)
            if found:
                self.exit_code = max(self.exit_code, shell.EXIT_DOES_NOT_HOLD)
            return [_row(one, as_list=as_lists) for one in found]

        found = options.resolve(parsed_args)
        return self.columns, list(self.walk(found, look))

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
    ) -> int:
        """Print the servers; a table has what fits, and any failure."""
        rows = list(data)
        if not rows:
            LOG.info("No server is stuck.")
        if parsed_args.formatter == "table":
            rows = [_shortened(row) for row in rows]
            if not parsed_args.columns and any(row[-1] for row in rows):
                parsed_args.columns = [*self.table_columns, "Result"]
        if not rows:
            if parsed_args.formatter in {"table", "value"}:
                return shell.EXIT_DONE
            # Past what would say that there is nothing to do.
            printed: int = super(walk.DbLister, self).produce_output(
                parsed_args, column_names, rows
            )
            return printed
        return super().produce_output(parsed_args, column_names, rows)

    def failure_row(self, result: str, message: str) -> walk.Row:
        """Give the row of a database that has no other."""
        return (*(None,) * 8, result, message)


def _find(
    url: sa.URL, older_than_s: float | None
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


def _row(one: actions.StuckInstance, *, as_list: bool) -> walk.Row:
    allowed = one.allowed_actions
    return (
        one.instance_uuid,
        one.host,
        one.vm_state,
        one.task_state,
        None if one.since is None else f"{one.since:%Y-%m-%d %H:%M:%S}",
        one.age_s,
        one.max_age_s,
        # The names have commas in them.
        list(allowed) if as_list else "; ".join(allowed),
        "stuck",
        None,
    )


def _shortened(row: Sequence[Any]) -> walk.Row:
    *cells, allowed, result, message = row
    if allowed:
        allowed = refusals.some(allowed.split("; "), _SHOWN)
    return (*cells, allowed, result, message)


def _seconds(text: str) -> float:
    try:
        return stuck.checked_seconds(float(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r}: give a number of seconds from 0 on"
        ) from error
