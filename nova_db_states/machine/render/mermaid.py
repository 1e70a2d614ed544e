# SPDX-License-Identifier: Apache-2.0
"""A picture in the language of Mermaid, for wikis and code forges."""

from collections.abc import Iterable, Iterator
import html
from typing import Final

from nova_db_states.machine.render import graph
from nova_db_states.machine.render import parts
from nova_db_states.machine.render import pictures

__all__ = ["draw", "render"]

_CLASSES: Final = {
    graph.Look.SETTLED: "settled",
    graph.Look.PASSING: "passing",
    graph.Look.NO_ROW: "norow",
    graph.Look.NOTE: "note",
}
_STYLES: Final = (
    "classDef settled fill:#dbe9f6,stroke:#333333,color:#000000",
    "classDef passing fill:#ffffff,stroke:#333333,color:#000000",
    "classDef norow fill:none,stroke:none",
    "classDef note fill:none,stroke-dasharray:4",
    "classDef begins stroke-width:3px",
)


def render(part: parts.Part) -> str:
    """Draw a part as a flowchart: its action, or its state, or the overview.

    :param part: what to draw
    :returns: a ``flowchart``
    """
    return draw(pictures.draw(part))


def draw(picture: graph.Picture) -> str:
    """Write a picture down for Mermaid.

    :param picture: what to draw
    :returns: a ``flowchart``
    """
    lines = [f"flowchart {'LR' if picture.sideways else 'TD'}"]
    framed = [box for box in picture.boxes if box.key in picture.framed]
    if framed:
        lines.append(f'    subgraph {graph.FRAME}[" "]')
        lines += [f"        {_box(box)}" for box in framed]
        lines.append("    end")
    lines += [f"    {_box(box)}" for box in picture.boxes if box not in framed]
    lines += [f"    {_arrow(arrow)}" for arrow in picture.arrows]
    lines += [f"    {style}" for style in (*_STYLES, *_begins(picture))]
    return "\n".join(lines) + "\n"


def _begins(picture: graph.Picture) -> Iterator[str]:
    keys = [box.key for box in picture.boxes if box.begins]
    if keys:
        yield f"class {','.join(keys)} begins"


def _box(box: graph.Box) -> str:
    label = _lines((*box.lines, *(f"({line})" for line in box.small)))
    return f'{box.key}["{label}"]:::{_CLASSES[box.look]}'


def _arrow(arrow: graph.Arrow) -> str:
    line = "-.->" if arrow.gives_up else "-->"
    return f'{arrow.tail} {line}|"{_lines(arrow.lines)}"| {arrow.head}'


def _lines(lines: Iterable[str]) -> str:
    # In quotes, where Mermaid reads entities, and nothing else is special.
    return "<br/>".join(html.escape(line) for line in lines)
