# SPDX-License-Identifier: Apache-2.0
"""A process that makes claims as fast as it can, and writes down each.

Its threads are spread over all nodes and share what they know of the tokens,
so that what one has written through one node is expected through another a
moment later: that is where a node that is behind shows.
"""

from collections.abc import Sequence
from concurrent import futures
import contextlib
import dataclasses
import logging
import os
import pathlib
import random
import threading
import time
from typing import Any, Final

import sqlalchemy as sa

from nova_db_states import api
from nova_db_states import retry
from nova_db_states import tables
from tests.torture import claims
from tests.torture import history
from tests.torture import mutants

TOKENS_PER_THREAD: Final = 1_000_000
"""More than a thread makes in any run."""

_NICENESS: Final = 4
_KEPT_TOKENS: Final = 16

# How often a claim expects something long gone, or what a plain read finds.
_STALE: Final = 0.08
_READ: Final = 0.16

_WRITES: Final = {"single": 5, "returning": 2, "joined": 2}
# One claim in so many writes nothing.
_READ_ONLY: Final = 5
_LONGEST_PAUSE_S: Final = 0.005

_T: Final = tables.instances


@dataclasses.dataclass(frozen=True)
class Task:
    """What a worker is to do.

    :ivar number: of the worker, counting those that took the place of others
    :ivar seed: of the run
    :ivar folder: of the history
    :ivar urls: one for each node
    :ivar threads: how many
    :ivar instances: the uuids
    :ivar mutant: what to break in this worker, or empty
    """

    number: int
    seed: int
    folder: pathlib.Path
    urls: Sequence[str]
    threads: int
    instances: Sequence[str]
    mutant: str = ""

    @property
    def name(self) -> str:
        """What its operations are recorded under."""
        return f"w{self.number:03}"


def run(task: Task, counts: Any, slot: int, stop: Any) -> None:
    """Work until told to stop, or until the parent is gone.

    :param task: what to do
    :param counts: shared; operations made so far
    :param slot: which of them is this worker's first thread's
    :param stop: shared; not 0 when it is time to stop
    """
    mutants.install(task.mutant)
    # A server that comes back must not wait for those who wait for it.
    os.nice(_NICENESS)
    # That connections break is what this is about, and no news.
    for name in ("sqlalchemy.pool", "oslo_db"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    parent = os.getppid()
    knowledge = Knowledge(len(task.instances))
    with contextlib.ExitStack() as stack:
        contexts = [
            api.connect(url, max_connections=task.threads + 1)
            for url in task.urls
        ]
        for context in contexts:
            stack.callback(context.close)
        file = os.open(
            task.folder / f"{task.name}.jsonl",
            os.O_WRONLY | os.O_CREAT | os.O_APPEND,
        )
        stack.callback(os.close, file)

        def work(number: int) -> None:
            node = (task.number + number) % len(contexts)
            claimer = _Claimer(
                task, number, node, contexts[node], knowledge, file
            )
            while not stop.value and os.getppid() == parent:
                claimer.claim()
                counts[slot + number] += 1

        with futures.ThreadPoolExecutor(task.threads) as pool:
            for done in futures.as_completed(
                pool.submit(work, number) for number in range(task.threads)
            ):
                done.result()


class Knowledge:
    """The tokens that this process has heard of, by instance."""

    def __init__(self, instances: int) -> None:
        self._tokens = [[history.INITIAL] for _ in range(instances)]
        self._lock = threading.Lock()

    def learn(self, instance: int, token: int | None) -> None:
        """Remember what an instance holds now."""
        if token is None:
            return
        with self._lock:
            tokens = self._tokens[instance]
            tokens.append(token)
            del tokens[:-_KEPT_TOKENS]

    def newest(self, instance: int) -> int:
        """Give what was learnt last."""
        return self._tokens[instance][-1]

    def any_of(self, instance: int, dice: random.Random) -> int:
        """Give one of those that were learnt, however long ago."""
        with self._lock:
            return dice.choice(self._tokens[instance])


class _Claimer:
    """One thread's claims, one after the other."""

    def __init__(
        self,
        task: Task,
        thread: int,
        node: int,
        context: api.CellContext,
        knowledge: Knowledge,
        file: int,
    ) -> None:
        self._task = task
        self._name = f"{task.name}.{thread}"
        self._node = node
        self._context = context
        self._knowledge = knowledge
        self._file = file
        self._dice = random.Random(f"{task.seed}/{self._name}")
        # From 1, so that no token looks like the initial one.
        serial = task.number * task.threads + thread + 1
        self._token = serial * TOKENS_PER_THREAD

    def claim(self) -> None:
        """Make one claim and write it down."""
        dice = self._dice
        self._token += 1
        instance = dice.randrange(len(self._task.instances))
        [way] = dice.choices(list(_WRITES), list(_WRITES.values()))
        if dice.randrange(_READ_ONLY) == 0:
            way = dice.choice(list(claims.READS))
        claim = claims.Claim(
            self._context,
            self._task.instances[instance],
            self._expected(instance),
            self._token,
            dice.uniform(0, _LONGEST_PAUSE_S),
            alone=len(self._task.urls) == 1,
        )
        self._write(
            {
                "op": claim.token,
                "worker": self._name,
                "node": self._node,
                "instance": instance,
                "expected": claim.expected,
                "way": way,
                "start": time.monotonic_ns(),
            }
        )
        result = claims.make(way, claim)
        end = time.monotonic_ns()
        self._write({"op": claim.token, "end": end, **result.content()})
        found = result.actual
        if way in claims.WRITES and result.outcome is history.Outcome.OK:
            found = claim.token
        self._knowledge.learn(instance, found)

    def _write(self, content: dict[str, Any]) -> None:
        os.write(self._file, history.line(content))

    def _expected(self, instance: int) -> int:
        chance = self._dice.random()
        if chance < _STALE:
            return self._knowledge.any_of(instance, self._dice)
        if chance < _READ:
            self._knowledge.learn(instance, self._read(instance))
        return self._knowledge.newest(instance)

    def _read(self, instance: int) -> int | None:
        """Read what this node has, be it up to date or not."""
        uuid = self._task.instances[instance]
        select = sa.select(_T.c.progress).where(_T.c.uuid == uuid)
        try:
            with self._context.begin() as connection:
                token: int = connection.execute(select).scalar_one()
        except retry.DATABASE_ERRORS:
            return None
        return token
