"""The matching agent: reads `orders` and is the only writer of `executions`, `trades` and the books table."""

import gc
import logging
import time
from typing import Any
from uuid import uuid4

from app import app, metrics, settings
from app.configuration import broker_address
from app.kafka.administration import require_topics
from app.kafka.genesis import WrongTopic
from app.kafka.reading import new_reader
from app.models.commands import PassTime, SnapshotBook, encode_command
from app.models.reports import encode
from app.streaming.batches import Batch, batches
from app.streaming.consumer import start_reading_at
from app.streaming.failpoints import reach
from app.streaming.failstop import end_process, fail_stop
from app.streaming.lag import show_lag
from app.streaming.outbox import Outbox
from app.streaming.watchdog import watch_progress
from app.topics import BOOKS_CHANGELOG, EXECUTIONS, ORDERS, TRADES
from tables.books.owned import OwnedPartition
from tables.books.subjects import AROUND
from tables.recovery.ports import KafkaLogs

TICK_INTERVAL_S = 1.0
# Wait before a fetch under load: each fetch costs also a turn of the engine, a request with reports, and each reader's
# fetch of them.
PACE_S = 0.006
WRITTEN = (EXECUTIONS.name, TRADES.name, BOOKS_CHANGELOG.name, ORDERS.name)

_log = logging.getLogger(__name__)

orders = app.topic(ORDERS.name, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes)
owned: dict[int, OwnedPartition] = {}
outboxes: list[Outbox] = []


async def load_books(assigned: frozenset[int]) -> dict[int, int]:
    """Load the partitions that this worker now owns; return the offset from which to read each of them."""
    broker, count = broker_address(app.conf.broker), app.conf.topic_partitions
    try:
        genesis = await require_topics(broker, count)
    except WrongTopic as error:
        end_process(str(error))
    outbox, reader = Outbox(broker, WRITTEN), new_reader(broker)
    await outbox.start()
    await reader.start()
    outboxes.append(outbox)
    for number in sorted(number for number in assigned if number < count):
        logs = KafkaLogs(reader, AROUND, number)
        owned[number] = await OwnedPartition.load(number, count, logs, outbox, genesis[number])
        show(number)
    gc.freeze()
    return {number: partition.position for number, partition in owned.items()}


def show(number: int) -> None:
    """Register this partition's metrics, which are computed on each scrape."""
    partition = owned[number]
    show_lag(app, "matching", ORDERS.name, number, lambda: partition.position)
    metrics.checkpoint_age.labels(number).set_function(lambda: partition.progress.checkpoint_age_s)


start_reading_at(ORDERS.name, load_books, PACE_S)
watch_progress(ORDERS.name, lambda: {number: partition.position for number, partition in owned.items()})


@app.agent(orders)
@fail_stop
async def match_orders(stream: Any) -> None:
    """Carry commands to the engine and its reports to the topics; checkpoints follow by themselves."""
    async for batch in batches(stream):
        if batch.partition not in owned:
            leave(batch)
            continue
        reach("fetched")
        metrics.matching_batch.observe(len(batch.records))
        with metrics.matching_seconds.time():
            publish(batch, outboxes[0])
        await outboxes[0].room()


def publish(batch: Batch, outbox: Outbox) -> None:
    """Apply a batch and queue its reports and trades."""
    number = batch.partition
    for outcome in owned[number].apply(batch):
        reach("applied-before-send")
        key = outcome.instrument.encode()
        for report in outcome.reports:
            outbox.append(EXECUTIONS.name, number, key, encode(report))
        for trade in outcome.trades:
            outbox.append(TRADES.name, number, key, encode(trade))


def leave(batch: Batch) -> None:
    """Skip records in a partition that an operator added to `orders` later: the venue has no market there."""
    first, last, count = batch.records[0].offset, batch.records[-1].offset, app.conf.topic_partitions
    _log.error(
        "orders[%d] has records (%d to %d), the venue has only the first %d partitions: nobody carries them out; their "
        "producer must choose the partition murmur2(key) mod %d",
        *(batch.partition, first, last, count, count),
    )
    batch.acknowledge()


@app.timer(TICK_INTERVAL_S)
async def pass_time() -> None:
    """Send ticks: in a quiet market nothing else makes an order expire (R10) or a triggered stop run (R9)."""
    now_ms = time.time_ns() // 1_000_000
    for number, partition in owned.items():
        for instrument, book in partition.partition.books.items():
            expiry_ms = book.next_expiry_ms
            if book.waits_for_tick or (expiry_ms is not None and expiry_ms <= now_ms):
                value = encode_command(PassTime(instrument=instrument))
                outboxes[0].append(ORDERS.name, number, instrument.encode(), value)


snapshots_taken: dict[str, int] = {}
"""Instrument -> the seq that its last periodic snapshot gets if no other command comes first."""


async def take_snapshots() -> None:
    """Request a snapshot of each book that has changed since its last one; recording stores them in Postgres (B6)."""
    for number, partition in owned.items():
        for instrument, book in partition.partition.books.items():
            if book.seq > snapshots_taken.get(instrument, 0):
                snapshots_taken[instrument] = book.seq + 1
                value = encode_command(SnapshotBook(instrument=instrument, command_id=uuid4().hex))
                outboxes[0].append(ORDERS.name, number, instrument.encode(), value)


if settings.snapshot_interval_s:
    app.timer(settings.snapshot_interval_s)(take_snapshots)


@app.on_before_shutdown.connect
async def last_checkpoint(_app: Any, **_: Any) -> None:
    """On a graceful stop, write a last checkpoint, so that the next start replays nothing."""
    for partition in owned.values():
        await partition.progress.stop()
