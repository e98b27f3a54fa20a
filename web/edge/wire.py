"""A WebSocket's way out: whole frames, many in one write, as fast as the client reads them."""

import asyncio
import socket
from typing import Self

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

SEND_BUFFER = 128 * 1024  # bytes that the kernel keeps for a client; it would take megabytes for one that reads slowly
LAST_BYTES_S = 15.0  # for a client to read what is left when the connection ends


class Wire:
    """What one client is sent through."""

    def __init__(self, request: web.Request, response: web.WebSocketResponse) -> None:
        if request.transport is None:
            raise ConnectionResetError("the client has gone")
        self._request, self._response = request, response
        self._protocol, self._transport = request.protocol, request.transport
        self._writer: AbstractStreamWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """The handler is done with the connection."""
        self._cut_off_later()

    async def open(self) -> None:
        """Answer the handshake."""
        raw = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._writer = await self._response.prepare(self._request)

    @property
    def is_full(self) -> bool:
        """Whether more should wait until `drain` returns."""
        return self._protocol.writing_paused

    @property
    def is_gone(self) -> bool:
        """Whether nobody would read what is written."""
        return self._transport.is_closing() or self._response.closed

    def write(self, frames: bytes) -> None:
        """Hand whole frames to the connection, between those that aiohttp writes (pings, the end)."""
        self._transport.write(frames)

    async def drain(self) -> None:
        """Return once there is room; raises ConnectionError."""
        assert self._writer is not None, "the handshake is over"
        await self._writer.drain()

    async def close(self, *, code: int, message: bytes) -> None:
        """Say why, and wait for the client's answer."""
        self._cut_off_later()  # aiohttp would wait for ever until the client has read what was written before
        await self._response.close(code=code, message=message)

    def _cut_off_later(self) -> None:
        """End the connection once the client has had time to read the rest; it might never do so."""
        asyncio.get_running_loop().call_later(LAST_BYTES_S, self._transport.abort)
