# SPDX-License-Identifier: Apache-2.0
"""Chunks and files that pass a watch, and the progress they make."""

from collections.abc import Callable, Iterator
import io
import os
import pathlib
import shutil
from typing import Any, Final

from hypothesis import given
from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies as st
import pytest

from nova_db_states import exceptions
from tests.resources import watched


@pytest.fixture(name="cell")
def make_cell(tmp_path: pathlib.Path) -> Iterator[watched.Cell]:
    """Give a cell of the test's own."""
    with watched.cell(tmp_path) as made:
        yield made


def test_errors_of_the_source_pass(cell: watched.Cell) -> None:
    """They are the source's own, and it may go on after one."""

    class Source:
        def __init__(self) -> None:
            self.numbers = iter([1, 0, 2])

        def __iter__(self) -> "Source":
            return self

        def __next__(self) -> float:
            return 1 / next(self.numbers)

    stream = cell.watch().iterate(Source())
    assert next(stream) == 1.0
    with pytest.raises(ZeroDivisionError):
        next(stream)
    assert list(stream) == [0.5]
    assert next(stream, None) is None


def test_several_streams_make_one_progress(cell: watched.Cell) -> None:
    """The bytes of all iterables and files of a watch count together."""
    made = cell.watch(total=8)
    first = made.iterate([b"12", b"34"])
    file = made.file(io.BytesIO(b"5678"))
    assert next(first) == b"12"
    assert next(first) == b"34"
    assert file.read(1) == b"5"
    cell.clock.now += watched.INTERVAL_S
    made.checkpoint()
    # The chunk that is still being worked on does not count yet.
    assert cell.row()["progress"] == 100 * 3 // 8


def test_a_download_into_a_file(
    cell: watched.Cell, tmp_path: pathlib.Path
) -> None:
    """The check comes before the write, and what was written counts."""
    path = tmp_path / "image"
    made = cell.watch(total=12)
    with made.file(path.open("wb")) as copy:
        assert copy.write(b"1234") == 4
        cell.clock.now += watched.INTERVAL_S
        copy.writelines([b"56", b"78"])
        assert cell.row()["progress"] == 100 * 4 // 12
        cell.write(task_state="deleting")
        cell.clock.now += watched.INTERVAL_S
        with pytest.raises(exceptions.UnexpectedDeletingTaskStateError):
            copy.write(b"90")
    assert copy.closed
    assert path.read_bytes() == b"12345678"


def test_a_sink_that_returns_nothing(cell: watched.Cell) -> None:
    """All of what was given to it counts."""

    class Sink:
        def write(self, data: bytes) -> None:
            """Take it."""

    made = cell.watch(total=8)
    made.file(Sink()).write(b"123456")
    cell.clock.now += watched.INTERVAL_S
    made.checkpoint()
    assert cell.row()["progress"] == 75


_LINES: Final = b"".join(b"%03d line\n" % number for number in range(100))


def _read_into(file: Any, name: str = "readinto") -> bytes:
    buffer = bytearray(7)
    read = bytearray()
    while size := getattr(file, name)(buffer):
        read += buffer[:size]
    return bytes(read)


def _copy(file: Any) -> bytes:
    copy = io.BytesIO()
    shutil.copyfileobj(file, copy, 64)
    return copy.getvalue()


def _through(wrapper: Any) -> Any:
    try:
        return wrapper.read()
    finally:
        wrapper.detach()


_READERS: Final[dict[str, Callable[[Any], bytes]]] = {
    "read": lambda file: b"".join(iter(lambda: file.read(7), b"")),
    "read all": lambda file: file.read(),
    "read1": lambda file: b"".join(iter(lambda: file.read1(7), b"")),
    "readinto": _read_into,
    "readinto1": lambda file: _read_into(file, "readinto1"),
    "readline": lambda file: b"".join(iter(file.readline, b"")),
    "readlines": lambda file: b"".join(file.readlines()),
    "iteration": b"".join,
    "next": lambda file: next(file) + b"".join(file),
    "copyfileobj": _copy,
    "buffered": lambda file: _through(io.BufferedReader(file)),
    "text": lambda file: _through(io.TextIOWrapper(file)).encode(),
}


@pytest.mark.parametrize("way", _READERS)
def test_every_way_to_read(
    cell: watched.Cell, tmp_path: pathlib.Path, way: str
) -> None:
    """The data is the same, every byte counts, and a refusal stops it."""
    path = tmp_path / "image"
    path.write_bytes(_LINES)
    read = _READERS[way]
    made = cell.watch(total=len(_LINES))
    with path.open("rb") as file:
        assert read(made.file(file)) == _LINES
    cell.clock.now += watched.INTERVAL_S
    made.checkpoint()
    assert cell.row()["progress"] == 100
    cell.write(task_state=None)
    with path.open("rb") as file:
        copy = made.file(file)
        cell.clock.now += watched.INTERVAL_S
        with pytest.raises(exceptions.UnexpectedTaskStateError):
            read(copy)


def test_the_rest_is_the_files_own(
    cell: watched.Cell, tmp_path: pathlib.Path
) -> None:
    """Whatever else a file can do, it can do through the watch."""
    path = tmp_path / "image"
    path.write_bytes(_LINES)
    with path.open("rb") as file:
        copy = cell.watch().file(file)
        assert copy.name == str(path)
        assert copy.fileno() == file.fileno()
        assert copy.seek(-5, io.SEEK_END) == len(_LINES) - 5
        assert copy.tell() == len(_LINES) - 5
        assert copy.read() == b"line\n"
        with pytest.raises(AttributeError, match="no_such"):
            copy.no_such  # type: ignore[attr-defined] # noqa: B018
        copy.close()
        assert file.closed


