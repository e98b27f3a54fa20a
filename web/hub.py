"""WebSocket clients and what waits for each of them: a bounded queue; who reads too slowly is closed."""

import asyncio

from aiohttp import WSMsgType, web

from web import metrics

MAX_WAITING = 10_000  # messages; beyond, the client is closed with SLOW_CONSUMER
SLOW_CONSUMER = 4008
GOING_AWAY = 1001
PING_INTERVAL_S = 20.0
MAX_MESSAGE_BYTES = 64 * 1024


class Client:
    """One connection that gets the trades of one instrument, or of all (None)."""

    def __init__(self, socket: web.WebSocketResponse, instrument: str | None) -> None:
        self.socket, self.instrument = socket, instrument
        self.waiting: asyncio.Queue[str | None] = asyncio.Queue(MAX_WAITING)
        self.slow = False

    def offer(self, message: str) -> None:
        """Queue a message; trades are never left out, so a full queue ends the connection."""
        try:
            self.waiting.put_nowait(message)
        except asyncio.QueueFull:
            self.slow = True

    async def send_all(self) -> None:
        while (message := await self.waiting.get()) is not None and not self.slow:
            await self.socket.send_str(message)
        if self.slow:
            metrics.websocket_dropped.inc()
            await self.socket.close(code=SLOW_CONSUMER, message=b"slow_consumer")


class Hub:
    """All clients of /ws/trades."""

    def __init__(self) -> None:
        self._clients: set[Client] = set()

    def publish(self, instrument: str, message: str) -> None:
        """Offer a trade, as text, to whoever wants it."""
        for client in self._clients:
            if client.instrument is None or client.instrument == instrument:
                client.offer(message)

    def __bool__(self) -> bool:
        return bool(self._clients)

    async def serve(self, request: web.Request, instrument: str | None) -> web.WebSocketResponse:
        """Keep a client until it goes; what it sends is read and ignored."""
        socket = web.WebSocketResponse(heartbeat=PING_INTERVAL_S, max_msg_size=MAX_MESSAGE_BYTES)
        await socket.prepare(request)
        client = Client(socket, instrument)
        self._clients.add(client)
        metrics.websocket_clients.set(len(self._clients))
        sender = asyncio.create_task(client.send_all())
        try:
            async for message in socket:
                if message.type is WSMsgType.ERROR:
                    break
        finally:
            self._clients.discard(client)
            metrics.websocket_clients.set(len(self._clients))
            sender.cancel()
        return socket

    async def close(self) -> None:
        """Tell everyone that this gateway goes away."""
        await asyncio.gather(
            *(client.socket.close(code=GOING_AWAY, message=b"shutdown") for client in list(self._clients)),
            return_exceptions=True,
        )
