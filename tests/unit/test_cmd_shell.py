# SPDX-License-Identifier: Apache-2.0
"""The program: its help, its exit codes, and what it never shows."""

import json
import logging
import pathlib

import pytest
import sqlalchemy as sa
from sqlalchemy import exc as sa_exc

from nova_db_states import migrations
from nova_db_states import tables
from nova_db_states.cmd import shell
from nova_db_states.cmd import targets

NAME = "nova_db_states_deleted_vm_state_task_state"

COMMANDS = ("db upgrade", "db downgrade", "db check", "db sql")


@pytest.fixture(autouse=True)
def no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the environment of whoever runs the tests out of them."""
    monkeypatch.delenv(targets.DB_URL_VARIABLE, raising=False)


@pytest.fixture
def cell(tmp_path: pathlib.Path) -> str:
    """Give a cell database on SQLite, made from the table's definition."""
    url = f"sqlite:///{tmp_path}/cell1.db"
    engine = sa.create_engine(url)
    tables.metadata.create_all(engine)
    engine.dispose()
    return url


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command says what it does and what its options mean."""
    assert shell.main([*command.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert f"usage: {shell.App.NAME} {command}" in out
    for option in ("--db URL", "--config-file FILE", "--to REVISION"):
        assert option in out or command == "db check"
    assert targets.DB_URL_VARIABLE in out


def test_version_and_overview(capsys: pytest.CaptureFixture[str]) -> None:
    """--version gives one line, --help the commands; both are done, 0."""
    assert shell.main(["--version"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert shell.main(["--help"]) == 0
    out = capsys.readouterr().out
    for command in COMMANDS:
        assert command in out
    assert "Exit codes: 0 done" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "usage:"),
        ([], "Commands: complete, db check, db downgrade"),
        (["--log-file=/nodir/x", "db", "check"], "--log-file: /nodir/x: No "),
        (["db", "check", "mysql://u:secret@h/d"], "mysql://u:***@h/d"),
        (["mysql://u:secret@h/d"], "mysql://u:***@h/d"),
        (["--log-file", "mysql://u:secret@h/d", "x"], "mysql://u:***@h/d"),
        (["db", "drop"], "'db drop' is not a command"),
        (["db", "upgrade"], "No database given"),
        (["db", "upgrade", "--attempts", "0"], "'0': give a whole number"),
        (["db", "upgrade", "--lock-timeout", "1.5"], "'1.5': give a whole"),
        (["db", "upgrade", "--galera", "rsu"], "invalid choice: 'rsu'"),
        (["db", "upgrade", "--db", "postgresql://u:secret@h/d"], "PostgreSQL"),
        (["db", "check", "--db", "no url:secret@"], "cannot be parsed"),
        (["db", "check", "--db", "no url"], "mysql+pymysql://nova@db1/nova"),
        (["db", "check", "--db", "mysql://u:secret@h:se/d"], "cannot be"),
        (["db", "check", "--db", "x", "--config-file", "y"], "both given"),
        (["db", "check", "--config-file", "/no/nova.conf"], "/no/nova.conf"),
        (["db", "sql", "--dialect", "mysql", "--db", "x"], "both given"),
        (["db", "sql", "--dialect", "mysql", "--to", "7"], "revision '7'"),
    ],
)
def test_wrong_usage(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, what is wrong on standard error, nothing as a result."""
    assert shell.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "secret" not in captured.err
    assert "Traceback" not in captured.err


