# SPDX-License-Identifier: Apache-2.0
"""The demo with real processes: what it shows, and that it can fail."""

from collections.abc import Iterator
import contextlib
import json
import os
import pathlib
from typing import Any, Final

import pytest

from nova_db_states import api
from nova_db_states.cmd import demo as demo_command
from nova_db_states.cmd import shell
from nova_db_states.demo import actor
from nova_db_states.demo import direct
from nova_db_states.demo import guarded
from nova_db_states.demo import plan
from nova_db_states.demo import runner
from nova_db_states.demo import saves
from nova_db_states.demo import stories
from nova_db_states.demo import verdict
from nova_db_states.demo import writes
from tests.resources import mariadb

_RACES: Final = 24
# Draws deletes before, during and after the downloads.
_SEED: Final = 26
_SCHEMES: Final = ("sqlite", "mysql+pymysql", "mariadb+pymysql")


class _Unwatched:
    """A task that lost its watch."""

    def __init__(self, task: saves.Task) -> None:
        self.expectation = task.expectation
        self.step = task.step
        self.end = task.end

    def watched(self, pieces: Iterator[Any], interval_s: float) -> Any:
        """Let everything through."""
        del interval_s
        return pieces


class WithoutWatch(guarded.GuardedSaves):
    """A guarded mode whose downloads nobody stops."""

    @contextlib.contextmanager
    def task(
        self, server: saves.Server, first: saves.Write
    ) -> Iterator[saves.Task]:
        """Do it as a task, and watch nothing."""
        with super().task(server, first) as task:
            yield _Unwatched(task)


class WithoutGuards(guarded.GuardedSaves):
    """A guarded mode that lost its guards: what the demo must find out."""

    def write(self, server: saves.Server, write: saves.Write) -> None:
        """Write whatever the row says."""
        api.instance_update(self.context, server.uuid, write.values)
        server.saved(write.values)

    accept = write

    @contextlib.contextmanager
    def task(
        self, server: saves.Server, first: saves.Write
    ) -> Iterator[saves.Task]:
        """Write on, whatever the row says."""
        if not first.by_api:
            self.write(server, first)
        yield _Unguarded(self, server)


class _Unguarded:
    """A task that lost its guards."""

    def __init__(self, way: WithoutGuards, server: saves.Server) -> None:
        self.expectation = way.expectation
        self._way = way
        self._server = server

    def step(self, write: saves.Write) -> None:
        """Write whatever the row says."""
        self._way.write(self._server, write)

    end = step

    def watched(self, pieces: Iterator[Any], interval_s: float) -> Any:
        """Let everything through."""
        del interval_s
        return pieces


def _play(url: str | None, *modes: type[saves.Saves]) -> runner.Result:
    settings = runner.Settings(url, races=_RACES, workers=4, seed=_SEED)
    told: list[tuple[str, int, int]] = []
    result = runner.play(
        settings, lambda *each: told.append(each), *([modes] if modes else [])
    )
    assert [done for _, done, _ in told] == 2 * list(range(_RACES + 1))
    return result


