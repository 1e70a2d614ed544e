# SPDX-License-Identifier: Apache-2.0
"""The demo without processes: its plan, its judgement, its report."""

import json
import pathlib
import re
from typing import Any

import pytest

from nova_db_states import exceptions
from nova_db_states import guards
from nova_db_states import states
from nova_db_states.cmd import demo as demo_command
from nova_db_states.cmd import shell
from nova_db_states.demo import actor
from nova_db_states.demo import plan
from nova_db_states.demo import report
from nova_db_states.demo import runner
from nova_db_states.demo import saves
from nova_db_states.demo import scratch
from nova_db_states.demo import stories
from nova_db_states.demo import verdict
from nova_db_states.demo import writes

_RACE = plan.Race(0, plan.Pair.BUILD_DELETE, 0.01, restart=True)
_TWO = plan.Race(0, plan.Pair.EVACUATE_EVACUATE, 0.01, restart=False)
_ACCEPTED = "delete accepted"


def _row(vm_state: str, task_state: str | None, deleted: int = 0) -> saves.Row:
    return saves.Row(1, vm_state, task_state, "compute1", deleted)


_GONE = _row("deleted", None, 1)


def _event(
    at: float,
    did: str,
    row: saves.Row | None,
    *,
    who: str = "nova-compute 1",
    outcome: str = actor.Outcome.WRITTEN,
) -> actor.Event:
    return actor.Event(
        at - 0.001, at, who, did, "compute/manager.py:1", "", outcome, row, at
    )


_DELETING = _event(
    0.02, _ACCEPTED, _row("building", "deleting"), who="nova-api 2"
)


def _judged(
    *events: actor.Event,
    final: saves.Row = _GONE,
    race: plan.Race = _RACE,
    pieces: tuple[actor.Piece, ...] = (),
) -> verdict.Finding:
    return verdict.judge(verdict.Played(race, events, pieces, final))


def _pieces(*came: float) -> tuple[actor.Piece, ...]:
    return tuple(actor.Piece(at - 0.005, at) for at in came)


def test_seed_decides_everything() -> None:
    """One seed draws one plan; another seed, or mode, other moments."""
    assert plan.draw(3, 50) == plan.draw(3, 50)
    assert plan.draw(3, 50) != plan.draw(4, 50)
    assert plan.draw(3, 50) == plan.draw(3, 80)[:50]
    uuids = {
        plan.server_uuid(seed, part, race)
        for seed in (3, 4)
        for part in (0, 1)
        for race in plan.draw(3, 50)
    }
    assert len(uuids) == 200


@pytest.mark.parametrize(("seed", "restarts"), [(1, 21), (2, 27), (7, 29)])
def test_restarts_are_where_a_delete_waits(seed: int, restarts: int) -> None:
    """A third of those with a waiting delete, not of all races."""
    races = plan.draw(seed, 120)
    assert sum(race.restart for race in races) == restarts
    waiting = {plan.Pair.BUILD_DELETE, plan.Pair.STOP_DELETE}
    assert {race.pair for race in races if race.restart} <= waiting


def test_every_pair_is_in_a_round() -> None:
    """Eight races have every pair, and half of them are the story."""
    pairs = [race.pair for race in plan.draw(1, 8)]
    assert set(pairs) == set(plan.Pair) == set(stories.SIDES)
    assert pairs.count(plan.Pair.BUILD_DELETE) == 4


@pytest.mark.parametrize(
    "settings", [runner.Settings(races=0), runner.Settings(workers=0)]
)
def test_nothing_to_play_is_refused(settings: runner.Settings) -> None:
    """Numbers below 1 are named and explained."""
    with pytest.raises(exceptions.InvalidRequest, match=r"=0: at least 1"):
        runner.play(settings, lambda *_: None)


def test_clean_delete_is_no_damage() -> None:
    """A delete that stops the build and runs to its end did no harm."""
    finding = _judged(
        _DELETING,
        _event(
            0.03,
            "begins the download",
            _row("building", "deleting"),
            outcome=actor.Outcome.REFUSED,
        ),
        _event(0.04, "guest is destroyed", _row("deleted", None)),
        _event(0.05, "row is deleted", _GONE),
    )
    assert not finding.damaged
    assert finding.conflicts == 1


