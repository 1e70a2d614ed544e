# SPDX-License-Identifier: Apache-2.0
"""A picture in the language of Graphviz."""

from collections.abc import Iterator
import html
from typing import Final

from nova_db_states.machine.render import graph
from nova_db_states.machine.render import parts
from nova_db_states.machine.render import pictures

__all__ = ["render"]

_LOOKS: Final = {
    graph.Look.SETTLED: 'fillcolor="#dbe9f6"',
    graph.Look.PASSING: 'fillcolor="#ffffff"',
    graph.Look.NO_ROW: 'shape=plain, style="", fillcolor=none',
    graph.Look.NOTE: 'style="dashed", fillcolor=none',
}
_CROWD: Final = 5
_CLUSTER: Final = "cluster_frame"
_FRAME: Final = 'graph [style="rounded,dotted", color="#888888"]'
_GIVES_UP: Final = 'style=dashed, color="#b03a2e", fontcolor="#b03a2e"'

_HEAD: Final = """\
digraph {name} {{
    graph [rankdir={direction}, nodesep=0.3, ranksep=0.45, compound=true]
    node [shape=box, style="rounded,filled", margin="0.1,0.05"]
    node [fontname="{font}", fontsize=10]
    edge [fontname="{font}", fontsize=9, arrowsize=0.7]
"""
_FONT: Final = "DejaVu Sans,sans-serif"


def render(part: parts.Part) -> str:
    """Draw a part for ``dot``: its action, or its state, or the overview.

    :param part: what to draw
    :returns: a ``digraph``
    """
    return draw(pictures.draw(part))


def draw(picture: graph.Picture) -> str:
    """Write a picture down for ``dot``.

    :param picture: what to draw
    :returns: a ``digraph``
    """
    lines = [
        _HEAD.format(
            name=_quoted(picture.title),
            direction="LR" if picture.sideways else "TB",
            font=_FONT,
        ).rstrip("\n"),
        *(f"    {_box(box)}" for box in picture.boxes),
        *_frame(picture),
        *(f"    {_arrow(arrow, picture)}" for arrow in picture.arrows),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _box(box: graph.Box) -> str:
    label = "<br/>".join(_label(box))
    heavy = ", penwidth=2.2" if box.begins else ""
    return f"{box.key} [label=<{label}>, {_LOOKS[box.look]}{heavy}]"


def _label(box: graph.Box) -> Iterator[str]:
    yield from map(html.escape, box.lines)
    for line in box.small:
        yield f'<font point-size="8.5">{html.escape(line)}</font>'


def _frame(picture: graph.Picture) -> Iterator[str]:
    if picture.framed:
        yield f"    subgraph {_CLUSTER} {{"
        yield f"        {_FRAME}"
        yield f"        {'; '.join(picture.framed)}"
        yield "    }"


def _arrow(arrow: graph.Arrow, picture: graph.Picture) -> str:
    # A blank keeps the text off the line.
    label = "".join(f" {_escaped(line)}\\l" for line in arrow.lines)
    style = f", {_GIVES_UP}" if arrow.gives_up else ""
    if arrow.gives_up and _is_crowded(picture):
        style += ", minlen=2"
    tail = arrow.tail
    if tail == graph.FRAME:
        # dot draws from a box and cuts off what is inside of the frame.
        tail = picture.framed[-1]
        style += f", ltail={_CLUSTER}"
    return f'{tail} -> {arrow.head} [label="{label}"{style}]'


def _is_crowded(picture: graph.Picture) -> bool:
    """Say whether the ends of a picture had better stand in two rows."""
    tails = {arrow.tail for arrow in picture.arrows}
    ends = {arrow.head for arrow in picture.arrows} - tails
    return len(ends) >= _CROWD


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
