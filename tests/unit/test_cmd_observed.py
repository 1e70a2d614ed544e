# SPDX-License-Identifier: Apache-2.0
"""``nova-db-states observed``: log lines in, sums out."""

from collections.abc import Callable, Iterator
import csv
import gzip
import io
import json
import logging
import pathlib
import sys
from typing import Any

from oslo_config import cfg
from oslo_log import formatters
from oslo_log import log as oslo_log
import pytest

from nova_db_states.cmd import observed
from nova_db_states.cmd import shell
from nova_db_states.nova import conflicts
from nova_db_states.nova import settings

STOP = {
    "instance": "i1",
    "caller": "nova/compute/api.py:API.stop",
    "request_id": "req-1",
    "from": ["active", None],
    "to": ["active", "powering-off"],
    "believed": None,
}
REBOOT = STOP | {
    "caller": "nova/compute/api.py:API.reboot",
    "to": ["active", "rebooting"],
}
DESTROY = STOP | {"caller": "", "to": ["destroyed", None]}
YIELDED = {"instance": "i3", "caller": "x", "handling": "E", "message": "m"}

Logged = Callable[..., list[str]]


class _Forwarded(formatters.FluentFormatter):  # type: ignore[misc]
    """As fluentd writes to a file what oslo.log hands to it."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(super().format(record))


FORMATTERS = {
    "plain": lambda: logging.Formatter(
        "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s "
        "[None req-2 u p - - default default] %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    ),
    "context": lambda: formatters.ContextFormatter(
        config=_registered(), version="1"
    ),
    "json": formatters.JSONFormatter,
    "fluentd": _Forwarded,
}


def _registered() -> cfg.ConfigOpts:
    conf = cfg.ConfigOpts()
    oslo_log.register_options(conf)
    conf([])
    return conf


@pytest.fixture
def logged() -> Iterator[Logged]:
    """Let the plugin write about conflicts, and give the lines."""
    settings.register()
    logger = logging.getLogger(conflicts.__name__)
    level = logger.level
    logger.setLevel(logging.DEBUG)

    def write(formatter: str, *every: dict[str, Any]) -> list[str]:
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        handler.setFormatter(FORMATTERS[formatter]())
        logger.addHandler(handler)
        for facts in every:
            outcome = "observed" if "to" in facts else "yielded"
            conflicts.report(outcome, facts)
        logger.removeHandler(handler)
        return stream.getvalue().splitlines()

    yield write
    logger.setLevel(level)


def _sums(
    capsys: pytest.CaptureFixture[str], *names: object
) -> tuple[list[dict[str, Any]], str]:
    assert shell.main(["observed", "-f", "json", *map(str, names)]) == 0
    captured = capsys.readouterr()
    return json.loads(captured.out), captured.err


def test_mark_is_what_the_plugin_writes() -> None:
    """Both sides agree on what a line is known by."""
    assert observed.MARK == conflicts.MARK


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_lines_of_each_formatter(
    logged: Logged,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    formatter: str,
) -> None:
    """What oslo.log can write is read: facts and time."""
    log = tmp_path / "log"
    lines = logged(formatter, STOP, REBOOT, STOP | {"instance": "i2"})
    log.write_text("\n".join(["another line", *lines, "{}"]) + "\n")
    sums, err = _sums(capsys, log)
    assert err == ""
    for one in sums:
        assert one.pop("First") <= one.pop("Last")
    assert sums == [
        {
            "Outcome": "observed",
            "Caller": "nova/compute/api.py:API.stop",
            "From": "active / NULL",
            "To": "active / powering-off",
            "Count": 2,
            "Servers": 2,
            "Request ID": "req-1",
        },
        {
            "Outcome": "observed",
            "Caller": "nova/compute/api.py:API.reboot",
            "From": "active / NULL",
            "To": "active / rebooting",
            "Count": 1,
            "Servers": 1,
            "Request ID": "req-1",
        },
    ]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda line: f"Jan  1 00:00:00 host nova-conductor[12]: {line}",
        lambda line: json.dumps({"log": line + "\n", "stream": "stderr"}),
        lambda line: json.dumps({"MESSAGE": line, "__REALTIME": "17"}),
        lambda line: f"{line} [instance: i1]",
    ],
)
@pytest.mark.parametrize("formatter", FORMATTERS)
def test_lines_in_wrappings(
    logged: Logged,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    wrap: Callable[[str], str],
    formatter: str,
) -> None:
    """Syslog, journald and containers put something around a line."""
    [line] = logged(formatter, STOP)
    log = tmp_path / "log"
    log.write_text(wrap(line) + "\n")
    [one], err = _sums(capsys, log)
    assert (one["Count"], one["To"], err) == (1, "active / powering-off", "")


def test_time_stands_in_the_line(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """First and last are by time, in whatever order and shape it comes."""
    facts = json.dumps({"outcome": "refused", **STOP})
    times = (
        "2026-11-23T10:00:02,5",
        "no time",
        "2026-11-23 10:00:03.250 7",
        "2026-11-23 10:00:01.125",
    )
    log = tmp_path / "log"
    log.write_text("".join(f"{at} {observed.MARK}{facts}\n" for at in times))
    [one], _ = _sums(capsys, log)
    assert one["First"] == "2026-11-23 10:00:01.125"
    assert one["Last"] == "2026-11-23 10:00:03.250"
    log.write_text(f"{observed.MARK}{facts}\n")
    [one], _ = _sums(capsys, log)
    assert one["First"] is one["Last"] is None


def test_lines_without_all_facts(
    logged: Logged,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What a line does not tell is empty, and a dash in a table."""
    log = tmp_path / "log"
    log.write_text("\n".join(logged("plain", YIELDED, DESTROY)))
    sums, _ = _sums(capsys, log)
    assert [(one["Outcome"], one["From"], one["To"]) for one in sums] == [
        ("observed", "active / NULL", "destroyed / NULL"),
        ("yielded", "", ""),
    ]
    assert shell.main(["observed", str(log)]) == 0
    assert "| yielded  | x      | -" in capsys.readouterr().out


