"""HTTP by hand: bytes to a socket and the answer as it comes, for what no client library would send."""

import asyncio
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

TIMEOUT_S = 60.0


class RawAnswer(NamedTuple):
    """The first answer on a connection, and what came after it."""

    status: int
    headers: dict[str, str]
    body: Any
    rest: bytes


async def exchange(url: str, *pieces: bytes, pause_s: float = 0.0) -> RawAnswer:
    """Send the pieces, one after another, and read one answer and whatever follows until the server has no more."""
    host, _, port = urlsplit(url).netloc.partition(":")
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection(host, int(port))
        sending = asyncio.create_task(_send(writer, pieces, pause_s))
        try:
            return await _answer(reader)
        finally:
            sending.cancel()
            writer.close()


async def _send(writer: asyncio.StreamWriter, pieces: tuple[bytes, ...], pause_s: float) -> None:
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause_s)


async def _answer(reader: asyncio.StreamReader) -> RawAnswer:
    status_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
    headers = dict(line.lower().split(": ", 1) for line in lines)
    status = int(status_line.split()[1])
    if status == 100:
        return await _answer(reader)
    raw = await reader.readexactly(int(headers.get("content-length", 0)))
    body = orjson.loads(raw) if "json" in headers.get("content-type", "") else raw
    return RawAnswer(status, headers, body, await _rest(reader, is_closing=headers.get("connection") == "close"))


async def _rest(reader: asyncio.StreamReader, is_closing: bool) -> bytes:
    """What follows an answer: nothing, if the server means to close; else what comes at once."""
    try:
        async with asyncio.timeout(1.0 if is_closing else 0.02):
            return await reader.read()
    except TimeoutError:
        return b""
