# SPDX-License-Identifier: Apache-2.0
"""``nova-db-states run``: a command with the plugin in its processes."""

import argparse
from collections.abc import Mapping
import logging
import os
import pathlib
import re
import shutil
import signal
from typing import Final, NoReturn

from cliff import command as cliff_command

from nova_db_states import exceptions

__all__ = ["Run", "environment"]

LOG: Final = logging.getLogger(__name__)

# As a shell answers.
EXIT_NOT_EXECUTABLE: Final = 126
EXIT_NOT_FOUND: Final = 127

FOLDER: Final = pathlib.Path(__file__).parent.parent / "nova" / "start"

_PATH: Final = "PYTHONPATH"

_BLIND: Final = re.compile(rb"#!.*?python\S*\s(?:.*\s)?-\w*[IES]")
"""The first line of a script for a Python that is told not to look at
PYTHONPATH, or not to run what it finds there."""


class RunError(exceptions.InvalidRequest):
    """There is no command, or the plugin would not be in it."""


class Run(cliff_command.Command):
    """Start a command with the plugin in it: nova-compute.

    Nothing else about the command changes: it takes the place of this
    process, with its process ID, and gets its arguments, signals, files and
    exit code. Every Python process that it starts has the plugin too; the
    plugin does nothing in one that does not import Nova.

    All that stands after COMMAND is the command's own, options such as
    --debug and --help too.

    For services that have a database, the line in nova.conf is enough.

    Exit codes: those of the command; 127 if there is no such command, 126 if
    it cannot be executed.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take everything from the command on as it stands."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.usage = f"{prog_name} [-h] COMMAND [ARGS ...]"
        parser.add_argument(
            "command",
            metavar="COMMAND [ARGS ...]",
            # Of two arguments, the first would swallow a "--" behind it.
            nargs=argparse.REMAINDER,
            help="the command as without the plugin, such as nova-compute "
            "--config-file /etc/nova/nova.conf",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        """Become the command."""
        if getattr(self.app, "passed_on", None) is None:
            # Options may have been taken out already.
            raise RunError("Write the whole word: nova-db-states run.")
        words = list(parsed_args.command)
        if words[:1] == ["--"]:
            del words[0]
        if not words or not words[0]:
            raise RunError(
                "No command was given. Give one, with its arguments: "
                "nova-db-states run nova-compute --config-file FILE."
            )
        found = shutil.which(words[0])
        if found is not None:
            _refuse_blind(found)
        try:
            become(words, environment(os.environ))
        except OSError as error:
            return _failed(words[0], found, error)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Give the environment of a process with the plugin.

    :param environ: that of one without it
    :returns: the same, and a folder of ours in front of ``PYTHONPATH``
    """
    before = environ.get(_PATH, "")
    others = [
        path
        for path in (before.split(os.pathsep) if before else [])
        if path != str(FOLDER)
    ]
    # An empty one among them means the current folder, and stays.
    return {**environ, _PATH: os.pathsep.join([str(FOLDER), *others])}


def become(words: list[str], environ: Mapping[str, str]) -> NoReturn:
    """Let a command take the place of this process.

    :param words: the command and its arguments
    :param environ: its environment
    :raises OSError: it cannot be executed
    """
    # Python ignores these for itself, and what is ignored stays so.
    before = {
        number: signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGPIPE, signal.SIGXFSZ)
    }
    try:
        os.execvpe(words[0], words, environ)  # noqa: S606 - what it is for
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _refuse_blind(path: str) -> None:
    """Refuse a script that would not get the plugin.

    :raises RunError: its first line keeps ``PYTHONPATH`` away from it
    """
    try:
        with open(path, "rb") as script:  # noqa: PTH123 - bytes of any name
            line = script.readline(256)
    except OSError:
        return
    if _BLIND.match(line):
        raise RunError(
            f"{path} begins with {line.decode(errors='replace').strip()!r}. "
            f"With the options -I, -E and -S Python leaves PYTHONPATH or "
            f"sitecustomize out, and the plugin with it. Start it without "
            f"them."
        )


def _failed(command: str, found: str | None, error: OSError) -> int:
    """Say why a command cannot be executed.

    :returns: the exit code, as of a shell
    """
    missing = isinstance(error, FileNotFoundError | NotADirectoryError)
    if missing and found is None:
        LOG.error("%s: there is no such command.", command)
        return EXIT_NOT_FOUND
    if missing:
        LOG.error(
            "%s: what its first line names to execute it with is not there.",
            found,
        )
    else:
        LOG.error("%s: cannot be executed: %s.", command, error.strerror)
    return EXIT_NOT_EXECUTABLE
