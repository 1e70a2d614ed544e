# SPDX-License-Identifier: Apache-2.0
"""The program itself: options for all commands, log, errors, exit codes.

Results go to standard output, everything else to standard error. Exit code 0:
done, or what was asked about holds. 1: it does not hold. 2: wrong usage, or
it could not be found out. 128 and a signal's number: the signal ended it.
"""

import argparse
from collections.abc import Sequence
import copy
import importlib.metadata
import logging
import re
import sys
from typing import Any, Final, NoReturn, TextIO

from cliff import app as cliff_app
from cliff import command as cliff_command
from cliff import commandmanager
from sqlalchemy import exc as sa_exc

from nova_db_states import exceptions
from nova_db_states import retry

__all__ = ["App", "main", "scrubbed"]

EXIT_DONE: Final = 0
EXIT_DOES_NOT_HOLD: Final = 1
EXIT_CANNOT_RUN: Final = 2

_PACKAGE: Final = "nova_db_states"
_PASSES_ON: Final = "run"
"""The command behind whose name nothing is an option of this program."""

_CREDENTIALS: Final = re.compile(r"(://[^:/@\s]*:)\S*@")
"""The password in a URL. Up to the last ``@``: one that is not encoded may
stand in the password itself."""


def scrubbed(text: str) -> str:
    """Mask the passwords of all URLs in a text.

    :param text: anything on its way out
    :returns: the text with ``***`` in place of each
    """
    return _CREDENTIALS.sub(r"\1***@", text)


def one_line(error: object) -> str:
    """Say in one line what went wrong.

    :param error: an exception, or a text
    :returns: for the database's errors what the driver said, without
        SQLAlchemy's statement and link; for ours the message
    """
    if isinstance(error, (exceptions.NovaDBStatesError, str)):
        return str(error)
    if isinstance(error, sa_exc.SQLAlchemyError):
        return " ".join(str(retry.driver_error(error)).split())
    return f"{type(error).__name__}: {error}. --debug shows where."


