# SPDX-License-Identifier: Apache-2.0
"""Starting scripts of this folder as processes of their own, and asking them.

Most run with Nova's Python, those that need nothing of Nova's with ours.
"""

from collections.abc import Iterator, Sequence
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from types import ModuleType
from typing import Any, Final, IO

from benchmarks import peer
from benchmarks import sampling
from tools import nova_venvs

__all__ = ["NOVA_RELEASE", "Peer", "PeerFailed", "running", "started"]

NOVA_RELEASE: Final = "34.0.0"


class PeerFailed(Exception):
    """The other Python ended; the message has what it said."""


class Peer:
    """A process that answers lines with JSON."""

    def __init__(self, process: "subprocess.Popen[str]", log: IO[str]) -> None:
        """Take over a process.

        :param process: with pipes
        :param log: what it says beside its answers
        """
        self._process = process
        self._log = log

    def ask(self, *words: object) -> Any:
        """Send a line and wait for the answer.

        :param words: of the line
        :returns: the answer
        :raises PeerFailed: the process ended
        """
        self.tell(*words)
        return self.answer()

    def tell(self, *words: object) -> None:
        """Send a line; :meth:`answer` is to be called for it.

        :param words: of the line
        :raises PeerFailed: the process has no pipes
        """
        if self._process.stdin is None:
            raise PeerFailed("the peer has no pipes")
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(" ".join(map(str, words)) + "\n")
            self._process.stdin.flush()

    def answer(self) -> Any:
        """Wait for the answer to the line sent first of those unanswered.

        :returns: the answer
        :raises PeerFailed: the process ended
        """
        if self._process.stdout is None:
            raise PeerFailed("the peer has no pipes")
        answer = self._process.stdout.readline()
        if not answer:
            self._log.seek(0)
            raise PeerFailed(f"the peer ended:\n{self._log.read()[-4000:]}")
        return json.loads(answer)

    def block(self, name: str) -> sampling.Block:
        """Give the timed calls of a name.

        :param name: that the peer knows
        :returns: the block
        """

        def block(count: int) -> Sequence[float]:
            seconds: list[float] = self.ask(name, count)
            return seconds

        return block


@contextlib.contextmanager
def running(
    script: ModuleType, *arguments: str, nova: bool = True
) -> Iterator[Peer]:
    """Run a script in a process of its own for as long as the block runs.

    :param script: a module of this folder that answers lines
    :param arguments: of its ``main``
    :param nova: whether with Nova's Python; else with that of this process
    :returns: yields the peer
    """
    python = sys.executable
    if nova:
        nova_venvs.ensure(NOVA_RELEASE)
        python = str(nova_venvs.python(NOVA_RELEASE))
    command = [
        python,
        # Else the modules beside the script would hide others' of the name.
        "-P",
        str(script.__file__),
        *arguments,
    ]
    environment = {**os.environ, "PYTHONPATH": str(nova_venvs.ROOT)}
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env=environment,
            text=True,
        ) as process,
    ):
        try:
            yield Peer(process, log)
        finally:
            # It ends by itself when there is nothing more to read.
            if process.stdin is not None:
                process.stdin.close()


@contextlib.contextmanager
def started(
    kind: str, url: str, server: str
) -> Iterator[dict[str, sampling.Block]]:
    """Run updates in Nova's virtualenv for as long as the block runs.

    :param kind: ``nova`` or ``ours``, whose ``instance_update`` is called
    :param url: of the cell
    :param server: the uuid whose row is updated
    :returns: yields the blocks ``hold`` and ``refuse``
    """
    with running(peer, kind, url, server) as process:
        yield {name: process.block(name) for name in ("hold", "refuse")}
