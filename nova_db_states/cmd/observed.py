# SPDX-License-Identifier: Apache-2.0
"""``nova-db-states observed``: the conflicts in log files, summed up."""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
import contextlib
import dataclasses
import gzip
import json
import logging
import pathlib
import re
import sys
from typing import Any, Final
import zlib

from cliff import lister

from nova_db_states import exceptions
from nova_db_states.cmd import shell
from nova_db_states.machine import notation

__all__ = ["MARK", "Observed", "Sum", "sum_up"]

LOG: Final = logging.getLogger(__name__)

MARK: Final = "nova_db_states conflict "
"""What ``nova/conflicts.py`` writes before the JSON of a line."""

_OUTCOMES: Final = {name: name for name in ("observed", "refused", "yielded")}
"""Anything else comes from somebody who only writes like the plugin."""

_GZIP: Final = b"\x1f\x8b"
_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"
)
_TIME_KEYS: Final = ("asctime", "timestamp", "@timestamp", "time")
"""Of oslo.log's formatters for JSON and Fluentd, and of what wraps lines."""


class LogError(exceptions.InvalidRequest):
    """A log file cannot be read."""


@dataclasses.dataclass(slots=True)
class Sum:
    """What one caller did about one edge.

    :ivar outcome: ``observed``: was let through, would be refused in the mode
        enforce; ``refused``; ``yielded``: refused while another error was
        handled
    :ivar caller: ``file:function``; empty where it is not known
    :ivar before: the state that was found, ``vm_state /
        task_state``
    :ivar after: the state that was to be written
    :ivar count: how often
    :ivar servers: how many servers
    :ivar first: the earliest time in the lines, as it stands there
    :ivar last: the latest
    :ivar request_id: of one of them
    """

    outcome: str
    caller: str
    before: str
    after: str
    count: int = 0
    first: str | None = None
    last: str | None = None
    request_id: str | None = None
    servers: set[str] = dataclasses.field(default_factory=set)

    def add(self, facts: Mapping[str, Any], when: str | None) -> None:
        """Count one more."""
        self.count += 1
        self.servers.add(str(facts.get("instance")))
        self.request_id = self.request_id or _printable(
            facts.get("request_id")
        )
        if when is not None:
            when = when.replace("T", " ").replace(",", ".")
            self.first = min(self.first or when, when)
            self.last = max(self.last or when, when)


@dataclasses.dataclass(slots=True)
class Found:
    """What is in some log files.

    :ivar sums: the most frequent first
    :ivar broken: where a line has the mark and cannot be read, ``file:line``
    """

    sums: list[Sum]
    broken: list[str]


class Observed(lister.Lister):
    """Sum up the conflicts that the plugin has logged, by caller and edge.

    In the mode observe, each line stands for a write that the mode enforce
    would have refused; in the mode enforce, for one that was refused. Give
    all log files of nova-conductor and of the services with a database: lines
    as oslo.log writes them, plain or as JSON, with whatever journald, syslog
    or a container put around them; .gz too, - for standard input.

    Exit code 0 whatever is found; 2: a file cannot be read.
    """

    columns = (
        "Outcome",
        "Caller",
        "From",
        "To",
        "Count",
        "Servers",
        "First",
        "Last",
        "Request ID",
    )
    table_columns = ("Outcome", "Caller", "From", "To", "Count")

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the files."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.add_argument(
            "files",
            metavar="LOGFILE",
            nargs="+",
            help="log file, also one that gzip made; - for standard input",
        )
        return parser

    def take_action(
        self, parsed_args: argparse.Namespace
    ) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        """Read all files."""
        found = sum_up(_lines(parsed_args.files))
        if found.broken:
            LOG.warning(
                "Lines with the mark of a conflict that cannot be read, and "
                "are not counted: %d, the first in %s.",
                len(found.broken),
                found.broken[0],
            )
        if not found.sums:
            LOG.info("No conflict.")
        return self.columns, [_row(one) for one in found.sums]

    def produce_output(
        self,
        parsed_args: argparse.Namespace,
        column_names: Sequence[str],
        data: Iterable[Sequence[Any]],
    ) -> int:
        """Print the sums; a table for people has what fits a line."""
        rows = list(data)
        if parsed_args.formatter in {"table", "value"}:
            if not rows:
                return shell.EXIT_DONE
            rows = [
                tuple("-" if value in {None, ""} else value for value in row)
                for row in rows
            ]
        if parsed_args.formatter == "table" and not parsed_args.columns:
            parsed_args.columns = list(self.table_columns)
        printed: int = super().produce_output(parsed_args, column_names, rows)
        return printed