def _masking(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Let a parser mask the passwords in what it complains about.

    :param parser: any
    :returns: the same
    """
    complain = parser.error

    def error(message: str) -> NoReturn:
        complain(scrubbed(message))

    # Neither argparse nor cliff lets an application name its parser class
    # for every command.
    parser.error = error  # type: ignore[method-assign]
    return parser


class _Scrubbing(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        if isinstance(record.msg, BaseException):
            # That is how cliff logs what ended a command.
            record = copy.copy(record)
            record.msg = one_line(record.msg)
        # The whole record, a traceback included.
        return scrubbed(super().format(record))


class App(cliff_app.App):
    """The program ``nova-db-states``."""

    NAME = "nova-db-states"
    LOG = logging.getLogger(f"{_PACKAGE}.cmd")

    def __init__(
        self, stdout: TextIO | None = None, stderr: TextIO | None = None
    ) -> None:
        self.failure: BaseException | None = None
        self.handlers: list[logging.Handler] = []
        # What stands after the command that starts others; None: no such.
        self.passed_on: list[str] | None = None
        super().__init__(
            description="Guarded state changes for OpenStack Nova instances.",
            version=_version(),
            command_manager=commandmanager.CommandManager(f"{_PACKAGE}.cli"),
            stdout=stdout,
            stderr=stderr,
            # So that --help behind a command is that of the command.
            deferred_help=True,
        )

    def build_option_parser(
        self,
        description: str | None,
        version: str | None,
        argparse_kwargs: dict[str, Any] | None = None,
    ) -> argparse.ArgumentParser:
        """Make the parser of the options that stand before the command."""
        parser = super().build_option_parser(
            description,
            version,
            {**(argparse_kwargs or {}), "prog": self.NAME},
        )
        parser.epilog = (
            "Exit codes: 0 done; 1 what was asked about does not hold; 2 "
            "wrong usage, or it could not run."
        )
        return _masking(parser)

    def configure_logging(self) -> None:
        """Log to standard error, and to a file if one is given.

        Other packages are heard there from WARNING on; with ``--verbose``
        given twice from DEBUG on, as in the file.
        """
        verbose = self.options.verbose_level
        console = logging.StreamHandler(self.stderr)
        console.setLevel(
            {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
        )
        console.setFormatter(_Scrubbing(self.CONSOLE_MESSAGE_FORMAT))
        if verbose <= self.DEFAULT_VERBOSE_LEVEL + 1:
            console.addFilter(_ours_or_serious)
        self.handlers.append(console)
        if self.options.log_file:
            try:
                log_file = logging.FileHandler(self.options.log_file)
            except OSError as error:
                self.parser.error(
                    f"argument --log-file: {self.options.log_file}: "
                    f"{error.strerror}"
                )
            log_file.setFormatter(_Scrubbing(self.LOG_FILE_MESSAGE_FORMAT))
            self.handlers.append(log_file)
        root = logging.getLogger()
        root.setLevel(min(handler.level for handler in self.handlers))
        for handler in self.handlers:
            root.addHandler(handler)

    def interact(self) -> NoReturn:
        """Answer a call without a command with the help, as wrong usage."""
        self.parser.print_help(self.stderr)
        names = sorted(name for name, _ in self.command_manager)
        self.stderr.write(f"\nCommands: {', '.join(names)}\n")
        raise SystemExit(EXIT_CANNOT_RUN)

    def run(self, argv: list[str]) -> int:
        """Run the program.

        :param argv: its arguments
        :returns: the exit code
        """
        position = self._position_of_run(argv)
        if position is not None:
            # argparse would take --debug and the like out of these.
            self.passed_on = argv[position + 1 :]
            argv = argv[: position + 1]
        result: int = super().run(argv)
        return result

    def _position_of_run(self, argv: list[str]) -> int | None:
        """Find the command that passes all behind it on."""
        probe = self.build_option_parser(
            None, _version(), {"exit_on_error": False}
        )
        for position, word in enumerate(argv):
            if word != _PASSES_ON:
                continue
            try:
                _, rest = probe.parse_known_args(argv[:position])
            except argparse.ArgumentError:
                # It is what an option before it was given.
                continue
            return None if rest else position
        return None

    def run_subcommand(self, argv: list[str]) -> int:
        """Run one command.

        :param argv: the command and its arguments
        :returns: the exit code
        """
        if argv == [_PASSES_ON]:
            argv = [*argv, *(self.passed_on or ())]
        try:
            self.command_manager.find_command(argv)
        except ValueError:
            # cliff would say so on standard output.
            self.LOG.error(  # noqa: TRY400 - where it was noticed is no news
                "%r is not a command. Is one of these meant: %s? %s --help "
                "lists all.",
                " ".join(argv),
                ", ".join(self.get_fuzzy_matches(argv[0])),
                self.NAME,
            )
            return EXIT_CANNOT_RUN
        result: int = super().run_subcommand(argv)
        # cliff answers 1 to every exception; here that means something else.
        if isinstance(self.failure, exceptions.MigrationBlocked):
            return EXIT_DOES_NOT_HOLD
        if isinstance(self.failure, Exception):
            return EXIT_CANNOT_RUN
        return result

    def prepare_to_run_command(self, cmd: cliff_command.Command) -> None:
        """Make sure that the command's own parser shows no password.

        :param cmd: the command
        """
        make = cmd.get_parser

        def masking(prog_name: str) -> argparse.ArgumentParser:
            return _masking(make(prog_name))

        # The only place where cliff hands over a command before its parser
        # is used.
        cmd.get_parser = masking  # type: ignore[method-assign]

    def clean_up(
        self,
        cmd: cliff_command.Command,
        result: int,
        err: BaseException | None,
    ) -> None:
        """Remember what a command ended with.

        :param cmd: the command
        :param result: what it returned
        :param err: what it raised, ``None`` for nothing
        """
        del cmd, result
        self.failure = err


def _ours_or_serious(record: logging.LogRecord) -> bool:
    return (
        record.name.partition(".")[0] == _PACKAGE
        or record.levelno >= logging.WARNING
    )


def _version() -> str:
    try:
        return importlib.metadata.version(_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    :param argv: the arguments; ``None`` for those of the process
    :returns: the exit code
    """
    app = App()
    try:
        return int(app.run(list(sys.argv[1:] if argv is None else argv)))
    except SystemExit as end:
        # From argparse and cliff: None or 0 after --help and --version, 2 for
        # wrong usage.
        if end.code is None:
            return EXIT_DONE
        return end.code if isinstance(end.code, int) else EXIT_CANNOT_RUN
    finally:
        root = logging.getLogger()
        for handler in app.handlers:
            root.removeHandler(handler)
            handler.close()


if __name__ == "__main__":
    sys.exit(main())
