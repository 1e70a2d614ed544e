# SPDX-License-Identifier: Apache-2.0
"""Threads of one process that all want the same server, round after round.

Run as a script, by Nova's Python too, it reads a line with a number of
rounds. In each of them every thread sends the same guarded update at once,
which can hold for one of them only. It answers with a line of JSON, an
:class:`Answer`.
"""

import collections
import concurrent.futures
import dataclasses
import json
import sys
import threading
import time
from typing import Any, Final

import sqlalchemy as sa

from benchmarks import peer
from benchmarks import through_nova

__all__ = ["Answer", "Rivals"]

_LIMIT_S: Final = 120.0
_NAMED_ERRORS: Final = 3

_WON: Final = "won"
_REFUSED: Final = "refused"


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What became of some rounds.

    :ivar seconds: of each round, until the last thread had its answer
    :ivar winners: of each round
    :ivar strangers: rounds after which the row was not as its winner left it
    :ivar errors: what was raised but conflicts, with how often
    """

    seconds: list[float]
    winners: list[int]
    strangers: int
    errors: dict[str, int]


class Rivals:
    """The threads, and the server that they want."""

    def __init__(
        self,
        update: peer.Update,
        conflict: type[Exception],
        server: str,
        threads: int,
    ) -> None:
        self._update = update
        self._conflict = conflict
        self._server = server
        self._threads = threads
        self._gate = threading.Barrier(threads + 1, timeout=_LIMIT_S)
        self._outcomes = [""] * threads
        self._done = 0

    def rounds(self, count: int, bystander: through_nova.Rival) -> Answer:
        """Play some rounds.

        :param count: how many
        :param bystander: looks at the row after each
        """
        answer = Answer([], [], 0, {})
        strangers = 0
        errors: collections.Counter[str] = collections.Counter()
        numbers = range(self._done, self._done + count)
        self._done += count
        with concurrent.futures.ThreadPoolExecutor(self._threads) as pool:
            for thread in range(self._threads):
                pool.submit(self._play, thread, numbers)
            for number in numbers:
                # So that it can be won, whoever erred before.
                bystander.set_task(self._server, _states(number)[0])
                self._gate.wait()
                began = time.perf_counter()
                self._gate.wait()
                answer.seconds.append(time.perf_counter() - began)
                outcomes = list(self._outcomes)
                answer.winners.append(outcomes.count(_WON))
                errors.update(outcomes)
                strangers += self._is_strange(number, outcomes, bystander)
        named = [
            error
            for error, _ in errors.most_common()
            if error not in {_WON, _REFUSED}
        ]
        return dataclasses.replace(
            answer,
            strangers=strangers,
            errors={error: errors[error] for error in named[:_NAMED_ERRORS]},
        )

    def _play(self, thread: int, numbers: range) -> None:
        for number in numbers:
            self._gate.wait()
            self._outcomes[thread] = self._once(thread, number)
            self._gate.wait()

    def _once(self, thread: int, number: int) -> str:
        before, after = _states(number)
        try:
            # What else is written says who it was.
            self._update(
                self._server, {"task_state": after, "progress": thread}, before
            )
        except self._conflict:
            return _REFUSED
        except Exception as error:  # noqa: BLE001 - each is counted
            return f"{type(error).__name__}: {error}"[:200]
        return _WON

    def _is_strange(
        self, number: int, outcomes: list[str], bystander: through_nova.Rival
    ) -> bool:
        ((task_state, progress),) = bystander.run(
            "SELECT task_state, progress FROM instances WHERE uuid = %s",
            self._server,
        )
        return (
            task_state != _states(number)[1] or outcomes[progress or 0] != _WON
        )


def _states(number: int) -> tuple[str | None, str | None]:
    """Say what a round starts from, and what its winner writes."""
    if number % 2:
        return peer.NEW_STATE, None
    return None, peer.NEW_STATE


def main(kind: str, url: str, threads: str, server: str) -> None:
    """Serve rounds until standard input ends.

    :param kind: ``nova`` or ``ours``, whose ``instance_update`` is called
    :param url: of the cell
    :param threads: how many, each with a connection if it likes
    :param server: the uuid that all of them want
    """
    makers: dict[str, Any] = {
        "nova": peer.nova_update,
        "ours": peer.our_update,
    }
    update, conflict = makers[kind](url, int(threads))
    rivals = Rivals(update, conflict, server, int(threads))
    bystander = through_nova.Rival(sa.make_url(url))
    for line in sys.stdin:
        answer = rivals.rounds(int(line), bystander)
        print(json.dumps(dataclasses.asdict(answer)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
