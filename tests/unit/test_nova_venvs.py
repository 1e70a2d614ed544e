# SPDX-License-Identifier: Apache-2.0
"""When a Nova virtualenv is made anew, and when it is added to."""

import json
import pathlib

import pytest

from tools import nova_venvs

_RELEASE = nova_venvs.RELEASES[-1]


@pytest.fixture
def commands(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str, ...]]:
    """Note what would be run; a virtualenv is an empty folder."""
    ran: list[tuple[str, ...]] = []

    def run(lock: int, *command: str) -> None:
        del lock
        ran.append(command)
        if "venv" in command:
            pathlib.Path(command[-1]).mkdir()

    monkeypatch.setattr(nova_venvs, "FOLDER", tmp_path)
    monkeypatch.setattr(nova_venvs, "_run", run)
    return ran


def _made_anew(commands: list[tuple[str, ...]]) -> bool:
    return any("venv" in command for command in commands)


def test_complete_virtualenv_stays(commands: list[tuple[str, ...]]) -> None:
    """The first call makes it, with this project in it; the next nothing."""
    assert nova_venvs.ensure(_RELEASE)
    assert _made_anew(commands)
    assert any("--editable" in command for command in commands)
    commands.clear()
    assert not nova_venvs.ensure(_RELEASE)
    assert commands == []


def test_new_requirement_is_added(
    commands: list[tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests may be running in a virtualenv that only lacks a package."""
    nova_venvs.ensure(_RELEASE)
    commands.clear()
    every = [*nova_venvs.requirements(_RELEASE), "one-more"]
    monkeypatch.setattr(nova_venvs, "requirements", lambda _: every)
    assert nova_venvs.ensure(_RELEASE)
    assert not _made_anew(commands)
    [pip] = commands
    assert "one-more" in pip


@pytest.mark.parametrize("stamp", ["", "{}", '{"python": "2.7"}'])
def test_half_made_virtualenv_is_made_anew(
    commands: list[tuple[str, ...]], tmp_path: pathlib.Path, stamp: str
) -> None:
    """Without a stamp of this Python nothing vouches for the folder."""
    nova_venvs.ensure(_RELEASE)
    commands.clear()
    left = tmp_path / _RELEASE / "left"
    left.touch()
    (tmp_path / _RELEASE / "complete.json").write_text(stamp)
    assert nova_venvs.ensure(_RELEASE)
    assert _made_anew(commands)
    assert not left.exists()


def test_project_is_installed_again_with_new_entry_points(
    commands: list[tuple[str, ...]], tmp_path: pathlib.Path
) -> None:
    """Its code is read from the checkout, its entry points are not."""
    nova_venvs.ensure(_RELEASE)
    commands.clear()
    (tmp_path / _RELEASE / "project.json").write_text(
        json.dumps({"setup.cfg": "before"})
    )
    assert nova_venvs.ensure(_RELEASE)
    [pip] = commands
    assert "--editable" in pip
    assert "--no-deps" in pip
