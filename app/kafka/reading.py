"""Read topics without a consumer group: one stretch of one partition at a time, up to a known end."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

READ_TIMEOUT_MS = 100
MAX_EMPTY_READS = 300  # a log whose end promises records but that returns none for 30 s has lost them
# Keep the wait short: a waiting fetch blocks other requests on the same connection.
FETCH_MAX_WAIT_MS = 20
FETCH_BYTES = 1024 * 1024


class NothingToRead(RuntimeError):
    """By its end offset a topic has more records, but Kafka returns none."""


class KafkaAway(Exception):
    """Kafka does not answer in time."""


class LogRecord(NamedTuple):
    """A record of a topic; time in ms since the epoch."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


class Bounds(NamedTuple):
    """The first offset of a partition, and the one after its last."""

    first: int
    end: int


def new_reader(broker: str, *topics: str, fetch_bytes: int = FETCH_BYTES) -> AIOKafkaConsumer:
    """A consumer without a group; it raises when an offset no longer exists. `broker` is host:port."""
    return AIOKafkaConsumer(
        *topics,
        bootstrap_servers=broker,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
        max_partition_fetch_bytes=fetch_bytes,
    )


@asynccontextmanager
async def connected_reader(broker: str, fetch_bytes: int = FETCH_BYTES) -> AsyncIterator[AIOKafkaConsumer]:
    """Yield a reader that is connected for as long as the block lasts; raises KafkaError."""
    reader = new_reader(broker, fetch_bytes=fetch_bytes)
    try:
        await reader.start()
        yield reader
    finally:
        await reader.stop()


async def bounds(broker: str, topic: str, partitions: Iterable[int]) -> dict[int, Bounds]:
    """The current first and end offsets of these partitions, as a fresh client sees them; raises KafkaError."""
    every = [TopicPartition(topic, partition_id) for partition_id in partitions]
    async with connected_reader(broker) as reader:
        firsts, ends = await reader.beginning_offsets(every), await reader.end_offsets(every)
    return {where.partition: Bounds(firsts[where], ends[where]) for where in every}


async def end_of(reader: AIOKafkaConsumer, where: TopicPartition) -> int:
    """The partition's current end."""
    return int((await reader.end_offsets([where]))[where])


class Stretch:
    """The records of a partition between two offsets; transactions and the cleaner leave offsets without a record.

    A reader can read only one stretch at a time.
    """

    def __init__(self, reader: AIOKafkaConsumer, where: TopicPartition, start: int, end: int) -> None:
        self._reader, self._where = reader, where
        self.position, self.end = start, end
        self._is_assigned = False

    @classmethod
    async def whole(cls, reader: AIOKafkaConsumer, where: TopicPartition, start: int = 0) -> "Stretch":
        """From this offset, or from the partition's first record if that is later, to the current end."""
        first = int((await reader.beginning_offsets([where]))[where])
        return cls(reader, where, max(first, start), await end_of(reader, where))

    async def read(self) -> list[LogRecord]:
        """The next records; empty at the end. Raises NothingToRead."""
        if self.position >= self.end:
            return []
        if not self._is_assigned:
            # Assign late: aiokafka's fetcher dies if an assignment is revoked before the fetcher has seen it.
            self._reader.assign([self._where])
            self._reader.seek(self._where, self.position)
            self._is_assigned = True
        for _ in range(MAX_EMPTY_READS):
            fetched = (await self._reader.getmany(self._where, timeout_ms=READ_TIMEOUT_MS)).get(self._where, [])
            self.position = await self._reader.position(self._where)
            records = [LogRecord(r.offset, r.timestamp, r.key, r.value) for r in fetched if r.offset < self.end]
            if len(records) < len(fetched):  # leave the rest for a read after `end` has moved
                self.position = self.end
                self._reader.seek(self._where, self.end)
            if records or self.position >= self.end:
                return records
        topic, partition = self._where
        raise NothingToRead(f"{topic}[{partition}] ends at {self.end}, but nothing can be read after {self.position}")

    async def extend(self) -> None:
        """Move `end` to the current end of the partition."""
        self.end = await end_of(self._reader, self._where)


class PatientReader:
    """A reader that connects on first use and serves one user at a time; each waits at most `timeout_s`."""

    def __init__(self, broker: str, timeout_s: float, fetch_bytes: int = FETCH_BYTES) -> None:
        self._broker, self._timeout_s, self._fetch_bytes = broker, timeout_s, fetch_bytes
        self._reader: AIOKafkaConsumer | None = None
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[AIOKafkaConsumer]:
        """Yield the connected reader; raises KafkaAway on a timeout or Kafka error, also for one in the block."""
        try:
            async with asyncio.timeout(self._timeout_s), self._turn:
                reader = await self._connected()
                try:
                    yield reader
                finally:
                    if reader.assignment():
                        reader.unsubscribe()  # else it would keep fetching
        except (KafkaError, TimeoutError, OSError) as error:
            raise KafkaAway(f"Kafka does not answer: {error}") from error

    async def close(self) -> None:
        """Disconnect."""
        if self._reader is not None:
            await self._reader.stop()

    async def _connected(self) -> AIOKafkaConsumer:
        if self._reader is None:
            reader = new_reader(self._broker, fetch_bytes=self._fetch_bytes)
            try:
                await reader.start()
            except BaseException:
                await reader.stop()
                raise
            self._reader = reader
        return self._reader
