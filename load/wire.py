"""HTTP/1.1 as raw bytes on kept-alive connections: cheap to send, so that the CPU is left to the venue."""

import asyncio
from collections.abc import Callable
from typing import cast

from app.verification.ledger import Request

END_OF_HEAD = b"\r\n\r\n"
END_OF_CHUNKS = b"0\r\n\r\n"
LENGTH = b"content-length:"
CHUNKED = b"transfer-encoding: chunked"


def rendered(request: Request, host: str) -> bytes:
    """The request as bytes of HTTP/1.1."""
    key = f"Idempotency-Key: {request.key}\r\n" if request.key is not None else ""
    head = (
        f"{request.method} {request.path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {request.content_type}\r\n"
        f"{key}Content-Length: {len(request.body)}\r\n\r\n"
    )
    return head.encode() + request.body


class Connection(asyncio.Protocol):
    """One connection with at most one request in flight.

    Calls `on_answer(connection, status, body)` for each answer, and `on_lost(connection)` once, when it is closed.
    """

    def __init__(
        self,
        on_answer: Callable[["Connection", int, bytes], None],
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self._on_answer, self._on_lost = on_answer, on_lost
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self.busy_since_ns = 0  # 0: idle
        self.closing = False  # the server has announced that it closes the connection after this answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports are not subclasses

    def send(self, data: bytes, now_ns: int) -> None:
        assert self._transport is not None and not self.busy_since_ns
        self.busy_since_ns = now_ns
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        answer = _parsed(self._buffer)
        if answer is not None:
            status, body, self.closing = answer
            self._buffer, self.busy_since_ns = b"", 0
            self._on_answer(self, status, body)
            if self.closing:
                self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._on_lost(self)

    def abort(self) -> None:
        """Close the connection at once; `on_lost` follows."""
        if self._transport is not None:
            self._transport.abort()


def _parsed(data: bytes) -> tuple[int, bytes, bool] | None:
    """Status, body, and whether the server will close; None while incomplete. `data` never has more than one answer."""
    end = data.find(END_OF_HEAD)
    if end < 0:
        return None
    head, start = data[:end].lower(), end + len(END_OF_HEAD)
    closes = b"connection: close" in head
    if (at := head.find(LENGTH)) >= 0:
        line_end = head.find(b"\r\n", at)
        length = int(head[at + len(LENGTH) : line_end if line_end >= 0 else end])
        return (int(head[9:12]), data[start : start + length], closes) if len(data) - start >= length else None
    if CHUNKED in head and not data.endswith(END_OF_CHUNKS):
        return None
    return int(head[9:12]), data[start:], closes
