# SPDX-License-Identifier: Apache-2.0
"""The demo with real processes: what it shows, and that it leaves nothing."""

from collections.abc import Callable, Iterator, Mapping
import contextlib
import json
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys
import time
from typing import Any, Final

import pytest
import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import exceptions
from nova_db_states.cmd import demo as demo_command
from nova_db_states.cmd import shell
from nova_db_states.demo import plan
from nova_db_states.demo import runner
from nova_db_states.demo import saves
from nova_db_states.demo import scratch
from tests.resources import mariadb

_RACES: Final = 24
_STOPPED: Final = "Stopped. Nothing is left of it: what it made is removed.\n"
_SCHEMES: Final = ("sqlite", "mysql+pymysql", "mariadb+pymysql")


class WithoutGuards(saves.GuardedSaves):
    """A guarded mode that lost its guards: what the demo must find out."""

    def update(
        self, uuid: str, values: Mapping[str, Any], guard: Mapping[str, Any]
    ) -> None:
        """Write whatever the row says."""
        del guard
        with self.turn:
            api.instance_update(self.context, uuid, values)


class Broken(saves.GuardedSaves):
    """A mode whose processes fail."""

    def destroy(self, server: saves.Server, write: saves.Write) -> None:
        """Fail, after the first write of the race has gone well."""
        del server, write
        raise RuntimeError("out of order")


@pytest.fixture(params=_SCHEMES)
def scratch_url(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path
) -> Iterator[str]:
    """Give a database for the demo, and see that it is left as it was."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'demo.sqlite'}"
        assert list(tmp_path.iterdir()) == []
        return
    server: mariadb.Server = request.getfixturevalue("mariadb_server")
    name = server.create_database("demo")
    yield server.url(name, request.param)
    assert server.execute(f"SHOW TABLES FROM `{name}`") == []
    server.drop_database(name)


@pytest.fixture
def sqlite_path(tmp_path: pathlib.Path) -> pathlib.Path:
    """Name a file that is not there."""
    return tmp_path / "demo.sqlite"


def _play(url: str | None, *modes: type[saves.Saves]) -> runner.Result:
    settings = runner.Settings(url, races=_RACES, workers=4, seed=7)
    told: list[tuple[str, int, int]] = []
    result = runner.play(
        settings, lambda *each: told.append(each), *([modes] if modes else [])
    )
    assert [done for _, done, _ in told] == 2 * list(range(_RACES + 1))
    return result


def test_direct_saves_do_damage_and_guarded_updates_none(
    scratch_url: str,
) -> None:
    """Every backend shows the story, and each race was really played."""
    result = _play(scratch_url)
    assert result.holds
    assert result.direct.count.overwritten
    assert result.guarded.count.damage == 0
    assert result.guarded.count.conflicts
    for mode in (result.direct, result.guarded):
        assert mode.count.races == _RACES
        assert {played.race.number for played in mode.played} == set(
            range(_RACES)
        )
        for played in mode.played:
            processes = {event.who.split()[-1] for event in played.events}
            assert str(os.getpid()) not in processes
    # Every delete that a guarded mode accepts ends with a deleted row.
    deletes = [
        played
        for played in result.guarded.played
        if played.race.pair
        not in (plan.Pair.RESCUE_RESCUE, plan.Pair.EVACUATE_EVACUATE)
    ]
    assert deletes
    assert all(played.final.deleted for played in deletes)


def test_lost_guards_are_found_out(sqlite_path: pathlib.Path) -> None:
    """A guarded mode without guards does damage, and that is exit code 1."""
    result = _play(
        f"sqlite:///{sqlite_path}", saves.DirectSaves, WithoutGuards
    )
    assert result.guarded.count.damage
    assert not result.holds


def test_harmless_direct_mode_shows_nothing(
    sqlite_path: pathlib.Path,
) -> None:
    """Where nothing goes wrong without guards, nothing is proved."""
    result = _play(
        f"sqlite:///{sqlite_path}", saves.GuardedSaves, saves.GuardedSaves
    )
    assert result.direct.count.damage == result.guarded.count.damage == 0
    assert not result.holds


def test_failure_in_a_process_ends_the_demo(sqlite_path: pathlib.Path) -> None:
    """What goes wrong in a process is told, and nothing is left."""
    with pytest.raises(runner.DemoFailed, match="out of order"):
        _play(f"sqlite:///{sqlite_path}", saves.DirectSaves, Broken)
    assert not sqlite_path.exists()


@pytest.mark.parametrize(
    ("modes", "code"),
    [
        ((saves.DirectSaves, saves.GuardedSaves), shell.EXIT_DONE),
        ((saves.DirectSaves, WithoutGuards), shell.EXIT_DOES_NOT_HOLD),
        ((saves.GuardedSaves, saves.GuardedSaves), shell.EXIT_DOES_NOT_HOLD),
    ],
)
def test_exit_code(
    modes: tuple[type[saves.Saves], ...],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command answers 0 only for direct damage and none with guards."""
    play = runner.play
    monkeypatch.setattr(
        demo_command.runner,
        "play",
        lambda settings, progress: play(settings, progress, modes),
    )
    argv = ["demo", "-f", "json", "--races", str(_RACES), "--workers", "4"]
    assert shell.main(argv) == code
    printed = json.loads(capsys.readouterr().out)
    assert printed["holds"] is (code == 0)
    assert printed["direct"]["races"] == _RACES


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


