# SPDX-License-Identifier: Apache-2.0
"""What a watched file passes on, and what a watch keeps of its files."""

from collections.abc import Callable, Iterator
import copy
import gc
import io
import pathlib
import pickle
import threading
import time
from typing import Any

import pytest

from nova_db_states._actions import progress
from nova_db_states._actions import streams
from nova_db_states._actions import watch
from tests.resources import contention
from tests.resources import watched


@pytest.fixture(name="cell")
def make_cell(tmp_path: pathlib.Path) -> Iterator[watched.Cell]:
    """Give a cell of the test's own."""
    with watched.cell(tmp_path) as made:
        yield made


class Response:
    """A file that takes other arguments than Python's own, and notes them."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def _take(self, *given: Any, **named: Any) -> None:
        self.given.append((given, named))

    def read(self, *given: Any, **named: Any) -> bytes:
        """Give ten bytes."""
        self._take(*given, **named)
        return bytes(10)

    read1 = readline = read

    def readinto(self, *given: Any, **named: Any) -> int:
        """Put ten bytes anywhere."""
        return len(self.read(*given, **named))

    readinto1 = readinto

    def readlines(self, *given: Any, **named: Any) -> list[bytes]:
        """Give ten bytes as lines."""
        return [self.read(*given, **named)]

    def write(self, *given: Any, **named: Any) -> None:
        """Take any bytes."""
        self._take(*given, **named)


_GIVEN: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((b"0123456789",), {}),
    ((b"0123456789", True), {}),
    ((b"0123456789",), {"decode_content": True}),
    ((), {"amt": b"0123456789", "decode_content": True}),
    ((None,), {}),
    ((), {}),
]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        (name, given)
        for name in streams._PASSING
        for given in _GIVEN
        # A write has data.
        if name != "write" or b"0123456789" in (*given[0], *given[1].values())
    ],
)
def test_arguments_pass(
    cell: watched.Cell,
    name: str,
    given: tuple[tuple[Any, ...], dict[str, Any]],
) -> None:
    """Whatever they are, exactly as they were given."""
    made = cell.watch(total=40)
    file = Response()
    args, kwargs = given
    getattr(made.file(file), name)(*args, **kwargs)
    assert file.given == [given]
    cell.clock.now += watched.INTERVAL_S
    made.checkpoint()
    assert cell.row()["progress"] == 25


def test_a_named_whence(cell: watched.Cell, tmp_path: pathlib.Path) -> None:
    """A file in Python's own code takes it so."""
    path = tmp_path / "image"
    path.write_bytes(bytes(10))

    class File(io.FileIO):
        def seek(self, pos: int, whence: int = 0) -> int:
            """Go there."""
            return super().seek(pos, whence)

    made = cell.watch(total=10)
    with made.file(File(path)) as file:
        assert file.seek(-4, whence=io.SEEK_END) == 6
        assert file.seek(pos=3) == 3
        assert len(file.read()) == 7


@pytest.mark.parametrize("take", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_watched_file_is_not_copied(
    cell: watched.Cell, take: Callable[[Any], Any]
) -> None:
    """As an open file is not, and it says so."""
    file = cell.watch().file(io.BytesIO(b"1234"))
    with pytest.raises(TypeError, match="cannot be copied"):
        take(file)
    assert file.read() == b"1234"


def test_a_file_that_was_never_made() -> None:
    """Whatever is asked of it, it does not look for ever."""
    file = streams.File.__new__(streams.File)
    assert not hasattr(file, "read")


def test_finished_files_are_one_sum(cell: watched.Cell) -> None:
    """However many there were; those that are still used count with them."""
    made = cell.watch(total=4000)
    first = made.file(io.BytesIO(bytes(1000)))
    first.read(500)
    for _ in range(500):
        made.file(io.BytesIO(bytes(2))).read()
        assert list(made.iterate([b"12"])) == [b"12"]
    read = made.file(io.BytesIO(bytes(1500))).read
    read(500)
    gc.collect()
    kept = made._progress
    assert len(kept._used) == 2
    assert len(kept._finished) <= 2
    for size, percent in [(0, 75), (200, 80), (200, 85)]:
        read(size)
        cell.clock.now += watched.INTERVAL_S
        made.checkpoint()
        assert cell.row()["progress"] == percent
    del first, read
    cell.clock.now += watched.INTERVAL_S
    made.checkpoint()
    assert cell.row()["progress"] == 85
    assert len(kept._used) == 0


def test_threads_that_finish_files() -> None:
    """Nothing is counted twice meanwhile, and in the end nothing is lost."""
    made = progress.Progress(100 * 2000)
    over = threading.Event()

    def work() -> None:
        for _ in range(500):
            made.source().seen += 100
        done.release()

    seen = []
    done = threading.Semaphore(0)

    def look() -> None:
        while not over.is_set():
            seen.append(made._seen())

    with contention.in_background(look):
        for _ in range(4):
            threading.Thread(target=work).start()
        for _ in range(4):
            assert done.acquire(timeout=20)
        over.set()
    assert max(seen) <= 100 * 2000
    assert made._seen() == 100 * 2000
    assert made.percent() == 100


def test_the_clock_of_the_time(
    cell: watched.Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a program has put in the place of time's functions is used."""
    monkeypatch.setattr(time, "monotonic", cell.clock)
    monkeypatch.setattr(time, "sleep", cell.clock.sleep)
    made = watch.watch(cell.context, cell.instance)
    cell.updates.clear()
    made.checkpoint()
    assert cell.updates == []
    cell.clock.now += watched.INTERVAL_S
    made.checkpoint()
    assert len(cell.updates) == 1
    with cell.away() as come_back:

        def sleep(seconds: float) -> None:
            # Others let greenlets run by a sleep of 0.
            if seconds > 0:
                cell.clock.sleep(seconds)
                come_back()

        monkeypatch.setattr(time, "sleep", sleep)
        cell.clock.slept.clear()
        watch.watch(cell.context, cell.instance)
    assert len(cell.clock.slept) == 1
