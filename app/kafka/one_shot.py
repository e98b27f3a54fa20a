"""Send a few records from a command or a setup: Kafka acknowledges each before the next is sent."""

from collections.abc import Iterable
from typing import NamedTuple

from aiokafka import AIOKafkaProducer


class ToSend(NamedTuple):
    """A record and the partition to send it to. Without a value it removes its key from a compacted topic."""

    topic: str
    partition_id: int
    key: bytes | None
    value: bytes | None


async def send(broker: str, records: Iterable[ToSend]) -> list[int]:
    """Send the records; return their offsets once Kafka has all of them. Raises KafkaError. `broker` is host:port."""
    producer = AIOKafkaProducer(bootstrap_servers=broker, enable_idempotence=True, acks="all")
    offsets = []
    try:
        await producer.start()
        for topic, partition_id, key, value in records:
            offsets.append(int((await producer.send_and_wait(topic, value, key=key, partition=partition_id)).offset))
    finally:
        await producer.stop()
    return offsets