def test_cell_database_is_refused_and_untouched(
    cell_url: str, cell_engine: sa.Engine
) -> None:
    """A Nova cell, empty or not, is never played on."""
    before = sa.inspect(cell_engine).get_table_names()
    with (
        pytest.raises(exceptions.UnsupportedDatabase, match="Accepted are"),
        scratch.opened(cell_url),
    ):
        pytest.fail("it was opened")
    assert sa.inspect(cell_engine).get_table_names() == before


def test_any_table_is_reason_to_refuse(
    mariadb_server: mariadb.Server,
) -> None:
    """Not only Nova's tables: what the demo did not make it does not touch."""
    name = mariadb_server.create_database("demo")
    mariadb_server.execute(f"CREATE TABLE `{name}`.mine (id INTEGER)")
    with (
        pytest.raises(exceptions.UnsupportedDatabase, match="it has mine"),
        scratch.opened(mariadb_server.url(name)),
    ):
        pytest.fail("it was opened")
    assert mariadb_server.execute(f"SHOW TABLES FROM `{name}`") == [("mine",)]
    mariadb_server.drop_database(name)


@pytest.mark.parametrize("busy", [False, True])
def test_missing_database_is_made_and_dropped(
    mariadb_server: mariadb.Server, *, busy: bool
) -> None:
    """A database of the demo's own goes, unless somebody moved in."""
    name = mariadb_server.create_database("demo")
    mariadb_server.drop_database(name)
    with scratch.opened(mariadb_server.url(name)):
        assert mariadb_server.execute(f"SHOW TABLES FROM `{name}`") == [
            ("instances",)
        ]
        if busy:
            mariadb_server.execute(f"CREATE TABLE `{name}`.mine (id INTEGER)")
    left = mariadb_server.execute("SHOW DATABASES")
    assert ((name,) in left) is busy
    if busy:
        mariadb_server.drop_database(name)


