"""The venue's topics read from Kafka by ourselves, partition by partition, at our own pace."""

from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.topics import EXECUTIONS, ORDERS, TRADES
from app.verification.engines import LogRecord

READ_TIMEOUT_MS = 1_000
MAX_EMPTY_READS = 30
# Other requests of the same connection wait behind a fetch that waits for records.
FETCH_MAX_WAIT_MS = 20


class NothingToRead(RuntimeError):
    """A topic promises records and gives none."""


def new_consumer(broker: str, *topics: str) -> Any:
    """A consumer of no group; errors and missing offsets raise."""
    return AIOKafkaConsumer(
        *topics,
        bootstrap_servers=broker,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
    )


class KafkaStream:
    """A partition from its first record to the end that it had."""

    def __init__(self, consumer: Any, topic: str, partition: int, first: int, end: int) -> None:
        self._consumer, self._where = consumer, TopicPartition(topic, partition)
        self._position, self.end = first, end

    async def read(self) -> list[LogRecord]:
        """The next records; none when it has ended. Raises NothingToRead."""
        if self._position >= self.end:
            return []
        for _ in range(MAX_EMPTY_READS):
            fetched = (await self._consumer.getmany(self._where, timeout_ms=READ_TIMEOUT_MS)).get(self._where, [])
            self._position = await self._consumer.position(self._where)
            records = [LogRecord(r.offset, r.timestamp, r.key, r.value) for r in fetched if r.offset < self.end]
            if records or self._position >= self.end:
                return records
        where = f"{self._where.topic}[{self._where.partition}]"
        raise NothingToRead(f"{where} ends at {self.end}, but nothing can be read after {self._position}")

    async def extend(self) -> None:
        """Go on to the end that the partition has now."""
        self.end = int((await self._consumer.end_offsets([self._where]))[self._where])


class KafkaLogs:
    """Topics by partition. A topic has one stream at a time."""

    def __init__(self, broker: str) -> None:
        self.partitions = 0
        self._consumers = {topic.name: new_consumer(broker, topic.name) for topic in (ORDERS, EXECUTIONS, TRADES)}

    async def __aenter__(self) -> Self:
        for consumer in self._consumers.values():
            await consumer.start()
            consumer.unsubscribe()  # it only had to learn about its topic
        self.partitions = await self._used()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for consumer in self._consumers.values():
            await consumer.stop()

    async def _used(self) -> int:
        """How many partitions the venue has: those that were added to a topic since are not in all, or are empty."""
        count = min(len(consumer.partitions_for_topic(topic) or ()) for topic, consumer in self._consumers.items())
        for number in reversed(range(count)):
            if any([await self.end(topic, number) for topic in self._consumers]):
                return number + 1
        return count

    async def stream(self, topic: str, partition: int, start: int = 0) -> KafkaStream:
        """From this offset, or its first record if that is later, to its end now."""
        consumer, where = self._consumers[topic], TopicPartition(topic, partition)
        consumer.assign([where])
        first = int((await consumer.beginning_offsets([where]))[where])
        end = int((await consumer.end_offsets([where]))[where])
        start = max(first, start)
        consumer.seek(where, start)
        return KafkaStream(consumer, topic, partition, start, end)

    async def end(self, topic: str, partition: int) -> int:
        """Where the topic ends now."""
        where = TopicPartition(topic, partition)
        return int((await self._consumers[topic].end_offsets([where]))[where])

    async def last(self, topic: str, partition: int, end: int) -> LogRecord | None:
        """The last record below an end; transactions may have left holes before it."""
        step = 1
        while True:
            stream, found = await self.stream(topic, partition, end - step), None
            stream.end = end
            while records := await stream.read():
                found = records[-1]
            if found is not None or step >= end:
                return found
            step *= 4
