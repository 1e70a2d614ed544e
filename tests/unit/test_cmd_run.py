# SPDX-License-Identifier: Apache-2.0
"""``nova-db-states run``: what the command gets, and what it never sees."""

from collections.abc import Callable
import os
import pathlib
import signal
import stat
import subprocess
import sys
from typing import Any, Final

import pytest

from nova_db_states.cmd import run
from nova_db_states.cmd import shell

Start = Callable[..., subprocess.CompletedProcess[str]]

_ROOT: Final = pathlib.Path(__file__).parents[2]
_PROGRAM: Final = [sys.executable, "-m", "nova_db_states.cmd.shell"]


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Record the commands instead of becoming them."""
    found: list[list[str]] = []

    def record(words: list[str], environ: dict[str, str]) -> int:
        assert environ["PYTHONPATH"].startswith(str(run.FOLDER))
        found.append(words)
        raise SystemExit(0)

    monkeypatch.setattr(run, "become", record)
    return found


@pytest.fixture
def start() -> Start:
    """Run the program as a process, with some variables on top."""

    def start(*words: str, **variables: str) -> Any:
        environ = {**os.environ, "PYTHONPATH": str(_ROOT), **variables}
        return subprocess.run(
            [*_PROGRAM, "run", *words],
            capture_output=True,
            text=True,
            check=False,
            env=environ,
            cwd="/",
        )

    return start


@pytest.mark.parametrize(
    ("given", "got"),
    [
        (["sh"], ["sh"]),
        (["sh", "--debug", "-v", "-q"], ["sh", "--debug", "-v", "-q"]),
        (["sh", "--help"], ["sh", "--help"]),
        (["sh", "-h", "--version"], ["sh", "-h", "--version"]),
        (["sh", "--log-file", "x"], ["sh", "--log-file", "x"]),
        (["sh", "--", "x", "--"], ["sh", "--", "x", "--"]),
        (["--", "sh", "--", "-x"], ["sh", "--", "-x"]),
        (["sh", "", "@file", "a b"], ["sh", "", "@file", "a b"]),
        (["sh", "run", "run"], ["sh", "run", "run"]),
        (["run"], ["run"]),
    ],
)
def test_arguments_pass(
    become: list[list[str]], given: list[str], got: list[str]
) -> None:
    """What stands behind the command is its own, options of ours too."""
    shell.main(["run", *given])
    shell.main(["--log-file=/dev/null", "-v", "run", *given])
    shell.main(["--log-file", "/dev/null", "--debug", "run", *given])
    assert become == [got] * 3


def test_file_of_the_name_is_not_the_command(
    become: list[list[str]],
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An option in front may have the word as its value."""
    monkeypatch.chdir(tmp_path)
    shell.main(["--log-file", "run", "run", "sh", "--debug"])
    assert shell.main(["--log-file", "run", "help", "run"]) == 0
    assert become == [["sh", "--debug"]]
    assert (tmp_path / "run").exists()