def test_resurrected_and_lost_is_seen() -> None:
    """A row that loses its mark, says active and stays, counts thrice."""
    alive = _row("active", None)
    finding = _judged(
        _DELETING,
        _event(0.03, "maps block devices", _row("building", "spawning")),
        _event(0.04, "guest runs", alive),
        final=alive,
        pieces=_pieces(0.01, 0.03, 0.035),
    )
    assert finding.overwritten
    assert finding.resurrected
    assert finding.lost
    assert finding.damaged
    assert finding.wasted_mib == 2 * stories.IMAGE_CHUNK_MIB
    assert finding.stop is None


def _stopped(at: float) -> actor.Event:
    return _event(
        at,
        "download stopped",
        _row("building", "deleting"),
        outcome=actor.Outcome.STOPPED,
    )


@pytest.mark.parametrize(("stopped_s", "after_s"), [(0.03, 0.01), (0.019, 0)])
def test_stopped_download_saves_the_rest(
    stopped_s: float, after_s: float
) -> None:
    """What had not come is saved; a stop is a conflict, and no damage.

    The build may know of the delete before the user is told.
    """
    finding = _judged(
        _DELETING, _stopped(stopped_s), pieces=_pieces(0.01, 0.019, 0.025)
    )
    assert finding.stop is not None
    assert finding.stop.after_s == pytest.approx(after_s)
    rest = stories.IMAGE_CHUNKS - 3
    assert finding.stop.saved_mib == rest * stories.IMAGE_CHUNK_MIB
    assert finding.wasted_mib == stories.IMAGE_CHUNK_MIB
    assert finding.conflicts == 1
    assert not finding.damaged


def test_stops_are_counted() -> None:
    """A mode adds up what was saved, and tells the slowest stop."""
    one, other = (
        _judged(_DELETING, _stopped(at), pieces=_pieces(0.01))
        for at in (0.03, 0.05)
    )
    total = verdict.count([one, other, _BAD], 1.0)
    rest = stories.IMAGE_CHUNKS - 1
    assert total.stopped == 2
    assert total.saved_mib == 2 * rest * stories.IMAGE_CHUNK_MIB
    assert total.slowest_stop_s == pytest.approx(0.03)
    assert verdict.count([_BAD], 1.0).slowest_stop_s is None


def test_watch_looks_often_enough() -> None:
    """An interval is a small part of a download, as 5 s of minutes are."""
    download = stories.Download()
    assert download.pieces * download.piece_s >= 10 * download.interval_s


def test_what_was_seen_before_the_delete_does_not_count() -> None:
    """An active row that was read too early to tell is no resurrection."""
    early = _event(0.019, "guest runs", _row("active", None))
    assert not _judged(early, _DELETING).damaged


def test_failed_delete_is_no_lost_delete() -> None:
    """Only a delete that was accepted can be lost."""
    refused = _event(
        0.02,
        _ACCEPTED,
        _row("building", None),
        outcome=actor.Outcome.REFUSED,
    )
    assert not _judged(refused, final=_row("active", None)).damaged


@pytest.mark.parametrize(("second_s", "double"), [(0.02, True), (0.05, False)])
def test_double_winners_overlap(second_s: float, *, double: bool) -> None:
    """Two accepted at once are two winners; one after the other are not."""
    rebuilding = _row("active", "rebuilding")
    finding = _judged(
        _event(0.01, "evacuation accepted", rebuilding),
        _event(0.04, "guest runs", _row("active", None)),
        _event(second_s, "evacuation accepted", rebuilding, who="nova-api 2"),
        final=_row("active", None),
        race=_TWO,
    )
    assert finding.double is double


_RUNS = _event(0.04, "guest runs", _row("active", None))


def _mode(
    name: str, *findings: verdict.Finding, stopped: bool = False
) -> runner.Mode:
    played = tuple(
        verdict.Played(
            plan.Race(number, plan.Pair.BUILD_DELETE, 0.01, restart=True),
            (_DELETING, _stopped(0.03) if stopped else _RUNS),
            _pieces(0.01, 0.025),
            _row("active", None),
        )
        for number in range(len(findings))
    )
    return runner.Mode(name, played, findings, verdict.count(findings, 1.5))


_BAD = verdict.Finding(
    overwritten=True,
    resurrected=True,
    lost=True,
    double=False,
    conflicts=0,
    wasted_mib=100,
)
_GOOD = verdict.Finding(
    overwritten=False,
    resurrected=False,
    lost=False,
    double=False,
    conflicts=1,
    wasted_mib=50,
    stop=verdict.Stop(0.0101, 1900),
)


