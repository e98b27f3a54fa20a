"""API keys in their topic, for the command line: read them all, keep one, revoke one."""

from aiokafka import TopicPartition

from app.kafka.reading import LogRecord, Stretch, connected_reader
from app.kafka.sending import ToSend, send
from app.models.api_keys import ApiKey, decode_key, encode_key
from app.models.undecodable import UNDECODABLE
from app.topics import API_KEYS
from app.unusable import pass_over

PARTITION = TopicPartition(API_KEYS.name, 0)


async def keep(broker: str, key: ApiKey) -> None:
    """Keep a key, in place of the one with its id; done when Kafka has it. `broker` is host:port."""
    await send(broker, [_to_send(key.key_id, encode_key(key))])


async def revoke(broker: str, key_id: str) -> None:
    """Forget a key; done when Kafka has it, a moment before the gateways do."""
    await send(broker, [_to_send(key_id, None)])


async def read(broker: str) -> dict[str, ApiKey]:
    """Every key that is not revoked, by its id."""
    keys: dict[str, ApiKey] = {}
    async with connected_reader(broker) as reader:
        stretch = await Stretch.whole(reader, PARTITION)
        while records := await stretch.read():
            for record in records:
                apply(keys, record)
    return keys


def apply(keys: dict[str, ApiKey], record: LogRecord) -> str:
    """Take in the next record of the topic; the id that it is about, "" if it is about none.

    One that is no key opens nothing, nor does the key that it was about.
    """
    key_id = (record.key or b"").decode("utf-8", "replace")
    keys.pop(key_id, None)
    if record.value is not None:
        try:
            key = decode_key(record.value)
        except UNDECODABLE as error:
            pass_over(API_KEYS.name, 0, record.offset, f"it is no API key: {error}")
        else:
            if key.key_id == key_id:
                keys[key_id] = key
            else:
                pass_over(API_KEYS.name, 0, record.offset, "its key is not the id of its API key")
    return key_id


def _to_send(key_id: str, value: bytes | None) -> ToSend:
    return ToSend(API_KEYS.name, 0, key_id.encode(), value)
