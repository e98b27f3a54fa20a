"""`python -m benchmarks.matching`: the matching worker's speed on a prepared log, with the exact protocol on and off.

We first write a log of orders for ten instruments. Then one worker starts, and we time it from its first acknowledged
report to its last. For comparison, a stock Faust agent on the same Kafka counts the same log into a RocksDB table.
Prints conditions and a table, writes JSON with `--json`.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from app import app
from app.local.process import Command, Process
from app.local.venue import ROOT, Venue
from app.topics import BOOKS_CHANGELOG, EXECUTIONS, ORDERS
from benchmarks.flow import Mix
from benchmarks.orders_log import Prepared, ends, prepared, secret_of, write
from load.report import conditions

PARTITIONS = app.conf.topic_partitions
COUNTS_CHANGELOG = "benchmark-counter-counts-changelog"
POLL_S = 0.05
TIMEOUT_S = 120.0
MIXES = {"orders": Mix(passive=0.75, cancels=0.0), "cancels": Mix()}
COUNTER = "stock Faust counter"
Log = Callable[..., Iterator[Prepared]]
"""Creates the records for a log with this `secret`."""
VARIANTS = {"exact": "plain", "no checkpoints": "no-checkpoints"}


class Pace(NamedTuple):
    """Speed, CPU and memory of a process that worked through a topic."""

    records: int
    seconds: float
    cpu_s: float
    rss_mb: float

    def as_json(self) -> dict[str, float]:
        return {
            "records": self.records,
            "per_s": round(self.records / self.seconds),
            "cpu_us": round(self.cpu_s / self.records * 1e6, 1),
            "rss_mb": round(self.rss_mb),
        }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.matching", description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=500_000)
    parser.add_argument("--resting", type=int, default=10_000, help="how many of the orders only rest, over all books")
    parser.add_argument("--mix", choices=MIXES, default="orders", help="only orders, or 30 %% cancels")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="100,000 orders")
    parser.add_argument("--runs", type=int, default=1, help="runs of each variant, in turns")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--counter-seconds", type=float, default=10.0, help="how long the stock agent runs; 0: skip it")
    parser.add_argument("--profile", type=Path, help="only profile the worker, and write the profile to this file")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    count = 100_000 if options.small else options.orders
    log = partial(prepared, options.seed, count, options.resting, PARTITIONS, MIXES[options.mix])
    if options.profile:
        asyncio.run(profile(log, options.profile.resolve()))
        return 0
    found = asyncio.run(measure(log, options.variants, options.runs, options.counter_seconds))
    found |= {"conditions": conditions(), "mix": options.mix, "orders": count, "resting": options.resting}
    _print(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0


async def measure(log: Log, variants: Sequence[str], runs: int, counter_s: float) -> dict[str, Any]:
    """Run each variant on a new Kafka, in turns, and the stock agent on the last variant's."""
    paces: dict[str, list[dict[str, float]]] = {}
    changelog: list[float] = []
    for variant in list(variants) * runs:
        async with _logs(log) as (venue, consumer):
            await venue.start_worker("matching", program=("-m", "benchmarks.worker", VARIANTS[variant]))
            expected = await ends(consumer, ORDERS.name, PARTITIONS) - PARTITIONS  # the genesis records have no report
            pace = await _pace(consumer, venue.process("matching"), EXECUTIONS.name, expected, TIMEOUT_S)
            await venue.stop_worker("matching")
            paces.setdefault(variant, []).append(pace.as_json())
            if variant == "exact":
                changelog.append(round(await _changelog_bytes(consumer) / expected, 1))
            if counter_s and variant == variants[-1]:
                paces.setdefault(COUNTER, []).append((await _count(venue, consumer, counter_s)).as_json())
    return {"paces": paces, "changelog_bytes_per_order": changelog}


async def profile(log: Log, file: Path) -> None:
    """Profile the worker over the whole log; it runs slower than normal."""
    async with _logs(log) as (venue, consumer):
        change = f"profile={file}"
        process = await venue.start_worker("matching", program=("-m", "benchmarks.worker", change))
        expected = await ends(consumer, ORDERS.name, PARTITIONS) - PARTITIONS
        await _pace(consumer, process, EXECUTIONS.name, expected, TIMEOUT_S)
        await venue.stop_worker("matching")