@pytest.fixture(scope="module", params=_SCHEMES)
def result(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> runner.Result:
    """Play a run on each backend, and see that it is left as it was."""
    if request.param == "sqlite":
        folder = tmp_path_factory.mktemp("demo")
        played = _play(f"sqlite:///{folder / 'demo.sqlite'}")
        assert list(folder.iterdir()) == []
        return played
    server: mariadb.Server = request.getfixturevalue("mariadb_server")
    name = server.create_database("demo")
    played = _play(server.url(name, request.param))
    assert server.execute(f"SHOW TABLES FROM `{name}`") == []
    server.drop_database(name)
    return played


@pytest.fixture
def sqlite_url(tmp_path: pathlib.Path) -> str:
    """Name a file that is not there."""
    return f"sqlite:///{tmp_path / 'demo.sqlite'}"


def test_direct_saves_do_damage_and_guarded_updates_none(
    result: runner.Result,
) -> None:
    """Every backend shows the story, and each race was really played."""
    assert result.holds
    assert result.direct.count.overwritten
    assert result.guarded.count.damage == 0
    assert result.guarded.count.conflicts
    for mode in (result.direct, result.guarded):
        assert mode.count.races == _RACES
        for played in mode.played:
            processes = {event.who.split()[-1] for event in played.events}
            assert str(os.getpid()) not in processes
    assert _races(result.direct) == _races(result.guarded)
    assert _races(result.direct) == list(plan.draw(_SEED, _RACES))
    # Every delete that a guarded mode accepts ends with a deleted row.
    deletes = [
        played
        for played in result.guarded.played
        if played.race.pair
        not in (plan.Pair.RESCUE_RESCUE, plan.Pair.EVACUATE_EVACUATE)
    ]
    assert deletes
    assert all(played.final.deleted for played in deletes)


def _races(mode: runner.Mode) -> list[plan.Race]:
    return sorted(
        (played.race for played in mode.played), key=lambda race: race.number
    )


def _downloads(mode: runner.Mode) -> list[verdict.Played]:
    """Give the races in which a download began."""
    return [
        played
        for played in mode.played
        if any(
            event.did == writes.SPAWNING.did
            and event.outcome == actor.Outcome.WRITTEN
            for event in played.events
        )
    ]


def test_direct_downloads_go_on_to_the_end(result: runner.Result) -> None:
    """Without a watch a deleted server gets its whole image."""
    downloads = _downloads(result.direct)
    assert downloads
    for played in downloads:
        assert len(played.pieces) == stories.IMAGE_CHUNKS
    assert result.direct.count.wasted_mib
    assert result.direct.count.saved_mib == 0
    assert result.direct.count.slowest_stop_s is None


def test_guarded_downloads_stop_within_an_interval(
    result: runner.Result,
) -> None:
    """After a delete a download goes on for one interval at most."""
    stopped = 0
    for played in _downloads(result.guarded):
        accepted = _accepted_s(played)
        stop = verdict.stop_of(played)
        if stop is None:
            assert len(played.pieces) == stories.IMAGE_CHUNKS
            # What came of it came before the delete, or in its last moment.
            assert _is_in_time(played.pieces, accepted)
            continue
        stopped += 1
        # The last piece that came met the refusal.
        assert _is_in_time(played.pieces[:-1], accepted)
        came = stories.IMAGE_CHUNK_MIB * len(played.pieces)
        whole = stories.IMAGE_CHUNK_MIB * stories.IMAGE_CHUNKS
        assert stop.saved_mib == whole - came
    count = result.guarded.count
    assert count.stopped == stopped > 0
    assert count.saved_mib > 0
    assert count.slowest_stop_s is not None


def _accepted_s(played: verdict.Played) -> float:
    (accepted,) = (
        event.ended_s
        for event in played.events
        if verdict.accepts_delete(event)
    )
    return accepted


def _is_in_time(passed: tuple[actor.Piece, ...], accepted_s: float) -> bool:
    """Judge by what the process wrote down, and by no clock of the test.

    The last look at the row that let the download go on began before the
    delete was accepted: after the last piece that had come by then, or
    earlier. Its answer, one statement later, came before the next piece was
    asked for, and for an interval from its answer the watch lets pieces
    through. So this holds however slow the machine is.
    """
    later = [piece for piece in passed if piece.came_s > accepted_s]
    return not later or (
        later[-1].came_s < later[0].asked_s + stories.INTERVAL_S
    )


def test_nothing_is_saved_without_a_watch(sqlite_url: str) -> None:
    """What is not downloaded is the watch's doing; the guards do the rest."""
    result = _play(sqlite_url, direct.DirectSaves, WithoutWatch)
    assert result.guarded.count.damage == 0
    assert result.guarded.count.saved_mib == 0
    for played in _downloads(result.guarded):
        assert len(played.pieces) == stories.IMAGE_CHUNKS
    assert not all(
        _is_in_time(played.pieces, _accepted_s(played))
        for played in _downloads(result.guarded)
    )


@pytest.mark.parametrize(
    ("modes", "damage", "code"),
    [
        (
            (direct.DirectSaves, guarded.GuardedSaves),
            (True, False),
            shell.EXIT_DONE,
        ),
        (
            (direct.DirectSaves, WithoutGuards),
            (True, True),
            shell.EXIT_DOES_NOT_HOLD,
        ),
        (
            (guarded.GuardedSaves, guarded.GuardedSaves),
            (False, False),
            shell.EXIT_DOES_NOT_HOLD,
        ),
    ],
)
def test_exit_code(
    modes: tuple[type[saves.Saves], ...],
    damage: tuple[bool, bool],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command answers 0 only for direct damage and none with guards.

    Guards that are lost are found out; where nothing goes wrong without
    guards, nothing is proved.
    """
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
    damaged = [printed[mode]["damaged"] for mode in ("direct", "guarded")]
    assert tuple(map(bool, damaged)) == damage
