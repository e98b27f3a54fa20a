"""Reads the venue's topics from Kafka, partition by partition, without a consumer group."""

from types import TracebackType
from typing import Self

from aiokafka import TopicPartition

from app.kafka.reading import LogRecord, Stretch, end_of, new_reader
from app.topics import CANDLES, EXECUTIONS, ORDERS, TRADES


class VenueLogs:
    """Reads the topics by partition. Only one stream per topic can be open at a time."""

    def __init__(self, broker: str) -> None:
        self.partitions = 0
        self._readers = {topic.name: new_reader(broker, topic.name) for topic in (ORDERS, EXECUTIONS, TRADES, CANDLES)}

    async def __aenter__(self) -> Self:
        for reader in self._readers.values():
            await reader.start()
            reader.unsubscribe()  # it was subscribed only to learn the topic's partitions
        self.partitions = await self._used()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for reader in self._readers.values():
            await reader.stop()

    async def _used(self) -> int:
        """How many partitions the venue has; ignores later-added ones, which are empty or not in all topics."""
        count = min(len(reader.partitions_for_topic(topic) or ()) for topic, reader in self._readers.items())
        for partition_id in reversed(range(count)):
            if any([await self.end(topic, partition_id) for topic in self._readers]):
                return partition_id + 1
        return count

    async def stream(self, topic: str, partition_id: int, start: int = 0) -> Stretch:
        """The partition from this offset, or from its first record if that is later, to its current end."""
        return await Stretch.whole(self._readers[topic], TopicPartition(topic, partition_id), start)

    async def end(self, topic: str, partition_id: int) -> int:
        """The partition's current end offset."""
        return await end_of(self._readers[topic], TopicPartition(topic, partition_id))

    async def last(self, topic: str, partition_id: int, end: int) -> LogRecord | None:
        """The last record below `end`; None if there is none. Transactions may have left holes before the end."""
        step = 1
        while True:
            stream, found = await self.stream(topic, partition_id, end - step), None
            stream.end = end
            while records := await stream.read():
                found = records[-1]
            if found is not None or step >= end:
                return found
            step *= 4
