# SPDX-License-Identifier: Apache-2.0
"""Options that several ``db`` commands have in common.

Defaults are written into the help texts: the reference in the documentation
shows these as they stand, without what argparse would fill in.
"""

import argparse
import os
from typing import Final

from nova_db_states import migrations
from nova_db_states.cmd import targets

__all__ = [
    "add_lock_timeout",
    "add_patience",
    "add_targets",
    "resolve",
]

_LOCK_TIMEOUT_S: Final = 2


def _at_least_one(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if number < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r}: give a whole number, at least 1"
        )
    return number


def add_targets(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which databases are meant.

    :param parser: of the command
    """
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


def add_lock_timeout(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup, meaning: str
) -> None:
    """Add how long to wait for the table.

    :param parser: of the command, or a group in it
    :param meaning: the help text
    """
    parser.add_argument(
        "--lock-timeout",
        metavar="SECONDS",
        type=_at_least_one,
        default=_LOCK_TIMEOUT_S,
        help=f"{meaning} (default: {_LOCK_TIMEOUT_S})",
    )


def add_patience(parser: argparse.ArgumentParser) -> None:
    """Add the options that say how long and how often to try.

    :param parser: of the command
    """
    group = parser.add_argument_group("patience")
    add_lock_timeout(
        group,
        "how long one attempt may wait for the table; every other statement "
        "on it waits as long",
    )
    group.add_argument(
        "--attempts",
        metavar="N",
        type=_at_least_one,
        default=migrations.PATIENT.max_attempts,
        help="how often to try, with growing pauses of up to "
        f"{migrations.PATIENT.max_backoff_s:.0f} seconds between (default: "
        f"{migrations.PATIENT.max_attempts})",
    )
    group.add_argument(
        "--galera",
        choices=["toi"],
        help="on a Galera cluster, change all nodes at once in total order: "
        "no node writes meanwhile, and nothing above bounds that; without "
        "this a cluster is refused, with an estimate of how long it would "
        "take and the steps to change it node by node",
    )


def resolve(parsed: argparse.Namespace) -> tuple[targets.Target, ...]:
    """Find the databases that the options mean.

    :param parsed: the options of :func:`add_targets`
    :returns: the cells, at least one
    :raises NovaDBStatesError: they lead to none
    """
    return targets.resolve(
        parsed.db, parsed.config_file, parsed.config_dir, os.environ
    )
