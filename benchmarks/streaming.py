# SPDX-License-Identifier: Apache-2.0
"""What a watch costs the data that passes it.

The loops differ in nothing but the watch: they read 64 KiB at a time from a
file that the system has in memory, and hash it, as a client does that checks
the download of an image; or only copy it, which is the least that anybody
does with data.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
import contextlib
import functools
import hashlib
import os
import pathlib
import statistics
import tempfile
from typing import BinaryIO, Final

from benchmarks import cell as cell_
from benchmarks import figure
from benchmarks import sampling
from nova_db_states import api
from nova_db_states._actions import watch

__all__ = ["extra_percent", "stream"]

_MIB: Final = 2**20
_CHUNK: Final = 64 * 1024
# A pass is long enough that beginning it, with a check, counts for nothing,
# and short enough that what else the machine does hits its neighbours too.
_PASS_MIB: Final = 64
_INTERVAL_S: Final = 5.0
_LIMIT_S: Final = 300.0

BARE: Final = "bare loop"
CHUNKS: Final = "watched chunks"
FILE: Final = "watched file"

_Chunks = Callable[[BinaryIO], Iterator[bytes]]
_Loop = Callable[[Iterator[bytes]], None]


def stream(
    cell: cell_.Cell, *, total_mib: int = 10 * 1024
) -> tuple[figure.Figure, ...]:
    """Time loops over a stream, with a watch and without, by turns.

    :param cell: where the watched server is
    :param total_mib: length of the stream that each loop works off
    :returns: the figure for hashing; with the numbers of copying
    """
    (server,) = cell.quiet_servers(1)
    context = api.connect(cell.url)
    with contextlib.ExitStack() as stack:
        stack.callback(context.close)
        file = stack.enter_context(tempfile.TemporaryFile())
        file.write(os.urandom(_PASS_MIB * _MIB))
        sink = stack.enter_context(
            pathlib.Path(os.devnull).open("wb", buffering=0)
        )
        blocks = {}
        for work, loop in (("hash", _hash), ("copy", _copy_to(sink))):
            for name, chunks in _ways(context, server, total_mib).items():
                blocks[f"{work}, {name}"] = sampling.timed(
                    functools.partial(_pass, file, chunks, loop)
                )
        with _counted(cell) as beats:
            samples = sampling.interleave(
                blocks,
                rounds=max(total_mib // _PASS_MIB, 1),
                calls=1,
                limit_s=_LIMIT_S,
            )
        beat_s = _beat_s(context, server)
    return (_figure(samples, beat_s, beats()),)


def extra_percent(bare: Sequence[float], watched: Sequence[float]) -> float:
    """Say how much longer the passes of one loop took than those of another.

    :param bare: seconds of each pass
    :param watched: seconds of the pass of the same round
    :returns: the median over the rounds, in percent
    """
    ratios = (ours / plain for ours, plain in zip(watched, bare, strict=True))
    return (statistics.median(ratios) - 1) * 100


def _ways(
    context: api.CellContext, server: str, total_mib: int
) -> Mapping[str, _Chunks]:
    def made() -> watch.Watch:
        return watch.watch(
            context, server, None, _INTERVAL_S, total=total_mib * _MIB
        )

    through, beside = made(), made()
    return {
        BARE: _chunks,
        CHUNKS: lambda file: through.iterate(_chunks(file)),
        FILE: lambda file: _chunks(beside.file(file)),
    }


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    return iter(functools.partial(file.read, _CHUNK), b"")


def _pass(file: BinaryIO, chunks: _Chunks, loop: _Loop, _number: int) -> None:
    file.seek(0)
    loop(chunks(file))


def _hash(chunks: Iterator[bytes]) -> None:
    # What Glance has by default for os_hash_algo.
    update = hashlib.sha512().update
    for chunk in chunks:
        update(chunk)


def _copy_to(sink: BinaryIO) -> _Loop:
    def copy(chunks: Iterator[bytes]) -> None:
        write = sink.write
        for chunk in chunks:
            write(chunk)

    return copy


@contextlib.contextmanager
def _counted(cell: cell_.Cell) -> Iterator[Callable[[], int]]:
    """Count the updates that the server has meanwhile, all of them beats."""
    with contextlib.closing(cell_.connect(cell)) as connection:

        def updates() -> int:
            ((_, count),) = cell_.query(
                connection, "SHOW GLOBAL STATUS LIKE 'Com_update'"
            )
            return int(str(count))

        before = updates()
        beats: list[int] = []
        yield lambda: beats[0]
        beats.append(updates() - before)


def _beat_s(context: api.CellContext, server: str) -> float:
    made = watch.watch(context, server, None, 0.0)
    seconds = sampling.timed(lambda _: made.checkpoint(progress=50))(200)
    return statistics.fmean(seconds)


def _figure(
    samples: Mapping[str, Sequence[float]], beat_s: float, beats: int
) -> figure.Figure:
    numbers = {}
    for work in ("hash", "copy"):
        bare = samples[f"{work}, {BARE}"]
        for name in (CHUNKS, FILE):
            percent = extra_percent(bare, samples[f"{work}, {name}"])
            numbers[f"{work}, {name}, % more"] = percent
            numbers[f"{work}, {name}, ns more a chunk"] = (
                percent / 100 * statistics.median(bare) * 1e9
                / (_PASS_MIB * _MIB / _CHUNK)
            )  # fmt: skip
    share = beat_s / _INTERVAL_S * 100
    numbers["heartbeats of all loops"] = beats
    numbers["one heartbeat, ms"] = beat_s * 1000
    numbers["heartbeats, % of the time"] = share
    return figure.Figure(
        "stream",
        f"a watched download that is hashed, {_CHUNK // 1024} KiB at a time,"
        f" against the bare loop",
        numbers[f"hash, {CHUNKS}, % more"] + share,
        1.0,
        "% more",
        samples={
            f"{name}, {_PASS_MIB} MiB": sampling.summarise(seconds)
            for name, seconds in samples.items()
        },
        numbers=numbers,
    )
