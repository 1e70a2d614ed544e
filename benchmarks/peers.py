# SPDX-License-Identifier: Apache-2.0
"""Starting :mod:`benchmarks.peer` with Nova's Python, and asking it."""

from collections.abc import Iterator, Sequence
import contextlib
import json
import os
import pathlib
import subprocess
import tempfile
from typing import Final, IO

from benchmarks import peer
from benchmarks import sampling
from tools import nova_venvs

__all__ = ["NOVA_RELEASE", "PeerFailed", "started"]

NOVA_RELEASE: Final = "34.0.0"


class PeerFailed(Exception):
    """The other Python ended; the message has what it said."""


@contextlib.contextmanager
def started(
    kind: str, url: str, server: str
) -> Iterator[dict[str, sampling.Block]]:
    """Run a peer in Nova's virtualenv for as long as the block runs.

    :param kind: ``nova`` or ``ours``, whose ``instance_update`` is called
    :param url: of the cell
    :param server: the uuid whose row is updated
    :returns: yields the blocks ``hold`` and ``refuse``
    """
    nova_venvs.ensure(NOVA_RELEASE)
    command = [
        str(nova_venvs.python(NOVA_RELEASE)),
        # Else the modules beside the script would hide others' of the name.
        "-P",
        str(pathlib.Path(peer.__file__)),
        *(kind, url, server),
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
            yield {
                name: _block(name, process, log) for name in ("hold", "refuse")
            }
        finally:
            # It ends by itself when there is nothing more to read.
            if process.stdin is not None:
                process.stdin.close()


def _block(
    name: str, process: "subprocess.Popen[str]", log: IO[str]
) -> sampling.Block:
    def block(count: int) -> Sequence[float]:
        if process.stdin is None or process.stdout is None:
            raise PeerFailed("the peer has no pipes")
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(f"{name} {count}\n")
            process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            log.seek(0)
            raise PeerFailed(f"the peer ended:\n{log.read()[-4000:]}")
        seconds: list[float] = json.loads(answer)
        return seconds

    return block
