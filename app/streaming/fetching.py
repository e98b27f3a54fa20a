"""Fetch partitions from our own offsets, with one request at a time to each broker for all its partitions.

aiokafka requests only partitions without buffered records, so a busy partition may wait behind a fetch of idle ones,
and each partition costs a task and a future. Faust runs aiokafka in a separate thread, with two hand-overs per batch.
Here the request runs in the reader's own event loop, and the next one is in flight while the reader processes the last.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator
from math import inf
from time import monotonic
from typing import Any, NamedTuple

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, TopicAuthorizationFailedError, for_code
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from app import metrics
from app.kafka.brokers import Brokers
from app.kafka.fetch_request import Fetch
from app.pace import FULL_RATE, Pace
from app.streaming.intact import MAX_EXPANDED_BYTES, Batches, DamagedLog, expanded_bytes

MAX_WAIT_MS = 500  # how long Kafka waits for records before it answers without any
MAX_PARTITION_BYTES = 1024 * 1024  # in an answer; Kafka sends a larger first batch whole
REQUEST_TIMEOUT_S = 40.0
RETRY_S = 0.1  # pause before a failed request is repeated

_log = logging.getLogger(__name__)


class Fetched(NamedTuple):
    """The batches of one partition in an answer. The first batch may start below `offset`, which was requested."""

    where: TopicPartition
    offset: int
    batches: list[Any]

    def chunks(self, most: int) -> Iterator[tuple[Any, ...]]:
        """The records in tuples of at most `most`, fewer where compressed batches expand to MAX_EXPANDED_BYTES.

        Each record has offset, timestamp (ms), timestamp_type, key and value. This uses up the batches: each keeps what
        it was expanded to as long as somebody has it.
        """
        chunk, expanded = list[Any](), 0
        self.batches.reverse()
        while self.batches:
            batch = self.batches.pop()
            if batch.is_control_batch:
                continue
            for record in batch:
                if record.offset >= self.offset:  # Kafka sends whole batches
                    chunk.append(record)
                    if len(chunk) == most:
                        yield tuple(chunk)
                        chunk, expanded = [], 0
            expanded += expanded_bytes(batch)
            if chunk and expanded >= MAX_EXPANDED_BYTES:
                yield tuple(chunk)
                chunk, expanded = [], 0
        if chunk:
            yield tuple(chunk)


class Fetching:
    """Holds a reader's positions and sends its requests.

    Under load it sends each no sooner than `pace_s` after the last answer, unless the reader is behind: the records of
    a backlog need not be waited for.
    """

    def __init__(self, broker: str, topics: Iterable[str], pace_s: float = 0.0, full_rate: float = FULL_RATE) -> None:
        self._topics, self._pace = tuple(topics), Pace(pace_s, full_rate)
        self._client: Any = AIOKafkaClient(bootstrap_servers=broker)
        self._brokers = Brokers(self._client, REQUEST_TIMEOUT_S)
        self._in_flight: dict[int, asyncio.Task[list[tuple[TopicPartition, int, bytes]]]] = {}
        """Broker -> its pending answer: each partition with the requested offset and the bytes."""
        self._look_at = 0.0
        """The earliest time for the next query of partition leaders."""
        self.positions: dict[TopicPartition, int] = {}
        """The offset to read next of each partition."""
        self.ends: dict[TopicPartition, int] = {}
        """The end of each partition as of the last answer."""

    async def start(self) -> None:
        """Connect; raises KafkaError."""
        await self._client.bootstrap()
        await self._client.set_topics(self._topics)

    async def close(self) -> None:
        """Disconnect."""
        for task in self._in_flight.values():
            task.cancel()
        await asyncio.gather(*self._in_flight.values(), return_exceptions=True)
        self._brokers.close()
        await self._client.close()

    def seek(self, where: TopicPartition, offset: int) -> None:
        """Read this partition from this offset, and drop answers in flight for another one."""
        self.positions[where] = offset

    async def fetch(self, wanted: Collection[TopicPartition]) -> list[Fetched]:
        """Wait for an answer and return its records, in order; the list may be empty. Send the next request at once.

        Raises DamagedLog, OffsetOutOfRangeError and Kafka errors that a retry cannot cure.
        """
        self._ask(wanted)
        if not self._in_flight:
            await asyncio.sleep(RETRY_S)
            return []
        done, _ = await asyncio.wait(self._in_flight.values(), return_when=asyncio.FIRST_COMPLETED)
        self._in_flight = {broker: task for broker, task in self._in_flight.items() if task not in done}
        found = [fetched for task in done for answer in task.result() if (fetched := self._taken(*answer))]
        count = sum(self.positions[fetched.where] - fetched.offset for fetched in found)
        self._pace.note(count, monotonic())
        self._ask(wanted)
        return found

    def _ask(self, wanted: Collection[TopicPartition]) -> None:
        """Send a request to each broker that leads wanted partitions and has no request of ours in flight."""
        leaders: dict[int, list[TopicPartition]] = {}
        for where in wanted:
            leader = self._client.cluster.leader_for_partition(where)
            if leader is None or leader == -1:
                self._look_for_leaders()
            elif where in self.positions:
                leaders.setdefault(leader, []).append(where)
        for leader, led in leaders.items():
            if leader not in self._in_flight:
                self._in_flight[leader] = asyncio.create_task(self._exchange(leader, led))

    async def _exchange(self, leader: int, led: list[TopicPartition]) -> list[tuple[TopicPartition, int, bytes]]:
        if not self._is_behind(led):
            await asyncio.sleep(self._pace.wait_s(monotonic()))
        offsets: dict[str, dict[int, int]] = {}
        for where in led:
            offsets.setdefault(where.topic, {})[where.partition] = self.positions[where]
        try:
            answer = await self._brokers.ask(leader, Fetch(offsets, MAX_WAIT_MS, MAX_PARTITION_BYTES))
        except KafkaError as error:
            if not error.retriable:
                raise
            self._look_for_leaders()
            await asyncio.sleep(RETRY_S)
            return []
        metrics.fetch_requests.inc()
        given, failed = [], answer.error_code != 0
        for (topic, partition), (code, end, data) in answer.found.items():
            where, offset = TopicPartition(topic, partition), offsets[topic][partition]
            if code:
                failed = True
                self._refused(where, offset, for_code(code))
            else:
                self.ends[where] = end
                given.append((where, offset, data))
        if failed:
            await asyncio.sleep(RETRY_S)
        return given

    def _is_behind(self, led: list[TopicPartition]) -> bool:
        """Whether Kafka had more records of these partitions than its last answer contained."""
        return any(self.positions[where] < self.ends.get(where, inf) for where in led)

    def _refused(self, where: TopicPartition, offset: int, error: type[KafkaError]) -> None:
        """Raise errors that a retry cannot cure; for others, log a warning and look for new leaders."""
        if self.positions[where] != offset:
            return
        if error is OffsetOutOfRangeError:
            raise OffsetOutOfRangeError({where: offset})
        if error is TopicAuthorizationFailedError:
            raise error(where.topic)
        _log.warning("%s[%d] cannot be read at present: %s", *where, error.__name__)
        self._look_for_leaders()

    def _look_for_leaders(self) -> None:
        """Update the metadata in the background, at most once every RETRY_S."""
        now = asyncio.get_running_loop().time()
        if now >= self._look_at:
            self._look_at = now + RETRY_S
            self._client.force_metadata_update()

    def _taken(self, where: TopicPartition, offset: int, data: bytes) -> Fetched | None:
        """Take an answer's intact batches and advance the position; None if it is empty or the reader has moved."""
        if not data or self.positions[where] != offset:
            return None
        batches, taken = Batches(where, MemoryRecords(data), offset), []
        while batches.has_next():
            taken.append(batches.next_batch())
        if not taken:  # Kafka always sends the first batch whole, so its length must be damaged
            raise DamagedLog(where, offset)
        self.positions[where] = batches.position
        return Fetched(where, offset, taken)
