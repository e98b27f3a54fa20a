"""The logs around one partition, as the recovery protocol needs them: ends, a changelog reader, acknowledged writes."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.streaming.failpoints import reach
from app.streaming.outbox import Outbox
from app.topics import BOOKS_CHANGELOG, EXECUTIONS, ORDERS
from app.unusable import pass_over
from tables.recovery.changelog import Damaged
from tables.recovery.checkpoint import Record
from tables.recovery.completeness import Reported

READ_TIMEOUT_MS = 1_000
MAX_EMPTY_READS = 30  # a log that promises records and gives none for half a minute is damaged
# Other requests of the same connection wait behind a fetch that waits for records.
FETCH_MAX_WAIT_MS = 20


def new_reader(broker: str) -> AIOKafkaConsumer:
    """A consumer of no group. Errors and missing offsets raise."""
    return AIOKafkaConsumer(
        bootstrap_servers=broker,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
    )


class KafkaLogs:
    """tables.loader.LogReader over real topics; one consumer may serve several partitions in turn."""

    def __init__(self, consumer: AIOKafkaConsumer, partition: int) -> None:
        self._consumer, self._partition = consumer, partition
        self._changelog = TopicPartition(BOOKS_CHANGELOG.name, partition)

    def close(self) -> None:
        """Read no more of the changelog; the ends can still be asked."""
        self._consumer.unsubscribe()

    async def ends(self) -> tuple[int, int]:
        """The end of `executions` and then, asked only after its answer, the end of `orders`."""
        return await self._end_of(EXECUTIONS.name), await self._end_of(ORDERS.name)

    async def end(self) -> int:
        return await self._end_of(BOOKS_CHANGELOG.name)

    async def bounds_of(self, topic: str) -> tuple[int, int]:
        """First and end offset of the topic's partition with the same number."""
        tp = TopicPartition(topic, self._partition)
        first = (await self._consumer.beginning_offsets([tp]))[tp]
        return int(first), await self._end_of(topic)

    async def read(self, position: int, end: int) -> tuple[list[Record], int]:
        """What is there from a position on; the position after it may lie beyond the end."""
        consumer, tp = self._consumer, self._changelog
        if tp not in consumer.assignment():
            consumer.assign([tp])
            first = (await consumer.beginning_offsets([tp]))[tp]
            consumer.seek(tp, first)
        for _ in range(MAX_EMPTY_READS):
            records = (await consumer.getmany(tp, timeout_ms=READ_TIMEOUT_MS)).get(tp, [])
            reach("loading")
            reached = await consumer.position(tp)
            if records or reached >= end:
                # Kafka compacts no record without a key: this one is an unreadable batch.
                return [(record.key, record.value) for record in records if record.key is not None], reached
        raise Damaged(f"{tp.topic}/{tp.partition} ends at {end}, but nothing can be read after {position}")

    def pass_over(self, keys: Iterable[bytes]) -> None:
        """Count and name records of the changelog that somebody else wrote."""
        for key in keys:
            pass_over(BOOKS_CHANGELOG.name, self._partition, key, "no worker wrote it, and nothing refers to it")

    async def reported(self, first: int, end: int) -> Reported:
        """What the reports between these offsets of `executions` are about; raises Damaged."""
        consumer, tp = self._consumer, TopicPartition(EXECUTIONS.name, self._partition)
        found, empty = Reported(), 0
        if first >= end:
            return found
        consumer.assign([tp])
        consumer.seek(tp, first)
        while await consumer.position(tp) < end:
            records = (await consumer.getmany(tp, timeout_ms=READ_TIMEOUT_MS)).get(tp, [])
            found = found.with_values(record.value for record in records)
            empty = 0 if records else empty + 1
            if empty > MAX_EMPTY_READS:
                at = await consumer.position(tp)
                raise Damaged(f"{tp.topic}/{tp.partition} ends at {end}, but nothing can be read after {at}")
        return found

    async def _end_of(self, topic: str) -> int:
        tp = TopicPartition(topic, self._partition)
        return int((await self._consumer.end_offsets([tp]))[tp])


class PartitionPorts:
    """tables.checkpoint.Ports over the worker's outbox."""

    def __init__(
        self, partition: int, outbox: Outbox, logs: KafkaLogs, show: Callable[[int, list[Record]], None]
    ) -> None:
        self._partition, self._outbox, self._logs, self._show = partition, outbox, logs, show
        self._held: deque[tuple[int, Any]] = deque()

    async def ends(self) -> tuple[int, int]:
        return await self._logs.ends()

    async def outputs_acknowledged(self) -> None:
        await self._outbox.flushed(self._partition)

    async def write(self, records: list[Record]) -> None:
        for key, value in records:
            self._outbox.append(BOOKS_CHANGELOG.name, self._partition, key, value)
        await self._outbox.flushed(self._partition)

    def inspect(self, records: list[Record]) -> None:
        self._show(self._partition, records)

    def hold(self, batch: Any) -> None:
        """Keep a batch unacknowledged until a checkpoint covers it."""
        self._held.append((batch.next_offset, batch.without_records()))

    def acknowledge_below(self, offset: int) -> None:
        while self._held and self._held[0][0] <= offset:
            self._held.popleft()[1].acknowledge()
