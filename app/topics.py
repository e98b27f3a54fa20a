"""Every topic: its name, key, message, who writes it and who reads it; and how the topics are made and checked."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from secrets import token_hex
from typing import NamedTuple
from uuid import uuid4

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from app.matching.versions import NEWEST_VERSION
from app.models.commands import Genesis, UndecodableCommand, decode_command, encode_command
from app.models.identity import SECRET_BYTES

UNLIMITED = "-1"
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
SETTLED_TIMEOUT_S = 30.0
READ_TIMEOUT_S = 30.0
FIRST_FETCH_BYTES = 4_096  # one record is wanted; a larger batch comes whole
SET_FOR_TOPIC = 1  # Kafka's ConfigSource DYNAMIC_TOPIC_CONFIG: what was set for this topic

_log = logging.getLogger(__name__)


class WrongTopic(RuntimeError):
    """A topic exists with settings under which exactness cannot hold; the message says which and what to do."""


@dataclass(frozen=True)
class TopicSpec:
    """A topic of ours. The key is the instrument, if `message` says nothing else, the partition murmur2 of it.

    `partitions`: how many; None is as many as the setting topic_partitions says.
    """

    name: str
    message: str
    written_by: str
    read_by: str
    config: dict[str, str] = field(default_factory=dict)
    partitions: int | None = None


ORDERS = TopicSpec(
    name="orders",
    message="app.models.commands: a command; the first record of each partition is `genesis`",
    written_by="gateways and any other producer",
    read_by="matching",
    config={
        "cleanup.policy": "delete",
        "retention.ms": UNLIMITED,
        "retention.bytes": UNLIMITED,
        "message.timestamp.type": "LogAppendTime",
        "max.message.bytes": str(1024 * 1024),
    },
)
EXECUTIONS = TopicSpec(
    name="executions",
    message="app.models.reports.ExecutionReport, seq dense per instrument",
    written_by="matching",
    read_by="recording, gateway, analytics, audit, anyone",
    config={
        "cleanup.policy": "delete",
        "retention.ms": UNLIMITED,
        "retention.bytes": UNLIMITED,
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
    },
)
TRADES = TopicSpec(
    name="trades",
    message="app.models.reports.PublicTrade, seq dense per instrument",
    written_by="matching",
    read_by="anyone",
    config={
        "cleanup.policy": "delete",
        "retention.ms": UNLIMITED,
        "retention.bytes": UNLIMITED,
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
    },
)
BOOKS_CHANGELOG = TopicSpec(
    name="matchstream-books-changelog",
    message="tables/recovery/changelog.py: snapshots, id blocks, manifests of the books; the key is no instrument",
    written_by="matching",
    read_by="matching, gateway",
    config={
        "cleanup.policy": "compact",
        "segment.ms": str(10 * 60 * 1000),
        "segment.bytes": str(64 * 1024 * 1024),
        "min.compaction.lag.ms": str(60 * 60 * 1000),
        "max.message.bytes": str(MAX_MESSAGE_BYTES),
    },
)
API_KEYS = TopicSpec(
    name="matchstream-api-keys",
    message="app.models.api_keys.ApiKey, nothing in it opens a door; the key is its key_id, no value is a revoked key",
    written_by="faust -A app create-key | revoke-key",
    read_by="gateway",
    config={
        "cleanup.policy": "compact",
        "segment.bytes": str(16 * 1024 * 1024),
        "max.message.bytes": str(64 * 1024),
    },
    partitions=1,
)
TOPICS = (ORDERS, EXECUTIONS, TRADES, BOOKS_CHANGELOG, API_KEYS)
DENSE = frozenset(spec.name for spec in TOPICS if spec.config["cleanup.policy"] == "delete")
"""The topics from which Kafka compacts nothing away: each batch begins where the one before it ends."""


async def create(broker: str, partitions: int, replication_factor: int = 1) -> None:
    """Create what is missing, set back settings that differ, and begin each `orders` partition with its genesis record.

    `broker` is host:port. Raises WrongTopic when the topics have other numbers of partitions.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        wanted = [
            NewTopic(t.name, t.partitions or partitions, replication_factor, topic_configs=t.config) for t in TOPICS
        ]
        response = await admin.create_topics(wanted)
        for name, code, *_ in response.topic_errors:
            if code and code != TopicAlreadyExistsError.errno:
                raise for_code(code)(f"topic {name}")
        await _settled(admin)
        await _set_back(admin)
        counts = await check(admin)
    finally:
        await admin.close()
    await _require_partitions(broker, partitions, counts)
    await _write_genesis(broker, partitions)


