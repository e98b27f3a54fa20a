"""Connect the recovery protocol to Kafka: end offsets, a changelog reader and acknowledged writes of one partition."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.kafka.reading import LogRecord, NothingToRead, Stretch, end_of
from app.streaming.failpoints import reach
from app.streaming.outbox import Outbox
from app.unusable import pass_over
from tables.recovery.around import Around
from tables.recovery.changelog import Damaged
from tables.recovery.checkpoint import Record
from tables.recovery.completeness import Reported


class KafkaLogs:
    """Implements loader.LogReader with a Kafka consumer, which may serve several partitions in turn."""

    def __init__(self, consumer: AIOKafkaConsumer, around: Around, partition: int) -> None:
        self._consumer, self.around, self.partition = consumer, around, partition
        self._changelog: Stretch | None = None

    def close(self) -> None:
        """Stop reading the changelog; the ends can still be queried."""
        self._consumer.unsubscribe()
        self._changelog = None

    async def ends(self) -> tuple[int, int]:
        """The end of the outputs, then the end of the source; the second is queried only after the first is known."""
        return await self._end_of(self.around.outputs), await self._end_of(self.around.source)

    async def end(self) -> int:
        return await self._end_of(self.around.changelog)

    async def bounds_of(self, topic: str) -> tuple[int, int]:
        """First and end offset of the topic's partition with the same number."""
        where = self._where(topic)
        return int((await self._consumer.beginning_offsets([where]))[where]), await self._end_of(topic)

    async def read(self, position: int, end: int) -> tuple[list[Record], int]:
        """Some records from this position on, and the position after them, possibly beyond the end. Raises Damaged."""
        if self._changelog is None:
            self._changelog = await Stretch.whole(self._consumer, self._where(self.around.changelog))
        self._changelog.end = end
        records = await _read(self._changelog)
        reach("loading")
        # A compacted topic has no records without a key: one stands for an unreadable batch (app/streaming/intact.py).
        return [(record.key, record.value) for record in records if record.key is not None], self._changelog.position

    def pass_over(self, keys: Iterable[bytes]) -> None:
        """Count and log changelog records that no worker wrote."""
        for key in keys:
            pass_over(self.around.changelog, self.partition, key, "no worker wrote it, and nothing refers to it")

    async def reported(self, first: int, end: int) -> Reported:
        """Summarise the outputs between these offsets; raises Damaged."""
        found = Reported()
        if first < end:
            self._changelog, stretch = None, Stretch(self._consumer, self._where(self.around.outputs), first, end)
            while records := await _read(stretch):
                found = found.with_values(record.value or b"" for record in records)
        return found

    async def _end_of(self, topic: str) -> int:
        return await end_of(self._consumer, self._where(topic))

    def _where(self, topic: str) -> TopicPartition:
        return TopicPartition(topic, self.partition)


async def _read(stretch: Stretch) -> list[LogRecord]:
    try:
        return await stretch.read()
    except NothingToRead as error:
        raise Damaged(str(error)) from error


class PartitionPorts:
    """Implements checkpoint.Ports with the worker's outbox."""

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
            self._outbox.append(self._logs.around.changelog, self._partition, key, value)
        await self._outbox.flushed(self._partition)

    def inspect(self, records: list[Record]) -> None:
        self._show(self._partition, records)

    def hold(self, batch: Any) -> None:
        """Keep a batch unacknowledged until a checkpoint covers it."""
        self._held.append((batch.next_offset, batch.without_records()))

    def acknowledge_below(self, offset: int) -> None:
        while self._held and self._held[0][0] <= offset:
            self._held.popleft()[1].acknowledge()
