# SPDX-License-Identifier: Apache-2.0
"""``nova-db-states status``: is the plugin on, and fit to be."""

import argparse
from collections.abc import Iterable, Sequence
import logging
import textwrap
from typing import Any, Final

from cliff import lister
from oslo_config import cfg
from oslo_upgradecheck import upgradecheck

from nova_db_states.cmd import readiness
from nova_db_states.cmd import shell
from nova_db_states.cmd import targets

__all__ = ["Status"]

LOG: Final = logging.getLogger(__name__)

EXIT_UNEXPECTED: Final = 255
"""As oslo.upgradecheck has it."""

_WIDTH: Final = 44


class Status(lister.Lister):
    """Say whether the plugin is on in Nova, and whether all it needs is there.

    Looks at Nova's configuration, at the cells in its API database, and at
    each cell database; changes nothing. Run it with the configuration of a
    service that has a database, on its host and with its Python.

    Exit codes as of nova-status upgrade check: 0 all well; 1 a warning, to be
    looked into; 2 a failure, so that nothing or not everything is guarded;
    255 it could not be found out.
    """

    columns = ("Check", "Result", "Details")
    exit_code = EXIT_UNEXPECTED

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options that say whose configuration."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--config-file",
            metavar="FILE",
            action="append",
            default=[],
            help="Nova's configuration; may be repeated (default: those that "
            "Nova itself finds, such as /etc/nova/nova.conf)",
        )
        parser.add_argument(
            "--config-dir",
            metavar="DIR",
            action="append",
            default=[],
            help="a folder of such files; may be repeated",
        )
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Print the results, and answer with the worst of them."""
        try:
            super().run(parsed_args)
        except BrokenPipeError:
            raise
        except Exception as error:
            LOG.error(  # noqa: TRY400 - where it was is for --debug
                "%s",
                shell.one_line(error),
                exc_info=error if self.app.options.debug else None,
            )
            return EXIT_UNEXPECTED
        return self.exit_code

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], list[tuple[str, str, str]]]:
        """Do every check."""
        files = parsed_args.config_file
        if not files and not parsed_args.config_dir:
            files = cfg.find_config_files(project="nova")
            if not files:
                raise targets.TargetError(
                    "Nova has no configuration file in the usual places. "
                    "Give --config-file FILE."
                )
        checks = readiness.Checks(files, parsed_args.config_dir)
        results = list(checks.results())
        self.exit_code = max(int(result.code) for _, result in results)
        return self.columns, [
            (
                name,
                str(upgradecheck.UPGRADE_CHECK_MSG_MAP[result.code]),
                shell.scrubbed(result.details or ""),
            )
            for name, result in results
        ]

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
    ) -> int:
        """Print the results; a table has its details in several lines."""
        rows = [tuple(row) for row in data]
        if parsed_args.formatter == "table":
            rows = [
                (name, result, "\n".join(textwrap.wrap(details, _WIDTH)))
                for name, result, details in rows
            ]
        printed: int = super().produce_output(parsed_args, column_names, rows)
        return printed
