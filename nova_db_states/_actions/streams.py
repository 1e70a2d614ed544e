# SPDX-License-Identifier: Apache-2.0
"""Data on its way past a heartbeat: chunks and files.

This is what a watch costs the data, so each chunk, read or write meets one
look at the clock and one sum.
"""

from collections.abc import Iterable, Iterator
import itertools
from typing import Any, Self, TypeVar

from nova_db_states._actions import heartbeat
from nova_db_states._actions import progress

__all__ = ["File", "passing"]

_Chunk = TypeVar("_Chunk")


def passing(
    chunks: Iterable[_Chunk],
    heart: heartbeat.Heart,
    counted: progress.Source | None,
) -> Iterator[_Chunk]:
    """Let chunks through, each after the check.

    A chunk is counted when the next one is asked for: by then the loop around
    this is done with it.

    :param chunks: from anywhere
    :param heart: is asked at each chunk
    :param counted: gets the lengths of the chunks; ``None`` not to count
    :returns: yields the chunks
    """
    # A generator is over once it has raised; going on with it would look like
    # the end of the data. chain() then comes back for another one.
    return itertools.chain.from_iterable(_passes(iter(chunks), heart, counted))


def _passes(
    chunks: Iterator[_Chunk],
    heart: heartbeat.Heart,
    counted: progress.Source | None,
) -> Iterator[Iterator[_Chunk]]:
    at_end = False

    def one_pass() -> Iterator[_Chunk]:
        nonlocal at_end
        clock = heart.clock
        if clock() >= heart.due:
            heart.beat()
        for chunk in chunks:
            if clock() >= heart.due:
                heart.beat()
            yield chunk
            if counted is not None:
                counted.seen += len(chunk)  # type: ignore[arg-type]
        at_end = True

    while not at_end:
        yield one_pass()


class File:
    """A file whose data passes a heartbeat; all else is the file's own.

    What goes around its methods, by ``fileno()``, is not seen. Like most
    files it is for one thread at a time.
    """

    __slots__ = ("_at", "_counted", "_end", "_file", "_heart", "_then")

    def __init__(
        self, file: Any, heart: heartbeat.Heart, counted: progress.Source
    ) -> None:
        self._file = file
        self._heart = heart
        self._counted = counted
        # Where it was set by seek(), what had been seen then, and where all
        # that is counted ends.
        self._at = self._end = _position(file)
        self._then = 0

    def _pass(self, size: int) -> None:
        heart = self._heart
        if heart.clock() >= heart.due:
            heart.beat()
        self._counted.seen += size

    def read(self, *size: Any) -> Any:
        """Read as the file does; ``None`` is that nothing is there yet."""
        data = self._file.read(*size)
        self._pass(len(data) if data else 0)
        return data

    def read1(self, *size: Any) -> Any:
        """Read what one call to the system gives, as the file does."""
        data = self._file.read1(*size)
        self._pass(len(data) if data else 0)
        return data

    def readinto(self, buffer: Any) -> Any:
        """Read into a buffer, as the file does."""
        size = self._file.readinto(buffer)
        self._pass(size or 0)
        return size

    def readline(self, *size: Any) -> Any:
        """Read a line, as the file does."""
        line = self._file.readline(*size)
        self._pass(len(line) if line else 0)
        return line

    def readlines(self, *hint: Any) -> Any:
        """Read lines, as the file does."""
        lines = self._file.readlines(*hint)
        self._pass(sum(map(len, lines)))
        return lines

    def write(self, data: Any) -> Any:
        """Write as the file does, after the check."""
        self._pass(0)
        written = self._file.write(data)
        self._counted.seen += len(data) if written is None else written
        return written

    def writelines(self, lines: Iterable[Any]) -> None:
        """Write one after the other, each after the check."""
        for line in lines:
            self.write(line)

    def seek(self, *where: Any) -> Any:
        """Go elsewhere; what is read or written again counts once."""
        position = self._file.seek(*where)
        seen = self._counted.seen
        if seen > self._then:
            self._end = max(self._end, self._at + seen - self._then)
        self._at = _position(self._file) if position is None else position
        # Between here and the end there may be gaps. As if there were none:
        # too little is counted then, but never too much.
        again = max(self._end - self._at, 0)
        self._end -= again
        self._counted.seen = self._then = max(seen - again, 0)
        return position

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        line = next(self._file)
        self._pass(len(line))
        return line

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> Any:
        return self._file.__exit__(*exc_info)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _position(file: Any) -> int:
    try:
        return int(file.tell())
    except (AttributeError, OSError, ValueError):
        # A pipe or a response: it cannot be set anywhere either.
        return 0
