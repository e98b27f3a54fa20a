"""The consumer: one Faust message is one fetched batch of one partition, and each topic says where reading starts.

Faust's own path costs about 100 us a record in tasks and acknowledgements; a batch pays it once. Group offsets are
not used: a reader's position is part of its state (exactness.md, I4, I9).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import faust.transport.drivers.aiokafka as kafka_driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from app.streaming.failstop import end_process

MAX_BATCH_RECORDS = 256  # bounds how long one batch keeps the event loop

# Given the partitions that were just assigned, the offset at which to begin each of them.
StartPositions = Callable[[frozenset[int]], Awaitable[dict[int, int]]]
_start_positions: dict[str, StartPositions] = {}


def start_reading_at(topic: str, positions: StartPositions) -> None:
    """Say where to begin the partitions of a topic, whenever they are assigned."""
    _start_positions[topic] = positions


class BatchMessage(ConsumerMessage):
    """A fetched batch; `records` are aiokafka's, with dense offsets. Faust sees its last record."""

    __slots__ = ("records",)
    records: tuple[Any, ...]


class BatchConsumer(kafka_driver.Consumer):
    """Faust's Kafka consumer, delivering batches."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._next_offset: dict[TP, int] = {}
        self._was_assigned = False

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        # A second assignment in one process was seen to restore stale state: a clean start is cheap and exact.
        if self._was_assigned and revoked and not self.app.should_stop:
            end_process("partitions were revoked; a fresh process takes over what is assigned next")
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self._was_assigned = self._was_assigned or bool(assigned)
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Seek every assigned partition to the position that its reader's state gives."""
        by_topic: dict[str, set[int]] = {}
        for tp in self.assignment():
            by_topic.setdefault(tp.topic, set()).add(tp.partition)
        for topic, partitions in by_topic.items():
            if topic in _start_positions:
                await self._seek_topic(topic, await _start_positions[topic](frozenset(partitions)))

    async def _seek_topic(self, topic: str, positions: dict[int, int]) -> None:
        for partition, offset in positions.items():
            tp = TP(topic, partition)
            await self.seek(tp, offset)
            self._next_offset[tp] = offset
            # Faust would take the first batch for a jump over everything before it.
            self._read_offset[tp] = None
            self._committed_offset[tp] = offset or None

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109 - Faust gives the signature
        """Fetched records as batches. What arrives while the flow is stopped is dropped: a seek follows (recovery)."""
        records, active = await self._wait_next_records(timeout)
        if not records or self.should_stop:
            return
        generation = self.app.consumer_generation_id
        for fetched, several in records.items():
            tp = TP(fetched.topic, fetched.partition)
            for batch in _chunks(several):
                if not self.flow_active or generation != self.app.consumer_generation_id:
                    return
                if active is None or fetched in active or fetched in self._buffered_partitions:
                    yield tp, self._batch(tp, batch)

    def _batch(self, tp: TP, records: tuple[Any, ...]) -> BatchMessage:
        self._check_dense(tp, records)
        last = records[-1]
        message = BatchMessage(
            last.topic,
            last.partition,
            last.offset,
            last.timestamp / 1000,
            last.timestamp_type,
            None,
            last.key,
            last.value,
            last.checksum,
            last.serialized_key_size,
            last.serialized_value_size,
            tp,
            generation_id=self.app.consumer_generation_id,
        )
        message.records = records
        return message

    def _check_dense(self, tp: TP, records: tuple[Any, ...]) -> None:
        """exactness.md, I7: within an assignment offsets follow each other without a hole."""
        expected = self._next_offset.get(tp, records[0].offset)
        first, last = records[0].offset, records[-1].offset
        if first != expected or last - first + 1 != len(records):
            end_process(f"{tp.topic}/{tp.partition} jumps: expected {expected}, got {first}..{last} ({len(records)})")
        self._next_offset[tp] = last + 1


def _chunks(records: list[Any]) -> Iterable[tuple[Any, ...]]:
    for start in range(0, len(records), MAX_BATCH_RECORDS):
        yield tuple(records[start : start + MAX_BATCH_RECORDS])
