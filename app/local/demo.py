"""`python -m app demo`: start a temporary venue, send it 5,000 orders, print a summary, and remove everything.

With `--ui` makers and takers trade there until Ctrl-C, for whoever opens the page.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import aiohttp

from app.local.problems import CannotStart
from app.local.process import forget_other_programs
from app.local.up import allow_files
from app.local.venue import ROOT, Venue, running_venue

ORDERS = 5_000
RATE = 500  # a second
SHOWN_LEVELS = 5
INSTRUMENT = "BTC-USD"
INTERRUPTED = 130  # the exit code that shells use for a program ended by Ctrl-C


def main(arguments: Sequence[str]) -> int:
    """Run the demo; return 0 if a check that replays every order finds the same in Kafka's log and in Postgres."""
    parser = argparse.ArgumentParser(prog="python -m app demo", description=__doc__)
    parser.add_argument("--orders", type=int, default=ORDERS, help="default: %(default)s")
    parser.add_argument("--rate", type=int, default=RATE, help="orders a second (default: %(default)s)")
    parser.add_argument("--ui", action="store_true", help="keep a page alive with makers and takers until Ctrl-C")
    parser.add_argument("--seed", type=int, default=1, help="with --ui: the same seed gives the same flow")
    options = parser.parse_args(arguments)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it warns, then retries, while new topics get leaders
    forget_other_programs()
    try:
        allow_files()
        return asyncio.run(_show_page(options.seed) if options.ui else _demo(options.orders, options.rate))
    except (CannotStart, OSError) as problem:
        print(problem, file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        print("Stopped before the end.")
        return INTERRUPTED


async def _demo(orders: int, rate: int) -> int:
    _cancel_on_signals()
    with tempfile.TemporaryDirectory(prefix="matchstream-demo-", ignore_cleanup_errors=True) as folder:
        began = time.monotonic()
        print("Starting Kafka, Postgres, Valkey, topics, schema and workers …", flush=True)
        async with running_venue(Path(folder) / "data", say=_say) as venue:
            print(f"Ready after {time.monotonic() - began:.1f} s: {venue.url}", flush=True)
            print(
                f"Sending {orders:,} orders over ten instruments, {rate:,} a second, then checking them …", flush=True
            )
            result = Path(folder) / "result.json"
            await _load(venue, orders, rate, result)
            if not result.exists():
                return 1
            found = json.loads(result.read_text())
            _show(found, await _book(venue))
            print("Stopping everything …", flush=True)
    print("Everything is stopped and removed. `make run` starts a venue that keeps its data.")
    return 0 if found["right"] else 1


async def _show_page(seed: int) -> int:
    """Run a venue and the flow of `python -m load flow` until Ctrl-C."""
    _cancel_on_signals()
    with tempfile.TemporaryDirectory(prefix="matchstream-demo-", ignore_cleanup_errors=True) as folder:
        print("Starting Kafka, Postgres, Valkey, topics, schema and workers …", flush=True)
        async with running_venue(Path(folder) / "data", say=_say, lives_long=True) as venue:
            print(f"Open {venue.url}/ in a browser. Ctrl-C stops and removes everything.", flush=True)
            return await _run_load(venue, ["flow", "--url", venue.url, "--seed", str(seed)])


def _cancel_on_signals() -> None:
    """On Ctrl-C, cancel the demo, so that the usual clean-up stops everything; a second one interrupts the clean-up."""
    task = asyncio.current_task()
    assert task is not None
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(signal_number, task.cancel)


def _say(line: str) -> None:
    print(f"  {line}", flush=True)


async def _load(venue: Venue, orders: int, rate: int, result: Path) -> int:
    """Run `python -m load` as a user would; it prints its progress to standard error."""
    options = {
        "--profile": "reference",
        "--rate": rate,
        "--seconds": orders / rate,
        "--url": venue.url,
        "--broker": venue.servers.broker,
        "--database": venue.servers.database_url,
        "--json": result,
    }
    return await _run_load(venue, ["--plain", "--check", *(str(x) for pair in options.items() for x in pair)])


async def _run_load(venue: Venue, arguments: list[str]) -> int:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "load", *arguments),
        cwd=ROOT,
        env=os.environ | venue.env,
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # so that Ctrl-C reaches only us, and we stop it
    )
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


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
    verdict = "equal" if found["right"] else f"DIFFERENT: {found['verdict'] or found['problem']}"
    print(f"\n  orders accepted    {accepted['count']:,} of {found['sent']:,}")
    print(f"  trades             {trades:,}")
    print(f"  order to answer    p50 {accepted['p50_ms']:.1f} ms, p99 {accepted['p99_ms']:.1f} ms")
    print(f"  log and Postgres   {verdict} (the check also replayed the log and compared trades, books and answers)")
    print(f"\n  {INSTRUMENT + ' buyers':>28}   sellers")
    for bid, ask in zip_longest(book["bids"], book["asks"]):
        print(f"  {_level(bid, 'quantity', 'price'):>28} | {_level(ask, 'price', 'quantity')}")
    print()


def _level(level: dict[str, str] | None, first: str, second: str) -> str:
    return f"{level[first]:>9} {level[second]:>9}" if level else ""
