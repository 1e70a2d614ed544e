# SPDX-License-Identifier: Apache-2.0
"""``nova-db-states map verify``: whether the map is right for a Nova."""

import argparse
from collections.abc import Iterable
import csv
import json
import logging
import pathlib
from typing import Final, TextIO

from cliff import command as cliff_command

from nova_db_states import drift
from nova_db_states.cmd import shell

__all__ = ["Verify"]

LOG: Final = logging.getLogger(__name__)

_COLUMNS: Final = ("kind", "where", "found", "declared", "remedy")


class Verify(cliff_command.Command):
    """Compare the state map with the source of a Nova; import none of it.

    Exit code 0: the map is right for this Nova. 1: it is not, and each
    difference is printed. 2: there is no Nova, its source cannot be read, or
    it is not the release that was given.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options that say which Nova is meant."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "--source",
            metavar="DIR",
            type=_folder,
            help="where Nova is: its package, the folder that holds it, or a "
            "virtualenv (default: the Nova that is installed beside this)",
        )
        parser.add_argument(
            "--release",
            metavar="N",
            type=_given,
            help="its release, such as 34, where the metadata beside the "
            "source does not say, as in a checkout; where it does, the two "
            "must agree",
        )
        parser.add_argument(
            "-f",
            "--format",
            choices=("table", "json", "csv"),
            default="table",
            help="how to print the differences (default: table)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Compare, print, and answer with the exit code."""
        report = drift.verify(parsed_args.source, parsed_args.release)
        if report.compared_with != report.tree.release:
            LOG.warning(
                "Nova %s is none of the releases that the map was made from "
                "(%d to %d). It is compared with what is declared of %d.",
                report.tree.version,
                *drift.KNOWN_RELEASES,
                report.compared_with,
            )
        show = {"table": _print_text, "json": _print_json, "csv": _print_csv}
        show[parsed_args.format](report, self.app.stdout)
        return shell.EXIT_DONE if report.holds else shell.EXIT_DOES_NOT_HOLD


def _folder(text: str) -> pathlib.Path:
    return pathlib.Path(_given(text))


def _given(text: str) -> str:
    """Refuse what an unset variable of a script leaves."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return text


def _print_text(report: drift.Report, stream: TextIO) -> None:
    found = report.drifts
    compared = (
        ""
        if report.compared_with == report.tree.release
        else f", as release {report.compared_with}"
    )
    stream.writelines(
        f"{one.kind}: {one.where}\n"
        f"    Nova has  {one.found}\n"
        f"    the map   {one.declared}\n"
        f"    {one.remedy}\n"
        for one in found
    )
    stream.write(
        f"Nova {report.tree.version} in {report.tree.root}{compared}: "
        f"{report.writes} writes, "
        f"{len(found) or 'no'} difference{'' if len(found) == 1 else 's'}.\n"
    )


def _rows(report: drift.Report) -> Iterable[dict[str, str]]:
    for one in report.drifts:
        yield {name: str(getattr(one, name)) for name in _COLUMNS}


def _print_json(report: drift.Report, stream: TextIO) -> None:
    answer = {
        "nova": report.tree.version,
        "source": str(report.tree.root),
        "compared_with": report.compared_with,
        "writes": report.writes,
        "drifts": list(_rows(report)),
    }
    json.dump(answer, stream, indent=2)
    stream.write("\n")


def _print_csv(report: drift.Report, stream: TextIO) -> None:
    writer = csv.DictWriter(stream, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rows(report))
