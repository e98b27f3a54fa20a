"""`python -m benchmarks.sizes`: how many bytes an order takes on Kafka's disk, topic by topic, at a given rate.

We start a venue, write orders for ten instruments directly into `orders` at the rate, and measure the segment files,
including batch headers (at low rates each batch holds one record). For the changelog we also print bytes per second and
market, because Kafka compacts it and it does not add up over days. Prints a table, writes JSON with `--json`.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from app import app
from app.instruments import DEFAULTS
from app.local.venue import Venue
from app.topics import BOOKS_CHANGELOG, EXECUTIONS, ORDERS, TRADES
from app.verification.reading import VenueLogs
from app.verification.waiting import caught_up
from benchmarks.matching import MIXES
from benchmarks.orders_log import Prepared, prepared
from load.report import conditions

TOPICS = (ORDERS, EXECUTIONS, TRADES, BOOKS_CHANGELOG)
QUIET_TIMEOUT_S = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sizes", description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=200.0, help="orders a second over all markets")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--resting", type=int, default=1_000, help="how many of the orders only rest, over all books")
    parser.add_argument("--mix", choices=MIXES, default="cancels", help="only orders, or 30 %% cancels")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    count = max(int(options.rate * options.seconds), options.resting)
    records = list(prepared(options.seed, count, options.resting, app.conf.topic_partitions, MIXES[options.mix]))
    found = {"rate": options.rate, "seconds": options.seconds, "orders": len(records), "conditions": conditions()}
    found |= asyncio.run(measure(records, options.rate))
    _print(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


async def measure(records: Sequence[Prepared], rate: float) -> dict[str, Any]:
    """Bytes that each topic's segments grew by, from before the first order until the last one was matched."""
    with tempfile.TemporaryDirectory(prefix="matchstream-sizes-") as folder:
        venue = Venue(Path(folder) / "data", {"matching": 1}, supervised=False)
        try:
            await venue.start()
            before = _bytes(venue)
            seconds = await _send(venue.servers.broker, records, rate)
            async with VenueLogs(venue.servers.broker) as logs:
                await caught_up(venue.servers.broker, logs, None, QUIET_TIMEOUT_S)
            after = _bytes(venue)
        finally:
            await venue.stop()
    return {"took_s": round(seconds, 1), "bytes": {name: after[name] - before[name] for name in after}}


async def _send(broker: str, records: Sequence[Prepared], rate: float) -> float:
    """Send each order at its time, as a gateway would; returns how long it took."""
    producer: Any = AIOKafkaProducer(bootstrap_servers=broker, enable_idempotence=True, acks="all")
    await producer.start()
    try:
        loop = asyncio.get_running_loop()
        began = loop.time()
        for number, (partition, key, value) in enumerate(records):
            await asyncio.sleep(max(0.0, began + number / rate - loop.time()))
            await producer.send(ORDERS.name, value, key=key, partition=partition)
        await producer.flush()
        return float(loop.time() - began)
    finally:
        await producer.stop()


def _bytes(venue: Venue) -> dict[str, int]:
    """Topic -> bytes of its segment files."""
    files = list((venue.folder / "kafka").rglob("*.log"))
    return {
        topic.name: sum(f.stat().st_size for f in files if f.parent.name.rpartition("-")[0] == topic.name)
        for topic in TOPICS
    }


def _print(found: dict[str, Any]) -> None:
    orders, sizes = found["orders"], found["bytes"]
    print(f"\n{orders:,} orders and cancels in {found['took_s']:.0f} s over {len(DEFAULTS)} markets, one process\n")
    for name, size in sizes.items():
        print(f"  {name:<28} {size / 1e6:>8.2f} MB {size / orders:>8.0f} bytes an order")
    kept = sum(size for name, size in sizes.items() if name != BOOKS_CHANGELOG.name)
    print(f"  {'kept for good':<28} {kept / 1e6:>8.2f} MB {kept / orders:>8.0f} bytes an order")
    changelog = sizes[BOOKS_CHANGELOG.name] / found["took_s"] / len(DEFAULTS)
    print(f"\n  the changelog, which Kafka compacts: {changelog:,.0f} bytes a second and market\n")


if __name__ == "__main__":
    sys.exit(main())
