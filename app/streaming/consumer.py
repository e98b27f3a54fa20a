"""The consumer: one Faust message is one fetched batch of one partition, and each topic says where reading starts.

Faust's own path costs about 100 us a record in tasks and acknowledgements; a batch pays it once. Faust's consumer, in a
thread of its own, is the member of the group and fetches nothing: app/streaming/fetching.py reads, in the worker's own
loop. Group offsets are not used: a reader's position is part of its state (docs/EXACTNESS.md, I4, I9).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any

import faust.transport.drivers.aiokafka as kafka_driver
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from app.configuration import broker_address
from app.streaming.failpoints import reach
from app.streaming.failstop import REVOKED_CODE, end_damaged, end_process
from app.streaming.fetching import Fetched, Fetching
from app.streaming.intact import DamagedLog

REREAD_TIMEOUT_S = 30.0
MAX_BATCH_RECORDS = 256  # bounds how long one batch keeps the event loop
NOTHING_TO_READ_S = 0.1  # before somebody looks again whether partitions were assigned

# Given the partitions that were just assigned, the offset at which to begin each of them.
StartPositions = Callable[[frozenset[int]], Awaitable[dict[int, int]]]
_start_positions: dict[str, StartPositions] = {}
_pace_s: dict[str, float] = {}


def start_reading_at(topic: str, positions: StartPositions, pace_s: float = 0.0) -> None:
    """Say where to begin the partitions of a topic, whenever they are assigned.

    `pace_s` is waited before each fetch, for readers that nobody waits for: fewer and larger batches cost less.
    """
    _start_positions[topic], _pace_s[topic] = positions, pace_s


class BatchMessage(ConsumerMessage):
    """A fetched batch; `records` are aiokafka's, with dense offsets. Faust sees its last record."""

    __slots__ = ("records",)
    records: tuple[Any, ...]


class _RebalanceListener(kafka_driver.ConsumerRebalanceListener):
    """Faust's; what is assigned is fetched by us, and by nobody else."""

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._thread._ensure_consumer().pause(*assigned)
        await super().on_partitions_assigned(assigned)


