# SPDX-License-Identifier: Apache-2.0
"""``map export``, ``map show`` and ``map verify``: options and exit codes."""

import csv
import io
import json
import pathlib

import pytest

from nova_db_states import drift
from nova_db_states.cmd import map_show
from nova_db_states.cmd import map_svg
from nova_db_states.cmd import shell
from nova_db_states.machine import instance
from nova_db_states.machine import queries
from nova_db_states.machine.render import dot
from nova_db_states.machine.render import mermaid
from nova_db_states.machine.render import parts
from nova_db_states.machine.render import portrait
from nova_db_states.machine.render import rst

MAP = instance.MAP
_API = "nova/compute/api.py:API"
_MANAGER = "nova/compute/manager.py:ComputeManager.stop_instance"

Capture = pytest.CaptureFixture[str]


def _out(capsys: Capture, *arguments: str, code: int = 0) -> str:
    """Run a command; give what it wrote to standard output."""
    out, err = _both(capsys, *arguments, code=code)
    assert not err
    return out


def _both(capsys: Capture, *arguments: str, code: int = 0) -> tuple[str, str]:
    """Run a command; give what it wrote to both streams."""
    assert shell.main(["map", *arguments]) == code
    captured = capsys.readouterr()
    return captured.out, captured.err


@pytest.mark.parametrize("command", ["export", "show", "verify"])
def test_help(command: str, capsys: Capture) -> None:
    """Every command says what it does and what its options mean."""
    out = _out(capsys, command, "--help")
    assert f"usage: {shell.App.NAME} map {command}" in out
    assert "--format" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["export", "--format", "xml"], "invalid choice: 'xml'"),
        (["export", "--action", "sto"], "Did you mean one of stop"),
        (["export", "--from", "activ"], "Did you mean 'active'?"),
        (["export", "--from", "active / pauzing"], "Did you mean 'pausing'?"),
        (["show"], "STATE"),
        (["show", "actve"], "Did you mean 'active'?"),
        (["show", "-f", "csv", "active"], "invalid choice: 'csv'"),
        (["verify", "--source", "/no/nova"], "There is no Nova at /no/nova"),
        (["verify", "--source", ""], "argument --source: it is empty"),
        (["verify", "--release", " "], "argument --release: it is empty"),
    ],
)
def test_wrong_usage(arguments: list[str], said: str, capsys: Capture) -> None:
    """Exit code 2, the nearest names on standard error, no result."""
    assert shell.main(["map", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert "Traceback" not in captured.err


def test_export_is_csv_unless_told(capsys: Capture) -> None:
    """The allowed edges, one a line."""
    rows = list(csv.DictReader(io.StringIO(_out(capsys, "export"))))
    assert len({tuple(row.values()) for row in rows}) == len(rows)
    assert len(rows) == len(
        {
            (edge.from_, edge.to, edge.action, edge.path, edge.nova)
            for edge in MAP.transitions
        }
    )


def test_export_of_a_part(capsys: Capture) -> None:
    """--action and --from narrow it down, alone and together."""
    out = _out(capsys, "export", "--action", "stop", "--from", "active")
    assert out.splitlines()[1:] == [
        f"active,,active,powering-off,stop,success,{_API}.force_stop",
        f"active,,stopped,,stop,success,{_MANAGER}.do_stop_instance",
    ]
    out = _out(capsys, "export", "-f", "json", "--from", "active / pausing")
    assert {
        (row["from_vm_state"], row["from_task_state"])
        for row in json.loads(out)["transitions"]
    } == {("active", "pausing")}


@pytest.mark.parametrize(
    ("name", "render"),
    [
        ("dot", dot.render),
        ("mermaid", mermaid.render),
        ("rst", rst.render),
    ],
)
def test_export_formats(name: str, render: object, capsys: Capture) -> None:
    """Each format is that of its module, and nothing is added."""
    assert callable(render)
    out = _out(capsys, "export", "--format", name, "--action", "stop")
    assert out == render(parts.cut(MAP, action="stop"))


def _fake_dot(folder: pathlib.Path, script: str) -> None:
    program = folder / "dot"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_svg_without_graphviz(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Exit code 2, with what to install and what to do instead."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shell.main(["map", "export", "--format", "svg"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "apt-get install graphviz" in captured.err
    assert "--format dot" in captured.err


def test_svg_of_a_graphviz_that_fails(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Exit code 2, with what it said."""
    _fake_dot(tmp_path, "echo 'no fonts' >&2; exit 3")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert shell.main(["map", "export", "--format", "svg"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "ended with 3: no fonts." in captured.err


def test_svg_of_a_graphviz_that_cannot_be_run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program of another kind is an error of Graphviz too."""
    (tmp_path / "dot").write_bytes(b"\x00")
    (tmp_path / "dot").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(map_svg.GraphvizError, match="could not draw"):
        map_svg.draw("digraph {}")


def test_svg_is_what_graphviz_draws(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """It reads the picture and its answer is the result."""
    _fake_dot(tmp_path, 'echo "<svg $1>"; cat')
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    out = _out(capsys, "export", "--format", "svg", "--action", "stop")
    drawn = dot.render(parts.cut(MAP, action="stop"))
    assert out == f"<svg -Tsvg>\n{drawn}"


def test_show_tells_what_a_person_needs(capsys: Capture) -> None:
    """Meaning, status, limit, what may be done, what follows and preceded."""
    out = _out(capsys, "show", "active / powering-off")
    assert out.startswith("active / powering-off   status ACTIVE\n")
    assert queries.describe("active / powering-off") in " ".join(out.split())
    for title in (
        "How long",
        "May be asked for now",
        "What comes next",
        "What may have led here",
    ):
        assert f"\n{title}\n" in out
    assert "counts as stuck after 10 min" in out
    forward, failure = out.index("stopped / NULL"), out.index("given up:")
    assert forward < failure


def test_show_of_a_state_to_stay_in(capsys: Capture) -> None:
    """Nothing is stuck there; what its row does not tell is told."""
    out = _out(capsys, "show", "active")
    assert "A server may stay in it as long as it likes." in out
    assert "What may be going on although the row does not say so" in out
    assert "counts as stuck" not in out


def test_show_of_a_delete(capsys: Capture) -> None:
    """What nobody may do is there, each reason once."""
    out = " ".join(_out(capsys, "show", "active", "/", "deleting").split())
    reasons = {
        edge.write.defect for edge in queries.defects("active/deleting")
    }
    assert reasons
    for reason in reasons:
        assert out.count(reason) == 1


def test_show_of_a_state_that_nothing_leads_to(capsys: Capture) -> None:
    """A damaged row is said to be one, and can be deleted."""
    out = _out(capsys, "show", "NULL")
    assert "No action of Nova's leads here." in out
    assert "delete" in out


def test_show_of_no_row(capsys: Capture) -> None:
    """Before a boot there is a boot, and no status."""
    out = _out(capsys, "show", "(none)")
    assert out.startswith("(none) / NULL\n")
    assert "boot" in out
    assert "stuck" not in out


@pytest.mark.parametrize("state", MAP.states, ids=str)
def test_show_fits_a_terminal(state: object) -> None:
    """No line has more than 80 characters, or blanks at its end."""
    stream = io.StringIO()
    map_show._print(portrait.of(state), stream)
    for line in stream.getvalue().splitlines():
        assert len(line) <= 80
        assert line == line.rstrip()


def test_show_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal gets styles, and its own width."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    map_show._print(portrait.of("active"), stream)
    assert "\x1b[1m" in stream.getvalue()


def test_show_as_json(capsys: Capture) -> None:
    """Every edge on its own, with everything that is known of it."""
    read = json.loads(_out(capsys, "show", "-f", "json", "error"))
    assert (read["vm_state"], read["task_state"]) == ("error", None)
    assert read["status"] == "ERROR"
    assert read["allowed_actions"] == list(queries.allowed_actions("error"))
    assert len(read["next"]) == len(queries.leaving("error"))
    assert len(read["before"]) == len(queries.entering("error"))
    assert [gap["action"] for gap in read["gaps"]] == [
        action.name for action, _ in queries.gaps("error")
    ]
    assert "stop" in read["ending"]
    assert all(one["reason"] for one in read["defects"])


def test_show_names_what_ends_a_state_by_itself() -> None:
    """Periodic tasks, and nova-compute when it starts, need no asking."""
    unattended = portrait.of("building / spawning").unattended
    assert "build timeout (periodic)" in unattended
    assert "stop" not in portrait.of("active").unattended
    assert portrait.of("resized / deleting").unattended == ()


REPORTS = {
    0: drift.Report(drift.Tree(pathlib.Path("/n"), "34.0.0"), 34, 256, ()),
    1: drift.Report(
        drift.Tree(pathlib.Path("/n"), "35.0.0"),
        34,
        257,
        (
            drift.Drift(
                drift.Kind.GUARD,
                "nova/a.py:b",
                "no guard",
                "active",
                "Look at it.",
            ),
        ),
    ),
}


@pytest.fixture(params=REPORTS)
def verdict(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> int:
    """Let the comparison find nothing, or one difference."""

    def verify(
        path: pathlib.Path | None = None, version: str | None = None
    ) -> drift.Report:
        assert (path, version) == (pathlib.Path("/n"), "34")
        return REPORTS[request.param]

    monkeypatch.setattr(drift, "verify", verify)
    code: int = request.param
    return code


def _verified(capsys: Capture, verdict: int, *more: str) -> str:
    out, err = _both(
        capsys,
        *("verify", "--source", "/n", "--release", "34", *more),
        code=verdict,
    )
    told = "Nova 35.0.0 is none of the releases that the map was made from"
    assert (told in err) == bool(verdict)
    assert ("compared with what is declared of 34" in err) == bool(verdict)
    return out


def test_verify(verdict: int, capsys: Capture) -> None:
    """Exit code 0 and a line, or 1 and each difference with its remedy."""
    out = _verified(capsys, verdict)
    if verdict:
        assert out == (
            "guard differs: nova/a.py:b\n"
            "    Nova has  no guard\n"
            "    the map   active\n"
            "    Look at it.\n"
            "Nova 35.0.0 in /n, as release 34: 257 writes, 1 difference.\n"
        )
    else:
        assert out == "Nova 34.0.0 in /n: 256 writes, no differences.\n"


def test_verify_for_programs(verdict: int, capsys: Capture) -> None:
    """JSON has what was read and every difference, CSV a line for each."""
    read = json.loads(_verified(capsys, verdict, "-f", "json"))
    assert read["nova"] == REPORTS[verdict].tree.version
    assert read["compared_with"] == 34
    assert len(read["drifts"]) == verdict
    out = _verified(capsys, verdict, "-f", "csv")
    assert out.splitlines() == [
        "kind,where,found,declared,remedy",
        *["guard differs,nova/a.py:b,no guard,active,Look at it."] * verdict,
    ]


def test_export_of_one_release(capsys: Capture) -> None:
    """What a release does not have is left out, and all else is there."""
    whole = set(_out(capsys, "export").splitlines())
    told = {
        release: set(
            _out(capsys, "export", "--release", str(release)).splitlines()
        )
        for release in instance.RELEASES
    }
    assert told[31] != told[34]
    assert whole == set.union(*told.values())
    assert all(lines < whole for lines in told.values())


def test_export_of_nothing_says_so(capsys: Capture) -> None:
    """Somebody who asks for what is not there learns that."""
    arguments = ("export", "--action", "boot", "--from", "active")
    out, err = _both(capsys, *arguments)
    assert len(out.splitlines()) == 1
    assert "No edge of the map is like that." in err
