# SPDX-License-Identifier: Apache-2.0
"""The demo when it cannot go on: it says why, and nothing is left."""

from collections.abc import Callable
import os
import pathlib
import signal
import sqlite3
import subprocess
import sys
import time
from typing import Any, Final

import pytest

from nova_db_states.demo import direct
from nova_db_states.demo import guarded
from nova_db_states.demo import runner
from nova_db_states.demo import saves
from tests.resources import mariadb

_STOPPED: Final = "Stopped. Nothing is left of it: what it made is removed.\n"


class Broken(guarded.GuardedSaves):
    """A mode whose processes fail."""

    def destroy(self, server: saves.Server, write: saves.Write) -> None:
        """Fail, after the first write of the race has gone well."""
        del server, write
        raise RuntimeError("out of order")


def _play(url: str, *modes: type[saves.Saves]) -> runner.Result:
    settings = runner.Settings(url, races=24, workers=4, seed=7)
    return runner.play(settings, lambda *_: None, modes)


def test_failure_in_a_process_ends_the_demo(tmp_path: pathlib.Path) -> None:
    """What goes wrong in a process is told, and nothing is left."""
    path = tmp_path / "demo.sqlite"
    with pytest.raises(runner.DemoFailed, match="out of order"):
        _play(f"sqlite:///{path}", direct.DirectSaves, Broken)
    assert not path.exists()


def _command(*argv: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "nova_db_states.cmd.shell", "demo", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_demo_leaves_nothing(
    end: signal.Signals, tmp_path: pathlib.Path
) -> None:
    """Ctrl-C, kill and a closed terminal end it, and nothing is left."""
    path = tmp_path / "demo.sqlite"
    with _command("--db", f"sqlite:///{path}", start_new_session=True) as demo:
        try:
            _wait_for_rows(path)
            os.killpg(demo.pid, end)
            os.killpg(demo.pid, end)
            printed, told = demo.communicate(timeout=30)
        finally:
            demo.kill()
    assert demo.returncode == 128 + end
    assert printed == ""
    # Python's own helper dies of a closed terminal, and says so nowhere.
    if end is not signal.SIGHUP:
        assert told == _STOPPED
    assert _STOPPED in told
    deadline = time.monotonic() + 10
    while _members(demo.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert _members(demo.pid) == []
    assert list(tmp_path.iterdir()) == []


def _wait_for_rows(path: pathlib.Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        time.sleep(0.05)
        if path.exists():
            connection = sqlite3.connect(path)
            try:
                if connection.execute("SELECT 1 FROM instances").fetchone():
                    return
            except sqlite3.OperationalError:
                pass
            finally:
                connection.close()
    pytest.fail("the demo never began")


def _members(session: int) -> list[int]:
    """List the processes of a session that are still there."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if os.getsid(int(entry.name)) == session:
                    found.append(int(entry.name))
            except ProcessLookupError:
                pass
    return found


def test_full_server_is_told_in_a_line(
    make_mariadb: Callable[..., mariadb.MariaDBServer],
) -> None:
    """Too many connections: what the driver said, without a link."""
    server = make_mariadb(max_connections="10")
    url = server.url(server.create_database("demo"))
    with pytest.raises(runner.DemoFailed, match="Too many conn") as caught:
        _play(url, direct.DirectSaves, guarded.GuardedSaves)
    assert "\n" not in str(caught.value)
    assert "sqlalche.me" not in str(caught.value)
