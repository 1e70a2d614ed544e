# SPDX-License-Identifier: Apache-2.0
"""What stays in a process: after a million updates, after many shapes.

Resident memory is what an operator sees of it. It grows by pages, and at
first because caches fill; so its slope is taken where those are full.
"""

from collections.abc import Callable, Mapping, Sequence
import statistics
from typing import Any, Final

from benchmarks import cell as cell_
from benchmarks import figure
from benchmarks import lasting
from benchmarks import peers
from benchmarks import sampling

__all__ = ["flat", "later_percent", "shapes", "slope"]

_SERVERS: Final = 1_000
_STEPS: Final = 100
# A leak of the smallest object, once in twenty updates, is more than this.
_FLAT_BYTES: Final = 1.0
_WARM_UP_STEPS: Final = 20
_TRACED: Final = 20_000

# Without a bound it would be half.
_LATER_PERCENT: Final = 10.0
_SLOWER: Final = 1.1
_BLOCK: Final = 10
_AFTERWARDS: Final = 150
_LIMIT_S: Final = 60.0

_Say = Callable[[str], None]


def slope(states: Sequence[Mapping[str, int]], name: str, calls: int) -> float:
    """Say by how much something grew with each call.

    :param states: of the process, at equal distances
    :param name: of what
    :param calls: between two states
    :returns: the least-squares slope, for a call
    """
    grown = statistics.linear_regression(
        [number * calls for number in range(len(states))],
        [state[name] for state in states],
    )
    return grown.slope


def later_percent(states: Sequence[Mapping[str, int]], name: str) -> float:
    """Say how much of all growth came with the second half of the calls.

    :param states: of the process, at equal distances, the first before all
        calls
    :param name: of what has grown
    :returns: percent; 0 where nothing has grown
    """
    first, half, last = (
        states[number][name] for number in (0, len(states) // 2, -1)
    )
    return (last - half) / (last - first) * 100 if last > first else 0.0


def flat(
    cell: cell_.Cell, say: _Say, *, updates: int = 1_000_000
) -> tuple[figure.Figure, ...]:
    """Make very many updates in one process, one in ten of them refused.

    :param cell: where
    :param say: is told how far it is
    :param updates: how many
    :returns: the figure
    """
    calls = max(updates // _STEPS, 1)
    states: list[dict[str, int]] = []
    with _process(cell) as process:
        for number in range(_STEPS):
            if number % 20 == 0:
                say(f"memory: after {number * calls:,} updates")
            states.append(process.ask("updates", calls))
        traced = process.ask("traced", _TRACED)
    warm = states[_WARM_UP_STEPS:]
    return (
        figure.Figure(
            "memory",
            f"{calls * _STEPS:,} updates, growth of resident memory after the"
            f" first {_WARM_UP_STEPS} %",
            slope(warm, "resident", calls),
            _FLAT_BYTES,
            "bytes an update",
            numbers={
                "resident at first, MB": states[0]["resident"] / 1e6,
                "resident when warm, MB": warm[0]["resident"] / 1e6,
                "resident at the end, MB": warm[-1]["resident"] / 1e6,
                "blocks more, for 1,000 updates": (
                    slope(warm, "blocks", calls) * 1000
                ),
                f"bytes kept of an update, traced over {_TRACED:,}": traced,
                "objects left to the cycle collector, for an update": (
                    slope(warm, "collected", calls)
                ),
            },
        ),
    )


def shapes(
    cell: cell_.Cell, say: _Say, *, count: int = 10_000
) -> tuple[figure.Figure, ...]:
    """Guard in very many ways, and as always in between and afterwards.

    :param cell: where
    :param say: is told how far it is
    :param count: number of shapes
    :returns: the figures for memory and for speed
    """
    calls = max(count // _STEPS, 1)
    between: dict[str, list[float]] = {"met": [], "none": []}
    with _process(cell) as met, _process(cell) as none:
        for process in (met, none):
            process.ask("common", 2 * _BLOCK)
        states = [met.ask("shapes", 0)]
        for number in range(_STEPS):
            if number % 20 == 0:
                say(f"shapes: after {number * calls:,}")
            states.append(met.ask("shapes", calls))
            between["met"] += met.ask("common", _BLOCK)
            between["none"] += none.ask("common", _BLOCK)
        afterwards = sampling.interleave(
            {"met": met.block("common"), "none": none.block("common")},
            rounds=_AFTERWARDS,
            calls=_BLOCK,
            limit_s=_LIMIT_S,
        )
    return (
        _bounded(states, calls * _STEPS),
        _as_fast({"in between": between, "afterwards": afterwards}),
    )


def _bounded(states: Sequence[Mapping[str, int]], count: int) -> figure.Figure:
    half = states[len(states) // 2]
    return figure.Figure(
        "shapes",
        f"{count:,} shapes of guards, growth of resident memory with the"
        " second half of them",
        later_percent(states, "resident"),
        _LATER_PERCENT,
        "% of all",
        numbers={
            "resident at first, MB": states[0]["resident"] / 1e6,
            "resident after half, MB": half["resident"] / 1e6,
            "resident at the end, MB": states[-1]["resident"] / 1e6,
        },
    )


def _as_fast(
    samples: Mapping[str, Mapping[str, Sequence[float]]],
) -> figure.Figure:
    times = {
        f"{who}, {when}": sampling.summarise(taken[key])
        for when, taken in samples.items()
        for key, who in (("met", "shapes met"), ("none", "none met"))
    }
    return figure.Figure(
        "shapes",
        "a common update after them, against a process that met none",
        times["shapes met, afterwards"].p50_ms
        / times["none met, afterwards"].p50_ms,
        _SLOWER,
        "times",
        samples=times,
    )


def _process(cell: cell_.Cell) -> Any:
    return peers.running(
        lasting, cell.url, *cell.quiet_servers(_SERVERS), nova=False
    )