@pytest.mark.parametrize(
    "broken",
    [
        "nova_db_states conflict ",
        'x nova_db_states conflict {"outcome": "obser',
        'x nova_db_states conflict ["outcome"]',
        "x nova_db_states conflict {}",
        'x nova_db_states conflict {"outcome": "o", "from": 7, "to": 8}',
        'x nova_db_states conflict {"outcome": "o", "from": ["a", "b", "c"]}',
        '{"message": "nova_db_states conflict {}"}',
        '{"message": "nova_db_states conflict {\\"outcome\\": 1',
        '["nova_db_states conflict "]',
        "{" * 100000 + "nova_db_states conflict " + '{"a":' * 100000,
    ],
)
def test_broken_line(
    logged: Logged,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    broken: str,
) -> None:
    """It is counted as such, and stops nothing."""
    log = tmp_path / "log"
    log.write_text("\n".join([broken, *logged("plain", STOP), broken]))
    sums, err = _sums(capsys, log)
    assert [one["Count"] for one in sums] == [1]
    assert f"not counted: 2, the first in {log}:1." in err


def test_bytes_that_are_no_text(
    logged: Logged,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """They are in other lines, and do no harm."""
    log = tmp_path / "log"
    [line] = logged("plain", STOP)
    log.write_bytes(b"\xff\xfe\0\n\xe9 " + line.encode() + b"\n\xc3")
    sums, err = _sums(capsys, log)
    assert ([one["Count"] for one in sums], err) == ([1], "")


def test_files_together(
    logged: Logged,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Plain ones, compressed ones and standard input make one sum."""
    text = "\n".join(logged("plain", STOP)).encode()
    plain, packed = tmp_path / "log", tmp_path / "log.1"
    plain.write_bytes(text)
    packed.write_bytes(gzip.compress(text))
    stdin = tmp_path / "stdin"
    for content in (text, gzip.compress(text)):
        stdin.write_bytes(content)
        with stdin.open() as stream:
            monkeypatch.setattr(sys, "stdin", stream)
            [one], _ = _sums(capsys, plain, packed, "-")
        assert (one["Count"], one["Servers"]) == (3, 1)


def test_empty_log(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No conflict is no row, and said on standard error."""
    log = tmp_path / "log"
    log.touch()
    assert _sums(capsys, log) == ([], "No conflict.\n")
    assert shell.main(["observed", str(log)]) == 0
    assert capsys.readouterr().out == ""


def test_csv_and_table(
    logged: Logged,
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A table has what fits a line; the others have all columns."""
    log = tmp_path / "log"
    log.write_text("\n".join(logged("plain", STOP)))
    assert shell.main(["observed", "-f", "csv", str(log)]) == 0
    [row] = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert tuple(row) == observed.Observed.columns
    assert shell.main(["observed", str(log)]) == 0
    header = capsys.readouterr().out.splitlines()[1]
    assert header.split()[1::2] == ["Outcome", "Caller", "From", "To", "Count"]


def test_unreadable_file(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """That is exit code 2 and says which."""
    cut = tmp_path / "cut.gz"
    cut.write_bytes(gzip.compress(b"x" * 1000)[:-9])
    bad = tmp_path / "bad.gz"
    bad.write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\xff" * 50)
    for name in (tmp_path / "none", tmp_path, cut, bad):
        assert shell.main(["observed", str(name)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert f"{name}: " in captured.err
    assert shell.main(["observed"]) == 2
