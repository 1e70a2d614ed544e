# SPDX-License-Identifier: Apache-2.0
"""Data on its way past a heartbeat: chunks and files.

This is what a watch costs the data, so each chunk, read or write meets one
look at the clock and one sum.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
import inspect
from typing import Any, Final, Self, TypeVar

from nova_db_states._actions import heartbeat
from nova_db_states._actions import progress

__all__ = ["Chunks", "File"]

_Chunk = TypeVar("_Chunk")


class Chunks(Iterator[_Chunk]):
    """Chunks on their way past a heartbeat, each handed over after the check.

    A chunk is counted when the next one is asked for: by then the loop around
    this is done with it.
    """

    def __init__(
        self,
        chunks: Iterable[_Chunk],
        heart: heartbeat.Heart,
        counted: progress.Source | None,
    ) -> None:
        self._chunks = iter(chunks)
        self._heart = heart
        self._counted = counted
        self._running = self._run()

    def __iter__(self) -> Iterator[_Chunk]:  # noqa: PYI034 - see below
        # A loop that has the generator itself pays for nothing in between.
        return self._generator()

    def __next__(self) -> _Chunk:
        return next(self._generator())

    def _generator(self) -> Generator[_Chunk]:
        # One that has raised is over, and going on with it would look like
        # the end of the data.
        if inspect.getgeneratorstate(self._running) == inspect.GEN_CLOSED:
            self._running = self._run()
        return self._running

    def _run(self) -> Generator[_Chunk]:
        chunks, heart, counted = self._chunks, self._heart, self._counted
        clock = heart.clock
        if clock() >= heart.due:
            heart.beat()
        if counted is None:
            for chunk in chunks:
                if clock() >= heart.due:
                    heart.beat()
                yield chunk
        else:
            for chunk in chunks:
                if clock() >= heart.due:
                    heart.beat()
                yield chunk
                counted.seen += len(chunk)  # type: ignore[arg-type]


class File:
    """A file whose data passes a heartbeat; all else is the file's own.

    What goes around its methods, by ``fileno()``, is not seen. Like most
    files it is for one thread at a time.
    """

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

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._file, name)
        if name in _PASSING:
            found = _PASSING[name](found, self._heart, self._counted)
            # It is found there from now on, and needs nothing from here.
            self.__dict__[name] = found
        return found

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
        # There may be gaps between here and the end. Taking them for data
        # counts too little at times, and never too much.
        again = max(self._end - self._at, 0)
        self._end -= again
        self._counted.seen = self._then = max(seen - again, 0)
        return position

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        line = next(self._file)
        heart = self._heart
        if heart.clock() >= heart.due:
            heart.beat()
        self._counted.seen += len(line)
        return line

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> Any:
        return self._file.__exit__(*exc_info)


_Method = Callable[..., Any]


def _giving(
    method: _Method, heart: heartbeat.Heart, counted: progress.Source
) -> _Method:
    """Wrap a method that returns data; ``None`` is that there is none yet."""
    clock = heart.clock

    def checked(size: Any = None, /) -> Any:
        data = method() if size is None else method(size)
        if clock() >= heart.due:
            heart.beat()
        if data:
            counted.seen += len(data)
        return data

    return checked


def _filling(
    method: _Method, heart: heartbeat.Heart, counted: progress.Source
) -> _Method:
    """Wrap a method that returns how many bytes it put into a buffer."""

    def checked(buffer: Any) -> Any:
        size = method(buffer)
        if heart.clock() >= heart.due:
            heart.beat()
        counted.seen += size or 0
        return size

    return checked


def _listing(
    method: _Method, heart: heartbeat.Heart, counted: progress.Source
) -> _Method:
    """Wrap a method that returns lines."""

    def checked(*hint: Any) -> Any:
        lines = method(*hint)
        if heart.clock() >= heart.due:
            heart.beat()
        counted.seen += sum(map(len, lines))
        return lines

    return checked


def _writing(
    method: _Method, heart: heartbeat.Heart, counted: progress.Source
) -> _Method:
    """Wrap a method that takes data; what it took is there when it returns."""
    clock = heart.clock

    def checked(data: Any) -> Any:
        if clock() >= heart.due:
            heart.beat()
        written = method(data)
        counted.seen += len(data) if written is None else written
        return written

    return checked


_PASSING: Final = {
    "read": _giving,
    "read1": _giving,
    "readinto": _filling,
    "readinto1": _filling,
    "readline": _giving,
    "readlines": _listing,
    "write": _writing,
}


def _position(file: Any) -> int:
    try:
        return int(file.tell())
    except (AttributeError, OSError, ValueError):
        # A pipe or a response: it cannot be set anywhere either.
        return 0