def test_check_upgrade_downgrade(
    cell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The results are rows on standard output, the verdict the exit code."""

    def run(*arguments: str) -> tuple[int, list[dict[str, object]], str]:
        code = shell.main([*arguments, "-f", "json", "--db", cell])
        captured = capsys.readouterr()
        return code, json.loads(captured.out), captured.err

    code, [row], err = run("db", "check")
    assert (code, row["State"]) == (1, "missing")
    assert f"{NAME} is missing. Run nova-db-states db upgrade." in err
    code, [row], err = run("db", "upgrade")
    assert (code, row["Result"], row["Attempts"]) == (0, "created", 1)
    assert err == ""
    code, [row], err = run("db", "check")
    assert (code, row["State"], err) == (0, "present", "")
    code, [row], err = run("db", "upgrade")
    assert (code, row["Result"]) == (0, "present")
    code, [row], err = run("db", "downgrade")
    assert (code, row["Result"]) == (0, "dropped")
    engine = sa.create_engine(cell)
    assert len(migrations.missing(engine)) == 1
    engine.dispose()


def test_the_environment_gives_the_url(
    cell: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No URL, and so no password, needs to be on the command line."""
    monkeypatch.setenv(targets.DB_URL_VARIABLE, cell)
    assert shell.main(["db", "sql"]) == 0
    assert capsys.readouterr().out == (
        f"-- cell -, {cell}\n"
        f"CREATE INDEX {NAME} ON instances (deleted, vm_state, task_state);\n"
    )
    assert shell.main(["db", "upgrade", "-f", "csv"]) == 0
    assert '"created"' in capsys.readouterr().out
    assert shell.main(["db", "sql"]) == 0
    assert "-- nothing to do\n" in capsys.readouterr().out


@pytest.mark.parametrize("debug", [True, False])
def test_a_server_that_is_not_there(
    *, debug: bool, capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path
) -> None:
    """One line and exit code 2; a traceback only on demand; no password."""
    log = tmp_path / "log"
    code = shell.main(
        [
            *(["--debug"] if debug else []),
            f"--log-file={log}",
            *("db", "check", "-f", "json"),
            "--db=mysql+pymysql://nova:se%40cret@127.0.0.1:1/nova_cell1",
        ]
    )
    captured = capsys.readouterr()
    assert code == 2
    assert json.loads(captured.out)[0]["State"] == "failed"
    assert "Can't connect to MySQL server on '127.0.0.1'" in captured.err
    assert ("Traceback" in captured.err) is debug
    assert debug or len(captured.err.splitlines()) == 1
    for text in (captured.out, captured.err, log.read_text()):
        assert "cret" not in text
    assert "nova:***@127.0.0.1" in captured.out


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mysql://u:p@h/d", "mysql://u:***@h/d"),
        ("bad: 'mysql+pymysql://u:p:q/r@s@h:1/d'", None),
        ("a://u:p@h and b://v:p@i/x", None),
        ("mysql://u@h:3306/d", "mysql://u@h:3306/d"),
        ("sqlite:////tmp/a.db", "sqlite:////tmp/a.db"),
        ("no url, 12:30 me@here", "no url, 12:30 me@here"),
    ],
)
def test_scrubbed(text: str, shown: str | None) -> None:
    """Passwords go, encoded or not; nothing else does."""
    found = shell.scrubbed(text)
    if shown is not None:
        assert found == shown
    for part in (":p@", "p:q", "r@s"):
        assert part not in found


def test_a_traceback_is_scrubbed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --debug too, whatever exception had the URL in its text."""

    def fail(*_: object) -> None:
        raise sa_exc.ArgumentError("Could not parse mysql://u:hidden@h/d")

    monkeypatch.setattr(targets, "resolve", fail)
    assert shell.main(["--debug", "db", "check"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "mysql://u:***@h/d" in err
    assert "hidden" not in err


def test_no_handler_is_left(cell: str) -> None:
    """A program that calls main() gets its logging back as it was."""
    before = list(logging.getLogger().handlers)
    shell.main(["db", "check", "--db", cell])
    assert logging.getLogger().handlers == before


@pytest.mark.parametrize(("option", "noise"), [("-v", False), ("-vv", True)])
def test_other_packages_are_heard_on_demand(
    option: str, cell: str, capsys: pytest.CaptureFixture[str], *, noise: bool
) -> None:
    """What a reader of -v wants to know is what this program does."""
    shell.main([option, "db", "upgrade", "--db", cell])
    assert ("found extension" in capsys.readouterr().err) is noise
