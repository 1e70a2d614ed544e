# SPDX-License-Identifier: Apache-2.0
"""A violation as a picture: who did what on that instance, and when.

A lane for each thread of a worker, a bar for each of its operations from the
call to the answer, bands where a fault was, and a frame around what does not
go together. What a bar has no room for is in its tooltip.
"""

from collections.abc import Iterator, Sequence
import dataclasses
import re
from typing import Final
from xml.etree import ElementTree as ET

from tests.torture import check
from tests.torture import history
from tests.torture import worker

_COLOURS: Final = {
    history.Outcome.OK: "#6abf69",
    history.Outcome.CONFLICT: "#90b4e0",
    history.Outcome.UNKNOWN: "#f2b84b",
    history.Outcome.NOT_APPLIED: "#d0d0d0",
    history.Outcome.ERROR: "#d9534f",
}
_MARK: Final = "#c00000"
_BAND: Final = "#b08fd0"

# In pixels.
_WIDTH: Final = 1500
_LEFT: Final = 110
_RIGHT: Final = 30
_TOP: Final = 86
_LANE: Final = 26
_BAR: Final = 16
_LETTER: Final = 5.6

# Those of the first thread begin with 1,000,000.
_TOKEN: Final = re.compile(r"\b\d{7,}\b")

_MOST_OPERATIONS: Final = 120
_MOST_LETTERS: Final = 200
_PADDING: Final = 0.15
_TICKS: Final = 8
_SHORTEST_NS: Final = 1_000_000


@dataclasses.dataclass(frozen=True, slots=True)
class _Window:
    """The time that is drawn.

    :ivar begin: in nanoseconds
    :ivar end: in nanoseconds
    """

    begin: int
    end: int

    def x(self, time: int) -> float:
        """Give the place of a time, at the edge if it is outside."""
        share = (time - self.begin) / (self.end - self.begin)
        room = _WIDTH - _LEFT - _RIGHT
        return round(_LEFT + min(1.0, max(0.0, share)) * room, 1)

    def meets(self, begin: int, end: int | None) -> bool:
        """Say whether something is in it, if only in part."""
        return begin <= self.end and (end is None or end >= self.begin)


def draw(recorded: history.History, violation: check.Violation) -> str:
    """Draw what was going on around a violation.

    :param recorded: the history that it is in
    :param violation: one of an instance's
    :returns: an SVG document
    """
    operations = [
        each
        for each in recorded.operations
        if each.instance == violation.instance
    ]
    marked = [each for each in operations if each.op in violation.operations]
    window = _window(operations, marked)
    shown = _nearest(
        [each for each in operations if window.meets(each.start, each.end)],
        marked,
    )
    lanes = sorted({(each.node, each.worker) for each in shown})
    picture = _Picture(window, lanes)
    picture.head(violation)
    picture.axis(min((each.start for each in operations), default=0))
    for fault in recorded.faults:
        if window.meets(fault.begin, fault.end):
            picture.band(fault)
    for place, (node, name) in enumerate(lanes):
        picture.text(8, picture.y(place) + 12, f"{name} at {node}")
    for operation in shown:
        picture.bar(operation, marked=operation in marked)
    picture.legend()
    return picture.document()


def short(token: int) -> str:
    """Write a token as its thread and the count within that."""
    thread, count = divmod(token, worker.TOKENS_PER_THREAD)
    return f"{thread}.{count}"


def _window(
    operations: Sequence[history.Operation],
    marked: Sequence[history.Operation],
) -> _Window:
    """Choose the time around what is marked, all of it for nothing."""
    chosen = marked or operations
    begin = min((each.start for each in chosen), default=0)
    end = max((each.end or each.start for each in chosen), default=0)
    padding = max(_SHORTEST_NS, int((end - begin) * _PADDING))
    return _Window(begin - padding, end + padding)


def _nearest(
    operations: Sequence[history.Operation],
    marked: Sequence[history.Operation],
) -> list[history.Operation]:
    """Leave out those farthest from what is marked, if there are many."""
    centres = [each.start for each in marked] or [0]
    ordered = sorted(
        operations,
        key=lambda each: min(abs(each.start - centre) for centre in centres),
    )
    return ordered[:_MOST_OPERATIONS]