async def require_topics(broker: str, partitions: int) -> None:
    """Raise WrongTopic unless every topic is there with the settings that it needs; `broker` is host:port."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        counts = await check(admin)
    finally:
        await admin.close()
    await _require_partitions(broker, partitions, counts)


async def check(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """How many partitions each topic has; raises WrongTopic unless every topic is there with its settings."""
    described = {topic["topic"]: topic for topic in await admin.describe_topics([t.name for t in TOPICS])}
    counts = {name: len(topic["partitions"]) for name, topic in described.items()}
    if missing := [name for name, count in counts.items() if not count]:
        raise WrongTopic(f"topic {missing[0]} is missing: run `python -m app setup`")
    for name, found in (await _settings(admin)).items():
        for key, value in _spec(name).config.items():
            if found[key].value != value:
                raise WrongTopic(
                    f"topic {name} has {key}={found[key].value}, it must be {value}: `python -m app setup` sets it back"
                )
    return counts


async def log_ids(broker: str, partitions: int) -> dict[int, str]:
    """The log id of each `orders` partition; a partition without a genesis record is absent."""
    return {number: genesis.log_id for number, genesis in (await genesis_records(broker, partitions)).items()}


async def genesis_records(broker: str, partitions: int) -> dict[int, Genesis]:
    """The genesis record of each `orders` partition that has one; raises WrongTopic."""
    found = await _beginnings(broker, range(partitions))
    return {number: _required(number, begun) for number, begun in found.items()}


async def all_log_ids(broker: str, partitions: int) -> dict[int, str]:
    """The log id of every `orders` partition; raises WrongTopic when one is missing."""
    return {number: genesis.log_id for number, genesis in (await all_genesis(broker, partitions)).items()}


async def all_genesis(broker: str, partitions: int) -> dict[int, Genesis]:
    """The genesis record of every `orders` partition; raises WrongTopic when one is missing or has another secret."""
    found = await genesis_records(broker, partitions)
    if unmarked := sorted(set(range(partitions)) - set(found)):
        raise WrongTopic(f"the partitions {unmarked} of orders have no genesis record: run `python -m app setup`")
    if len({genesis.secret for genesis in found.values()}) > 1:
        raise WrongTopic("the partitions of orders have different secrets in their genesis: they are not of one venue")
    return found


class _Setting(NamedTuple):
    """A topic's setting, and where Kafka has it from."""

    value: str | None
    source: int


class _Beginning(NamedTuple):
    """The first record of a partition of `orders`, and the partition's end."""

    genesis: Genesis | None
    end: int


def _required(number: int, begun: _Beginning) -> Genesis:
    if begun.genesis is None:
        raise WrongTopic(
            f"the first record of orders[{number}] is not its genesis: the topic is not Matchstream's, or the setting "
            "topic_partitions is larger than the number that the venue was made with; correct it"
        )
    return begun.genesis


def _genesis(value: bytes | None) -> Genesis | None:
    try:
        message = decode_command(value)
    except UndecodableCommand:
        return None
    return message if isinstance(message, Genesis) else None


