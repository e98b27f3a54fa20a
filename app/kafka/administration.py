"""Create the topics, reset settings that an operator has changed, and check the topics before a worker starts."""

import asyncio
import logging
from collections.abc import Mapping
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from app.kafka.admin import connected_admin
from app.kafka.genesis import Beginning, WrongTopic, beginnings, one_venue, write_genesis
from app.models.commands import Genesis
from app.topics import ORDERS, TOPICS, TopicSpec

SETTLED_TIMEOUT_S = 30.0
SET_FOR_TOPIC = 1  # Kafka's ConfigSource DYNAMIC_TOPIC_CONFIG: set explicitly for this topic

_log = logging.getLogger(__name__)


async def create(broker: str, partitions: int, replication_factor: int = 1) -> None:
    """Create missing topics, reset settings that differ, and write the genesis record of each empty `orders` partition.

    `broker` is host:port. Raises WrongTopic when a topic's number of partitions does not fit.
    """
    wanted = [NewTopic(t.name, t.partitions or partitions, replication_factor, topic_configs=t.config) for t in TOPICS]
    async with connected_admin(broker) as admin:
        response = await admin.create_topics(wanted)
        for name, code, *_ in response.topic_errors:
            if code and code != TopicAlreadyExistsError.errno:
                raise for_code(code)(f"topic {name}")
        await _settle(admin)
        await _set_back(admin)
        counts = await _check(admin)
    _require_partitions(partitions, counts, await beginnings(broker, range(counts[ORDERS.name])))
    await write_genesis(broker, partitions)


async def require_topics(broker: str, partitions: int) -> dict[int, Genesis]:
    """The genesis record of every partition of `orders`; `broker` is host:port.

    Raises WrongTopic unless every topic exists with the required settings and all genesis records are of one venue.
    """
    async with connected_admin(broker) as admin:
        counts = await _check(admin)
    begun = await beginnings(broker, range(counts[ORDERS.name]))
    _require_partitions(partitions, counts, begun)
    return one_venue(partitions, begun)


class _Setting(NamedTuple):
    """A topic's setting, and its source (Kafka's ConfigSource)."""

    value: str | None
    source: int


async def _check(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """How many partitions each topic has; raises WrongTopic unless every topic exists with the required settings."""
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


def _require_partitions(partitions: int, counts: Mapping[str, int], begun: Mapping[int, Beginning]) -> None:
    """Raise WrongTopic unless the venue was created with this number of partitions: those with a genesis record.

    Kafka cannot remove a partition from a topic, so partitions that an operator has added are ignored.
    """
    ours = {partition_id: end for partition_id, (genesis, end) in begun.items() if genesis is not None}
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
    """Topic -> setting -> its value and source."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, t.name) for t in TOPICS]
    return {
        name: {entry[0]: _Setting(entry[1], entry[3]) for entry in entries}
        for response in await admin.describe_configs(resources)
        for _code, _message, _type, name, entries in response.resources
    }


async def _set_back(admin: AIOKafkaAdminClient) -> None:
    """Reset the required settings of each topic; keep the other settings that an operator has made."""
    for name, found in (await _settings(admin)).items():
        needed = _spec(name).config
        wrong = {key: found[key].value for key, value in needed.items() if found[key].value != value}
        if not wrong:
            continue
        _log.warning("topic %s has %s, it is set back to %s", name, wrong, {key: needed[key] for key in wrong})
        # Kafka replaces all settings of the topic, so send the others again.
        kept = {key: value for key, (value, source) in found.items() if source == SET_FOR_TOPIC}
        for response in await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, kept | needed)]):
            for code, message, *_ in response.resources:
                if code:
                    raise for_code(code)(f"topic {name}: {message}")


async def _settle(admin: AIOKafkaAdminClient) -> None:
    """Wait until the broker knows a leader for every partition: after a creation that takes a moment."""
    async with asyncio.timeout(SETTLED_TIMEOUT_S):
        while True:
            described = await admin.describe_topics([t.name for t in TOPICS])
            if all(t["partitions"] and all(p["leader"] >= 0 for p in t["partitions"]) for t in described):
                return
            await asyncio.sleep(0.05)


def _spec(name: str) -> TopicSpec:
    return next(spec for spec in TOPICS if spec.name == name)
