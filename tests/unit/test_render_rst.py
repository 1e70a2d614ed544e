# SPDX-License-Identifier: Apache-2.0
"""The state map as reStructuredText, for people and for the reference."""

from docutils import core
from docutils import nodes
import pytest

from nova_db_states.machine import instance
from nova_db_states.machine import model
from nova_db_states.machine import notation
from nova_db_states.machine.render import parts
from nova_db_states.machine.render import rst
from nova_db_states.machine.render import rst_text

MAP = instance.MAP

# Nothing but an info may be said of a text.
_STRICT = {"halt_level": 2, "report_level": 2, "input_encoding": "unicode"}


def _read(text: str) -> nodes.document:
    return core.publish_doctree(text, settings_overrides=_STRICT)


def _titles(document: nodes.document) -> list[str]:
    return [title.astext() for title in document.findall(nodes.title)]


def test_whole_map_is_a_document() -> None:
    """Every state, every action, and what nobody may do has a section."""
    document = _read(rst.render(parts.cut(MAP)))
    titles = _titles(document)
    assert titles[0] == "State map"
    assert {*MAP.actions, "States", "Gaps", "What nobody may do"} < {*titles}
    assert {str(state.vm_state) for state in MAP.states} < {*titles}
    assert "Power state" in titles


@pytest.mark.parametrize("name", MAP.actions)
def test_action_is_a_document(name: str) -> None:
    """Each write that is right is a row of its table."""
    action = MAP.actions[name]
    document = _read(rst.render(parts.cut(MAP, action=name)))
    assert _titles(document)[0] == name
    steps = {row.children[0].astext() for row in document.findall(nodes.row)}
    right = [write for write in action.writes if not write.defect]
    forward = [write for write in right if write.path is model.Path.SUCCESS]
    wanted = {
        *map(str, range(1, len(dict.fromkeys(forward)) + 1)),
        *(f"F{one}" for one in range(1, len(right) - len(forward) + 1)),
    }
    assert wanted <= steps


@pytest.mark.parametrize(
    "state",
    [
        notation.State("active", None),
        notation.State("active", "deleting"),
        notation.State("deleted", None),
        notation.State(None, None),
    ],
    ids=str,
)
def test_way_out_of_a_state_is_a_document(state: notation.State) -> None:
    """Where it leads to, and what nobody may do to it."""
    part = parts.cut(MAP, from_=state)
    document = _read(rst.render(part))
    text = document.astext()
    assert _titles(document)[0] == f"from {state}"
    for edge in part.transitions:
        assert edge.action in text
        if edge.write.event is not model.Event.DESTROY:
            assert str(edge.to) in text
    assert ("What nobody may do" in text) == bool(part.defects)


def test_remarks_say_what_a_reader_must_know() -> None:
    """When, through which helper, unguarded, for how long, since when."""
    write = model.fails(
        "active / pausing -> = / NULL",
        "nova/compute/manager.py:ComputeManager.pause_instance",
        via="reverts_task_state",
        when="nova-compute starts.",
        at_most_s=120,
        releases=(33, None),
    )
    action = model.Action(
        "pause",
        "Pause.",
        "active / NULL",
        "f:pause",
        (write, model.step("active / NULL -> = / pausing", "f:a", when="so")),
        launched=False,
        note="A note.",
    )
    text = "\n".join(rst.action(action, 0))
    assert (
        "nova-compute starts; through ``reverts_task_state``; no guard in "
        "Nova; stuck after 2 min; from Nova 33."
    ) in text
    assert "     - So.\n" in text
    assert ":Note: A note." in text
    assert ":Only if:" not in text


@pytest.mark.parametrize(
    "text",
    [
        "any * and a_ trailing_ one",
        "`quoted` and |barred|",
        "back\\slash",
        "[DEFAULT]reboot_timeout, task_state",
    ],
)
def test_text_means_itself(text: str) -> None:
    """Whatever is in a sentence, it is read as it was written."""
    assert _read(rst_text.escaped(text)).astext() == text


def test_literals_in_a_text_stay() -> None:
    """A sentence may set names as code."""
    document = _read(rst_text.escaped("the ``task_state_`` of *it*"))
    [literal] = document.findall(nodes.literal)
    assert literal.astext() == "task_state_"
    assert document.astext() == "the task_state_ of *it*"


def test_empty_lists_and_tables_are_nothing() -> None:
    """No heading stands above nothing."""
    assert rst_text.table(("a",), (1,), []) == []
    assert rst_text.bullets([]) == []
    assert rst_text.fields([("a", "")]) == []
    assert rst_text.literal("") == ""