class _ConsumerThread(kafka_driver.AIOKafkaConsumerThread):
    """Faust's, which stays in its group although it fetches nothing."""

    def _create_worker_consumer(self, transport: kafka_driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # aiokafka leaves the group if nobody fetches for long: as far as it knows, somebody does all the time.
        # Whether we do is for our watchdogs to see.
        self._always = consumer._subscription.fetch_context()
        self._always.__enter__()
        return consumer


class BatchConsumer(kafka_driver.Consumer):
    """Faust's Kafka consumer, delivering batches."""

    RebalanceListener = _RebalanceListener

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._next_offset: dict[TP, int] = {}
        self._fetching: Fetching | None = None
        self._was_assigned = False

    def _new_consumer_thread(self) -> kafka_driver.AIOKafkaConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        # A second assignment in one process was seen to restore stale state: a clean start is cheap and exact.
        if self._was_assigned and revoked and not self.app.should_stop:
            reach("in-revoke")
            end_process("partitions were revoked; a fresh process takes over what is assigned next", code=REVOKED_CODE)
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        self._was_assigned = self._was_assigned or bool(assigned)
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_stop(self) -> None:
        await super().on_stop()
        if self._fetching is not None:
            await self._fetching.close()

    async def perform_seek(self) -> None:
        """Seek every assigned partition to the position that its reader's state gives."""
        by_topic: dict[str, set[int]] = {}
        for tp in self.assignment():
            by_topic.setdefault(tp.topic, set()).add(tp.partition)
        for topic, partitions in by_topic.items():
            if topic in _start_positions:
                try:
                    positions = await _start_positions[topic](frozenset(partitions))
                    fetching = await self._reader()
                except DamagedLog as damage:
                    await end_damaged(damage)
                except KafkaError as error:
                    end_process(f"Kafka does not say where to begin in {topic}, a fresh process asks again: {error}")
                except Exception as error:
                    end_process(f"where to begin in {topic} cannot be known", error)
                for partition in partitions:
                    tp = TP(topic, partition)
                    # One that is none of the reader's (agents/matching.py: leave) goes on where the group is.
                    is_ours = partition in positions
                    self._begin(fetching, tp, positions[partition] if is_ours else await super().position(tp) or 0)

    async def _reader(self) -> Fetching:
        if self._fetching is None:
            pace_s = max(_pace_s.values(), default=0.0)
            fetching = Fetching(broker_address(self.app.conf.broker), _start_positions, pace_s)
            await fetching.start()
            self._fetching = fetching
        return self._fetching

    def _begin(self, fetching: Fetching, tp: TP, offset: int) -> None:
        fetching.seek(tp, offset)
        self._next_offset[tp] = offset
        # Faust would take the first batch for a jump over everything before it.
        self._read_offset[tp] = None
        self._committed_offset[tp] = offset or None

    def delivered(self, tp: TP) -> int:
        """Up to which offset the partition's records were given to its agent."""
        return self._next_offset.get(tp, 0)

    async def position(self, tp: TP) -> int | None:
        """The offset to be fetched next."""
        return None if self._fetching is None else self._fetching.positions.get(tp)

    def end(self, tp: TP) -> int:
        """Where the partition ended at the last fetch: for figures."""
        return 0 if self._fetching is None else self._fetching.ends.get(tp, 0)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Raise no alarm of Faust's: app/streaming/watchdog.py watches the topics that are read.

        Faust would report the changelog as not read, which is so by design, and a partition without commands as slow.
        """

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        committed = bool(await super()._commit(offsets))
        reach("after-commit")
        return committed

    async def _drain_messages(self, fetcher: Any) -> None:
        """Give each batch to its agent. Faust makes four tasks for each, so that it can stop waiting for a full queue
        when partitions are revoked; that ends this process.
        """
        try:
            while not (self.should_stop or fetcher.should_stop):
                async for _, message in self.getmany(0.0):
                    await self.callback(message)
        except asyncio.CancelledError:
            if not self.app.should_stop:
                raise

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109 - Faust gives the signature
        """Fetched records as batches. What arrives while the flow is stopped is dropped: a seek follows (recovery)."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        # A queue that is full makes us wait when its turn comes; Faust would leave its partition out of the request.
        wanted = self._active_partitions | self._buffered_partitions
        if self._fetching is None or not wanted:
            await self.sleep(NOTHING_TO_READ_S)
            return
        found = await self._found(self._fetching, wanted)
        generation = self.app.consumer_generation_id
        for fetched in found:
            tp = TP(*fetched.where)
            for batch in fetched.chunks(MAX_BATCH_RECORDS):
                if self.should_stop or not self.flow_active or generation != self.app.consumer_generation_id:
                    return
                await self._check_dense(tp, batch)
                yield tp, self._batch(tp, batch)

    async def _found(self, fetching: Fetching, wanted: Collection[TP]) -> list[Fetched]:
        try:
            return await fetching.fetch(wanted)
        except DamagedLog as damage:
            await end_damaged(damage)
        except OffsetOutOfRangeError as error:
            ((tp, offset),) = error.args[0].items()
            end_process(_lost(tp, offset))
        except Exception as error:
            end_process("reading failed", error)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Faust takes what lies between the ends of two batches for a gap, and keeps interval trees of them."""

    def _new_offset(self, tp: TP) -> int | None:
        """What to commit: batches are acknowledged in order, so everything up to the last one."""
        acknowledged = self._acked[tp]
        if not acknowledged:
            return None
        last = max(acknowledged)
        acknowledged.clear()
        self._acked_index[tp].clear()
        return int(last) + 1

    def _batch(self, tp: TP, records: tuple[Any, ...]) -> BatchMessage:
        last = records[-1]
        message = BatchMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000,
            last.timestamp_type,
            None,
            last.key,
            last.value,
            None,
            None,
            None,
            tp,
            generation_id=self.app.consumer_generation_id,
        )
        message.records = records
        return message

    async def _check_dense(self, tp: TP, records: tuple[Any, ...]) -> None:
        """docs/EXACTNESS.md, I7: within an assignment offsets follow each other; a hole must hold no record."""
        expected = self._next_offset.get(tp, records[0].offset)
        self._next_offset[tp] = records[-1].offset + 1
        if records[0].offset == expected and records[-1].offset - expected + 1 == len(records):
            return
        for record in records:
            if record.offset != expected:
                await self._confirm_hole(tp, expected, record.offset)
            expected = record.offset + 1

    async def _confirm_hole(self, tp: TP, expected: int, found: int) -> None:
        """Read the hole again by ourselves; transactions leave such holes, anything else ends the process."""
        try:
            again = await first_offset_from(broker_address(self.app.conf.broker), tp, expected)
        except (OffsetOutOfRangeError, TimeoutError):
            end_process(_lost(tp, expected))
        if again != found:
            end_process(f"{tp.topic}/{tp.partition} jumped from {expected} to {found}, but {again} is there")
        self.log.warning("%s/%s has no records from %s to %s", tp.topic, tp.partition, expected, found - 1)


async def first_offset_from(broker: str, tp: TP, offset: int) -> int:
    """The offset of the first record at or after an offset, as a fresh consumer sees it."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False, auto_offset_reset="none")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(tp.topic, tp.partition)])
        consumer.seek(TopicPartition(tp.topic, tp.partition), offset)
        record = await asyncio.wait_for(consumer.getone(), timeout=REREAD_TIMEOUT_S)
        return int(record.offset)
    finally:
        await consumer.stop()


def _lost(tp: TopicPartition, offset: int) -> str:
    return (
        f"{tp.topic}/{tp.partition} was read up to {offset} and has no record there now: it has lost records "
        "or was made again; a fresh process compares the logs and says what to do"
    )