def _row(one: Sum) -> tuple[object, ...]:
    return (
        one.outcome,
        one.caller,
        one.before,
        one.after,
        one.count,
        len(one.servers),
        one.first,
        one.last,
        one.request_id,
    )


Line = tuple[str, str]
"""Where it is, ``file:line``, and what is in it."""


def sum_up(lines: Iterable[Line]) -> Found:
    """Sum up the conflicts in log lines.

    :param lines: the lines with their places, others among them
    :returns: the sums, and what could not be read
    """
    sums: dict[tuple[str, ...], Sum] = {}
    broken = []
    for place, line in lines:
        if MARK not in line:
            continue
        try:
            facts, when = _read(line)
            key = (
                _OUTCOMES[facts["outcome"]],
                _printable(facts.get("caller")),
                _state(facts.get("from")),
                _state(facts.get("to")),
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            broken.append(place)
            continue
        sums.setdefault(key, Sum(*key)).add(facts, when)
    order = sorted(sums.items(), key=lambda item: (-item[1].count, item[0]))
    return Found([one for _, one in order], broken)


def _read(line: str) -> tuple[Mapping[str, Any], str | None]:
    """Get the facts and the time out of a line.

    :raises ValueError: it is cut off, or otherwise none
    """
    before, _, after = line.partition(MARK)
    decoder = json.JSONDecoder()
    if "{" in before:
        # In front of it there may be what syslog or journald writes.
        with contextlib.suppress(ValueError):
            record = decoder.raw_decode(line[before.index("{") :])[0]
            return _read_wrapped(record, before)
    facts: Any = decoder.raw_decode(after)[0]
    if not isinstance(facts, dict):
        raise TypeError(facts)
    found = _TIME.search(before)
    return facts, found.group() if found else None


def _read_wrapped(
    record: Mapping[str, Any], before: str
) -> tuple[Mapping[str, Any], str | None]:
    """Read a line of JSON, which has the message as one of its values.

    :param record: the line
    :param before: what stands in front of the message
    :raises ValueError: the message is cut off, or is not among the values
    """
    for value in record.values():
        if isinstance(value, str) and MARK in value:
            facts, when = _read(value)
            times = [record.get(key) for key in _TIME_KEYS]
            known = [one for one in times if isinstance(one, str)]
            return facts, when or next(iter(known), None)
    raise ValueError(before)


def _state(pair: Any) -> str:
    """Write a state as the map does; where none is told, nothing."""
    return "" if pair is None else _printable(notation.State(*pair))


def _printable(value: Any) -> str:
    """Write what a log says so that no terminal can be told anything by it."""
    text = "" if value is None else str(value)
    return "".join(
        each if each.isprintable() else ascii(each)[1:-1] for each in text
    )


def _lines(names: Iterable[str]) -> Iterator[Line]:
    """Read files one after the other, line by line.

    :raises LogError: one cannot be read
    """
    for name in names:
        try:
            with contextlib.ExitStack() as stack:
                raw: Any = sys.stdin.buffer
                if name != "-":
                    raw = stack.enter_context(pathlib.Path(name).open("rb"))
                # After a rotation names say little, and the first bytes all.
                if raw.peek(len(_GZIP)).startswith(_GZIP):
                    raw = gzip.GzipFile(fileobj=raw)
                for number, line in enumerate(raw, start=1):
                    yield f"{name}:{number}", line.decode(errors="replace")
        except (OSError, EOFError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise LogError(
                f"{name}: {reason}. Give the log files of Nova's services."
            ) from error
