"""Orders in, executions out: the only writer of `executions` and `trades`."""

from typing import Any

from app import app, settings
from app.engine import Partition
from app.models.reports import encode
from app.settings import broker_address
from app.streaming.batches import Batch, batches
from app.streaming.consumer import start_reading_at
from app.streaming.failstop import fail_stop
from app.streaming.outbox import Outbox, new_producer
from app.topics import EXECUTIONS, ORDERS, TRADES

partitions: dict[int, Partition] = {}
orders = app.topic(ORDERS.name, key_serializer="raw", value_serializer="raw", key_type=bytes, value_type=bytes)


async def from_the_beginning(assigned: frozenset[int]) -> dict[int, int]:
    """Books are rebuilt from the whole log: exact, and as long as the log is."""
    count = app.conf.topic_partitions
    partitions.update({number: Partition(number, count) for number in assigned})
    return dict.fromkeys(assigned, 0)


start_reading_at(ORDERS.name, from_the_beginning)


@app.agent(orders)
@fail_stop
async def match_orders(stream: Any) -> None:
    """Carry commands to the engine and its reports to the topics."""
    producer = new_producer(broker_address(app.conf.broker))
    await producer.start()
    outbox = Outbox(producer)
    async for batch in batches(stream):
        publish(batch, outbox)
        await outbox.room()
        batch.acknowledge()


def publish(batch: Batch, outbox: Outbox) -> None:
    """Apply a batch and queue what it gave."""
    partition = partitions[batch.partition]
    for record in batch.records:
        outcome = partition.apply(record.offset, record.timestamp, record.key, record.value)
        if outcome is not None:
            key = outcome.instrument.encode()
            for report in outcome.reports:
                outbox.append(EXECUTIONS.name, batch.partition, key, encode(report))
            for trade in outcome.trades:
                outbox.append(TRADES.name, batch.partition, key, encode(trade))
