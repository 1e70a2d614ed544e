# SPDX-License-Identifier: Apache-2.0
"""An upgrade of a cell in use: how long anybody waits for it.

While a few workers change servers under guard, one transaction stays open on
the table, as a backup or a forgotten shell would leave it. The upgrade cannot
have the table until that ends; what is measured is the patience it asks of
the workers meanwhile.
"""

from collections.abc import Iterator, Sequence
import concurrent.futures
import contextlib
import threading
import time
from typing import Final

import sqlalchemy as sa

from benchmarks import cell as cell_
from benchmarks import figure
from benchmarks import peer
from benchmarks import sampling
from nova_db_states import migrations

__all__ = ["quietly", "under_load"]

LOCK_TIMEOUT_S: Final = 2
_ALLOWANCE_S: Final = 0.5

_WORKERS: Final = 4
# The workers come and go as services do; they are not to saturate a machine
# that also builds an index.
_PAUSE_S: Final = 0.005
_LEAD_S: Final = 2.0
_TRAIL_S: Final = 2.0
_OPEN_LIMIT_S: Final = 10.0


def quietly(cell: cell_.Cell) -> None:
    """Give a cell the indexes, nobody else being there.

    :param cell: where
    """
    engine = sa.create_engine(cell.url, poolclass=sa.NullPool)
    migrations.upgrade(engine, lock_timeout_s=LOCK_TIMEOUT_S)


def under_load(
    cell: cell_.Cell, *, held_open_s: float = 60.0
) -> tuple[figure.Figure, ...]:
    """Upgrade a cell under a stream of guarded updates.

    :param cell: without the indexes
    :param held_open_s: how long the other transaction stays open
    :returns: the longest wait, and the number of failed updates
    """
    servers = cell.quiet_servers(_WORKERS * 100 + 1)
    stop = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(_WORKERS + 1) as pool:
        streams = [
            pool.submit(_stream, cell, servers[1 + number :: _WORKERS], stop)
            for number in range(_WORKERS)
        ]
        try:
            time.sleep(_LEAD_S)
            with _open_transaction(cell, servers[0]) as ended:
                blocker = pool.submit(_hold, ended, held_open_s)
                began = time.monotonic()
                attempts = _upgrade(cell)
                upgrade_s = time.monotonic() - began
                blocker.result()
            time.sleep(_TRAIL_S)
        finally:
            stop.set()
        done = [stream.result() for stream in streams]
    seconds = [second for times, _ in done for second in times]
    failures = [error for _, errors in done for error in errors]
    return _figures(seconds, failures, attempts, upgrade_s)


def _figures(
    seconds: Sequence[float],
    failures: Sequence[str],
    attempts: int,
    upgrade_s: float,
) -> tuple[figure.Figure, ...]:
    return (
        figure.Figure(
            "upgrade",
            "upgrade under load, longest wait of an update",
            max(seconds),
            LOCK_TIMEOUT_S + _ALLOWANCE_S,
            "s",
            samples={"guarded updates meanwhile": sampling.summarise(seconds)},
            numbers={
                "lock timeout, s": LOCK_TIMEOUT_S,
                "upgrade, s": upgrade_s,
                "attempts of the upgrade": attempts,
                "updates that waited over 0.5 s": sum(
                    second > 0.5 for second in seconds
                ),
            },
        ),
        figure.Figure(
            "upgrade",
            "upgrade under load, updates failed"
            + "".join(f"; {error}" for error in sorted(set(failures))[:3]),
            len(failures),
            0,
            "updates",
        ),
    )


def _upgrade(cell: cell_.Cell) -> int:
    engine = sa.create_engine(cell.url, poolclass=sa.NullPool)
    steps = migrations.upgrade(engine, lock_timeout_s=LOCK_TIMEOUT_S)
    return sum(step.attempts for step in steps)


def _stream(
    cell: cell_.Cell, servers: Sequence[str], stop: threading.Event
) -> tuple[list[float], list[str]]:
    """Change servers until told to stop; give times and what failed."""
    update = peer.our_calls(cell.url, servers)["hold"]
    seconds: list[float] = []
    errors: list[str] = []
    number = 0
    while not stop.is_set():
        began = time.perf_counter()
        try:
            update(number)
        except Exception as error:  # noqa: BLE001 - each is a failed update
            errors.append(f"{type(error).__name__}: {error}"[:200])
        seconds.append(time.perf_counter() - began)
        number += 1
        time.sleep(_PAUSE_S)
    return seconds, errors


@contextlib.contextmanager
def _open_transaction(
    cell: cell_.Cell, server: str
) -> Iterator[threading.Event]:
    """Keep a transaction that has changed a row open until told to end it."""
    end = threading.Event()
    opened = threading.Event()

    def stay() -> None:
        with contextlib.closing(cell_.connect(cell)) as connection:
            connection.begin()
            cell_.query(
                connection,
                "UPDATE instances SET progress = 1 WHERE uuid = %s",
                server,
            )
            opened.set()
            end.wait()
            connection.rollback()

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        other = pool.submit(stay)
        try:
            if not opened.wait(_OPEN_LIMIT_S):
                raise RuntimeError("the transaction could not be opened")
            yield end
        finally:
            end.set()
            other.result()


def _hold(end: threading.Event, held_open_s: float) -> None:
    time.sleep(held_open_s)
    end.set()
