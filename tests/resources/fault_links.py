# SPDX-License-Identifier: Apache-2.0
"""What a fault is, and one connection that meets some.

:mod:`tests.resources.faults` has the proxy and tells how to use it.
"""

import asyncio
from collections.abc import Callable
import contextlib
import dataclasses
import enum
import threading
from typing import Final, NoReturn, Protocol, Self, TypeAlias

Matcher: TypeAlias = Callable[[str], bool]

TIMEOUT_S: Final = 30
"""How long the proxy itself may take for anything."""

_CHUNK: Final = 65536
_HEADER: Final = 4
_COM_QUERY: Final = 3
_OK: Final = 0x00
_ERROR: Final = 0xFF
# Lengths up to here stand in the one byte; two more follow on the next.
_ONE_BYTE: Final = 0xFA
_TWO_BYTES: Final = 0xFC


class Kind(enum.Enum):
    """What a fault does."""

    DELAY = "passes a statement on later"
    CUT_BEFORE = "cuts instead of passing a statement on"
    CUT_DURING = "cuts the client off while passing its statement on"
    CUT_AFTER = "cuts instead of passing an answer on"
    BLACK_HOLE = "passes nothing on"
    REFUSE = "takes no connections"


@dataclasses.dataclass(slots=True)
class Act:
    """One time that a fault came about.

    :ivar statement: the one it came about at, or the last one of the
        connection; empty for none
    :ivar answered: whether an answer of the server's to it was seen
    :ivar error: the number of the error in that answer
    :ivar rows: how many rows that answer says were matched or changed
    """

    statement: str
    answered: bool = False
    error: int | None = None
    rows: int | None = None

    def note(self, answer: bytes) -> None:
        """Take down what the server said.

        :param answer: its first packet, the header included
        """
        self.answered = True
        body = answer[_HEADER:]
        if body[0] == _ERROR:
            self.error = int.from_bytes(body[1:3], "little")
        elif body[0] == _OK and body[1] <= _ONE_BYTE:
            self.rows = body[1]
        elif body[0] == _OK and body[1] == _TWO_BYTES:
            self.rows = int.from_bytes(body[2:4], "little")


class Fault:
    """Something a proxy was told to do. Leaving its block lifts it.

    :ivar kind: what it does
    :ivar acts: each time that it did
    """

    def __init__(
        self,
        kind: Kind,
        matches: Matcher | None,
        lift: Callable[["Fault"], None],
        *,
        times: int | None = None,
        seconds: float | None = None,
        deliver: bool = True,
    ) -> None:
        self.kind = kind
        self.acts: list[Act] = []
        self.seconds = seconds
        self.deliver = deliver
        self.lifted = asyncio.Event()
        self.done = threading.Event()
        self._matches = matches
        self._lift = lift
        self._times = times

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.lift()

    def lift(self) -> None:
        """Do it no more; may be called again."""
        self._lift(self)

    def wait(self) -> None:
        """Wait until it has come about, a cut with the server's answer.

        :raises TimeoutError: not within half a minute
        """
        if not self.done.wait(TIMEOUT_S):
            raise TimeoutError(f"nothing came by for: {self.kind.value}")

    def wanted(self, statement: str) -> bool:
        """Say whether it is to come about at a statement."""
        if self._times is not None and len(self.acts) >= self._times:
            return False
        return self._matches is None or self._matches(statement)

    def begin(self, statement: str) -> Act:
        """Take down that it comes about."""
        act = Act(statement)
        self.acts.append(act)
        return act


class Director(Protocol):
    """What a link asks of its proxy.

    :ivar target: the port of the server
    :ivar statements: how many were passed on
    """

    target: int
    statements: int

    def due(self, kind: Kind, statement: str) -> Fault | None:
        """Give the fault of a kind that is to come about now."""


class _CutError(Exception):
    """This connection is to end."""


class Link:
    """One client's connection and the one to the server that it stands for.

    All of it runs in the proxy's own thread.

    :ivar statement: the last one that the client sent
    """

    def __init__(
        self,
        director: Director,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.statement = ""
        self._director = director
        self._client = reader, writer
        self._writers = [writer]
        self._cutting: tuple[Fault, Act] | None = None
        self._task = asyncio.current_task()

    def cut(self) -> None:
        """End both connections now."""
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        """Pass on until one side ends, or a fault ends both."""
        pumps: list[asyncio.Task[NoReturn]] = []
        try:
            await self._hole()
            server = await asyncio.open_connection(
                "127.0.0.1", self._director.target
            )
            self._writers.append(server[1])
            pumps = [
                asyncio.create_task(self._ask(server[1])),
                asyncio.create_task(self._answer(server[0])),
            ]
            await asyncio.gather(*pumps)
        except (_CutError, OSError, EOFError):
            pass
        finally:
            for pump in pumps:
                pump.cancel()
            # What has not been passed on is not passed on now.
            for writer in self._writers:
                writer.transport.abort()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _ask(self, server: asyncio.StreamWriter) -> NoReturn:
        """Pass on what the client sends, one packet at a time."""
        while True:
            packet = await _packet(self._client[0])
            statement = _statement(packet)
            if statement is not None:
                self.statement = statement
                await self._meet(statement)
            await self._hole()
            if statement is not None:
                self._director.statements += 1
            server.write(packet)
            await server.drain()
            if self._client[1].is_closing():
                # Cut off by a fault, which waits for the answer.
                await asyncio.Event().wait()

    async def _answer(self, server: asyncio.StreamReader) -> NoReturn:
        """Pass on what the server answers."""
        while answer := await server.read(_CHUNK):
            await self._hole()
            if self._cutting is not None:
                while len(answer) < _HEADER or len(answer) < _size(answer):
                    answer += await server.read(_CHUNK)
                fault, act = self._cutting
                act.note(answer)
                fault.done.set()
                break
            self._client[1].write(answer)
            await self._client[1].drain()
        raise _CutError

    async def _hole(self) -> None:
        fault = self._director.due(Kind.BLACK_HOLE, self.statement)
        if fault is None:
            return
        fault.begin(self.statement)
        fault.done.set()
        await fault.lifted.wait()
        if not fault.deliver:
            raise _CutError

    async def _meet(self, statement: str) -> None:
        """Let come about what is to come about at a statement."""
        if fault := self._director.due(Kind.DELAY, statement):
            fault.begin(statement)
            fault.done.set()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(fault.lifted.wait(), fault.seconds)
        if fault := self._director.due(Kind.CUT_BEFORE, statement):
            fault.begin(statement)
            fault.done.set()
            raise _CutError
        if fault := self._director.due(Kind.CUT_AFTER, statement):
            self._cutting = fault, fault.begin(statement)
        elif fault := self._director.due(Kind.CUT_DURING, statement):
            self._cutting = fault, fault.begin(statement)
            self._client[1].transport.abort()
            await asyncio.sleep(fault.seconds or 0)


async def _packet(reader: asyncio.StreamReader) -> bytes:
    header = await reader.readexactly(_HEADER)
    return header + await reader.readexactly(_size(header) - _HEADER)


def _size(packet: bytes) -> int:
    """Say how long a packet is, of which the beginning is there."""
    return _HEADER + int.from_bytes(packet[:3], "little")


def _statement(packet: bytes) -> str | None:
    """Give the text of a statement; ``None`` for any other packet."""
    # Numbers begin anew with each command; a login has others.
    if packet[3] != 0 or len(packet) == _HEADER:
        return None
    if packet[_HEADER] != _COM_QUERY:
        return None
    return packet[_HEADER + 1 :].decode(errors="replace")