def test_a_response_that_is_not_ready(
    cell: watched.Cell,
) -> None:
    """A pipe cannot say where it is, and may have nothing yet."""
    source, sink = os.pipe()
    os.set_blocking(source, False)
    with open(source, "rb", 0) as file, open(sink, "wb", 0) as other:  # noqa: PTH123
        made = cell.watch(total=4)
        copy = made.file(file)
        assert copy.read(4) is None
        other.write(b"12")
        assert copy.read(4) == b"12"
        cell.clock.now += watched.INTERVAL_S
        made.checkpoint()
        assert cell.row()["progress"] == 50


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    begin=st.integers(0, 20),
    moves=st.lists(
        st.one_of(
            st.tuples(st.just("read"), st.integers(-1, 60)),
            st.tuples(st.just("seek"), st.integers(0, 120)),
        ),
        max_size=20,
    ),
)
def test_an_upload_that_begins_anew(
    cell: watched.Cell, begin: int, moves: list[tuple[str, int]]
) -> None:
    """What is read twice counts once, and in the end all is there."""
    instance = cell.insert(task_state="spawning")
    data = bytes(range(100))
    plain, file = io.BytesIO(data), io.BytesIO(data)
    plain.seek(begin)
    file.seek(begin)
    made = cell.watch(instance=instance, total=len(data) - begin)
    copy = made.file(file)
    seen: set[int] = set()
    least = 0
    for name, number in moves:
        before = plain.tell()
        assert getattr(copy, name)(number) == getattr(plain, name)(number)
        if name == "read":
            seen.update(range(before, plain.tell()))
        cell.clock.now += watched.INTERVAL_S
        made.checkpoint()
        progress = cell.row(instance)["progress"]
        assert least <= progress <= len(seen) * 100 // (len(data) - begin)
        least = progress
    copy.seek(begin)
    copy.read()
    cell.clock.now += watched.INTERVAL_S
    made.checkpoint()
    assert cell.row(instance)["progress"] == 100


def test_an_upload_that_goes_back_a_little(cell: watched.Cell) -> None:
    """What was read before that still counts."""
    made = cell.watch(total=100)
    copy = made.file(io.BytesIO(bytes(100)))
    for number in (50, 30, 75):
        copy.seek(number - 20)
        copy.seek(number - 20)
        copy.read(20)
    # 30 to 50, then from 10 on instead, then up to a gap from 30 to 55.
    cell.clock.now += watched.INTERVAL_S
    made.checkpoint()
    assert cell.row()["progress"] == 40
    copy.seek(10)
    copy.read(40)
    copy.seek(50)
    copy.read(50)
    cell.clock.now += watched.INTERVAL_S
    made.checkpoint()
    assert cell.row()["progress"] == 90


def test_an_old_kind_of_file(cell: watched.Cell) -> None:
    """One whose seek() does not say where it went is asked."""

    class Old(io.BytesIO):
        def seek(self, *where: int) -> None:  # type: ignore[override]
            """Go there."""
            super().seek(*where)

    made = cell.watch(total=100)
    copy = made.file(Old(bytes(100)))
    copy.read(50)
    copy.seek(20)
    copy.read(10)
    cell.clock.now += watched.INTERVAL_S
    made.checkpoint()
    assert cell.row()["progress"] == 30


def test_how_large_is_it(cell: watched.Cell) -> None:
    """Whoever looks for the end of a file and comes back changes nothing."""
    made = cell.watch(total=100)
    copy = made.file(io.BytesIO(bytes(100)))
    for number in range(10):
        assert len(copy.read(10)) == 10
        here = copy.tell()
        assert copy.seek(0, io.SEEK_END) == 100
        copy.seek(here)
        cell.clock.now += watched.INTERVAL_S
        made.checkpoint()
        assert cell.row()["progress"] == 10 * (number + 1)


def steps() -> st.SearchStrategy[list[tuple[int, float]]]:
    """Make chunks, each with the seconds that it takes to come."""
    seconds = st.one_of(
        st.just(0.0), st.floats(0.0, 2.0), st.floats(0.0, 50.0)
    )
    return st.lists(st.tuples(st.integers(0, 1000), seconds), max_size=40)


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    steps=steps(),
    interval_s=st.sampled_from([0.5, 5.0, 30.0]),
    short_of_total=st.integers(-10, 10),
)
def test_any_stream(
    cell: watched.Cell,
    steps: list[tuple[int, float]],
    interval_s: float,
    short_of_total: int,
) -> None:
    """No more beats than intervals, and progress that only grows.

    100 is written only when all of the total is there.
    """
    instance = cell.insert(task_state="spawning")
    total = max(sum(size for size, _ in steps) + short_of_total, 0)
    cell.updates.clear()
    began = cell.clock.now
    made = cell.watch(instance=instance, total=total, interval_s=interval_s)
    reached = [cell.row(instance)["progress"]]
    seen = 0

    def chunks() -> Iterator[bytes]:
        for size, seconds in steps:
            cell.clock.now += seconds
            yield b"x" * size

    passed = []
    for chunk in made.iterate(chunks()):
        row = cell.row(instance)
        assert row["progress"] <= (100 * seen // total if total else 100)
        assert row["progress"] < 100 or seen >= total
        reached.append(row["progress"])
        passed.append(len(chunk))
        seen += len(chunk)
    assert passed == [size for size, _ in steps]
    assert reached == sorted(reached)
    beats = len(cell.updates)
    assert 1 <= beats <= (cell.clock.now - began) / interval_s + 1
    cell.clock.now += interval_s
    made.checkpoint()
    last = cell.row(instance)["progress"]
    assert (last == 100) is (seen >= total)
