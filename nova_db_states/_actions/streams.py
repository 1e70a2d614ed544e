# SPDX-License-Identifier: Apache-2.0
"""Data on its way past a heartbeat: chunks and files.

This is what a watch costs the data, so each chunk, read or write meets one
look at the clock and one sum.
"""

from collections.abc import Callable, Generator, Iterable, Iterator
import contextlib
import inspect
import itertools
from typing import Any, Final, Generic, NoReturn, Self, TypeVar
import weakref

from nova_db_states._actions import heartbeat
from nova_db_states._actions import progress

__all__ = ["Chunks", "File"]

_Chunk = TypeVar("_Chunk")


class _Supply(Generic[_Chunk]):
    """Where chunks come from, until it is closed.

    :ivar heart: what they pass
    :ivar closed: there is nothing more to come
    :ivar running: the generator that hands them over, while anybody has it
    """

    __slots__ = ("_chunks", "_given", "_held", "closed", "heart", "running")

    def __init__(
        self, given: Iterable[_Chunk], heart: heartbeat.Heart
    ) -> None:
        self.heart = heart
        self.closed = False
        self.running: Callable[[], object] = type(None)
        self._given = given
        self._held: tuple[_Chunk, ...] = ()
        self._chunks: Iterator[_Chunk] = iter(())
        self.check()
        self._chunks = iter(given)

    def rest(self) -> Iterator[_Chunk]:
        """Give the chunks that were not handed over yet."""
        held, self._held = self._held, ()
        return itertools.chain(held, self._chunks) if held else self._chunks

    def check(self, *held: _Chunk) -> None:
        """Beat, and close all this if that ends the watch.

        :param held: what has come already; it is not lost where the watch
            goes on after what is raised
        :raises Exception: what :meth:`heartbeat.Heart.beat` does
        """
        try:
            self.heart.beat()
        except BaseException as error:
            if self.heart.ended:
                self._close_after(error)
            elif held:
                self._held = held
            raise

    def close(self) -> None:
        """Close what the chunks come from, once, if it can be closed."""
        if self.closed:
            return
        self.closed = True
        with contextlib.ExitStack() as both:
            for source in (self._given, self._chunks):
                close = getattr(source, "close", None)
                if close is not None:
                    both.callback(close)

    def _close_after(self, error: BaseException) -> None:
        try:
            self.close()
        except Exception as failure:  # noqa: BLE001 - less than the other
            error.add_note(
                f"What the chunks came from could not be closed: "
                f"{type(failure).__name__}: {failure}"
            )


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
        self._supply = _Supply(chunks, heart)
        self._counted = counted
        self._running = self._start()

    def __iter__(self) -> Iterator[_Chunk]:  # noqa: PYI034 - see below
        # A loop that has the generator itself pays for nothing in between.
        return self._generator()

    def __next__(self) -> _Chunk:
        return next(self._generator())

    def close(self) -> None:
        """Close what the chunks come from; there are no more of them."""
        self._running.close()
        self._supply.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _generator(self) -> Generator[_Chunk]:
        # One that has raised is over, and going on with it would look like
        # the end of the data.
        if inspect.getgeneratorstate(self._running) == inspect.GEN_CLOSED:
            self._running = self._start()
        return self._running

    def _start(self) -> Generator[_Chunk]:
        running = _run(self._supply, self._counted)
        # Only one that has begun notices that it is closed.
        next(running)
        # The callback makes Python clear this before it ends a generator
        # that nobody has any more, also one that is found in a cycle.
        self._supply.running = weakref.ref(running, id)
        return running


def _run(
    supply: _Supply[_Chunk], counted: progress.Source | None
) -> Generator[_Chunk]:
    """Hand over the rest, after one ``None`` to begin with."""
    heart = supply.heart
    clock = heart.clock
    try:
        # No chunk, and nobody's: _start takes it.
        yield None  # type: ignore[misc]
        if clock() >= heart.due and (heart.ended or not supply.closed):
            supply.check()
        if supply.closed:
            return
        chunks = supply.rest()
        if counted is None:
            for chunk in chunks:
                if clock() >= heart.due:
                    supply.check(chunk)
                yield chunk
        else:
            for chunk in chunks:
                if clock() >= heart.due:
                    supply.check(chunk)
                yield chunk
                # Only who gives a total has to have chunks with a length.
                counted.seen += len(chunk)  # type: ignore[arg-type]
    except GeneratorExit:
        # Who left a loop may go on with what it came from; who called close()
        # still has the generator.
        if supply.running() is not None:
            supply.close()
        raise


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

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "A watched file cannot be copied or pickled: it is one place in "
            "one file. Copy the file itself."
        )

    def __getattr__(self, name: str) -> Any:
        if name == "_file":
            # Nobody has called __init__, and there is no file to ask.
            raise AttributeError(name)
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

    def seek(self, *where: Any, **how: Any) -> Any:
        """Go elsewhere; what is read or written again counts once."""
        position = self._file.seek(*where, **how)
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

# What a method is given is its own affair (urllib3 has decode_content), but a
# plain size is what nearly all pass, and a call with that alone is cheaper.
_LEFT_OUT: Final = object()


def _giving(
    method: _Method, heart: heartbeat.Heart, counted: progress.Source
) -> _Method:
    """Wrap a method that returns data; ``None`` is that there is none yet."""
    clock = heart.clock

    def checked(size: Any = _LEFT_OUT, /, *more: Any, **named: Any) -> Any:
        if size is _LEFT_OUT:
            data = method(**named)
        elif more or named:
            data = method(size, *more, **named)
        else:
            data = method(size)
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

    def checked(*given: Any, **named: Any) -> Any:
        size = method(*given, **named)
        if heart.clock() >= heart.due:
            heart.beat()
        counted.seen += size or 0
        return size

    return checked


def _listing(
    method: _Method, heart: heartbeat.Heart, counted: progress.Source
) -> _Method:
    """Wrap a method that returns lines."""

    def checked(*given: Any, **named: Any) -> Any:
        lines = method(*given, **named)
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

    def checked(*given: Any, **named: Any) -> Any:
        if clock() >= heart.due:
            heart.beat()
        written = method(*given, **named)
        if written is None:
            # The data comes first, whatever its name is.
            written = len(next(iter((*given, *named.values()))))
        counted.seen += written
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
