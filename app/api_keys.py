"""Reads, stores and revokes API keys in their Kafka topic, for the command line."""

from aiokafka import TopicPartition

from app.kafka.one_shot import ToSend, send
from app.kafka.reading import LogRecord, Stretch, connected_reader
from app.models.api_keys import ApiKey, decode_key, encode_key
from app.models.undecodable import UNDECODABLE
from app.topics import API_KEYS
from app.unusable import pass_over

PARTITION = TopicPartition(API_KEYS.name, 0)


async def keep(broker: str, key: ApiKey) -> None:
    """Store a key, replacing one with the same id; returns when Kafka has it. `broker` is host:port."""
    await send(broker, [_to_send(key.key_id, encode_key(key))])


async def revoke(broker: str, key_id: str) -> None:
    """Revoke a key; returns when Kafka has it, a moment before the gateways know it."""
    await send(broker, [_to_send(key_id, None)])


async def read(broker: str) -> dict[str, ApiKey]:
    """Every unrevoked key, by its id."""
    keys: dict[str, ApiKey] = {}
    async with connected_reader(broker) as reader:
        stretch = await Stretch.whole(reader, PARTITION)
        while records := await stretch.read():
            for record in records:
                apply(keys, record)
    return keys


def apply(keys: dict[str, ApiKey], record: LogRecord) -> str:
    """Apply the next record of the topic to `keys`; returns the key id that the record names, "" if it names none.

    An unreadable record revokes the key that it names.
    """
    key_id = (record.key or b"").decode("utf-8", "replace")
    keys.pop(key_id, None)
    if record.value is not None:
        try:
            key = decode_key(record.value)
        except UNDECODABLE as error:
            pass_over(API_KEYS.name, 0, record.offset, f"it is not an API key: {error}")
        else:
            if key.key_id == key_id:
                keys[key_id] = key
            else:
                pass_over(API_KEYS.name, 0, record.offset, "its Kafka key is not its API key's id")
    return key_id


def _to_send(key_id: str, value: bytes | None) -> ToSend:
    return ToSend(API_KEYS.name, 0, key_id.encode(), value)
