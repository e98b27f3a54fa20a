"""API keys in their topic, for the command line: read them all, keep one, revoke one."""

from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from app.models.api_keys import ApiKey, decode_key, encode_key
from app.models.undecodable import UNDECODABLE
from app.topics import API_KEYS
from app.unusable import pass_over

PARTITION = TopicPartition(API_KEYS.name, 0)
READ_TIMEOUT_MS = 1_000


async def keep(broker: str, key: ApiKey) -> None:
    """Keep a key, in place of the one with its id; done when Kafka has it. `broker` is host:port."""
    await _write(broker, key.key_id, encode_key(key))


async def revoke(broker: str, key_id: str) -> None:
    """Forget a key; done when Kafka has it, a moment before the gateways do."""
    await _write(broker, key_id, None)


async def read(broker: str) -> dict[str, ApiKey]:
    """Every key that is not revoked, by its id."""
    keys: dict[str, ApiKey] = {}
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([PARTITION])
        end = (await consumer.end_offsets([PARTITION]))[PARTITION]
        while await consumer.position(PARTITION) < end:
            for record in (await consumer.getmany(timeout_ms=READ_TIMEOUT_MS)).get(PARTITION, []):
                apply(keys, record)
    finally:
        await consumer.stop()
    return keys


def apply(keys: dict[str, ApiKey], record: Any) -> str:
    """Take in the next record of the topic; the id that it is about, "" if it is about none.

    One that is no key opens nothing, nor does the key that it was about.
    """
    key_id = (record.key or b"").decode("utf-8", "replace")
    keys.pop(key_id, None)
    if record.value is not None:
        try:
            key = decode_key(record.value)
        except UNDECODABLE as error:
            pass_over(record.topic, record.partition, record.offset, f"it is no API key: {error}")
        else:
            if key.key_id == key_id:
                keys[key_id] = key
            else:
                pass_over(record.topic, record.partition, record.offset, "its key is not the id of its API key")
    return key_id


async def _write(broker: str, key_id: str, value: bytes | None) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker, enable_idempotence=True, acks="all")
    await producer.start()
    try:
        await producer.send_and_wait(API_KEYS.name, value, key=key_id.encode(), partition=0)
    finally:
        await producer.stop()
