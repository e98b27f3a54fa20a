"""WebSocket clients and what waits for each of them: a bounded queue; who reads too slowly is closed."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import orjson

from app.models.http import trade_answer
from app.models.reports import ExecutionReport
from web.edge import metrics
from web.refused import Refused

MAX_WAITING = 10_000  # messages; beyond, the client is closed with SLOW_CONSUMER
MAX_CLIENTS = 10_000
FULL_RETRY_S = 10
SLOW_CONSUMER = 4008
GOING_AWAY = 1001
CLOSE_TIMEOUT_S = 5.0


class Socket(Protocol):
    """What a client is sent through; a client that has gone raises ConnectionError."""

    async def send_str(self, data: str) -> None: ...

    async def close(self, *, code: int, message: bytes) -> Any: ...


class Client:
    """One connection that gets the trades of one instrument, or of all (None)."""

    def __init__(self, socket: Socket, instrument: str | None) -> None:
        self.instrument = instrument
        self._socket = socket
        self._waiting: deque[str] = deque()
        self._filled = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """The handshake is over: send what has gathered since it began, and what follows."""
        self._sender = asyncio.create_task(self._send_all())

    def offer(self, message: str) -> None:
        """Queue a message; trades are never left out, so a full queue ends the connection."""
        if len(self._waiting) < MAX_WAITING or self._sender is None:
            self._waiting.append(message)
            self._filled.set()
        elif self._closing is None:
            metrics.websocket_dropped.inc()
            self._closing = asyncio.create_task(self.close(SLOW_CONSUMER, b"slow_consumer"))

    async def close(self, code: int, reason: bytes) -> None:
        """Send nothing more but the reason, and do not wait for a client that does not even read that."""
        if self._sender is None:
            return
        self._sender.cancel()
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._socket.close(code=code, message=reason)

    def end(self) -> None:
        """The connection is over."""
        if self._sender is not None:
            self._sender.cancel()

    async def _send_all(self) -> None:
        with suppress(ConnectionError):
            while True:
                await self._filled.wait()
                while self._waiting:
                    await self._socket.send_str(self._waiting.popleft())
                self._filled.clear()


class Hub:
    """All clients of /ws/trades."""

    def __init__(self) -> None:
        self._clients: set[Client] = set()

    def publish(self, report: ExecutionReport) -> None:
        """Offer the trades of a report to whoever wants them: each is encoded once, whoever gets it."""
        wanted = [client for client in self._clients if client.instrument in (None, report.instrument)]
        if not wanted:
            return
        for trade in report.trades:
            message = orjson.dumps(trade_answer(report.instrument, trade, report.time)).decode()
            for client in wanted:
                client.offer(message)

    @contextmanager
    def client(self, socket: Socket, instrument: str | None) -> Iterator[Client]:
        """Keep a client while its connection is served; raises Refused when there are too many.

        It gets every trade from now on: those of its handshake wait until `begin`.
        """
        if len(self._clients) >= MAX_CLIENTS:
            raise Refused("overloaded", f"{MAX_CLIENTS} clients are connected", FULL_RETRY_S)
        client = Client(socket, instrument)
        self._clients.add(client)
        metrics.websocket_clients.set(len(self._clients))
        try:
            yield client
        finally:
            self._clients.discard(client)
            metrics.websocket_clients.set(len(self._clients))
            client.end()

    async def close(self) -> None:
        """Tell everyone that this gateway goes away."""
        await asyncio.gather(*(client.close(GOING_AWAY, b"shutdown") for client in list(self._clients)))
