"""Waiting until a running venue has done what it was asked so far; one whose workers are down is taken as it is."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import msgspec

from app.kafka.groups import members
from app.models.undecodable import UNDECODABLE
from app.topics import EXECUTIONS, ORDERS
from app.verification.reading import VenueLogs

POLL_S = 0.2
# What Postgres has recorded of each partition of executions; None while it is away.
Recorded = Callable[[], Awaitable[Mapping[int, int] | None]]


class NotQuiet(TimeoutError):
    """The venue did not finish its work in time; the message says where it stood."""


class CaughtUp(NamedTuple):
    """The offset of each partition of `orders` below which everything is done, and how long that took.

    With nobody to match what is left these are 0: only what a snapshot covers is then known to have been done.
    """

    required: dict[int, int]
    waited_s: float


async def caught_up(broker: str, logs: VenueLogs, recorded: Recorded | None, timeout_s: float) -> CaughtUp:
    """Wait for what is in `orders` now to be reported, and for those reports to be recorded. Raises NotQuiet."""
    started = time.monotonic()
    required = {partition_id: await logs.end(ORDERS.name, partition_id) for partition_id in range(logs.partitions)}
    last = {partition_id: await logs.last(ORDERS.name, partition_id, end) for partition_id, end in required.items()}
    commands = {partition_id: record.offset for partition_id, record in last.items() if record is not None}
    reports = {partition_id: _Reports(logs, partition_id) for partition_id in commands}
    while behind := await _unmatched(reports, commands):
        if not await members(broker, "matching"):
            return CaughtUp(dict.fromkeys(required, 0), time.monotonic() - started)
        await _wait(started, timeout_s, behind)
    ends = {partition_id: await logs.end(EXECUTIONS.name, partition_id) for partition_id in range(logs.partitions)}
    while recorded is not None and (behind := _unrecorded(await recorded(), ends)):
        if not await members(broker, "recording"):
            break
        await _wait(started, timeout_s, behind)
    return CaughtUp(required, time.monotonic() - started)


async def _unmatched(reports: Mapping[int, "_Reports"], commands: Mapping[int, int]) -> str | None:
    """Which partition's last command has no report yet, in words."""
    for partition_id, offset in commands.items():
        done = await reports[partition_id].done(offset)
        if done < offset:
            return f"matching has done {done + 1} of {offset + 1} commands of partition {partition_id}"
    return None


class _Reports:
    """How far the commands of a partition are reported.

    Mostly the last report says it. But who begins anew after a snapshot of one instrument reports once more what is
    younger of another one, and a worker that was paused what it had in hand: then all reports are read, once.
    """

    def __init__(self, logs: VenueLogs, partition_id: int) -> None:
        self._logs, self._partition_id = logs, partition_id
        self._done = self._read_to = 0

    async def done(self, wanted: int) -> int:
        """The highest command known to be reported: at least `wanted`, if that one is; 0 is the genesis record."""
        topic, partition_id = EXECUTIONS.name, self._partition_id
        if self._done < wanted and not self._read_to:
            last = await self._logs.last(topic, partition_id, await self._logs.end(topic, partition_id))
            self._done = _command_of(last.value) if last else 0
        if self._done < wanted:
            stream = await self._logs.stream(topic, partition_id, self._read_to)
            while records := await stream.read():
                self._done = max(self._done, *(_command_of(record.value) for record in records))
            self._read_to = stream.end
        return self._done


class _Part(msgspec.Struct):
    """Of a report, or a part of it, only what is needed here: decoding all of it takes four times as long."""

    offset: int
    part: int = 1
    parts: int = 1


_decode_part = msgspec.json.Decoder(_Part).decode


def _command_of(value: bytes | None) -> int:
    """The command whose report ends with this; 0, the genesis record, if none does."""
    try:
        report = _decode_part(value or b"")
    except UNDECODABLE:
        return 0  # what it is instead is for the judge to say
    return report.offset if report.part == report.parts else 0


def _unrecorded(recorded: Mapping[int, int] | None, ends: Mapping[int, int]) -> str | None:
    if recorded is None:
        return "Postgres is away"
    for partition_id, end in ends.items():
        if recorded.get(partition_id, 0) < end:
            return f"Postgres has {recorded.get(partition_id, 0)} of {end} reports of partition {partition_id}"
    return None


async def _wait(started: float, timeout_s: float, behind: str) -> None:
    if time.monotonic() - started > timeout_s:
        raise NotQuiet(f"not quiet after {timeout_s:g} s: {behind}")
    await asyncio.sleep(POLL_S)
