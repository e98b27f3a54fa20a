"""Reads single old records of the log to answer repeated keys: the command that placed an order, and old reports."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.engine import partition_of
from app.kafka.reading import KafkaAway, LogRecord, PatientReader, Stretch, end_of
from app.models.commands import PlaceOrder, ReplaceOrder, UndecodableCommand, decode_command
from app.models.reports import ExecutionReport, read_report
from app.models.undecodable import UNDECODABLE
from app.topics import EXECUTIONS, ORDERS

READ_TIMEOUT_S = 5.0
FETCH_BYTES = 64 * 1024  # read in one step of a search
STEP = 100  # records read in one step of a search
MAX_COMMANDS_READ = 10_000  # starting at an order's time; the first of them with the order's key placed it
MAX_PLACINGS = 10_000  # kept in memory for clients that repeat often


class Unreadable(Exception):
    """Kafka does not answer in time, or the log no longer has the record."""


class LogReader:
    """Searches the log; one search at a time."""

    def __init__(self, broker: str, partitions: int) -> None:
        self._reader, self._partitions = PatientReader(broker, READ_TIMEOUT_S, FETCH_BYTES), partitions
        self._placings: dict[tuple[str, str, str, int], PlaceOrder | ReplaceOrder] = {}

    async def close(self) -> None:
        """Disconnect."""
        await self._reader.close()

    async def end_of_orders(self, instrument: str) -> int:
        """The end of the instrument's partition of `orders`; raises Unreadable."""
        async with self._turn() as reader:
            return await end_of(reader, self._partition(ORDERS.name, instrument))

    async def placing(self, order: PlaceOrder, time_ms: int) -> PlaceOrder | ReplaceOrder:
        """The first command at or after this time that places an order under the same key; raises Unreadable."""
        async with self._turn() as reader:
            return await self._placing(reader, order, time_ms)

    async def report(self, instrument: str, seq: int) -> list[ExecutionReport]:
        """All parts of the report whose first part has this seq; raises Unreadable."""
        async with self._turn() as reader:
            return await _report(reader, self._partition(EXECUTIONS.name, instrument), instrument.encode(), seq)

    async def after(self, instrument: str, seq: int, offset: int | None) -> tuple[list[ExecutionReport], int]:
        """Some of the reports after a seq, which must be in the log, and the offset at which to read on.

        They are read from `offset` on, or if it is None from where the first of them is. Raises Unreadable.
        """
        where, key = self._partition(EXECUTIONS.name, instrument), instrument.encode()
        async with self._turn() as reader:
            start = await _find(reader, where, key, seq + 1) if offset is None else offset
            records = await Stretch(reader, where, start, await end_of(reader, where)).read()
        if not records:
            raise Unreadable(f"executions[{where.partition}] ends before report {seq + 1} of {instrument}")
        return [report for record in records if (report := _report_of(record, key))], records[-1].offset + 1

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[AIOKafkaConsumer]:
        try:
            async with self._reader.turn() as reader:
                yield reader
        except KafkaAway as error:
            raise Unreadable(str(error)) from error

    async def _placing(self, reader: AIOKafkaConsumer, order: PlaceOrder, time_ms: int) -> PlaceOrder | ReplaceOrder:
        known = self._placings.get((*_key(order), time_ms))
        if known is not None:
            return known
        where = self._partition(ORDERS.name, order.instrument)
        found, end = (await reader.offsets_for_times({where: time_ms}))[where], await end_of(reader, where)
        if found is not None:
            stretch = Stretch(reader, where, found.offset, min(end, found.offset + MAX_COMMANDS_READ))
            while records := await stretch.read():
                # Keep every command read: a client that repeats an order often repeats its neighbours.
                for record in records:
                    message = _placed(record.value)
                    if message is not None:
                        at = time_ms if _key(message) == _key(order) else record.timestamp_ms
                        self._keep((*_key(message), at), message)
                if (known := self._placings.get((*_key(order), time_ms))) is not None:
                    return known
        raise Unreadable(f"orders[{where.partition}] has no command of this key from {time_ms} on")

    def _keep(self, key: tuple[str, str, str, int], message: PlaceOrder | ReplaceOrder) -> None:
        self._placings.setdefault(key, message)
        if len(self._placings) > MAX_PLACINGS:
            del self._placings[next(iter(self._placings))]

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


async def _report(reader: AIOKafkaConsumer, where: TopicPartition, key: bytes, seq: int) -> list[ExecutionReport]:
    return await _parts(reader, where, key, await _find(reader, where, key, seq))


async def _find(reader: AIOKafkaConsumer, where: TopicPartition, key: bytes, seq: int) -> int:
    """Find the report by binary search. Seqs ascend, except where a restarted worker repeated some reports."""
    low, high = int((await reader.beginning_offsets([where]))[where]), await end_of(reader, where)
    while low < high:
        middle = low if high - low <= STEP else (low + high) // 2
        reached, is_below = middle, False
        async for record in _records(reader, where, middle, high):
            report = _report_of(record, key)
            found = 0 if report is None else report.seq
            if found == seq:
                return record.offset
            if found > seq:
                break
            reached, is_below = record.offset + 1, is_below or found > 0
            if is_below and reached - middle >= STEP:
                break
        low, high = (max(low + 1, reached), high) if is_below else (low, middle)
    raise Unreadable(f"executions[{where.partition}] has no report {seq} of {key.decode()}")


async def _parts(reader: AIOKafkaConsumer, where: TopicPartition, key: bytes, offset: int) -> list[ExecutionReport]:
    parts: list[ExecutionReport] = []
    async for record in _records(reader, where, offset, await end_of(reader, where)):
        report = _report_of(record, key)
        if report is not None:
            parts.append(report)
            if report.part == report.parts:
                return parts
    raise Unreadable(f"executions[{where.partition}] ends within the report at {offset}")


async def _records(reader: AIOKafkaConsumer, where: TopicPartition, start: int, end: int) -> AsyncIterator[LogRecord]:
    """The records at offsets from `start` up to but not including `end`."""
    stretch = Stretch(reader, where, start, end)
    while records := await stretch.read():
        for record in records:
            yield record


def _report_of(record: LogRecord, key: bytes) -> ExecutionReport | None:
    """The report, if it is one under this key; None for what another program wrote. Raises Unreadable."""
    if record.key != key:
        return None
    try:
        return read_report(record.value)
    except UNDECODABLE as error:
        raise Unreadable(f"the report of {key.decode()} at offset {record.offset} is unreadable: {error}") from error
