"""`python -m app demo`: a venue of its own, 5,000 generated orders, what became of them, and everything down again."""

import argparse
import asyncio
import json
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from app.local.problems import CannotStart
from app.local.venue import ROOT, Venue, running_venue

ORDERS = 5_000
RATE = 500  # a second
SHOWN_LEVELS = 5
INSTRUMENT = "BTC-USD"


def main(arguments: Sequence[str]) -> int:
    """Run the demo; 0 when log and Postgres agree with a replay of every order."""
    parser = argparse.ArgumentParser(prog="python -m app demo", description=__doc__)
    parser.add_argument("--orders", type=int, default=ORDERS, help="default: %(default)s")
    parser.add_argument("--rate", type=int, default=RATE, help="orders a second (default: %(default)s)")
    options = parser.parse_args(arguments)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it retries what it complains of, as new topics settle
    try:
        return asyncio.run(_demo(options.orders, options.rate))
    except CannotStart as problem:
        print(problem, file=sys.stderr)
        return 1


async def _demo(orders: int, rate: int) -> int:
    with tempfile.TemporaryDirectory(prefix="matchstream-demo-") as folder:
        print("Starting Kafka, Postgres, Valkey, topics, schema and workers …", flush=True)
        async with running_venue(Path(folder) / "data") as venue:
            print(f"Sending {orders:,} orders over ten instruments to {venue.url} …", flush=True)
            result = Path(folder) / "result.json"
            await _load(venue, orders, rate, result)
            if not result.exists():
                return 1
            found = json.loads(result.read_text())
            _show(found, await _book(venue))
            print("Stopping everything …", flush=True)
    return 0 if found["right"] else 1


async def _load(venue: Venue, orders: int, rate: int, result: Path) -> int:
    """`python -m load` as anyone would run it; it shows its progress itself."""
    options = {
        "--profile": "reference",
        "--rate": rate,
        "--seconds": orders / rate,
        "--url": venue.url,
        "--broker": venue.servers.broker,
        "--database": venue.servers.database_url,
        "--json": result,
    }
    command = [sys.executable, "-m", "load", "--plain", "--check", *(str(x) for pair in options.items() for x in pair)]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=os.environ | venue.env, stdout=asyncio.subprocess.DEVNULL
    )
    return await process.wait()


async def _book(venue: Venue) -> dict[str, Any]:
    query = {"instrument": INSTRUMENT, "levels": str(SHOWN_LEVELS)}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{venue.url}/api/v1/orderbook", params=query) as response,
    ):
        book: dict[str, Any] = await response.json()
        return book


def _show(found: dict[str, Any], book: dict[str, Any]) -> None:
    accepted, trades = found["post_to_201"], found["stream"].get("trades", 0)
    print(f"\n  orders accepted   {accepted['count']:,} of {found['sent']:,}")
    print(f"  trades            {trades:,}")
    print(f"  POST to 201       p50 {accepted['p50_ms']:.1f} ms, p99 {accepted['p99_ms']:.1f} ms")
    print(f"  {INSTRUMENT} book      (seq {book['seq']})")
    for bid, ask in zip(book["bids"], book["asks"], strict=False):
        print(f"    {bid['quantity']:>12} @ {bid['price']:<12} {ask['price']:>12} @ {ask['quantity']:<12}")
    verdict = "equal" if found["right"] else f"DIFFERENT: {found['verdict'] or found['problem']}"
    print(f"  log, replay, books, Postgres and answers   {verdict}\n")
