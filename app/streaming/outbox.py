"""Records on their way to Kafka: per partition in order, one acknowledged batch at a time; a failure ends the process.

One batch in flight per partition, because a producer's first batch may fail while the next is accepted, and concurrent
`send_batch` calls overtake each other (docs/EXACTNESS.md, I6 and The loop, 3).
"""

import asyncio
from collections import deque
from typing import Any

from aiokafka import AIOKafkaProducer

from app import metrics
from app.streaming.failpoints import reach
from app.streaming.failstop import end_process, fail_stop

LINGER_S = 0.001  # what is appended meanwhile shares a request; a request costs Kafka more than ten records
MAX_BATCH_BYTES = 1024 * 1024
MAX_REQUEST_BYTES = 4 * 1024 * 1024
MAX_OUTSTANDING = 20_000  # records appended and not yet acknowledged, over all partitions


def new_producer(broker: str) -> AIOKafkaProducer:
    """An idempotent producer that waits for all replicas. Give its records to one Outbox only."""
    return AIOKafkaProducer(
        bootstrap_servers=broker,
        enable_idempotence=True,
        acks="all",
        max_batch_size=MAX_BATCH_BYTES,
        max_request_size=MAX_REQUEST_BYTES,
        request_timeout_ms=30_000,
    )


class Outbox:
    """What a partition's owner has to say, in order."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._lines: dict[tuple[str, int], _Line] = {}
        self._room = asyncio.Event()
        self._room.set()
        self.outstanding = 0

    def append(self, topic: str, partition: int, key: bytes, value: bytes | None) -> None:
        """Queue a record; it is sent in the background."""
        line = self._lines.get((topic, partition))
        if line is None:
            line = self._lines[topic, partition] = _Line(self, topic, partition)
        line.append(key, value)

    async def room(self) -> None:
        """Wait until fewer than MAX_OUTSTANDING records are unacknowledged."""
        await self._room.wait()

    async def flushed(self, partition: int) -> None:
        """Wait until everything appended for this partition so far, to any topic, is acknowledged."""
        await asyncio.gather(*(line.flushed() for (_, p), line in self._lines.items() if p == partition))

    async def close(self) -> None:
        """Wait for all acknowledgements, then stop the producer."""
        await asyncio.gather(*(line.flushed() for line in self._lines.values()))
        for line in self._lines.values():
            line.sender.cancel()
        await self._producer.stop()

    def _count(self, change: int) -> None:
        self.outstanding += change
        if self.outstanding >= MAX_OUTSTANDING:
            self._room.clear()
        elif change < 0:
            self._room.set()


class _Line:
    """The queue of one topic and partition, and its only sender."""

    def __init__(self, outbox: Outbox, topic: str, partition: int) -> None:
        self._outbox, self._topic, self._partition = outbox, topic, partition
        self._waiting: deque[tuple[bytes, bytes | None]] = deque()
        self._filled = asyncio.Event()
        self._appended = self._acknowledged = 0
        self._progress = asyncio.Condition()
        self._sent, self._acked = f"sent-{topic}", f"acked-{topic}"
        self.sender: asyncio.Task[None] = asyncio.create_task(fail_stop(self._send_all)())

    def append(self, key: bytes, value: bytes | None) -> None:
        self._waiting.append((key, value))
        self._appended += 1
        self._outbox._count(+1)
        self._filled.set()

    async def flushed(self) -> None:
        goal = self._appended
        async with self._progress:
            await self._progress.wait_for(lambda: self._acknowledged >= goal)

    async def _send_all(self) -> None:
        while True:
            await self._filled.wait()
            await asyncio.sleep(LINGER_S)
            batch, count = self._next_batch()
            sent = await self._outbox._producer.send_batch(batch, self._topic, partition=self._partition)
            reach(self._sent)
            with metrics.acknowledgement.time():
                await sent
            reach(self._acked)
            async with self._progress:
                self._acknowledged += count
                self._progress.notify_all()
            self._outbox._count(-count)
            if not self._waiting:
                self._filled.clear()

    def _next_batch(self) -> tuple[Any, int]:
        batch, count = self._outbox._producer.create_batch(), 0
        while self._waiting:
            key, value = self._waiting[0]
            if batch.append(key=key, value=value, timestamp=None) is None:
                break
            self._waiting.popleft()
            count += 1
        if not count:
            end_process(f"a record for {self._topic} is larger than a batch of {MAX_BATCH_BYTES} bytes")
        batch.close()
        return batch, count
