# SPDX-License-Identifier: Apache-2.0
"""Many workers that want the same server: who gets it, and how soon.

A round is over when the last of them has its answer, the one that won and all
the others that were refused.
"""

from collections.abc import Mapping
import contextlib
from typing import Final

from benchmarks import cell as cell_
from benchmarks import figure
from benchmarks import peers
from benchmarks import rivals
from benchmarks import sampling
from benchmarks import single

__all__ = ["one_winner"]

_WORKERS: Final = 64
_LIMIT_S: Final = 180.0


class _Contender:
    """One process of rivals, and everything that it answered."""

    def __init__(self, process: peers.Peer) -> None:
        self._process = process
        self.answers: list[rivals.Answer] = []

    def block(self, count: int) -> list[float]:
        """Play rounds; give the seconds of each."""
        answer = rivals.Answer(**self._process.ask(count))
        self.answers.append(answer)
        return answer.seconds

    @property
    def rounds(self) -> int:
        """How many were played, those to warm up too."""
        return sum(len(answer.winners) for answer in self.answers)

    @property
    def wrong(self) -> int:
        """Rounds without exactly one winner, whose writing is there."""
        return sum(
            answer.strangers + sum(count != 1 for count in answer.winners)
            for answer in self.answers
        )

    @property
    def errors(self) -> int:
        """Calls that raised anything but the conflict."""
        return sum(sum(answer.errors.values()) for answer in self.answers)


def one_winner(
    cell: cell_.Cell, *, rounds: int = 12, calls: int = 4
) -> tuple[figure.Figure, ...]:
    """Let workers want one server, of ours and of Nova's by turns.

    :param cell: where
    :param rounds: blocks of each contender
    :param calls: rounds to win in each block
    :returns: the rounds that went wrong, and the figure against Nova
    """
    (server,) = cell.quiet_servers(1)
    kinds = {
        single.OURS: ("ours", False),
        single.OURS_THERE: ("ours", True),
        single.NOVA: ("nova", True),
    }
    with contextlib.ExitStack() as stack:
        contenders = {
            name: _Contender(
                stack.enter_context(
                    peers.running(
                        rivals,
                        kind,
                        cell.url,
                        str(_WORKERS),
                        server,
                        nova=nova,
                    )
                )
            )
            for name, (kind, nova) in kinds.items()
        }
        samples = sampling.interleave(
            {name: each.block for name, each in contenders.items()},
            rounds=rounds,
            calls=calls,
            limit_s=_LIMIT_S,
        )
    return _figures(samples, contenders)


def _figures(
    samples: Mapping[str, list[float]], contenders: Mapping[str, _Contender]
) -> tuple[figure.Figure, ...]:
    rates = {name: len(each) / sum(each) for name, each in samples.items()}
    ours = (single.OURS, single.OURS_THERE)
    return (
        figure.Figure(
            "race",
            f"{_WORKERS} workers on one server, rounds without exactly one"
            " winner, and errors",
            sum(
                contenders[name].wrong + contenders[name].errors
                for name in ours
            ),
            0,
            "rounds",
            numbers={
                f"{name}: {what}": number
                for name, each in contenders.items()
                for what, number in (
                    ("rounds", each.rounds),
                    ("without exactly one winner", each.wrong),
                    ("errors", each.errors),
                )
            },
        ),
        figure.Figure(
            "race",
            f"{_WORKERS} workers on one server, rounds a second against"
            " Nova's db.instance_update",
            rates[single.OURS] / rates[single.NOVA],
            4.0,
            "times",
            at_least=True,
            samples={
                f"{name}, a round": sampling.summarise(each)
                for name, each in samples.items()
            },
            numbers={
                f"{name}: rounds a second": rate
                for name, rate in rates.items()
            },
        ),
    )
