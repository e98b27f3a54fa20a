"""A Faust consumer that delivers whole fetched batches and starts each topic where its reader's state says.

Faust spends about 100 us on tasks and acknowledgements for each message, so a message is a batch instead of a record.
Faust's own consumer, in its own thread, only joins the group; app/streaming/fetching.py fetches in the worker's event
loop. A reader's position is part of its state, so no reader starts from group offsets (docs/EXACTNESS.md, I4, I9).
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
from app.pace import FULL_RATE
from app.streaming.failpoints import reach
from app.streaming.failstop import REVOKED_CODE, end_damaged, end_process
from app.streaming.fetching import Fetched, Fetching
from app.streaming.intact import DamagedLog

REREAD_TIMEOUT_S = 30.0
MAX_BATCH_RECORDS = 256  # limits how long one batch blocks the event loop
NOTHING_TO_READ_S = 0.1  # pause before checking again for assigned partitions

# Given the partitions that were just assigned, the offset at which to begin each of them.
StartPositions = Callable[[frozenset[int]], Awaitable[dict[int, int]]]
_start_positions: dict[str, StartPositions] = {}
_paces: dict[str, tuple[float, float]] = {}


def start_reading_at(topic: str, positions: StartPositions, pace_s: float = 0.0, full_rate: float = FULL_RATE) -> None:
    """Set where to start the partitions of a topic whenever they are assigned.

    The consumer waits before each fetch, `pace_s` from `full_rate` records a second on (app/pace.py): fewer, larger
    batches cost less.
    """
    _start_positions[topic], _paces[topic] = positions, (pace_s, full_rate)


class BatchMessage(ConsumerMessage):
    """A fetched batch; `records` are aiokafka's, with dense offsets. Faust sees only the last record."""

    __slots__ = ("records",)
    records: tuple[Any, ...]


class _RebalanceListener(kafka_driver.ConsumerRebalanceListener):
    """Faust's listener; it pauses assigned partitions in Faust's consumer, because `Fetching` reads them."""

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._thread._ensure_consumer().pause(*assigned)
        await super().on_partitions_assigned(assigned)


class _ConsumerThread(kafka_driver.AIOKafkaConsumerThread):
    """Faust's consumer thread; it stays in its group although it fetches nothing."""

    def _create_worker_consumer(self, transport: kafka_driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # aiokafka leaves the group if its consumer fetches nothing for long, so pretend that a fetch is always active.
        # Our watchdogs check that we do fetch.
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
        # We saw a second assignment in one process restore stale state; a fresh process is cheap and exact.
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
        """Seek every assigned partition to the position in its reader's state."""
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
                    # A partition that the reader skips (agents/matching.py: leave) continues at the group's offset.
                    is_ours = partition in positions
                    self._begin(fetching, tp, positions[partition] if is_ours else await super().position(tp) or 0)

    async def _reader(self) -> Fetching:
        if self._fetching is None:
            pace_s, full_rate = max(_paces.values(), default=(0.0, FULL_RATE))
            fetching = Fetching(broker_address(self.app.conf.broker), _start_positions, pace_s, full_rate)
            await fetching.start()
            self._fetching = fetching
        return self._fetching

    def _begin(self, fetching: Fetching, tp: TP, offset: int) -> None:
        fetching.seek(tp, offset)
        self._next_offset[tp] = offset
        # Otherwise Faust would treat the offsets before the first batch as a gap.
        self._read_offset[tp] = None
        self._committed_offset[tp] = offset or None

    def delivered(self, tp: TP) -> int:
        """The offset after the last record that was delivered to the partition's agent."""
        return self._next_offset.get(tp, 0)

    async def position(self, tp: TP) -> int | None:
        """The offset to fetch next."""
        return None if self._fetching is None else self._fetching.positions.get(tp)

    def end(self, tp: TP) -> int:
        """The partition's end as of the last fetch, for metrics."""
        return 0 if self._fetching is None else self._fetching.ends.get(tp, 0)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Disable Faust's alarms, because app/streaming/watchdog.py watches the topics.

        Faust would complain that the changelog is not read, which is intended, and call a partition without commands
        slow.
        """

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        committed = bool(await super()._commit(offsets))
        reach("after-commit")
        return committed

    async def _drain_messages(self, fetcher: Any) -> None:
        """Deliver each batch to its agent without the four tasks that Faust creates for each.

        They let Faust stop waiting for a full queue when partitions are revoked; here a revocation ends the process.
        """
        try:
            while not (self.should_stop or fetcher.should_stop):
                async for _, message in self.getmany(0.0):
                    await self.callback(message)
        except asyncio.CancelledError:
            if not self.app.should_stop:
                raise

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109 - Faust gives the signature
        """Yield fetched records as batches. Drop records that arrive while the flow is stopped: recovery then seeks."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        # Include partitions whose queue is full, which Faust would leave out; delivering to them waits for room.
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
        """Do nothing: Faust would record the offsets between the ends of two batches as gaps, in interval trees."""

    def _new_offset(self, tp: TP) -> int | None:
        """The offset to commit: after the last acknowledged batch, because batches are acknowledged in order."""
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
            None,  # no key, no value: the message lives until its checkpoint, longer than its records
            None,
            None,
            None,
            None,
            tp,
            generation_id=self.app.consumer_generation_id,
        )
        message.records = records
        return message

    async def _check_dense(self, tp: TP, records: tuple[Any, ...]) -> None:
        """Check that no offset is skipped unless the log has no record there (docs/EXACTNESS.md, I7)."""
        expected = self._next_offset.get(tp, records[0].offset)
        self._next_offset[tp] = records[-1].offset + 1
        if records[0].offset == expected and records[-1].offset - expected + 1 == len(records):
            return
        for record in records:
            if record.offset != expected:
                await self._confirm_hole(tp, expected, record.offset)
            expected = record.offset + 1

    async def _confirm_hole(self, tp: TP, expected: int, found: int) -> None:
        """Read the hole again with a fresh consumer. Transactions leave holes; any other jump ends the process."""
        try:
            again = await first_offset_from(broker_address(self.app.conf.broker), tp, expected)
        except (OffsetOutOfRangeError, TimeoutError):
            end_process(_lost(tp, expected))
        if again != found:
            end_process(f"{tp.topic}/{tp.partition} jumped from {expected} to {found}, but {again} is there")
        self.log.warning("%s/%s has no records from %s to %s", tp.topic, tp.partition, expected, found - 1)


async def first_offset_from(broker: str, tp: TP, offset: int) -> int:
    """The offset of the first record at or after this offset, as a fresh consumer sees it."""
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
