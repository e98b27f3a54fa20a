"""Every topic: its name, key, message, who writes it and who reads it; and how the topics are made and checked."""

import asyncio
from dataclasses import dataclass, field
from secrets import token_hex
from uuid import uuid4

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from app.matching.versions import NEWEST_VERSION
from app.models.commands import Genesis, encode_command
from app.models.identity import SECRET_BYTES

UNLIMITED = "-1"
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
SETTLED_TIMEOUT_S = 30.0


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
    message="tables/changelog.py: snapshots, id blocks and manifests of the books; the key is not the instrument",
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
    """Create what is missing, check what is there, and begin each `orders` partition with its genesis record.

    `broker` is host:port. Raises WrongTopic for topics that exist with other settings or partition counts.
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
        await check(admin, partitions)
    finally:
        await admin.close()
    await _write_genesis(broker, partitions)


async def require_topics(broker: str, partitions: int) -> None:
    """Raise WrongTopic unless every topic is there with the settings that it needs; `broker` is host:port."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        await check(admin, partitions)
    finally:
        await admin.close()


async def check(admin: AIOKafkaAdminClient, partitions: int) -> None:
    """Raise WrongTopic unless every topic has the settings that it needs."""
    described = {topic["topic"]: topic for topic in await admin.describe_topics([t.name for t in TOPICS])}
    for spec in TOPICS:
        count = len(described[spec.name]["partitions"])
        if not count:
            raise WrongTopic(f"topic {spec.name} is missing: run `python -m app setup`")
        if spec.partitions not in (None, count):
            raise WrongTopic(f"topic {spec.name} has {count} partitions, it must have {spec.partitions}")
        if spec.partitions is None and count != partitions:
            raise WrongTopic(
                f"topic {spec.name} has {count} partitions, the setting topic_partitions says {partitions}: "
                "the number is fixed when the topics are created, set it back"
            )
    resources = [ConfigResource(ConfigResourceType.TOPIC, t.name) for t in TOPICS]
    for response in await admin.describe_configs(resources):
        for _code, _message, _type, name, entries in response.resources:
            found = {entry[0]: entry[1] for entry in entries}
            for key, value in _spec(name).config.items():
                if found.get(key) != value:
                    raise WrongTopic(f"topic {name} has {key}={found.get(key)}, it must be {value}")


async def log_ids(broker: str, partitions: int) -> dict[int, str]:
    """The log id of each `orders` partition; a partition without a genesis record is absent."""
    return {number: genesis.log_id for number, genesis in (await genesis_records(broker, partitions)).items()}


async def genesis_records(broker: str, partitions: int) -> dict[int, Genesis]:
    """The genesis record of each `orders` partition that has one; raises WrongTopic."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False)
    await consumer.start()
    try:
        assigned = [TopicPartition(ORDERS.name, p) for p in range(partitions)]
        consumer.assign(assigned)
        ends = await consumer.end_offsets(assigned)
        found: dict[int, Genesis] = {}
        for tp in assigned:
            if ends[tp]:
                consumer.assign([tp])
                consumer.seek(tp, 0)
                found[tp.partition] = _genesis(await asyncio.wait_for(consumer.getone(tp), timeout=30))
        return found
    finally:
        await consumer.stop()


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


def _genesis(record: object) -> Genesis:
    from app.models.commands import UndecodableCommand, decode_command

    value = getattr(record, "value", None)
    try:
        message = decode_command(value)
    except UndecodableCommand:
        message = None
    if not isinstance(message, Genesis):
        raise WrongTopic("the first record of an orders partition is not its genesis: the topic is not ours")
    return message


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
