"""Send a worker's records to Kafka, in order within each partition of each topic; a failure ends the process."""

import asyncio
from collections import deque
from functools import partial
from typing import NamedTuple

from app.kafka.sender import Line, Sender
from app.streaming.failpoints import reach
from app.streaming.failstop import end_process

MAX_BATCH_BYTES = 1024 * 1024
PACE_S = 0.002  # between requests under load, so that more records share one
MAX_OUTSTANDING = 20_000  # records appended and not yet acknowledged, over all partitions


class _Record(NamedTuple):
    key: bytes
    value: bytes | None


class Outbox:
    """Queues the records of a worker for these topics and sends them in order."""

    def __init__(self, broker: str, topics: tuple[str, ...]) -> None:
        self._sender: Sender[_Record] = Sender(
            broker,
            topics,
            partial(end_process, "the producer failed"),
            MAX_BATCH_BYTES,
            PACE_S,
            lambda topic: reach(f"sent-{topic}"),
            lambda topic: reach(f"acked-{topic}"),
        )
        self._ways: dict[tuple[str, int], _Way] = {}
        self._room = asyncio.Event()
        self._room.set()
        self.outstanding = 0

    async def start(self) -> None:
        """Connect; raises KafkaError."""
        await self._sender.start()

    def append(self, topic: str, partition: int, key: bytes, value: bytes | None) -> None:
        """Queue a record; it is sent in the background."""
        way = self._ways.get((topic, partition))
        if way is None:
            way = self._ways[topic, partition] = _Way(self, topic, partition)
        way.appended += 1
        self._count(+1)
        self._sender.append(way.line, _Record(key, value))

    async def room(self) -> None:
        """Wait until fewer than MAX_OUTSTANDING records are unacknowledged."""
        await self._room.wait()

    async def flushed(self, partition: int) -> None:
        """Wait until everything appended for this partition so far, to any topic, is acknowledged."""
        await asyncio.gather(*(way.flushed() for (_, number), way in self._ways.items() if number == partition))

    def _count(self, change: int) -> None:
        self.outstanding += change
        if self.outstanding >= MAX_OUTSTANDING:
            self._room.clear()
        elif change < 0:
            self._room.set()


class _Way:
    """The queue for one partition of a topic, and the tasks that wait for its acknowledgements."""

    def __init__(self, outbox: Outbox, topic: str, partition: int) -> None:
        self.line: Line[_Record] = Line(topic, partition, self._delivered)
        self.appended = 0
        self._outbox, self._acknowledged = outbox, 0
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def flushed(self) -> None:
        """Wait for the acknowledgement of what has been appended so far."""
        if self._acknowledged < self.appended:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append((self.appended, waiter))
            await waiter

    def _delivered(self, records: list[_Record], _: int) -> None:
        self._acknowledged += len(records)
        self._outbox._count(-len(records))
        while self._waiters and self._waiters[0][0] <= self._acknowledged:
            waiter = self._waiters.popleft()[1]
            if not waiter.done():
                waiter.set_result(None)