@asynccontextmanager
async def _logs(log: Log) -> AsyncIterator[tuple[Venue, AIOKafkaConsumer]]:
    """A venue with the log written and no worker running, and a consumer without a group."""
    with tempfile.TemporaryDirectory(prefix="matchstream-matching-") as folder:
        venue = Venue(Path(folder) / "data", {}, supervised=False)
        try:
            await venue.start()
            await write(venue.servers.broker, log(secret=await secret_of(venue.servers.broker, PARTITIONS)))
            consumer = AIOKafkaConsumer(bootstrap_servers=venue.servers.broker, auto_offset_reset="earliest")
            await consumer.start()
            try:
                yield venue, consumer
            finally:
                await consumer.stop()
        finally:
            await venue.stop()


async def _pace(consumer: AIOKafkaConsumer, process: Process, topic: str, expected: int, timeout_s: float) -> Pace:
    """Measure from the topic's first record until it has as many as expected, or the time is over."""
    count, first = 0, 0
    async with asyncio.timeout(TIMEOUT_S):
        while not first:
            await asyncio.sleep(POLL_S)
            first = await ends(consumer, topic, PARTITIONS)
        began, cpu_s = time.monotonic(), _cpu_s(process)
        while count < expected and time.monotonic() < began + timeout_s:
            await asyncio.sleep(POLL_S)
            count = await ends(consumer, topic, PARTITIONS)
    took_s, cpu_s = time.monotonic() - began, _cpu_s(process) - cpu_s
    assert process.identity, "it has been started"
    found = process.identity.find()
    return Pace(count - first, took_s, cpu_s, found.memory_info().rss / 2**20 if found else 0.0)


async def _until_known(consumer: AIOKafkaConsumer, topic: str) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while topic not in await consumer.topics():  # noqa: ASYNC110 - Kafka sends no signal
            await asyncio.sleep(POLL_S)


def _cpu_s(process: Process) -> float:
    """User and system time of a process so far."""
    assert process.identity, "it has been started"
    found = process.identity.find()
    if found is None:
        raise RuntimeError(f"{process.command.name} has ended unexpectedly: see {process.log}")
    times = found.cpu_times()
    return float(times.user + times.system)


async def _changelog_bytes(consumer: AIOKafkaConsumer) -> int:
    """Total size of the keys and values in the books' changelog."""
    total = 0
    for number in range(PARTITIONS):
        tp = TopicPartition(BOOKS_CHANGELOG.name, number)
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        while await consumer.position(tp) < end:
            for record in (await consumer.getmany(tp, timeout_ms=1_000)).get(tp, []):
                total += len(record.key) + len(record.value or b"")
    return total


async def _count(venue: Venue, consumer: AIOKafkaConsumer, seconds: float) -> Pace:
    """Run the stock agent for this long; it writes one changelog record per event."""
    argv = [sys.executable, "-m", "faust", "--loop", "uvloop", "-A", "benchmarks.counter", "worker", "-l", "info"]
    env = {"APP_DATADIR": str(venue.folder / "counter"), "TOPIC_PARTITIONS": str(PARTITIONS)}
    command = Command("counter", argv, cwd=ROOT, env={**os.environ, **venue.env, **env})
    process = Process(command, venue.log("counter"))
    await process.start()
    try:
        await _until_known(consumer, COUNTS_CHANGELOG)
        return await _pace(consumer, process, COUNTS_CHANGELOG, sys.maxsize, seconds)
    finally:
        await process.stop()


def _print(found: dict[str, Any]) -> None:
    where, paces = found["conditions"], found["paces"]
    print(
        f"\n{found['orders']:,} commands ({found['mix']}) over ten instruments, {PARTITIONS} partitions, one process;"
    )
    print(f"{where['cpus']} cores, {where['cpu']}, Python {where['python']}, Kafka on the same machine; median of")
    print(f"{len(next(iter(paces.values())))} with least and greatest\n")
    for name, several in paces.items():
        rates = [one["per_s"] for one in several]
        cpu_us, rss_mb = (median(one[key] for one in several) for key in ("cpu_us", "rss_mb"))
        line = f"{median(rates):>8,.0f}/s ({min(rates):,} to {max(rates):,}) {cpu_us:>6.1f} µs CPU {rss_mb:>5,.0f} MB"
        print(f"  {name:<20} {line}{_ratio(several, paces.get(COUNTER))}")
    if found["changelog_bytes_per_order"]:
        print(f"\n  changelog {median(found['changelog_bytes_per_order']):.1f} bytes a command")
    print()


def _ratio(several: list[dict[str, float]], counter: list[dict[str, float]] | None) -> str:
    if not counter or several is counter:
        return ""
    return f", {median(a['per_s'] / b['per_s'] for a, b in zip(several, counter, strict=True)):.1f} times the counter"


if __name__ == "__main__":
    sys.exit(main())
