"""Single records of the log read again, for repeats of old keys: the command that placed an order, and old reports."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from app.engine import partition_of
from app.models.commands import PlaceOrder, ReplaceOrder, UndecodableCommand, decode_command
from app.models.reports import ExecutionReport, decode_report
from app.topics import EXECUTIONS, ORDERS

READ_TIMEOUT_S = 5.0
FETCH_MAX_WAIT_MS = 20
FETCH_BYTES = 64 * 1024  # what a step of a search reads
STEP = 100  # records looked at in one step of a search
MAX_COMMANDS_READ = 10_000  # from an order's time on; the first of its key there placed it
MAX_PLACINGS = 10_000  # kept, for those who repeat again and again

T = TypeVar("T")


class Unreadable(Exception):
    """Kafka does not answer in time, or the log does not have the record any more."""


class LogReader:
    """A consumer of no group that reads one place at a time; it connects when somebody needs it."""

    def __init__(self, broker: str, partitions: int) -> None:
        self._broker, self._partitions = broker, partitions
        self._consumer: AIOKafkaConsumer | None = None
        self._turn = asyncio.Lock()
        self._placings: dict[tuple[str, str, str, int], PlaceOrder | ReplaceOrder] = {}

    async def close(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def end_of_orders(self, instrument: str) -> int:
        """The end of the instrument's partition of `orders`; raises Unreadable."""
        return await self._in_turn(lambda: self._end_of_orders(instrument))

    async def placing(self, order: PlaceOrder, time_ms: int) -> PlaceOrder | ReplaceOrder:
        """The first command from this time on that places an order under the same key; raises Unreadable."""
        return await self._in_turn(lambda: self._placing(order, time_ms))

    async def report(self, instrument: str, seq: int) -> list[ExecutionReport]:
        """The report whose first part has this seq, in its parts; raises Unreadable."""
        return await self._in_turn(lambda: self._report(instrument, seq))

    async def _in_turn(self, read: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(READ_TIMEOUT_S), self._turn:
                try:
                    return await read()
                finally:
                    if self._consumer is not None:
                        self._consumer.unsubscribe()  # else it goes on fetching
        except (KafkaError, TimeoutError, OSError) as error:
            raise Unreadable(f"Kafka does not answer: {error}") from error

    async def _end_of_orders(self, instrument: str) -> int:
        tp = self._partition(ORDERS.name, instrument)
        return int((await (await self._connected()).end_offsets([tp]))[tp])

    async def _placing(self, order: PlaceOrder, time_ms: int) -> PlaceOrder | ReplaceOrder:
        known = self._placings.get((*_key(order), time_ms))
        if known is not None:
            return known
        tp = self._partition(ORDERS.name, order.instrument)
        consumer = await self._connected()
        found, end = (await consumer.offsets_for_times({tp: time_ms}))[tp], (await consumer.end_offsets([tp]))[tp]
        if found is not None:
            async for records in self._batches(tp, found.offset, min(end, found.offset + MAX_COMMANDS_READ)):
                # All of them are kept: whoever repeats an order often repeats its neighbours.
                for record in records:
                    message = _placed(record.value)
                    if message is not None:
                        at = time_ms if _key(message) == _key(order) else record.timestamp
                        self._keep((*_key(message), at), message)
                if (known := self._placings.get((*_key(order), time_ms))) is not None:
                    return known
        raise Unreadable(f"orders[{tp.partition}] has no command of this key from {time_ms} on")

    def _keep(self, key: tuple[str, str, str, int], message: PlaceOrder | ReplaceOrder) -> None:
        self._placings.setdefault(key, message)
        if len(self._placings) > MAX_PLACINGS:
            del self._placings[next(iter(self._placings))]

    async def _report(self, instrument: str, seq: int) -> list[ExecutionReport]:
        """Halve the log until a step meets the report. Seqs ascend, but for stretches that a restart repeats."""
        tp, key = self._partition(EXECUTIONS.name, instrument), instrument.encode()
        consumer = await self._connected()
        low, high = (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]
        while low < high:
            middle = low if high - low <= STEP else (low + high) // 2
            reached, is_below = middle, False
            async for record in self._records(tp, middle, high):
                found = decode_report(record.value).seq if record.key == key else 0
                if found == seq:
                    return await self._parts(tp, key, record.offset)
                if found > seq:
                    break
                reached, is_below = record.offset + 1, is_below or found > 0
                if is_below and reached - middle >= STEP:
                    break
            low, high = (max(low + 1, reached), high) if is_below else (low, middle)
        raise Unreadable(f"executions[{tp.partition}] has no report {seq} of {instrument}")

    async def _parts(self, tp: TopicPartition, key: bytes, offset: int) -> list[ExecutionReport]:
        consumer, parts = await self._connected(), list[ExecutionReport]()
        async for record in self._records(tp, offset, (await consumer.end_offsets([tp]))[tp]):
            if record.key == key:
                parts.append(decode_report(record.value))
                if parts[-1].part == parts[-1].parts:
                    return parts
        raise Unreadable(f"executions[{tp.partition}] ends within the report at {offset}")

    async def _records(self, tp: TopicPartition, start: int, end: int) -> AsyncIterator[Any]:
        """The records from an offset on, below another."""
        async for records in self._batches(tp, start, end):
            for record in records:
                yield record

    async def _batches(self, tp: TopicPartition, start: int, end: int) -> AsyncIterator[list[Any]]:
        consumer = await self._connected()
        consumer.assign([tp])
        consumer.seek(tp, start)
        while await consumer.position(tp) < end:
            records = (await consumer.getmany(tp, timeout_ms=FETCH_MAX_WAIT_MS)).get(tp, [])
            if records:
                yield [record for record in records if record.offset < end]

    async def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._broker,
                enable_auto_commit=False,
                auto_offset_reset="none",
                fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
                max_partition_fetch_bytes=FETCH_BYTES,
            )
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            self._consumer = consumer
        return self._consumer

    def _partition(self, topic: str, instrument: str) -> TopicPartition:
        return TopicPartition(topic, partition_of(instrument, self._partitions))


def _placed(value: bytes | None) -> PlaceOrder | ReplaceOrder | None:
    try:
        message = decode_command(value)
    except UndecodableCommand:
        return None
    return message if isinstance(message, PlaceOrder | ReplaceOrder) else None


def _key(order: PlaceOrder | ReplaceOrder) -> tuple[str, str, str]:
    return order.client_id, order.instrument, order.client_order_id
