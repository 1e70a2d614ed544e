# SPDX-License-Identifier: Apache-2.0
"""A network that fails at a statement of the test's choice.

A proxy stands in front of one server that speaks MySQL's protocol, and passes
on whatever it was not told to stop::

    with faults.Proxy(node.port) as proxy:
        engine = sqlalchemy.create_engine(proxy.url(database))
        with proxy.cut_after(faults.starting("COMMIT")) as fault:
            ...  # raises, and is committed
        assert fault.acts[0].error is None

It knows packets, the text of statements and the first packet of an answer.
Connections through it are neither compressed nor encrypted.
"""

import asyncio
import collections
from collections.abc import Coroutine
import socket
import threading
from typing import Any, Final, Self, TypeAlias, TypeVar

from tests.resources import fault_links
from tests.resources import servers

Fault: TypeAlias = fault_links.Fault
Kind: TypeAlias = fault_links.Kind
Matcher: TypeAlias = fault_links.Matcher

_T = TypeVar("_T")

_ANY_PORT: Final = 0


def starting(*words: str) -> Matcher:
    """Match statements that begin with one of these words."""
    return lambda statement: statement.startswith(words)


class Proxy:
    """Stands in front of one server, from entering the context on.

    All faults but :meth:`cut` last until they are lifted, or have come about
    as often as was asked for.

    :ivar port: where clients find it
    :ivar connections: how many it has taken
    :ivar statements: how many it has passed on
    """

    def __init__(self, target: int) -> None:
        """Say where the server is.

        :param target: its port on 127.0.0.1
        """
        self.port = 0
        self.target = target
        self.connections = 0
        self.statements = 0
        self._faults: list[Fault] = []
        self._past: list[Fault] = []
        self._links: set[fault_links.Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="fault-proxy", daemon=True
        )
        self._place: socket.socket | None = None
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            # Holds the port also while nobody listens on it.
            self._place = _bound(_ANY_PORT)
            self.port = self._place.getsockname()[1]
            self.call(self._listen())
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Cut everything and give the port back; may be called again."""
        if self._loop.is_closed():
            return
        if self._thread.is_alive():
            self.call(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(fault_links.TIMEOUT_S)
        self._loop.close()
        if self._place is not None:
            self._place.close()

    def url(
        self, database: str = "", scheme: str = servers.DEFAULT_SCHEME
    ) -> str:
        """Give the SQLAlchemy URL of a database behind it."""
        return f"{scheme}://root@127.0.0.1:{self.port}/{database}"

    @property
    def counts(self) -> collections.Counter[Kind]:
        """How often each kind of fault has come about."""
        counts: collections.Counter[Kind] = collections.Counter()
        for fault in (*self._past, *self._faults):
            counts[fault.kind] += len(fault.acts)
        return counts

    def delay(
        self,
        seconds: float | None,
        matches: Matcher | None = None,
        *,
        times: int | None = None,
    ) -> Fault:
        """Pass statements on later.

        :param seconds: how much; ``None`` for when the fault is lifted
        :param matches: says which; ``None`` for all
        :param times: how many; ``None`` for all until it is lifted
        """
        return self._add(Kind.DELAY, matches, times=times, seconds=seconds)

    def cut_before(self, matches: Matcher, *, times: int | None = 1) -> Fault:
        """End both connections where a statement would be passed on.

        :param matches: says which
        :param times: how many; ``None`` for all until it is lifted
        """
        return self._add(Kind.CUT_BEFORE, matches, times=times)

    def cut_during(
        self,
        matches: Matcher,
        *,
        times: int | None = 1,
        late_s: float = 0.0,
    ) -> Fault:
        """End the client's connection; the server gets the statement still.

        :param matches: says which
        :param times: how many; ``None`` for all until it is lifted
        :param late_s: how many seconds after the cut the server gets it
        """
        return self._add(Kind.CUT_DURING, matches, times=times, seconds=late_s)

    def cut_after(self, matches: Matcher, *, times: int | None = 1) -> Fault:
        """End both connections where the answer would be passed on.

        :param matches: says which statement's
        :param times: how many; ``None`` for all until it is lifted
        """
        return self._add(Kind.CUT_AFTER, matches, times=times)

    def black_hole(self, *, deliver: bool = True) -> Fault:
        """Take connections and bytes, and pass nothing on.

        :param deliver: whether what was sent meanwhile arrives when the fault
            is lifted, as after a partition, also from clients that have given
            up; else its connections are cut then
        """
        return self._add(Kind.BLACK_HOLE, None, deliver=deliver)

    def refuse(self) -> Fault:
        """Cut all connections and refuse new ones, as a dead server does."""
        fault = self._add(Kind.REFUSE, None)
        self.call(self._refuse(fault))
        return fault

    def switch(self, target: int) -> None:
        """Cut all connections and lead new ones to another server.

        :param target: its port on 127.0.0.1
        """
        self.target = target
        self.cut()

    def cut(self) -> int:
        """Cut all connections that there are; gives their number."""
        return self.call(self._cut())

    def call(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run something in the proxy's own thread, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(
            fault_links.TIMEOUT_S
        )

    def _add(
        self, kind: Kind, matches: Matcher | None, **settings: Any
    ) -> Fault:
        fault = Fault(
            kind,
            matches,
            lambda fault: self.call(self._lift(fault)),
            **settings,
        )
        self.call(self._append(fault))
        return fault

    # -- in the proxy's own thread ----------------------------------------

    def due(self, kind: Kind, statement: str) -> Fault | None:
        """Give the fault of a kind that is to come about now."""
        for fault in self._faults:
            if fault.kind is kind and fault.wanted(statement):
                return fault
        return None

    async def _lift(self, fault: Fault) -> None:
        """Do a fault no more."""
        if fault not in self._faults:
            return
        self._faults.remove(fault)
        self._past.append(fault)
        fault.lifted.set()
        if self._server is None and self.due(Kind.REFUSE, "") is None:
            await self._listen()

    async def _append(self, fault: Fault) -> None:
        self._faults.append(fault)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._take, sock=_bound(self.port)
        )

    async def _take(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.connections += 1
        link = fault_links.Link(self, reader, writer)
        self._links.add(link)
        try:
            await link.run()
        except asyncio.CancelledError:
            # Python 3.11 logs it as an error when a handler was cancelled.
            pass
        finally:
            self._links.discard(link)

    async def _refuse(self, fault: Fault) -> None:
        if self._server is not None:
            # What has been accepted must not find the server closed while it
            # is made a connection: asyncio would leave the socket open.
            for listening in self._server.sockets:
                self._loop.remove_reader(listening.fileno())
            await asyncio.sleep(0.01)
            self._server.close()
            self._server = None
        for link in list(self._links):
            fault.begin(link.statement)
            link.cut()
        fault.done.set()

    async def _cut(self) -> int:
        links = list(self._links)
        for link in links:
            link.cut()
        return len(links)

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _bound(port: int) -> socket.socket:
    """Bind a socket beside one that holds the port and does not listen."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    return made
