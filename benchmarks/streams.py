"""`python -m benchmarks.streams`: what streams cost a gateway, while some clients do not read.

We start a venue and send it the same load of orders twice: first without public subscribers, then with many clients of
`/stream`, one `book` or `trades` of one of ten instruments each, and some that never read (`benchmarks/readers.py`).
For both we print the gateway's CPU time per order and how soon a client is told of its own order. For the second also
frames, CPU time per frame and memory; what is missing to those that read (nothing may be), and what becomes of the
others: closed with 4008, skipped or conflated, as they asked. Some clients keep copies of the books, which must be
those of `GET /orderbook`. Exit code 1: something was missing or wrong. Prints conditions, writes JSON with `--json`.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from app.local.venue import ROOT, Venue, running_venue
from benchmarks.processes import usage_by_name
from benchmarks.readers import CHANNELS
from benchmarks.stages import FIRST_SECONDS, _load
from load.followed import Followed
from load.report import conditions
from load.stream import StreamClient

GATEWAY = "gateway-0"
SETTLE_S = 3.0
SLOW_CONSUMER = "4008"
OPEN = "None"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.streams", description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=200, help="connections, silent ones among them")
    parser.add_argument("--silent", type=int, default=20, help="how many of them never read")
    parser.add_argument("--rate", type=int, default=500, help="orders a second")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    found = asyncio.run(measure(options.clients, options.silent, options.rate, options.seconds))
    print(json.dumps(found, indent=2))
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 1 if found["wrong"] else 0


async def measure(clients: int, silent: int, rate: int, seconds: int) -> dict[str, Any]:
    """Run both loads in a venue of its own."""
    with tempfile.TemporaryDirectory(prefix="matchstream-streams-") as folder:
        async with running_venue(Path(folder) / "data", lives_long=True) as venue, AsyncExitStack() as stack:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            async with session.get(f"{venue.url}/api/v1/instruments") as response:
                instruments = [market["instrument"] for market in await response.json()]
            result = Path(folder) / "load.json"
            await _load(venue, rate, FIRST_SECONDS, result)
            alone = await _measured(venue, rate, seconds, result)
            pairs = [Followed(channel, name) for channel in CHANNELS for name in instruments]
            copies = [StreamClient([venue.url], [followed]) for followed in pairs]
            running = [asyncio.create_task(copy.run()) for copy in copies]
            readers = await _readers(venue.url, instruments, clients - silent - len(copies), silent)
            beside = await _measured(venue, rate, seconds, result)
            streams = await _ended(readers)
            found = {
                "conditions": conditions(),
                "clients": clients,
                "silent": silent,
                "rate": rate,
                "without_subscribers": alone,
                "with_subscribers": beside,
                "frames_a_second": round(streams["frames"] / seconds),
                "gateway_cpu_us_a_frame": _a_frame(alone, beside, streams["frames"]),
                "gateway_rss_mb_at_end": _rss_mb(venue),
                "streams": streams,
            }
            found["wrong"] = [str(task.exception()) for task in running if task.done()]
            found["wrong"] += await _wrong_books(session, venue, copies) + _wrong_streams(streams)
            for task in running:
                task.cancel()
    return found


async def _measured(venue: Venue, rate: int, seconds: int, result: Path) -> dict[str, Any]:
    rss, before = _rss_mb(venue), usage_by_name(venue)
    news = await _start("private_news", venue.url, "--seconds", str(seconds))
    load = await _load(venue, rate, seconds, result)
    spent = usage_by_name(venue)[GATEWAY].since(before[GATEWAY])
    told, _ = await news.communicate()
    orders = load["post_to_201"]["count"]
    return {
        "orders": orders,
        "gateway_cpu_us_an_order": round(spent.cpu_s / orders * 1e6, 1),
        "gateway_rss_mb": [rss, _rss_mb(venue)],
        "post_to_201_ms": {name: load["post_to_201"][name] for name in ("p50_ms", "p99_ms")},
        "told_of_own_order": json.loads(told),
        "load_right": load["right"],
    }


def _a_frame(alone: dict[str, Any], beside: dict[str, Any], frames: int) -> float:
    """What subscribers cost beyond the orders themselves."""
    more = beside["gateway_cpu_us_an_order"] - alone["gateway_cpu_us_an_order"]
    return round(more * beside["orders"] / max(1, frames), 1)


async def _readers(url: str, instruments: list[str], fast: int, silent: int) -> asyncio.subprocess.Process:
    readers = await _start("readers", url, *instruments, "--fast", str(fast), "--silent", str(silent))
    assert readers.stdout is not None
    await readers.stdout.readline()
    await asyncio.sleep(SETTLE_S)
    return readers


async def _ended(readers: asyncio.subprocess.Process) -> dict[str, Any]:
    """Let the silent ones read, then take the result."""
    assert readers.stdin is not None
    readers.stdin.write(b"\n")
    await asyncio.sleep(SETTLE_S)
    told, _ = await readers.communicate(b"\n")
    found: dict[str, Any] = json.loads(told)
    return found


async def _start(name: str, *arguments: str) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    return await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=os.environ, stdin=PIPE, stdout=PIPE)


async def _wrong_books(session: aiohttp.ClientSession, venue: Venue, copies: Sequence[StreamClient]) -> list[str]:
    """The copies whose checksum is not that of the gateway's book."""
    wrong = []
    for followed in (one for copy in copies for one in copy.followed if one.book is not None):
        async with session.get(f"{venue.url}/api/v1/orderbook?instrument={followed.instrument}") as response:
            if followed.book.checksum() != (await response.json())["checksum"]:
                wrong.append(f"the copy of {followed.instrument}")
    return wrong


def _wrong_streams(streams: dict[str, Any]) -> list[str]:
    """What was not as the clients asked for it."""
    wrong = [f"{streams['missing']} messages are missing"] if streams["missing"] else []
    if streams["closed"]:
        wrong.append(f"clients that read were closed with {streams['closed']}")
    for kind in streams["silent"]:
        expected = SLOW_CONSUMER if kind["on_slow"] == "close" else OPEN
        if kind["wrong"] or set(kind["closed_with"]) - {expected, OPEN}:
            wrong.append(f"{kind['channel']} with {kind['on_slow']}: {kind['closed_with']}, {kind['wrong']}")
    return wrong


def _rss_mb(venue: Venue) -> int:
    identity = venue.processes[GATEWAY].identity
    process = identity.find() if identity else None
    return 0 if process is None else psutil.Process(process.pid).memory_info().rss // 2**20


if __name__ == "__main__":
    sys.exit(main())
