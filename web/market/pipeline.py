"""How far each stage of the pipeline is, asked of Kafka and Postgres: what no single process can say of itself."""

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from app.kafka.groups import committed
from app.kafka.reading import KafkaAway, NothingToRead, PatientReader, Stretch
from app.models.http import rfc3339
from app.postgres import History, HistoryUnavailable, Recorded
from app.topics import CLEARING, EXECUTIONS, ORDERS
from web.market.feed import Feed

TIMEOUT_S = 2.0
ASKED_EVERY_S = 1.0  # however many pages look
FETCH_BYTES = 4 * 1024  # one command of a partition is enough
CLEARING_PARTITION = TopicPartition(CLEARING.name, 0)


class Pipeline:
    """Answers where each stage is, at most once a second; nothing is asked while nobody looks."""

    def __init__(self, broker: str, partitions: int, feed: Feed, history: History) -> None:
        self._broker, self._feed, self._history = broker, feed, history
        self._reader = PatientReader(broker, TIMEOUT_S, FETCH_BYTES)
        self._orders = [TopicPartition(ORDERS.name, partition_id) for partition_id in range(partitions)]
        self._executions = [TopicPartition(EXECUTIONS.name, partition_id) for partition_id in range(partitions)]
        self._answer: dict[str, Any] | None = None
        self._asked_at = 0.0
        self._asking = asyncio.Lock()

    async def close(self) -> None:
        """Disconnect."""
        await self._reader.close()

    async def answer(self) -> dict[str, Any]:
        """The stages with their lag in records (None: not known now), and totals from which rates follow."""
        async with self._asking:  # who comes meanwhile gets the same answer
            now = time.monotonic()
            if self._answer is None or now - self._asked_at >= ASKED_EVERY_S:
                self._answer, self._asked_at = await self._ask(), now
            return self._answer

    async def _ask(self) -> dict[str, Any]:
        feed = self._feed
        ends, age = await self._ask_kafka()
        recorded, projected = await self._recorded(EXECUTIONS.name), await self._recorded(CLEARING.name)
        markets = feed.markets.values()
        return {
            "time": rfc3339(time.time_ns() // 1_000_000),
            "commands": sum(feed.answered) - len(feed.answered),  # without the genesis record of each partition
            "reports": sum(market.seq for market in markets),
            "matched": feed.matched,
            "stages": [
                {"role": "matching", "lag": _lag(ends, self._orders, dict(enumerate(feed.answered)))},
                {"role": "gateway", "lag": _lag(ends, self._executions, feed.applied)},
                {"role": "recording", "lag": _lag(ends, self._executions, recorded)},
                {"role": "clearing", "lag": _lag(ends, [CLEARING_PARTITION], projected)},
            ],
            "checkpoint_age_s": age,
        }

    async def _ask_kafka(self) -> tuple[dict[TopicPartition, int], float | None]:
        """The ends of the logs, and the age of the oldest command above the position that matching has committed."""
        try:
            async with self._reader.turn() as reader:
                ends = await reader.end_offsets([*self._orders, *self._executions, CLEARING_PARTITION])
            covered = await committed(self._broker, "matching")
            async with self._reader.turn() as reader:
                oldest = [
                    time_ms
                    for where in self._orders
                    if (position := covered.get(where, 1)) < self._feed.answered[where.partition]
                    and (time_ms := await _time_at(reader, where, position, ends[where])) is not None
                ]
        except (KafkaAway, KafkaError, OSError, NothingToRead):
            return {}, None
        age_ms = max(0, time.time_ns() // 1_000_000 - min(oldest)) if oldest else 0
        return {where: int(end) for where, end in ends.items()}, age_ms / 1_000

    async def _recorded(self, topic: str) -> dict[int, int] | None:
        try:
            found: dict[int, Recorded] = await self._history.recorded(topic)
        except HistoryUnavailable:
            return None
        return {partition_id: partition.next_offset for partition_id, partition in found.items()}


def _lag(ends: dict[TopicPartition, int], wheres: list[TopicPartition], at: dict[int, int] | None) -> int | None:
    """How many records of these partitions are at or above the positions; None where Kafka or Postgres is silent."""
    if at is None or not ends:
        return None
    return sum(max(0, ends[where] - at.get(where.partition, 0)) for where in wheres)


async def _time_at(reader: AIOKafkaConsumer, where: TopicPartition, start: int, end: int) -> int | None:
    """The time of the first record from an offset on."""
    records = await Stretch(reader, where, start, end).read()
    return records[0].timestamp_ms if records else None
