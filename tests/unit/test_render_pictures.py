# SPDX-License-Identifier: Apache-2.0
"""The state map as pictures: what is in them, for Graphviz and Mermaid."""

import html
import re

import pytest

from nova_db_states.machine import atlas
from nova_db_states.machine import instance
from nova_db_states.machine import model
from nova_db_states.machine import notation
from nova_db_states.machine import vocabulary
from nova_db_states.machine.render import dot
from nova_db_states.machine.render import graph
from nova_db_states.machine.render import mermaid
from nova_db_states.machine.render import parts
from nova_db_states.machine.render import pictures
from nova_db_states.machine.render import wording

MAP = instance.MAP

# More, and nobody would look at it.
MAX_BOXES = 16
MAX_ARROWS = 32

_MERMAID_LINES = (
    r"flowchart (TD|LR)",
    r'subgraph frame\[" "\]',
    r"end",
    r'(s\d+|gone)\["[^"]+"\]:::(settled|passing|norow|note)',
    r'(s\d+|gone|frame) (-->|-\.->)\|"[^"]+"\| (s\d+|gone)',
    r"classDef \w+ [\w#:,.-]+",
    r"class s\d+(,s\d+)* begins",
)


def _parts() -> list[parts.Part]:
    writing = dict.fromkeys(edge.action for edge in MAP.transitions)
    return [
        parts.cut(MAP),
        *(parts.cut(MAP, action=name) for name in writing),
    ]


def _name(part: parts.Part) -> str:
    return part.action.name if part.action else "overview"


EVERY = pytest.mark.parametrize("part", _parts(), ids=_name)


@EVERY
def test_picture_is_small_and_whole(part: parts.Part) -> None:
    """A person can take it in, and every arrow has two ends."""
    picture = pictures.draw(part)
    keys = [box.key for box in picture.boxes]
    assert len(keys) == len(set(keys)) <= MAX_BOXES
    assert len(picture.arrows) <= MAX_ARROWS
    for arrow in picture.arrows:
        assert arrow.tail in {*keys, graph.FRAME}
        assert arrow.head in keys
        assert any(arrow.lines)
    if any(arrow.tail == graph.FRAME for arrow in picture.arrows):
        assert len(picture.framed) > 1
    assert set(picture.framed) <= set(keys)


@pytest.mark.parametrize("part", _parts()[1:], ids=_name)
def test_picture_names_every_failure(part: parts.Part) -> None:
    """Each failure that ends a task stands with its number at an arrow."""
    assert part.action is not None
    numbers = wording.numbered(part.action)
    failing = {
        numbers[edge.write]
        for edge in part.transitions
        if edge.to.task_state != edge.from_.task_state
        and edge.path is model.Path.FAILURE
    }
    shown = {
        number
        for arrow in pictures.draw(part).arrows
        for line in arrow.lines
        for number in _numbers(line)
    }
    assert failing <= shown


def _numbers(line: str) -> list[str]:
    """Read the numbers at an arrow, ``F2-F4`` as three."""
    found = []
    for first, last in re.findall(r"\b(F?\d+)(?:-F?(\d+))?\b", line):
        prefix = "F" if first.startswith("F") else ""
        start = int(first.removeprefix("F"))
        found += [
            f"{prefix}{number}"
            for number in range(start, int(last or start) + 1)
        ]
    return found


@EVERY
def test_dot_is_one_graph(part: parts.Part) -> None:
    """Braces and quotes are balanced, and every label is there."""
    text = dot.render(part)
    assert text.startswith("digraph ")
    assert text.endswith("}\n")
    assert text.count("{") == text.count("}")
    for box in pictures.draw(part).boxes:
        for line in (*box.lines, *box.small):
            assert html.escape(line) in text


@EVERY
def test_mermaid_is_a_flowchart(part: parts.Part) -> None:
    """Every line is one that Mermaid knows, and every box is declared."""
    lines = [line.strip() for line in mermaid.render(part).splitlines()]
    assert lines[0].startswith("flowchart ")
    for line in lines:
        assert any(re.fullmatch(each, line) for each in _MERMAID_LINES), line
    declared = {line.split("[")[0] for line in lines if ":::" in line}
    used = {
        end
        for line in lines
        if '|"' in line
        for end in (line.split(" ")[0], line.rsplit(" ", 1)[-1])
    }
    assert used - {graph.FRAME} <= declared
    assert (graph.FRAME not in used) or "end" in lines


def test_quotes_and_angles_are_escaped() -> None:
    """No name can break out of a label."""
    picture = graph.Picture(
        'a "b"',
        (
            graph.Box("s0", ('<"&',)),
            graph.Box("s1", ("x",), ("<small>",), begins=True),
        ),
        (graph.Arrow("s0", "s1", ('say "no" \\',), gives_up=True),),
    )
    text = dot.draw(picture)
    assert 'digraph "a \\"b\\""' in text
    assert "&lt;&quot;&amp;" in text
    assert "&lt;small&gt;" in text
    assert 'label=" say \\"no\\" \\\\\\l"' in text
    text = mermaid.draw(picture)
    assert 's0["&lt;&quot;&amp;"]' in text
    assert '-.->|"say &quot;no&quot; \\"|' in text


