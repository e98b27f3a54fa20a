"""`python -m benchmarks.recovery`: how long the matching worker needs after kill -9 until it matches again.

We write a long log directly to the topic, which fills the books. The first kill hits the worker the moment it has
caught up, so part of the log is above its last checkpoint; the others hit it at rest. Right after each kill we send
one marketable order to every instrument. The clock runs from the kill, including the supervisor's restart, until we can
read the first and the last of their trades from `executions`. At the end, the books in the changelog must have the same
state hashes as those of an undisturbed run of the whole log.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.engine import Partition, partition_of
from app.instruments import default_listings
from app.kafka.genesis import log_ids
from app.kafka.reading import new_reader
from app.local.venue import Venue
from app.matching.states import freeze
from app.matching.words import OrderType, Side
from app.models.commands import ListInstrument, PlaceOrder, encode_command
from app.models.identity import id_text, order_id
from app.models.reports import decode_report
from app.models.snapshots import state_hash
from app.topics import EXECUTIONS, ORDERS
from benchmarks.flow import MIDDLE
from benchmarks.matching import MIXES, PARTITIONS
from benchmarks.orders_log import Prepared, ends, prepared, scale_of, secret_of, write
from load.report import conditions
from tables.books.subjects import AROUND, codec
from tables.recovery.loader import load
from tables.recovery.ports import KafkaLogs

CLIENT = "prober"
BELOW_ALL = MIDDLE - 50  # a sell at this price meets every bid
POLL_S = 0.1
QUIET_S = 15.0  # longer than the age at which the largest of these books is due for a snapshot
TIMEOUT_S = 240.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recovery", description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=1_000_000)
    parser.add_argument("--resting", type=int, default=100_000, help="resting orders, over ten books")
    parser.add_argument("--small", action="store_true", help="100,000 orders, 10,000 resting")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    options = parser.parse_args()
    count, resting = (100_000, 10_000) if options.small else (options.orders, options.resting)
    log = partial(prepared, options.seed, count, resting, PARTITIONS, MIXES["orders"])
    found = asyncio.run(measure(log, options.kills))
    found["conditions"] = conditions()
    _print(found)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if found["equal"] else 1


async def measure(log: Callable[..., Iterator[Prepared]], kills: int) -> dict[str, Any]:
    """Run a venue with one matching worker and kill the worker this many times."""
    with tempfile.TemporaryDirectory(prefix="matchstream-recovery-") as folder:
        venue = Venue(Path(folder) / "data", {"matching": 1})
        try:
            await venue.start()
            secret = await secret_of(venue.servers.broker, PARTITIONS)
            count = await write(venue.servers.broker, log(secret=secret))
            await _caught_up(venue.servers.broker)
            times = []
            for number in range(kills):
                if number:
                    await asyncio.sleep(QUIET_S)
                times.append(await _kill(venue, number, secret))
            await venue.stop_worker("matching")
            after = await _in_the_changelog(venue.servers.broker)
            undisturbed, resting = await _undisturbed(venue.servers.broker)
        finally:
            await venue.stop()
    return {
        "orders": count,
        "resting": resting,
        "first_s": [round(first, 2) for first, _ in times],
        "last_s": [round(last, 2) for _, last in times],
        "books": len(undisturbed),
        "equal": {name: after.get(name) for name in undisturbed} == undisturbed,
    }


async def _caught_up(broker: str) -> None:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker)
    await consumer.start()
    try:
        expected = await ends(consumer, ORDERS.name, PARTITIONS) - PARTITIONS
        async with asyncio.timeout(TIMEOUT_S):
            while await ends(consumer, EXECUTIONS.name, PARTITIONS) < expected:  # noqa: ASYNC110 - Kafka sends no signal
                await asyncio.sleep(POLL_S)
    finally:
        await consumer.stop()


async def _kill(venue: Venue, number: int, secret: bytes) -> tuple[float, float]:
    """Seconds from the kill until the first and until the last instrument trades again."""
    consumer = AIOKafkaConsumer(bootstrap_servers=venue.servers.broker, fetch_max_wait_ms=20)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(EXECUTIONS.name, partition) for partition in range(PARTITIONS)])
        await consumer.seek_to_end()
        began = time.monotonic()
        await venue.kill("matching")
        await write(venue.servers.broker, _probes(number))
        waited_for = {_probe_id(listing, number, secret) for listing in default_listings()}
        seen: list[float] = []
        async with asyncio.timeout(TIMEOUT_S):
            while waited_for:
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    for report in (decode_report(record.value) for record in records):
                        if report.order_id in waited_for and report.trades:
                            waited_for.discard(report.order_id)
                            seen.append(time.monotonic() - began)
        return seen[0], seen[-1]
    finally:
        await consumer.stop()


def _probes(number: int) -> Iterator[Prepared]:
    """For each instrument an order of one lot that trades at once."""
    for listing in default_listings():
        instrument, scale = listing.instrument, scale_of(listing)
        terms = Side.SELL, OrderType.LIMIT, scale.quantity(1), scale.price(BELOW_ALL)
        value = encode_command(PlaceOrder(instrument, CLIENT, f"probe-{number}", *terms))
        yield Prepared(partition_of(instrument, PARTITIONS), instrument.encode(), value)


def _probe_id(listing: ListInstrument, number: int, secret: bytes) -> str:
    return id_text(order_id(CLIENT, listing.instrument, f"probe-{number}", secret))


async def _in_the_changelog(broker: str) -> dict[str, str]:
    """The state hash of each book as a new worker would load it."""
    found: dict[str, str] = {}
    for number, log_id in (await log_ids(broker, PARTITIONS)).items():
        reader = new_reader(broker)
        await reader.start()
        try:
            loaded = await load(KafkaLogs(reader, AROUND, number), codec(log_id), log_id)
            found |= {name: state_hash(state) for name, state in loaded.states.items()}
        finally:
            await reader.stop()
    return found


async def _undisturbed(broker: str) -> tuple[dict[str, str], int]:
    """The state hash of each book after the engine alone has run the whole log, and the number of resting orders."""
    partitions = [Partition(number, PARTITIONS) for number in range(PARTITIONS)]
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, auto_offset_reset="earliest")
    await consumer.start()
    try:
        for partition in partitions:
            tp = TopicPartition(ORDERS.name, partition.partition_id)
            consumer.assign([tp])
            end = (await consumer.end_offsets([tp]))[tp]
            while await consumer.position(tp) < end:
                for record in (await consumer.getmany(tp, timeout_ms=1_000)).get(tp, []):
                    partition.apply(record.offset, record.timestamp, record.key, record.value)
    finally:
        await consumer.stop()
    books = [book for partition in partitions for book in partition.books.values()]
    return {book.instrument: state_hash(freeze(book)) for book in books}, sum(book.open_orders for book in books)


def _print(found: dict[str, Any]) -> None:
    where = found["conditions"]
    print(f"\nkill -9 of the matching worker, {found['orders']:,} orders in the log, {found['resting']:,} resting in")
    print(f"{found['books']} books; {where['cpus']} cores, {where['cpu']}, Python {where['python']}, supervised\n")
    print(f"  {'kill':<28} {'first match':>12} {'last of ten':>12}")
    for number, (first, last) in enumerate(zip(found["first_s"], found["last_s"], strict=True)):
        print(f"  {'as soon as it caught up' if not number else 'at rest':<28} {first:>10.2f} s {last:>10.2f} s")
    print(f"  {'median':<28} {median(found['first_s']):>10.2f} s {median(found['last_s']):>10.2f} s")
    equal = "equal those of an undisturbed run, by state hash" if found["equal"] else "DIFFER from an undisturbed run"
    print(f"\n  afterwards the books {equal}\n")


if __name__ == "__main__":
    sys.exit(main())
