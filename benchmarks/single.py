# SPDX-License-Identifier: Apache-2.0
"""One guarded update of one server: how long it takes.

The contenders write the same columns of the same row under the same guard:
a bare statement through PyMySQL, this project, and Nova's own
``db.instance_update`` in a process of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
import contextlib
from typing import Final

from benchmarks import cell as cell_
from benchmarks import figure
from benchmarks import peer
from benchmarks import peers
from benchmarks import raw
from benchmarks import sampling

__all__ = ["against_raw_and_nova", "durable", "flat", "refused"]

_LIMIT_S: Final = 60.0
_SPREAD: Final = 2_000

RAW: Final = "raw PyMySQL"
OURS: Final = "nova_db_states"
OURS_THERE: Final = "nova_db_states in Nova's virtualenv"
NOVA: Final = f"Nova {peers.NOVA_RELEASE}"


def against_raw_and_nova(
    cell: cell_.Cell, *, rounds: int = 250, calls: int = 10
) -> tuple[figure.Figure, ...]:
    """Time an update whose guard holds.

    :param cell: where
    :param rounds: blocks of each contender
    :param calls: in each block, an even number
    :returns: the figures against the bare statement and against Nova
    """
    (server,) = cell.quiet_servers(1)
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(
            contextlib.closing(cell_.connect(cell))
        )
        times = _interleaved(
            {
                RAW: sampling.timed(raw.Flip(connection, [server])),
                OURS: sampling.timed(_ours(cell, server)["hold"]),
                OURS_THERE: stack.enter_context(
                    peers.started("ours", cell.url, server)
                )["hold"],
                NOVA: stack.enter_context(
                    peers.started("nova", cell.url, server)
                )["hold"],
            },
            rounds,
            calls,
        )
    return (
        figure.Figure(
            "hold",
            "guard holds, against one raw autocommit UPDATE",
            times[OURS].p50_ms / times[RAW].p50_ms,
            1.6,
            "times",
            samples=times,
        ),
        figure.Figure(
            "hold",
            "guard holds, Nova's db.instance_update against ours",
            times[NOVA].p50_ms / times[OURS].p50_ms,
            4.0,
            "times",
            at_least=True,
        ),
    )


def durable(
    cell: cell_.Cell, *, rounds: int = 150, calls: int = 10
) -> tuple[figure.Figure, ...]:
    """Time an update whose guard holds, each commit flushed to the disk.

    That is how a server runs unless told otherwise. The other figures spare
    the disk, which hides nothing of what the layers above it cost.

    :param cell: where
    :param rounds: blocks of each contender
    :param calls: in each block, an even number
    :returns: the figure against the bare statement
    """
    (server,) = cell.quiet_servers(1)
    with (
        contextlib.closing(cell_.connect(cell)) as connection,
        _flushing(connection),
    ):
        times = _interleaved(
            {
                RAW: sampling.timed(raw.Flip(connection, [server])),
                OURS: sampling.timed(_ours(cell, server)["hold"]),
            },
            rounds,
            calls,
        )
    return (
        figure.Figure(
            "durable",
            "the same, each commit flushed to disk (the server's default)",
            times[OURS].p50_ms / times[RAW].p50_ms,
            1.6,
            "times",
            samples=times,
        ),
    )


def refused(
    cell: cell_.Cell, *, rounds: int = 120, calls: int = 10
) -> tuple[figure.Figure, ...]:
    """Time an update whose guard fails, up to the exception that says why.

    :param cell: where
    :param rounds: blocks of each contender
    :param calls: in each block
    :returns: the figure against Nova
    """
    (server,) = cell.quiet_servers(1)
    with (
        peers.started("ours", cell.url, server) as there,
        peers.started("nova", cell.url, server) as nova,
    ):
        times = _interleaved(
            {
                OURS: sampling.timed(_ours(cell, server)["refuse"]),
                OURS_THERE: there["refuse"],
                NOVA: nova["refuse"],
            },
            rounds,
            calls,
        )
    return (
        figure.Figure(
            "refuse",
            "guard fails, Nova's db.instance_update against ours",
            times[NOVA].p50_ms / times[OURS].p50_ms,
            5.0,
            "times",
            at_least=True,
            samples=times,
        ),
    )


def flat(
    cells: Sequence[cell_.Cell], *, rounds: int = 250, calls: int = 10
) -> tuple[figure.Figure, ...]:
    """Time updates of servers all over the table, in cells of several sizes.

    :param cells: of different sizes
    :param rounds: blocks of each cell
    :param calls: in each block, an even number
    :returns: how far the medians are apart
    """
    blocks: dict[str, sampling.Block] = {}
    with contextlib.ExitStack() as stack:
        for cell in cells:
            servers = cell.quiet_servers(_SPREAD)
            connection = stack.enter_context(
                contextlib.closing(cell_.connect(cell))
            )
            blocks[_size(cell, OURS)] = sampling.timed(
                _ours(cell, *servers)["hold"]
            )
            blocks[_size(cell, RAW)] = sampling.timed(
                raw.Flip(connection, servers)
            )
        times = _interleaved(blocks, rounds, calls)
    medians = [times[_size(cell, OURS)].p50_ms for cell in cells]
    return (
        figure.Figure(
            "flat",
            f"guard holds, slowest against fastest of"
            f" {', '.join(f'{cell.rows:,}' for cell in cells)} rows",
            (max(medians) / min(medians) - 1) * 100,
            15.0,
            "%",
            samples=times,
        ),
    )


@contextlib.contextmanager
def _flushing(connection: cell_.Connection) -> Iterator[None]:
    name = "innodb_flush_log_at_trx_commit"
    ((usual,),) = cell_.query(connection, f"SELECT @@GLOBAL.{name}")
    cell_.query(connection, f"SET GLOBAL {name} = 1")
    try:
        yield
    finally:
        cell_.query(connection, f"SET GLOBAL {name} = %s", usual)


def _ours(cell: cell_.Cell, *servers: str) -> peer.Calls:
    return peer.our_calls(cell.url, servers)


def _size(cell: cell_.Cell, name: str) -> str:
    return f"{name}, {cell.rows:,} rows"


def _interleaved(
    blocks: Mapping[str, sampling.Block], rounds: int, calls: int
) -> dict[str, sampling.Summary]:
    samples = sampling.interleave(
        blocks, rounds=rounds, calls=calls, limit_s=_LIMIT_S
    )
    return {
        name: sampling.summarise(seconds) for name, seconds in samples.items()
    }
