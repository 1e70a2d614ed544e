# SPDX-License-Identifier: Apache-2.0
"""The few things of reStructuredText that the map needs."""

from collections.abc import Iterable, Iterator, Sequence
import re
from typing import Final

__all__ = ["bullets", "escaped", "fields", "heading", "literal", "table"]

_LITERALS: Final = re.compile(r"(``[^`]+``)")
_SPECIAL: Final = re.compile(r"([\\*`|]|_(?!\w))")
_LEVELS: Final = "=-~"


def escaped(text: str) -> str:
    """Let a sentence mean itself; ``literals`` in it stay what they are.

    :param text: a sentence
    :returns: the same in reStructuredText
    """
    return "".join(
        part
        if _LITERALS.fullmatch(part)
        else _SPECIAL.sub(r"\\\1", " ".join(part.split(" ")))
        for part in _LITERALS.split(" ".join(text.split()))
    )


def literal(text: str) -> str:
    """Set a text as code; nothing is nothing.

    :param text: no backquotes
    :returns: the text in reStructuredText
    """
    return f"``{text}``" if text else ""


def heading(text: str, level: int) -> list[str]:
    """Write a heading.

    :param text: as it is to be read
    :param level: 0 for the title of a page
    :returns: lines
    """
    shown = escaped(text)
    line = (_LEVELS[0] if level == 0 else _LEVELS[level - 1]) * len(shown)
    return [*([line] if level == 0 else []), shown, line, ""]


def fields(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Write a list of fields; those without a value are left out.

    :param pairs: name and value, the value in reStructuredText
    :returns: lines
    """
    lines = [f":{name}: {value}" for name, value in pairs if value]
    return [*lines, ""] if lines else []


def bullets(items: Iterable[str]) -> list[str]:
    """Write a list.

    :param items: in reStructuredText
    :returns: lines
    """
    lines = [f"- {item}" for item in items]
    return [*lines, ""] if lines else []


def table(
    head: Sequence[str], widths: Sequence[int], rows: Iterable[Sequence[str]]
) -> list[str]:
    """Write a table; nothing where it has no row.

    :param head: the names of the columns
    :param widths: their shares of the width
    :param rows: cells in reStructuredText
    :returns: lines
    """
    body = [line for row in rows for line in _row(row)]
    if not body:
        return []
    return [
        ".. list-table::",
        "   :header-rows: 1",
        f"   :widths: {' '.join(map(str, widths))}",
        "",
        *_row(head),
        *body,
        "",
    ]


def _row(cells: Sequence[str]) -> Iterator[str]:
    for index, cell in enumerate(cells):
        mark = "*" if index == 0 else " "
        yield f"   {mark} - {cell}".rstrip()
