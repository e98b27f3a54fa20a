"""A prepared `orders` log: interleaved streams of orders, one for each instrument, written directly to the topic."""

from collections.abc import Iterator
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from app.engine import partition_of
from app.instruments import default_listings
from app.kafka.genesis import genesis_records
from app.matching.words import OrderType
from app.models.commands import CancelOrder, ListInstrument, PlaceOrder, encode_command
from app.models.conversion import scale_of as scale_of_listing
from app.models.conversion import to_core
from app.models.decimals import Scale
from app.models.identity import NO_SECRET, id_text, order_id
from app.topics import ORDERS
from benchmarks.flow import Mix, Operation, draw

MAX_BATCH_BYTES = 1_000_000


class Prepared(NamedTuple):
    """One record of the log."""

    partition: int
    key: bytes
    value: bytes


def prepared(
    seed: int, count: int, resting: int, partitions: int, mix: Mix | None = None, secret: bytes = NO_SECRET
) -> Iterator[Prepared]:
    """Orders for the ten default instruments in turn; the first `resting` of all only rest.

    `secret` is that of the log's order ids.
    """
    listings = default_listings()
    size = resting // len(listings), (count - resting) // len(listings)
    streams = [
        list(_of(listing, draw(seed + number, *size, mix=mix), secret)) for number, listing in enumerate(listings)
    ]
    places = [(partition_of(listing.instrument, partitions), listing.instrument.encode()) for listing in listings]
    for values in zip(*streams, strict=True):
        for (partition, key), value in zip(places, values, strict=True):
            yield Prepared(partition, key, value)


def _of(listing: ListInstrument, stream: list[Operation], secret: bytes) -> Iterator[bytes]:
    """The instrument's commands as JSON."""
    instrument, scale, clients = listing.instrument, scale_of(listing), dict[int, str]()
    for number, target, side, price, quantity, client_number in stream:
        client, key = f"client-{client_number}", f"{number:020x}"
        if target is not None:
            owner = clients.pop(target)
            named = id_text(order_id(owner, instrument, f"{target:020x}", secret))
            yield encode_command(CancelOrder(instrument, named, f"cancel-{key}", owner))
        else:
            clients[number] = client
            terms = scale.quantity(quantity), scale.price(price)
            yield encode_command(PlaceOrder(instrument, client, key, side, OrderType.LIMIT, *terms))


def scale_of(listing: ListInstrument) -> Scale:
    """The conversion between text and this market's ticks and lots."""
    return scale_of_listing(to_core(listing, None).listing)


async def secret_of(broker: str, partitions: int) -> bytes:
    """The secret of this log's order ids."""
    return (await genesis_records(broker, partitions))[0].secret


async def write(broker: str, records: Iterator[Prepared]) -> int:
    """Append the records to the topic in batches; returns their number once Kafka has acknowledged all."""
    producer = AIOKafkaProducer(bootstrap_servers=broker, max_batch_size=MAX_BATCH_BYTES, acks="all")
    await producer.start()
    try:
        batches, count = {}, 0
        for partition, key, value in records:
            batch = batches.get(partition)
            while batch is None or batch.append(key=key, value=value, timestamp=None) is None:
                if batch is not None:
                    await _send(producer, batch, partition)
                batch = batches[partition] = producer.create_batch()
            count += 1
        for partition, batch in batches.items():
            await _send(producer, batch, partition)
        return count
    finally:
        await producer.stop()


async def _send(producer: AIOKafkaProducer, batch: object, partition: int) -> None:
    await (await producer.send_batch(batch, ORDERS.name, partition=partition))


async def ends(consumer: AIOKafkaConsumer, topic: str, partitions: int) -> int:
    """The sum of the end offsets of all partitions of the topic."""
    found = await consumer.end_offsets([TopicPartition(topic, number) for number in range(partitions)])
    return sum(found.values())
