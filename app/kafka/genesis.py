"""Read and write genesis records, the first of each `orders` partition: they identify its log and its venue (I14)."""

import asyncio
from collections.abc import Iterable, Mapping
from secrets import token_hex
from typing import NamedTuple
from uuid import uuid4

from aiokafka import TopicPartition
from msgspec.structs import replace

from app.kafka.one_shot import ToSend, send
from app.kafka.reading import connected_reader
from app.matching.versions import NEWEST_VERSION
from app.models.commands import Genesis, UndecodableCommand, decode_command, encode_command
from app.models.identity import SECRET_BYTES
from app.topics import ORDERS

READ_TIMEOUT_S = 30.0
FIRST_FETCH_BYTES = 4_096  # enough for one record; Kafka sends a larger batch whole


class WrongTopic(RuntimeError):
    """A topic exists with settings under which exactness cannot hold; the message says which and what to do."""


class Beginning(NamedTuple):
    """The first record of a partition of `orders`, and the partition's end."""

    genesis: Genesis | None
    end: int


async def log_ids(broker: str, partitions: int) -> dict[int, str]:
    """The log id of each `orders` partition; a partition without a genesis record is absent."""
    return {
        partition_id: genesis.log_id for partition_id, genesis in (await genesis_records(broker, partitions)).items()
    }


async def all_genesis(broker: str, partitions: int) -> dict[int, Genesis]:
    """The genesis record of every `orders` partition; raises WrongTopic when one is missing or has another secret."""
    return one_venue(partitions, await beginnings(broker, range(partitions)))


async def genesis_records(broker: str, partitions: int) -> dict[int, Genesis]:
    """The genesis record of each `orders` partition that has one; raises WrongTopic."""
    return _required(await beginnings(broker, range(partitions)))


def one_venue(partitions: int, begun: Mapping[int, Beginning]) -> dict[int, Genesis]:
    """The genesis records of a venue's partitions; the topic may have more partitions. Raises WrongTopic."""
    found = _required(
        {partition_id: beginning for partition_id, beginning in begun.items() if partition_id < partitions}
    )
    if unmarked := sorted(set(range(partitions)) - set(found)):
        raise WrongTopic(f"the partitions {unmarked} of orders have no genesis record: run `python -m app setup`")
    if len({genesis.secret for genesis in found.values()}) > 1:
        raise WrongTopic("the partitions of orders have different secrets in their genesis: they are not of one venue")
    return found


async def beginnings(broker: str, numbers: Iterable[int]) -> dict[int, Beginning]:
    """The first record and the end of each of these partitions of `orders` that has records; raises WrongTopic."""
    every = [TopicPartition(ORDERS.name, partition_id) for partition_id in numbers]
    found: dict[int, Beginning] = {}
    async with connected_reader(broker, FIRST_FETCH_BYTES) as reader:
        firsts, ends = await reader.beginning_offsets(every), await reader.end_offsets(every)
        for where in every:
            if first := firsts[where]:
                sentence = f"orders[{where.partition}] begins at {first}: its genesis record was deleted"
                raise WrongTopic(f"{sentence}; restore the topic")
        begun = [where for where in every if ends[where]]
        reader.assign(begun)
        for where in begun:
            reader.seek(where, 0)
        for where in begun:
            record = await asyncio.wait_for(reader.getone(where), timeout=READ_TIMEOUT_S)
            found[where.partition] = Beginning(_genesis(record.value), ends[where])
    return found


async def write_genesis(broker: str, partitions: int) -> None:
    """Write a genesis record to each empty partition. All partitions get the secret and version of the first one."""
    found = await genesis_records(broker, partitions)
    if not found:
        await send(broker, [_to_send(0, Genesis(str(uuid4()), NEWEST_VERSION, token_hex(SECRET_BYTES)))])
        found = await genesis_records(broker, partitions)
    first, empty = found[min(found)], sorted(set(range(partitions)) - set(found))
    if empty:
        await send(broker, [_to_send(partition_id, replace(first, log_id=str(uuid4()))) for partition_id in empty])


def _required(begun: Mapping[int, Beginning]) -> dict[int, Genesis]:
    found = {}
    for partition_id, (genesis, _) in begun.items():
        if genesis is None:
            raise WrongTopic(
                f"the first record of orders[{partition_id}] is not its genesis: the topic is not Matchstream's, or "
                "the setting topic_partitions is larger than the number that the venue was made with; correct it"
            )
        found[partition_id] = genesis
    return found


def _genesis(value: bytes | None) -> Genesis | None:
    try:
        message = decode_command(value)
    except UndecodableCommand:
        return None
    return message if isinstance(message, Genesis) else None


def _to_send(partition_id: int, genesis: Genesis) -> ToSend:
    return ToSend(ORDERS.name, partition_id, None, encode_command(genesis))
