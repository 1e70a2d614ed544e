# SPDX-License-Identifier: Apache-2.0
"""Graphviz draws every picture of the state map."""

import subprocess
from xml.etree import ElementTree as ET

import pytest

from nova_db_states.cmd import shell
from nova_db_states.machine import instance
from nova_db_states.machine import notation
from nova_db_states.machine.render import dot
from nova_db_states.machine.render import parts

MAP = instance.MAP

# In points: more is scaled down on a page until nobody can read it.
MAX_WIDTH = 1100

PARTS = {
    "overview": parts.cut(MAP),
    **{
        name: parts.cut(MAP, action=name)
        for name in dict.fromkeys(edge.action for edge in MAP.transitions)
    },
    **{
        f"from {text}": parts.cut(MAP, from_=state)
        for text, state in (
            ("nothing", notation.ABSENT),
            ("active", notation.State("active", None)),
            ("a damaged row", notation.State(None, "deleting")),
        )
    },
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_graphviz_draws_it(part: parts.Part) -> None:
    """No error, no warning, and a picture that fits a page."""
    drawn = subprocess.run(
        ["dot", "-Tsvg"],
        input=dot.render(part),
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    assert drawn.stderr == ""
    svg = ET.fromstring(drawn.stdout)  # noqa: S314 - dot made it
    assert svg.tag.endswith("svg")
    assert float(svg.attrib["width"].removesuffix("pt")) <= MAX_WIDTH


def test_export_as_svg(capsys: pytest.CaptureFixture[str]) -> None:
    """The command gives the picture, with the names of the steps in it."""
    assert (
        shell.main(["map", "export", "--format", "svg", "--action", "stop"])
        == 0
    )
    svg = ET.fromstring(capsys.readouterr().out)  # noqa: S314 - dot made it
    assert "force_stop" in "".join(svg.itertext())
