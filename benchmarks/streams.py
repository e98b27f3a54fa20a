"""`python -m benchmarks.streams`: what streams cost a gateway, while some clients do not read.

We start a venue and connect clients of `/stream`, one `book` or `trades` of one of ten instruments each; some of them
never read. An open loop sends orders. For the load we print frames, the gateway's CPU time per order and per frame and
its memory, and for the clients that read, how many messages were missing (none may be) and how their books compare with
`GET /orderbook`. Exit code 1: something was missing. Prints conditions, writes JSON with `--json`.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import cycle
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from app.local.venue import Venue, running_venue
from benchmarks.processes import usage_by_name
from benchmarks.stages import _load
from load.followed import Followed, Message
from load.report import conditions
from load.stream import StreamClient

GATEWAY = "gateway-0"
CHANNELS = ("book", "trades")
SETTLE_S = 3.0
SMALL_BUFFER = 4_096  # bytes that a client's kernel keeps for one that does not read


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streams", description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=200, help="connections, each with one subscription")
    parser.add_argument("--silent", type=int, default=20, help="how many of them never read")
    parser.add_argument("--rate", type=int, default=500, help="orders a second")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    found = asyncio.run(measure(options.clients, options.silent, options.rate, options.seconds))
    print(json.dumps(found, indent=2))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if not found["failures"] and found["books_right"] else 1


async def measure(clients: int, silent: int, rate: int, seconds: int) -> dict[str, Any]:
    """Run one load in a venue of its own."""
    with tempfile.TemporaryDirectory(prefix="matchstream-streams-") as folder:
        async with running_venue(Path(folder) / "data") as venue, AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            async with session.get(f"{venue.url}/api/v1/instruments") as response:
                instruments = [market["instrument"] for market in await response.json()]
            frames = _Frames()
            readers = [
                StreamClient([venue.url], [Followed(channel, name)], frames.count)
                for _, (name, channel) in zip(range(clients - silent), cycle(_pairs(instruments)), strict=False)
            ]
            running = [asyncio.create_task(reader.run()) for reader in readers]
            for _, (name, channel) in zip(range(silent), cycle(_pairs(instruments)), strict=False):
                await stack.enter_async_context(_Silent(venue.url, name, channel))
            await asyncio.sleep(SETTLE_S)
            found = await _measured(venue, rate, seconds, Path(folder) / "load.json", frames)
            await asyncio.sleep(SETTLE_S)
            failures = [str(task.exception()) for task in running if task.done()]
            found["failures"] = failures
            found["reconnects"] = sum(reader.connects - 1 for reader in readers)
            found["books_right"] = await _books_right(session, venue, readers)
            found["gateway_rss_mb_at_end"] = _rss_mb(venue)
            for task in running:
                task.cancel()
    return {"conditions": conditions(), "clients": clients, "silent": silent, **found}


class _Frames:
    """Counts what readers were sent."""

    def __init__(self) -> None:
        self.seen = 0

    def count(self, followed: Followed, message: Message) -> None:
        self.seen += 1


async def _measured(venue: Venue, rate: int, seconds: int, result: Path, frames: _Frames) -> dict[str, Any]:
    rss, before, seen = _rss_mb(venue), usage_by_name(venue), frames.seen
    load = await _load(venue, rate, seconds, result)
    spent, sent = usage_by_name(venue)[GATEWAY].since(before[GATEWAY]), frames.seen - seen
    orders = load["post_to_201"]["count"]
    return {
        "orders": orders,
        "rate": rate,
        "frames": sent,
        "frames_a_second": round(sent / seconds),
        "gateway_cpu_us_an_order": round(spent.cpu_s / orders * 1e6, 1),
        "gateway_cpu_us_a_frame": round(spent.cpu_s / max(1, sent) * 1e6, 1),
        "gateway_rss_mb": [rss, _rss_mb(venue)],
        "post_to_201_ms": {name: load["post_to_201"][name] for name in ("p50_ms", "p99_ms")},
        "load_right": load["right"],
    }


async def _books_right(session: aiohttp.ClientSession, venue: Venue, readers: Sequence[StreamClient]) -> bool:
    """Whether every reader's copy has the checksum that the gateway tells."""
    checksums: dict[str, int] = {}
    for followed in (one for reader in readers for one in reader.followed if one.book is not None):
        if followed.instrument not in checksums:
            async with session.get(f"{venue.url}/api/v1/orderbook?instrument={followed.instrument}") as response:
                checksums[followed.instrument] = (await response.json())["checksum"]
        if followed.book is None or followed.book.checksum() != checksums[followed.instrument]:
            return False
    return True


class _Silent:
    """A subscription that nobody reads."""

    def __init__(self, url: str, instrument: str, channel: str) -> None:
        self._host, self._port = url.removeprefix("http://").split(":")
        self._params = {"channel": channel, "instrument": instrument}

    async def __aenter__(self) -> None:
        reader, self._writer = await asyncio.open_connection(self._host, int(self._port), limit=SMALL_BUFFER)
        head = (
            f"GET /stream HTTP/1.1\r\nHost: {self._host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        self._writer.write(head.encode())
        await reader.readuntil(b"\r\n\r\n")
        body = json.dumps({"method": "subscribe", "params": self._params}).encode()
        self._writer.write(bytes([0x81, 0x80 | len(body), 0, 0, 0, 0]) + body)  # a masked frame; the mask is zero

    async def __aexit__(self, *error: object) -> None:
        self._writer.close()


def _pairs(instruments: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, channel) for channel in CHANNELS for name in instruments]


def _rss_mb(venue: Venue) -> int:
    identity = venue.processes[GATEWAY].identity
    process = identity.find() if identity else None
    return 0 if process is None else psutil.Process(process.pid).memory_info().rss // 2**20


if __name__ == "__main__":
    sys.exit(main())
