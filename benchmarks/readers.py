"""`python -m benchmarks.readers`: many cheap clients of `/stream` in a process of their own, some of them silent.

Each client that reads has one `book` or `trades` of one instrument and proves from `prev_seq` that no message is
missing, in a few microseconds a frame. Each that stops follows one channel of every instrument, in one of three ways
(`SLOW`): its kernel keeps little for it, and it only sends pongs. A line on standard input lets those read on; the next
one ends the process, which then prints what all of them got, as JSON.
"""

import argparse
import asyncio
import json
import socket
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import cycle, islice
from typing import Any, cast

import msgspec
import uvloop

from load.followed import Followed, Gap, WrongCopy

CHANNELS = ("book", "trades")
SLOW = (("book", "close"), ("trades", "skip"), ("book", "conflate"))
SMALL_BUFFER = 4_096  # bytes that the kernel of a client that does not read keeps for it
PONG_S = 5.0
AT_ONCE = 50  # handshakes
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class _Frame(msgspec.Struct):
    prev_seq: int | None = None
    seq: int = 0
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


_head_of = msgspec.json.Decoder(_Frame).decode
_decode = msgspec.json.Decoder().decode


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readers", description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("instruments", nargs="+")
    parser.add_argument("--fast", type=int, required=True, help="clients that read")
    parser.add_argument("--silent", type=int, required=True, help="clients that do not")
    options = parser.parse_args()
    print(json.dumps(uvloop.run(run(options.url, options.instruments, options.fast, options.silent))))
    return 0


async def run(url: str, instruments: Sequence[str], fast: int, silent: int) -> dict[str, Any]:
    """Connect, say so with a line, and follow until told to end."""
    pairs = [(channel, name) for channel in CHANNELS for name in instruments]
    readers = [FastReader(channel, name) for channel, name in islice(cycle(pairs), fast)]
    stopped = [SilentReader(*how, instruments) for how in islice(cycle(SLOW), silent)]
    await connect(url, [*readers, *stopped])
    print("connected", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    at_end_of_load = sum(reader.frames for reader in readers)
    for reader in stopped:
        reader.read_on()
    await asyncio.to_thread(sys.stdin.readline)
    return {
        "frames": at_end_of_load,
        "missing": sum(reader.gaps for reader in readers),
        "closed": Counter(reader.closed for reader in readers if reader.closed is not None),
        "silent": [_of_kind(how, stopped) for how in SLOW],
    }


def _of_kind(how: tuple[str, str], stopped: Iterable["SilentReader"]) -> dict[str, Any]:
    kind = [reader for reader in stopped if reader.how == how]
    return {
        "channel": how[0],
        "on_slow": how[1],
        "clients": len(kind),
        "closed_with": Counter(str(reader.closed) for reader in kind),
        "frames": sum(reader.frames for reader in kind),
        "skipped": sum(followed.skipped for reader in kind for followed in reader.followed.values()),
        "wrong": [reader.wrong for reader in kind if reader.wrong],
    }


async def connect(url: str, readers: Sequence["StreamSocket"]) -> None:
    """Connect and subscribe."""
    host, port = url.removeprefix("http://").split(":")
    loop, room = asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)

    async def one(reader: StreamSocket) -> None:
        async with room:
            raw = socket.socket()
            raw.setblocking(False)
            if isinstance(reader, SilentReader):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
            await loop.sock_connect(raw, (host, int(port)))
            await loop.create_connection(lambda: reader, sock=raw)
            await reader.begun

    await asyncio.gather(*map(one, readers))


class StreamSocket(asyncio.Protocol):
    """A WebSocket client as far as we need one."""

    def __init__(self) -> None:
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.frames = self.gaps = 0
        self.closed: int | None = None
        self._buffer = b""
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(
            b"GET /stream HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = self.closed or 1006

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        at = 0
        if not self._is_open:
            end = data.find(b"\r\n\r\n")
            if end >= 0:
                assert data.startswith(b"HTTP/1.1 101"), data[:100]
                self._is_open, at = True, end + 4
                self.subscribe()
        while self._is_open and len(data) >= at + 2:
            size, start = data[at + 1], at + 2
            if size >= 126:
                start += 2 if size == 126 else 8
                size = int.from_bytes(data[at + 2 : start])
            if len(data) < start + size:
                break
            self._take(data[at] & 15, data[start : start + size])
            at = start + size
        self._buffer = data[at:]

    def leave(self) -> None:
        """Close the connection."""
        self._transport.abort()

    def subscribe(self) -> None:
        """The handshake is over."""

    def take(self, payload: bytes) -> None:
        """A text frame."""

    def send(self, opcode: int, *payloads: bytes) -> None:
        """A frame for each payload, in one write; masked, as a client's must be, with zeros."""
        self._transport.write(b"".join(_masked(opcode, payload) for payload in payloads))

    def ask(self, followed: Followed, req_id: int) -> None:
        """Subscribe."""
        self.send(TEXT, json.dumps(followed.request(req_id)).encode())

    def _take(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            self.take(payload)
        elif opcode == PING:
            self.send(PONG, payload)
        elif opcode == CLOSE:
            self.closed = int.from_bytes(payload[:2])
            self._transport.close()


def _masked(opcode: int, payload: bytes) -> bytes:
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2)
    return bytes([0x80 | opcode]) + size + bytes(4) + payload


class FastReader(StreamSocket):
    """One subscription, read as fast as it comes."""

    def __init__(self, channel: str, instrument: str) -> None:
        super().__init__()
        self._followed = Followed(channel, instrument)
        self.last_seq = 0

    def subscribe(self) -> None:
        self.ask(self._followed, 1)

    def take(self, payload: bytes) -> None:
        frame = _head_of(payload)
        if frame.prev_seq is None:
            assert frame.result is not None, payload
            self.last_seq = frame.result["last_seq"]
            self.begun.set_result(None)
            return
        self.frames += 1
        self.gaps += frame.prev_seq != self.last_seq
        self.last_seq = frame.seq


class SilentReader(StreamSocket):
    """One channel of every instrument, not read until it is told to."""

    def __init__(self, channel: str, on_slow: str, instruments: Sequence[str]) -> None:
        super().__init__()
        self.how = channel, on_slow
        self.followed = {name: Followed(channel, name, on_slow=on_slow) for name in instruments}
        self.wrong = ""
        self._answers = 0

    def subscribe(self) -> None:
        for number, followed in enumerate(self.followed.values()):
            self.ask(followed, number)

    def read_on(self) -> None:
        """Read what has gathered, and what comes."""
        self._pinging.cancel()
        self._transport.resume_reading()

    def take(self, payload: bytes) -> None:
        frame = _decode(payload)
        if "prev_seq" not in frame:
            self.followed[frame["result"]["instrument"]].begin(frame["result"])
            self._answers += 1
            if self._answers == len(self.followed):
                self._transport.pause_reading()
                self._pinging = asyncio.create_task(self._pong())
                self.begun.set_result(None)
            return
        self.frames += 1
        try:
            self.followed[frame["instrument"]].take(frame)
        except (Gap, WrongCopy) as error:
            self.wrong = f"{type(error).__name__} {error}"

    async def _pong(self) -> None:
        """Say that it lives: a client that only does not read must not be taken for dead."""
        while True:
            await asyncio.sleep(PONG_S)
            self.send(PONG, b"")


if __name__ == "__main__":
    sys.exit(main())