@contextlib.contextmanager
def _user(server: mariadb.Server, name: str, grants: str) -> Iterator[str]:
    """Give the URL of a database, for a user who may do no more than this."""
    user = f"{name}_user"
    server.execute(f"CREATE USER {user} IDENTIFIED BY 'geheim'")
    server.execute(f"GRANT {grants} ON `{name}`.* TO {user}")
    url = sa.make_url(server.url(name)).set(username=user, password="geheim")
    try:
        yield url.render_as_string(hide_password=False)
    finally:
        server.execute(f"DROP USER {user}")


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    ("grants", "denied"),
    [
        ("CREATE, DROP, SELECT, INSERT, UPDATE", "INDEX command denied"),
        ("DROP, INDEX, SELECT, INSERT, UPDATE", "denied"),
    ],
)
def test_missing_grant_leaves_nothing(
    mariadb_server: mariadb.Server, grants: str, denied: str, *, there: bool
) -> None:
    """Who may not make all of it is told what is needed; nothing stays."""
    name = mariadb_server.create_database("demo")
    if not there:
        mariadb_server.drop_database(name)
    with (
        _user(mariadb_server, name, grants) as url,
        pytest.raises(exceptions.UnsupportedDatabase, match=denied) as caught,
        scratch.opened(url),
    ):
        pytest.fail("it was opened")
    assert re.search(r"\*\*\*@.* needs CREATE, DROP, INDEX", str(caught.value))
    assert "geheim" not in str(caught.value)
    if there:
        assert mariadb_server.execute(f"SHOW TABLES FROM `{name}`") == []
        mariadb_server.drop_database(name)
    assert (name,) not in mariadb_server.execute("SHOW DATABASES")


def test_what_cannot_be_dropped_is_named(
    mariadb_server: mariadb.Server,
) -> None:
    """Without DROP the table stays, and the message says so."""
    name = mariadb_server.create_database("demo")
    grants = "CREATE, INDEX, SELECT, INSERT, UPDATE"
    with (
        _user(mariadb_server, name, grants) as url,
        pytest.raises(exceptions.UnsupportedDatabase, match="drop it by hand"),
        scratch.opened(url),
    ):
        pass
    mariadb_server.drop_database(name)


@pytest.mark.parametrize("first", ["CREATE DATABASE", "CREATE TABLE"])
def test_signal_while_it_is_made_leaves_nothing(
    mariadb_server: mariadb.Server, first: str
) -> None:
    """Ctrl-C halfway through the making takes back what was made."""
    name = mariadb_server.create_database("demo")
    mariadb_server.drop_database(name)

    def interrupt(*given: Any) -> None:
        if given[2].lstrip().startswith(first):
            raise KeyboardInterrupt

    sa.event.listen(sa.Engine, "after_cursor_execute", interrupt)
    try:
        with (
            pytest.raises(KeyboardInterrupt),
            scratch.opened(mariadb_server.url(name)),
        ):
            pytest.fail("it was opened")
    finally:
        sa.event.remove(sa.Engine, "after_cursor_execute", interrupt)
    assert (name,) not in mariadb_server.execute("SHOW DATABASES")


def test_table_of_somebody_quicker_stays(
    mariadb_server: mariadb.Server,
) -> None:
    """A table that came between look and making is not the demo's to drop."""
    name = mariadb_server.create_database("demo")

    def be_quicker(*given: Any) -> None:
        if given[2].lstrip().startswith("CREATE TABLE"):
            mariadb_server.execute(f"CREATE TABLE `{name}`.instances (a INT)")

    sa.event.listen(sa.Engine, "before_cursor_execute", be_quicker)
    try:
        with (
            pytest.raises(exceptions.UnsupportedDatabase, match="exists"),
            scratch.opened(mariadb_server.url(name)),
        ):
            pytest.fail("it was opened")
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", be_quicker)
    assert mariadb_server.execute(f"SHOW TABLES FROM `{name}`") == [
        ("instances",)
    ]
    mariadb_server.drop_database(name)


def test_full_server_is_told_in_a_line(
    make_mariadb: Callable[..., mariadb.MariaDBServer],
) -> None:
    """Too many connections: what the driver said, without a link."""
    server = make_mariadb(max_connections="10")
    url = server.url(server.create_database("demo"))
    with pytest.raises(runner.DemoFailed, match="Too many conn") as caught:
        _play(url)
    assert "\n" not in str(caught.value)
    assert "sqlalche.me" not in str(caught.value)
