# SPDX-License-Identifier: Apache-2.0
"""How a watch ends, what it leaves behind, and what does not end it."""

from collections.abc import Callable, Iterator
import gc
import pathlib
import traceback
from typing import Any
import weakref

from oslo_db import exception as db_exc
import pytest
import sqlalchemy as sa

from nova_db_states import exceptions
from nova_db_states._actions import heartbeat
from tests.resources import statements
from tests.resources import watched


@pytest.fixture(name="cell")
def make_cell(tmp_path: pathlib.Path) -> Iterator[watched.Cell]:
    """Give a cell of the test's own."""
    with watched.cell(tmp_path) as made:
        yield made


class Source:
    """A source that can be closed, as a response of HTTP can."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = iter(chunks)
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks

    def close(self) -> None:
        """Count how often this was called."""
        self.closed += 1


class Generator:
    """A generator that tells when it is over."""

    def __init__(self) -> None:
        self.closed = 0

    def __call__(self) -> Iterator[bytes]:
        """Give chunks without end."""
        try:
            while True:
                yield b"x"
        finally:
            self.closed += 1


def test_one_error_a_long_time_after_the_last_answer(
    cell: watched.Cell,
) -> None:
    """Nobody looked meanwhile, and the database was never away."""
    checkpoint = cell.watch(max_away_s=60.0)
    cell.clock.now += 3600.0
    with cell.away():
        checkpoint()
        cell.clock.now += 59.0
        checkpoint()
    cell.clock.now += watched.INTERVAL_S
    checkpoint()
    # Each answer puts an end to what was counted.
    cell.clock.now += 3600.0
    with cell.away():
        checkpoint()
        cell.clock.now += 60.0
        with pytest.raises(db_exc.DBError) as caught:
            checkpoint()
    assert "for 60.0 s" in caught.value.__notes__[0]


def test_a_check_that_takes_long_to_fail(cell: watched.Cell) -> None:
    """The database is away from the time that it was asked."""
    checkpoint = cell.watch(max_away_s=60.0)
    cell.clock.now += watched.INTERVAL_S

    def slow(sql: str) -> None:
        if sql.startswith("UPDATE"):
            cell.clock.now += 40.0

    with cell.away(), statements.before_each(slow):
        checkpoint()
        cell.clock.now += watched.INTERVAL_S
        with pytest.raises(db_exc.DBError) as caught:
            checkpoint()
    assert "for 85.0 s" in caught.value.__notes__[0]


def test_a_conflict_closes_the_source(cell: watched.Cell) -> None:
    """Before the exception is raised, and only once."""
    made = cell.watch()
    source, generator = Source(b"a", b"b"), Generator()
    streams = [made.iterate(source), made.iterate(generator())]
    for stream in streams:
        next(stream)
    cell.write(task_state="deleting")
    cell.clock.now += watched.INTERVAL_S
    for stream in streams * 2:
        with pytest.raises(exceptions.UnexpectedDeletingTaskStateError):
            next(stream)
    assert (source.closed, generator.closed) == (1, 1)
    for stream in streams:
        stream.close()
        with pytest.raises(exceptions.UnexpectedDeletingTaskStateError):
            next(stream)
    assert (source.closed, generator.closed) == (1, 1)


def test_a_conflict_before_the_first_chunk(cell: watched.Cell) -> None:
    """A source that is given to a watch that is over is closed too."""
    made = cell.watch()
    cell.write(task_state=None)
    cell.clock.now += watched.INTERVAL_S
    for _ in range(2):
        source = Source(b"a")
        with pytest.raises(exceptions.UnexpectedTaskStateError):
            made.iterate(source)
        assert source.closed == 1
    assert list(source) == [b"a"]


def test_a_source_that_cannot_be_closed(cell: watched.Cell) -> None:
    """Its error is a note on the conflict."""

    class Stubborn(Source):
        def close(self) -> None:
            """Fail."""
            raise OSError("broken pipe")

    stream = cell.watch().iterate(Stubborn(b"a", b"b"))
    next(stream)
    cell.write(task_state=None)
    cell.clock.now += watched.INTERVAL_S
    with pytest.raises(exceptions.UnexpectedTaskStateError) as caught:
        next(stream)
    assert "OSError: broken pipe" in caught.value.__notes__[-1]
    other = cell.watch(expected_task_state=None).iterate(Stubborn(b"a"))
    with pytest.raises(OSError, match="broken pipe"):
        other.close()


def _by_itself(stream: Any) -> None:
    stream.close()


def _by_its_iterator(stream: Any) -> None:
    iter(stream).close()


def _by_a_block(stream: Any) -> None:
    with stream as entered:
        assert entered is stream


@pytest.mark.parametrize("close", [_by_itself, _by_its_iterator, _by_a_block])
@pytest.mark.parametrize("taken", [0, 1])
def test_closing(
    cell: watched.Cell, close: Callable[[Any], None], taken: int
) -> None:
    """The source is closed for good, and gives nothing any more."""
    source, generator = Source(b"a", b"b", b"c"), Generator()
    for each, kept in ((source, source), (generator(), generator)):
        stream = cell.watch().iterate(each)
        for _ in range(taken):
            next(stream)
        close(stream)
        cell.updates.clear()
        cell.clock.now += watched.INTERVAL_S
        assert next(stream, None) is None
        assert list(stream) == []
        close(stream)
        assert cell.updates == []
        # A generator that has not begun has nothing to end.
        assert kept.closed == (1 if kept is source else taken)
    assert b"".join(source) == b"abc"[taken:]


def test_leaving_a_loop_closes_nothing(cell: watched.Cell) -> None:
    """Whoever goes on with the source finds it open."""
    made = cell.watch()
    source = Source(*[b"x"] * 6)
    for _ in made.iterate(source):
        break
    stream = made.iterate(source)
    for _ in stream:
        break
    next(stream)
    # Found in a cycle, which Python ends in another way.
    cycle: list[Any] = [stream, iter(stream)]
    cycle.append(cycle)
    del stream, cycle
    gc.collect()
    assert source.closed == 0
    assert list(made.iterate(source)) == [b"x"] * 3


def test_a_transaction_in_a_loop(cell: watched.Cell) -> None:
    """It is a mistake of that moment: no chunk is lost by it."""
    source = Source(b"a", b"b", b"c")
    stream = cell.watch().iterate(source)
    assert next(stream) == b"a"
    cell.clock.now += watched.INTERVAL_S
    with cell.context.begin():
        for _ in range(3):
            with pytest.raises(exceptions.InvalidContext):
                next(stream)
    assert source.closed == 0
    assert list(stream) == [b"b", b"c"]


def test_what_a_refusal_keeps(cell: watched.Cell) -> None:
    """Nothing of those who used the watch, and it does not grow."""
    made = cell.watch()
    cell.write(task_state=None)
    cell.clock.now += watched.INTERVAL_S
    for _ in range(3):
        lost, depth = _use(made)
        gc.collect()
        assert lost() is None
        assert depth < 20


def _use(made: Any) -> tuple[Callable[[], object], int]:
    source = Source(b"a")
    depth = notes = 0
    try:
        next(made.iterate(source))
    except exceptions.UnexpectedTaskStateError as error:
        depth = len(traceback.extract_tb(error.__traceback__))
        error.add_note("for this use only")
        notes = len(error.__notes__)
    assert notes == 1
    return weakref.ref(source), depth


def test_a_database_error_is_raised_again_in_full(
    cell: watched.Cell,
) -> None:
    """With what it carries and came from, but without their frames."""
    checkpoint = cell.watch(max_away_s=0)
    with cell.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE instances RENAME TO gone"))
    cell.clock.now += watched.INTERVAL_S
    raised = []
    for _ in range(3):
        with pytest.raises(db_exc.DBError) as caught:
            checkpoint()
        raised.append(caught.value)
    first, *others = raised
    assert first.inner_exception.orig.__traceback__ is not None
    for error in others:
        assert type(error) is type(first)
        assert str(error) == str(first)
        assert error.__notes__ == first.__notes__
        inner = error.inner_exception
        assert str(inner) == str(first.inner_exception)
        assert inner.__traceback__ is inner.orig.__traceback__ is None


def test_any_error_can_be_raised_again() -> None:
    """Also one of Python's own, and one that came from itself."""
    error = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    error.__cause__ = error

    def fail() -> None:
        raise error

    heart = heartbeat.Heart(fail, "server1", 5.0, 60.0, lambda: 0.0)
    with pytest.raises(UnicodeDecodeError):
        heart.beat()
    for _ in range(2):
        with pytest.raises(UnicodeDecodeError) as caught:
            heart.beat()
        assert str(caught.value) == str(error)
        assert caught.value is not error
        assert caught.value.__cause__ is caught.value
