# SPDX-License-Identifier: Apache-2.0
"""``nova-db-states map export``: the state map for programs and for people."""

import argparse
from collections.abc import Callable
import logging
from typing import Final

from cliff import command as cliff_command

from nova_db_states.cmd import map_svg
from nova_db_states.cmd import shell
from nova_db_states.machine import instance
from nova_db_states.machine import queries
from nova_db_states.machine.render import csv
from nova_db_states.machine.render import dot
from nova_db_states.machine.render import json
from nova_db_states.machine.render import mermaid
from nova_db_states.machine.render import parts
from nova_db_states.machine.render import rst

__all__ = ["Export"]

LOG: Final = logging.getLogger(__name__)


def _svg(part: parts.Part) -> str:
    return map_svg.draw(dot.render(part))


_FORMATS: Final[dict[str, Callable[[parts.Part], str]]] = {
    "csv": csv.render,
    "json": json.render,
    "rst": rst.render,
    "dot": dot.render,
    "svg": _svg,
    "mermaid": mermaid.render,
}


class Export(cliff_command.Command):
    """Print the state map: what may follow what, by whom.

    csv has the edges that are allowed, one a line: from_vm_state,
    from_task_state, to_vm_state, to_task_state, action, path (success or
    failure) and the Nova function that writes it. An empty state is NULL, a
    boot starts from (none), and a row that is marked as deleted keeps its
    states. json has all that is known, what nobody may do in a list of its
    own. rst is for people.

    dot, svg and mermaid are pictures: of one action, of one state and what
    leads out of it, or, without --action and --from, of what servers stay in
    and what moves them. svg needs Graphviz.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the options that say what is wanted."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "-f",
            "--format",
            choices=tuple(_FORMATS),
            default="csv",
            help="what to write (default: csv)",
        )
        parser.add_argument(
            "--action",
            metavar="NAME",
            help="this action alone, such as stop",
        )
        parser.add_argument(
            "--from",
            metavar="STATE",
            dest="from_",
            help="only what leads out of this state, such as active, or "
            '"active / powering-off"',
        )
        parser.add_argument(
            "--release",
            type=int,
            choices=instance.RELEASES,
            help="only what this release of Nova writes (default: what any "
            "of them does)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Print the map."""
        if parsed_args.action is not None:
            queries.action(parsed_args.action)
        from_ = parsed_args.from_
        part = parts.cut(
            instance.MAP,
            action=parsed_args.action,
            from_=None if from_ is None else queries.state(from_),
            release=parsed_args.release,
        )
        if not (part.transitions or part.defects):
            LOG.warning("No edge of the map is like that.")
        self.app.stdout.write(_FORMATS[parsed_args.format](part))
        return shell.EXIT_DONE
