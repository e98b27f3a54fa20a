"""Sends a command straight into `orders` and waits for the engine's report of it in `executions`."""

import asyncio
import time
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.commands.gateway import ENGINE_TIMEOUT_S
from app.kafka.one_shot import ToSend, send
from app.kafka.reading import Stretch, connected_reader, end_of
from app.models.commands import SetEngineVersion, SnapshotBook, encode_command
from app.models.reports import ExecutionReport, read_report
from app.topics import EXECUTIONS, ORDERS

POLL_S = 0.05


class Sent(NamedTuple):
    """The command's offset in `orders`, and its report; None if there is no report after ENGINE_TIMEOUT_S."""

    offset: int
    report: ExecutionReport | None


async def send_and_wait(broker: str, number: int, command: SnapshotBook | SetEngineVersion) -> Sent:
    """Send the command to this partition and wait for its report. Raises KafkaError, NothingToRead."""
    where = TopicPartition(EXECUTIONS.name, number)
    async with connected_reader(broker) as reader:
        start = await end_of(reader, where)
        record = ToSend(ORDERS.name, number, command.instrument.encode(), encode_command(command))
        (offset,) = await send(broker, [record])
        return Sent(offset, await _report_of(offset, reader, where, start))


async def _report_of(
    offset: int, reader: AIOKafkaConsumer, where: TopicPartition, start: int
) -> ExecutionReport | None:
    """The report of the command at this offset, at `start` or after it."""
    give_up = time.monotonic() + ENGINE_TIMEOUT_S
    stretch = Stretch(reader, where, start, start)
    while time.monotonic() < give_up:
        for record in await stretch.read():
            report = read_report(record.value)
            if report is not None and report.offset == offset:
                return report
        await asyncio.sleep(POLL_S)
        await stretch.extend()
    return None