def _result(
    direct: verdict.Finding, guarded: verdict.Finding
) -> runner.Result:
    return runner.Result(
        runner.Settings(races=1),
        _mode("direct", direct),
        _mode("guarded", guarded, stopped=guarded.stop is not None),
    )


@pytest.mark.parametrize(
    ("result", "holds", "text"),
    [
        (_result(_BAD, _GOOD), True, "guarded updates in none"),
        (_result(_BAD, _BAD), False, "please report it with the seed 1"),
        (_result(_GOOD, _GOOD), False, "shows nothing. Play more: --races"),
    ],
)
def test_verdict(result: runner.Result, text: str, *, holds: bool) -> None:
    """It holds only with damage on one side and none on the other."""
    assert result.holds is holds
    assert text in report.verdict_of(result)
    assert report.as_mapping(result)["holds"] is holds


_STOP_TEXT = (
    "download stopped, 1900 MiB not fetched, 10 ms after the delete was "
    "accepted"
)


@pytest.mark.parametrize("output", ["table", "json", "csv"])
def test_output(
    output: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Each format has the figures; the table tells a race as well."""
    monkeypatch.setattr(
        demo_command.runner, "play", lambda *_: _result(_BAD, _GOOD)
    )
    assert shell.main(["demo", "-f", output]) == shell.EXIT_DONE
    captured = capsys.readouterr()
    assert captured.err == ""
    if output == "json":
        printed = json.loads(captured.out)
        assert printed["direct"]["lost"] == 1
        assert printed["guarded"]["lost"] == 0
        assert printed["restarts"] == 1
        assert printed["told"]["direct"][-1]["row"] == "active / NULL"
        assert printed["told"]["guarded"][-1]["did"] == _STOP_TEXT
        assert printed["guarded"]["saved_mib"] == 1900
        assert printed["direct"]["saved_mib"] == 0
    elif output == "csv":
        assert "resurrected,1,0\n" in captured.out
        assert "saved_mib,0,1900\n" in captured.out
    else:
        assert "in 1 of the races nova-compute is restarted" in " ".join(
            captured.out.split()
        )
        assert captured.out.count("<- delete overwritten") == 1
        assert re.search(r"MiB not downloaded +0 +1900 ", captured.out)
        assert "download stopped, 1900" in captured.out
        assert "still there: active / NULL" in captured.out
        assert "servers resurrected" in captured.out
        assert "seed 1" in captured.out


def test_races_must_be_a_number(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A wrong option is wrong usage and says what is right."""
    assert shell.main(["demo", "--races", "0"]) == shell.EXIT_CANNOT_RUN
    assert "'0': give a whole number, at least 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "in memory"),
        ("sqlite:///file:x?mode=memory&uri=true", "in memory"),
        ("sqlite:////nowhere/at/all.db", "cannot be made"),
        ("postgresql://a@b/c", "not supported"),
        ("mysql+pymysql://nova:secret@db1", "names no database"),
    ],
)
def test_unusable_url_is_refused(url: str, message: str) -> None:
    """The message says why, and never the password."""
    with (
        pytest.raises(exceptions.UnsupportedDatabase, match=message) as caught,
        scratch.opened(url),
    ):
        pytest.fail("it was opened")
    assert "secret" not in str(caught.value)


def test_existing_file_is_refused_and_kept(tmp_path: pathlib.Path) -> None:
    """Not even an empty file of somebody else's is taken."""
    path = tmp_path / "precious.db"
    path.write_bytes(b"")
    with (
        pytest.raises(exceptions.UnsupportedDatabase, match="Accepted are"),
        scratch.opened(f"sqlite:///{path}"),
    ):
        pytest.fail("it was opened")
    assert path.exists()


def _writes() -> list[saves.Write]:
    found = {
        each.source: each
        for value in vars(writes).values()
        for each in (value if isinstance(value, tuple) else (value,))
        if isinstance(each, saves.Write)
    }
    return list(found.values())


def test_guarded_mode_never_expects_less_than_nova() -> None:
    """Where Nova guards the task state, so does what the guarded mode has.

    A step of a task has no guard of its own: a functional test holds it to
    what its task expects.
    """
    held = [write for write in _writes() if write.guard is not None]
    assert len(held) == len(writes.ACCEPTED) + len(
        (writes.START, writes.CLAIM, writes.API_DESTROY, writes.DESTROY)
    )
    for write in held:
        assert write.guard is not None
        assert guards.normalise(**write.guard)
        if write.nova is not states.ANY:
            expected = write.guard["expected_task_state"]
            assert expected in (write.nova, *write.nova)
