# SPDX-License-Identifier: Apache-2.0
"""The pages of the state map are those of the declarations."""

import pathlib

import pytest

from nova_db_states.machine import instance
from tools import state_map_docs


def test_pages_are_up_to_date() -> None:
    """What is checked in is what the declarations say now."""
    wanted = state_map_docs.pages()
    there = {
        str(path.relative_to(state_map_docs.FOLDER)): path.read_text(
            encoding="utf-8"
        )
        for path in state_map_docs.FOLDER.rglob("*")
        if path.is_file()
    }
    stale = sorted(
        name
        for name in {*wanted, *there}
        if wanted.get(name) != there.get(name)
    )
    assert not stale, (
        f"The pages of the state map are stale: {', '.join(stale)}. Run\n"
        "    python tools/state_map_docs.py\n"
        "and commit what it changes."
    )


def test_every_action_has_a_section() -> None:
    """No action is left out, and none is there twice."""
    titles = [
        line
        for name, text in state_map_docs.pages().items()
        if name.endswith(".rst")
        for line, rule in zip(
            text.splitlines(), text.splitlines()[1:], strict=False
        )
        if rule == "=" * len(line)
    ]
    for name in instance.MAP.actions:
        assert titles.count(name) == 1, name


def test_old_files_go_away(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no longer written is removed."""
    monkeypatch.setattr(state_map_docs, "FOLDER", tmp_path)
    old = tmp_path / "pictures" / "gone.dot"
    old.parent.mkdir()
    old.write_text("digraph {}")
    state_map_docs.main()
    assert not old.exists()
    assert (tmp_path / "index.rst").is_file()