class _Picture:
    """The drawing, from the background to the front."""

    def __init__(
        self, window: _Window, lanes: Sequence[tuple[int, str]]
    ) -> None:
        self._window = window
        self._places = {name: place for place, (_, name) in enumerate(lanes)}
        self._bottom = _TOP + len(lanes) * _LANE
        self._root = ET.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "width": str(_WIDTH),
                "height": str(self._bottom + 50),
                "font-family": "DejaVu Sans, sans-serif",
                "font-size": "10",
            },
        )
        self._add(
            "rect", width=_WIDTH, height=self._bottom + 50, fill="#ffffff"
        )

    def document(self) -> str:
        """Give what has been drawn."""
        ET.indent(self._root)
        return ET.tostring(self._root, encoding="unicode") + "\n"

    def y(self, place: int) -> int:
        """Give the top of a lane's bars."""
        return _TOP + place * _LANE + (_LANE - _BAR) // 2

    def head(self, violation: check.Violation) -> None:
        """Say what is wrong."""
        title = f"Instance {violation.instance}: {violation.rule}"
        self.text(8, 22, title, size=16, fill=_MARK)
        words = _TOKEN.sub(lambda found: short(int(found[0])), violation.text)
        for place, line in enumerate(_folded(words)):
            self.text(8, 40 + place * 14, line, size=11)

    def axis(self, origin: int) -> None:
        """Draw the time, and the lanes as faint lines."""
        for tick in range(_TICKS + 1):
            window = self._window
            time = window.begin + (window.end - window.begin) * tick // _TICKS
            x = window.x(time)
            self._line(x, _TOP - 4, x, self._bottom, "#e4e4e4")
            self.text(
                x,
                self._bottom + 14,
                f"{(time - origin) / 1e6:,.1f} ms",
                anchor="middle",
            )
        for place in range(len(self._places)):
            y = self.y(place) + _BAR // 2
            self._line(_LEFT, y, _WIDTH - _RIGHT, y, "#f0f0f0")

    def band(self, fault: history.Fault) -> None:
        """Draw a fault behind everything that happened in it."""
        left, right = map(self._window.x, (fault.begin, fault.end))
        self._add(
            "rect",
            x=left,
            y=_TOP - 14,
            width=max(2.0, right - left),
            height=self._bottom - _TOP + 14,
            fill=_BAND,
            opacity=0.22,
        )
        self.text(
            left + 3,
            _TOP - 4,
            f"{fault.kind} at {fault.node}",
            fill="#6a3d9a",
        )

    def bar(self, operation: history.Operation, *, marked: bool) -> None:
        """Draw an operation."""
        y = self.y(self._places[operation.worker])
        left = self._window.x(operation.start)
        end = operation.end
        right = self._window.x(self._window.end if end is None else end)
        bar = self._add(
            "rect",
            x=left,
            y=y,
            width=max(2.0, right - left),
            height=_BAR,
            rx=3,
            fill=_COLOURS[operation.outcome],
            stroke=_MARK if marked else "#707070",
            stroke_width=2.5 if marked else 0.5,
        )
        if end is None:
            bar.set("stroke-dasharray", "4 3")
        ET.SubElement(bar, "title").text = _told(operation)
        label = _label(operation)
        if marked or right - left > len(label) * _LETTER:
            self.text(left + 3, y + 12, label, bold=marked)

    def legend(self) -> None:
        """Say what the colours and labels mean."""
        y = self._bottom + 26
        x = 8.0
        for outcome, colour in _COLOURS.items():
            self._add("rect", x=x, y=y, width=12, height=12, fill=colour)
            self.text(x + 16, y + 10, outcome)
            x += 90
        self.text(
            x,
            y + 10,
            "7.12: the 12th token of thread 7; 7.12 > 8.3: replaced the first "
            "by the second; = 7.12: found that; a dashed frame: never "
            "returned",
        )

    def text(
        self,
        x: float,
        y: float,
        content: str,
        *,
        size: int = 10,
        fill: str = "#202020",
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        """Write something."""
        made = self._add(
            "text",
            x=x,
            y=y,
            fill=fill,
            font_size=size,
            text_anchor=anchor,
            font_weight="bold" if bold else "normal",
        )
        made.text = content

    def _line(
        self, x1: float, y1: float, x2: float, y2: float, stroke: str
    ) -> None:
        self._add("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=stroke)

    def _add(self, kind: str, **settings: float | str) -> ET.Element:
        return ET.SubElement(
            self._root,
            kind,
            {
                name.replace("_", "-"): str(value)
                for name, value in settings.items()
            },
        )


def _label(operation: history.Operation) -> str:
    if operation.outcome is history.Outcome.CONFLICT or not operation.writes:
        found = operation.actual
        return "= nothing" if found is None else f"= {short(found)}"
    return f"{short(operation.expected)} > {short(operation.op)}"


def _told(operation: history.Operation) -> str:
    return "\n".join(
        f"{name}: {value}"
        for name, value in dataclasses.asdict(operation).items()
    )


def _folded(words: str) -> Iterator[str]:
    """Cut a text into lines that fit."""
    line = ""
    for word in words.split():
        if len(line) + len(word) > _MOST_LETTERS:
            yield line
            line = ""
        line = f"{line} {word}".strip()
    yield line