def test_help_is_ours_before_the_command(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """--help in front of the command, or of run, is about run."""
    for words in (["run", "--help"], ["--help", "run"], ["help", "run"]):
        assert shell.main(words) == 0
        said = capsys.readouterr().out
        assert "usage: nova-db-states run [-h] COMMAND [ARGS ...]" in said


@pytest.mark.parametrize("words", [[], ["--"], [""], ["--config-file", "x"]])
def test_without_a_command(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """That is wrong usage, 2, and says what to give."""
    assert shell.main(["run", *words]) == 2
    assert "nova-db-states run" in capsys.readouterr().err


def test_shortened_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Options of the command could be lost behind it."""
    assert shell.main(["ru", "sh"]) == 2
    assert "Write the whole word" in capsys.readouterr().err


def test_what_cannot_be_executed(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """127 for what is not there and 126 for what is, as a shell has it."""
    before = signal.getsignal(signal.SIGPIPE)
    script = tmp_path / "script"
    script.write_text("#!/no/such/shell\n")
    assert shell.main(["run", "no-such-command", "--help"]) == 127
    assert "no-such-command: there is no such" in capsys.readouterr().err
    assert shell.main(["run", str(tmp_path / "x" / "y")]) == 127
    assert shell.main(["run", str(script / "y")]) == 127
    assert shell.main(["run", str(script)]) == 126
    assert "Permission denied" in capsys.readouterr().err
    assert shell.main(["run", str(tmp_path)]) == 126
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    capsys.readouterr()
    assert shell.main(["run", str(script)]) == 126
    assert "its first line names" in capsys.readouterr().err
    script.write_text("exit 0\n")
    assert shell.main(["run", str(script)]) == 126
    assert "Exec format error" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGPIPE) == before


@pytest.mark.parametrize(
    ("line", "is_blind"),
    [
        ("#!/usr/bin/python3 -I", True),
        ("#! /usr/bin/python3.11 -sE", True),
        ("#!/usr/bin/env -S python3 -O -S", True),
        ("#!/usr/bin/python3 -s", False),
        ("#!/usr/bin/python3 -sP", False),
        ("#!/usr/bin/python3", False),
        ("#!/usr/bin/env python3", False),
        ("#!/bin/sh -E", False),
    ],
)
def test_python_that_would_not_look(
    become: list[list[str]],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    line: str,
    *,
    is_blind: bool,
) -> None:
    """A script that the plugin would not get into is refused, and told why."""
    script = tmp_path / "nova-compute"
    script.write_text(f"{line}\n")
    script.chmod(0o755)
    assert shell.main(["run", str(script)]) == (2 if is_blind else 0)
    assert len(become) == (not is_blind)
    assert ("leaves PYTHONPATH" in capsys.readouterr().err) == is_blind


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, "{}"),
        ("", "{}"),
        ("/a:/b", "{}:/a:/b"),
        ("/a:", "{}:/a:"),
        (f"/a:{run.FOLDER}", "{}:/a"),
    ],
)
def test_environment(before: str | None, after: str) -> None:
    """Our folder comes first and once; all else stays as it was."""
    environ = {"X": "y"} | ({} if before is None else {"PYTHONPATH": before})
    assert run.environment(environ) == {
        "X": "y",
        "PYTHONPATH": after.format(run.FOLDER),
    }


def test_same_process(tmp_path: pathlib.Path) -> None:
    """Process ID, signals, standard input and exit code are the command's."""
    told = tmp_path / "told"
    script = (
        "import os, signal, sys\n"
        "print(os.getpid(), sys.argv[1:], sys.stdin.readline(), flush=True)\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n"
    )
    with told.open("w") as stream:
        process = subprocess.Popen(
            [*_PROGRAM, "run", sys.executable, "-c", script, "--debug", "-h"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        )
        assert process.stdin
        assert process.stdout
        process.stdin.write("hello")
        process.stdin.close()
        first, second = (process.stdout.readline() for _ in range(2))
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 7
        process.stdout.close()
    assert first == f"{process.pid} ['--debug', '-h'] hello\n"
    assert second == "ready\n"
    assert told.read_text() == ""


def test_killed_command(start: Start) -> None:
    """A signal that ends the command is what this process ended with."""
    done = start("sh", "-c", "kill -KILL $$")
    assert done.returncode == -signal.SIGKILL


def test_broken_pipe_ends_a_command_as_always(start: Start) -> None:
    """Signals that Python ignores for itself are not ignored in a command."""
    done = start("sh", "-c", "trap | cat; kill -PIPE $$; echo still here")
    assert (done.returncode, done.stdout) == (-signal.SIGPIPE, "")


_TELL: Final = (
    "import sys; sys.stdout.write(repr(["
    "sorted(m for m in sys.modules if m.startswith('nova_db')),"
    "sys.modules.get('sitecustomize').__file__,"
    "getattr(sys, 'theirs', None)]))"
)


def test_children_have_it_too(start: Start) -> None:
    """A process started by the command is a process under run."""
    code = (
        "import subprocess, sys; sys.exit(subprocess.call("
        f"[sys.executable, '-c', {_TELL!r}]))"
    )
    done = start(sys.executable, "-c", code)
    assert "nova_db_states.nova.activation" in done.stdout
    assert (done.returncode, done.stderr) == (0, "")


def test_next_to_nothing_is_imported(start: Start) -> None:
    """Nova lets eventlet patch the standard library first, so we wait."""
    done = start(
        sys.executable, "-c", "import sys; print('\\n'.join(sys.modules))"
    )
    plain = subprocess.run(
        [
            sys.executable,
            "-c",
            "import importlib.util, sys, wrapt; print(*sys.modules)",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    more = {*done.stdout.split()} - {*plain.stdout.split()}
    assert {name.partition(".")[0] for name in more} <= {
        "nova_db_states",
        "sitecustomize",
    }


def test_environments_own_file_is_run(
    start: Start, tmp_path: pathlib.Path
) -> None:
    """A sitecustomize that was there is run as if it were alone."""
    theirs = tmp_path / "sitecustomize.py"
    theirs.write_text("import sys\nsys.theirs = __name__\n")
    path = f"{_ROOT}:{tmp_path}"
    done = start(sys.executable, "-c", _TELL, PYTHONPATH=path)
    assert f"'{theirs}', 'sitecustomize'" in done.stdout
    assert "nova_db_states.nova.activation" in done.stdout


def test_failure_of_the_environments_own_file_is_its_own(
    start: Start, tmp_path: pathlib.Path
) -> None:
    """What it raises is told as ever, and the plugin is there already."""
    theirs = tmp_path / "sitecustomize.py"
    theirs.write_text("raise ValueError('theirs')\n")
    path = f"{_ROOT}:{tmp_path}"
    code = "import sys; sys.exit('nova_db_states.nova.activation' in "
    code += "sys.modules)"
    done = start(sys.executable, "-c", code, PYTHONPATH=path)
    assert done.returncode == 1
    assert "ValueError: theirs" in done.stderr


@pytest.mark.parametrize("with_nova", [True, False])
def test_python_without_this_package(
    tmp_path: pathlib.Path, *, with_nova: bool
) -> None:
    """It notices nothing, unless it has a Nova that goes unguarded."""
    (tmp_path / "nova").mkdir()
    environ = {"PYTHONPATH": f"{run.FOLDER}:{tmp_path if with_nova else ''}"}
    (tmp_path / "nova" / "__init__.py").touch()
    done = subprocess.run(
        [_bare_python(tmp_path), "-c", "print(1)"],
        capture_output=True,
        text=True,
        check=False,
        env=environ,
    )
    assert (done.returncode, done.stdout) == (0, "1\n")
    assert ("which has Nova" in done.stderr) == with_nova
    assert bool(done.stderr) == with_nova


def _bare_python(folder: pathlib.Path) -> str:
    """Make a virtualenv without any package."""
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", folder / "bare"],
        check=True,
    )
    return str(folder / "bare" / "bin" / "python")