def test_overview_shows_every_state_to_stay_in_once() -> None:
    """What a server may stay in is a box; so is what it is taken from."""
    picture = pictures.draw(parts.cut(MAP))
    settled = [
        box.lines[0] for box in picture.boxes if box.look is graph.Look.SETTLED
    ]
    assert sorted(settled) == sorted(
        str(state.vm_state)
        for state in MAP.states
        if vocabulary.is_settled(state)
    )
    assert not any(arrow.gives_up for arrow in picture.arrows)


def test_overview_sums_up_what_is_possible_anywhere() -> None:
    """A delete is named where it leads to, and no arrow is drawn for it."""
    picture = pictures.draw(parts.cut(MAP))
    [gone] = [box for box in picture.boxes if "deleted)" in box.lines[0]]
    assert gone.small == ("from anywhere: delete",)
    labels = {line for arrow in picture.arrows for line in arrow.lines}
    assert "delete" not in labels
    assert {"boot", "shelve", "pause"} <= labels


def test_way_out_of_a_state() -> None:
    """One box for each state that it leads to, and the names of who does."""
    at = notation.State("active", "powering-off")
    part = parts.cut(MAP, from_=at)
    picture = pictures.draw(part)
    targets = {str(edge.to) for edge in part.transitions}
    assert {box.lines[0] for box in picture.boxes} == {str(at), *targets}
    assert [box for box in picture.boxes if box.begins] == [picture.boxes[0]]
    assert picture.sideways
    assert "graph [rankdir=LR" in dot.draw(picture)


def test_way_out_of_a_state_to_deletion() -> None:
    """A row that is deleted goes to a place of its own."""
    part = parts.cut(MAP, from_=notation.State("deleted", None))
    boxes = pictures.draw(part).boxes
    assert any(box.look is graph.Look.NO_ROW for box in boxes)


def _of(*writes: model.Write) -> graph.Picture:
    """Draw a map of a boot and one action called ``act``."""
    boot = model.Action(
        "boot",
        "Begin.",
        "(none) / NULL",
        "f:boot",
        (
            model.step(
                "(none) / NULL -> active|paused|stopped / NULL",
                "f:boot",
                event=model.Event.CREATE,
            ),
        ),
    )
    act = model.Action("act", "Act.", "active / NULL", "f:act", writes)
    return pictures.draw(parts.cut(atlas.build((boot, act)), action="act"))


def _arrows(picture: graph.Picture) -> set[tuple[str, str, str]]:
    names = {box.key: box.lines[0] for box in picture.boxes}
    return {
        (
            names.get(arrow.tail, arrow.tail),
            names[arrow.head],
            " ".join(arrow.lines),
        )
        for arrow in picture.arrows
    }


def test_what_ends_where_it_began_is_drawn_downwards() -> None:
    """The state before and the state after are two boxes."""
    picture = _of(
        model.step("active / NULL -> = / pausing", "f:a"),
        model.step("active / pausing -> active / NULL", "f:b"),
        model.fails("active / pausing -> = / NULL", "f:c"),
    )
    assert _arrows(picture) == {
        ("active / NULL", "active / pausing", "1 a"),
        ("active / pausing", "active / NULL", "2 b"),
        ("active / pausing", "= / NULL", "F1"),
    }
    assert [box.begins for box in picture.boxes] == [True, *[False] * 3]


def test_states_that_go_the_same_way_are_one_box() -> None:
    """What is treated alike is named in one place."""
    picture = _of(
        model.step("active|paused / NULL -> = / suspending", "f:a"),
        model.step("active|paused / suspending -> suspended / NULL", "f:b"),
    )
    assert _arrows(picture) == {
        ("active, paused / NULL", "active, paused / suspending", "1 a"),
        ("active, paused / suspending", "suspended / NULL", "2 b"),
    }


def test_failures_of_many_steps_leave_the_frame() -> None:
    """One arrow in place of one from every step."""
    picture = _of(
        model.step("active / NULL -> = / resize_prep", "f:a"),
        model.step("active / resize_prep -> = / resize_migrating", "f:b"),
        model.step("active / resize_migrating -> = / resize_migrated", "f:c"),
        model.step("active / resize_migrated -> resized / NULL", "f:d"),
        model.fails("active / !NULL -> error / NULL", "f:e"),
    )
    arrows = _arrows(picture)
    assert (graph.FRAME, "error / NULL", "F1") in arrows
    assert len([one for one in arrows if "F1" in one]) == 1
    assert len(picture.framed) == 3


def test_a_failure_may_have_a_second_part() -> None:
    """What one write leaves behind, the next goes on from."""
    picture = _of(
        model.step("active / NULL -> = / suspending", "f:a"),
        model.step("active / suspending -> suspended / NULL", "f:b"),
        model.fails("active / suspending -> error / =", "f:c"),
        model.fails("error / suspending -> = / NULL", "f:d"),
    )
    assert {
        ("active / suspending", "error / =", "F1"),
        ("error / =", "= / NULL", "F2"),
    } <= _arrows(picture)


def test_a_step_has_its_function_once() -> None:
    """Where it is drawn again, the number is enough."""
    picture = _of(
        model.step("active / NULL -> = / pausing", "f:a"),
        model.step("active / pausing -> = / suspending", "f:b"),
        model.step("active / pausing|suspending -> paused / NULL", "f:c"),
    )
    assert sorted(arrow.lines for arrow in picture.arrows) == [
        ("1 a",),
        ("2 b",),
        ("3",),
        ("3 c",),
    ]