async def _beginnings(broker: str, numbers: Iterable[int]) -> dict[int, _Beginning]:
    """How each of these partitions of `orders` begins; an empty one is absent."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker, enable_auto_commit=False, max_partition_fetch_bytes=FIRST_FETCH_BYTES
    )
    await consumer.start()
    try:
        every = [TopicPartition(ORDERS.name, number) for number in numbers]
        firsts, ends = await consumer.beginning_offsets(every), await consumer.end_offsets(every)
        found: dict[int, _Beginning] = {}
        consumer.assign([tp for tp in every if ends[tp]])
        for tp in every:
            if firsts[tp]:
                raise WrongTopic(
                    f"orders[{tp.partition}] begins at {firsts[tp]}: its genesis record was deleted; restore the topic"
                )
            if ends[tp]:
                consumer.seek(tp, 0)
                record = await asyncio.wait_for(consumer.getone(tp), timeout=READ_TIMEOUT_S)
                found[tp.partition] = _Beginning(_genesis(record.value), ends[tp])
        return found
    finally:
        await consumer.stop()


async def _require_partitions(broker: str, partitions: int, counts: Mapping[str, int]) -> None:
    """Raise WrongTopic unless the venue was made with this number: each of its partitions begins with its genesis.

    Kafka cannot take away a partition that was added to a topic: those that are not the venue's are left alone.
    """
    begun = await _beginnings(broker, range(counts[ORDERS.name]))
    ours = {number: end for number, (genesis, end) in begun.items() if genesis is not None}
    made, is_in_use = max(ours, default=-1) + 1, any(end > 1 for end in ours.values())
    if made > partitions or (made < partitions and is_in_use):
        raise WrongTopic(
            f"the venue was made with {made} partitions, the setting topic_partitions says {partitions}: set it to "
            f"{made}, which cannot be changed later"
        )
    for spec in TOPICS:
        count, needed = counts[spec.name], spec.partitions or partitions
        if count < needed:
            raise WrongTopic(
                f"topic {spec.name} has {count} partitions, it needs {needed}: add some with Kafka's kafka-topics, or "
                f"in a new venue set topic_partitions to {count}"
            )
        if count > needed:
            _log.warning("topic %s has %d partitions, only the first %d are used", spec.name, count, needed)


async def _settings(admin: AIOKafkaAdminClient) -> dict[str, dict[str, _Setting]]:
    """Each topic's settings by name."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, t.name) for t in TOPICS]
    return {
        name: {entry[0]: _Setting(entry[1], entry[3]) for entry in entries}
        for response in await admin.describe_configs(resources)
        for _code, _message, _type, name, entries in response.resources
    }


async def _set_back(admin: AIOKafkaAdminClient) -> None:
    """Give the topics the settings that they need; others that an operator has set stay."""
    for name, found in (await _settings(admin)).items():
        needed = _spec(name).config
        wrong = {key: found[key].value for key, value in needed.items() if found[key].value != value}
        if not wrong:
            continue
        _log.warning("topic %s has %s, it is set back to %s", name, wrong, {key: needed[key] for key in wrong})
        # Kafka replaces everything that was set for the topic.
        kept = {key: value for key, (value, source) in found.items() if source == SET_FOR_TOPIC}
        for response in await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, kept | needed)]):
            for code, message, *_ in response.resources:
                if code:
                    raise for_code(code)(f"topic {name}: {message}")


async def _settled(admin: AIOKafkaAdminClient) -> None:
    """Return once the broker knows every new topic with a leader for each partition: it learns of them later."""
    async with asyncio.timeout(SETTLED_TIMEOUT_S):
        while True:
            described = await admin.describe_topics([t.name for t in TOPICS])
            if all(t["partitions"] and all(p["leader"] >= 0 for p in t["partitions"]) for t in described):
                return
            await asyncio.sleep(0.05)


async def _write_genesis(broker: str, partitions: int) -> None:
    """Begin the partitions that are empty. The first one's record, as Kafka has it, gives secret and version of all."""
    found = await genesis_records(broker, partitions)
    if len(found) == partitions:
        return
    producer = AIOKafkaProducer(bootstrap_servers=broker, enable_idempotence=True, acks="all")
    await producer.start()
    try:
        if not found:
            await _begin(producer, 0, Genesis(str(uuid4()), NEWEST_VERSION, token_hex(SECRET_BYTES)))
            found = await genesis_records(broker, partitions)
        first = found[min(found)]
        for partition in sorted(set(range(partitions)) - set(found)):
            await _begin(producer, partition, msgspec.structs.replace(first, log_id=str(uuid4())))
    finally:
        await producer.stop()


async def _begin(producer: AIOKafkaProducer, partition: int, genesis: Genesis) -> None:
    await producer.send_and_wait(ORDERS.name, encode_command(genesis), partition=partition)


def _spec(name: str) -> TopicSpec:
    return next(spec for spec in TOPICS if spec.name == name)
