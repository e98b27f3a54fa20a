"""Waits until a running venue has finished its work so far; does not wait for workers that are down."""

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
# Returns the recorded offset of each partition of executions; None while Postgres cannot be reached.
Recorded = Callable[[], Awaitable[Mapping[int, int] | None]]


class NotQuiet(TimeoutError):
    """The venue did not finish its work in time; the message says how far it was."""


class CaughtUp(NamedTuple):
    """For each partition of `orders` the offset below which everything must be done, and how long we waited.

    If commands are left and no matching worker runs, the offsets are 0: then only snapshots show what must be done.
    `unrecorded` says what Postgres lacks if no recording worker runs.
    """

    required: dict[int, int]
    waited_s: float
    unrecorded: str | None = None


async def caught_up(broker: str, logs: VenueLogs, recorded: Recorded | None, timeout_s: float) -> CaughtUp:
    """Wait until all commands now in `orders` are reported, and those reports recorded. Raises NotQuiet."""
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
            return CaughtUp(required, time.monotonic() - started, f"{behind}, and no recording worker runs")
        await _wait(started, timeout_s, behind)
    return CaughtUp(required, time.monotonic() - started)


async def _unmatched(reports: Mapping[int, "_Reports"], commands: Mapping[int, int]) -> str | None:
    """A sentence about a partition whose last command has no report yet; None if all have one."""
    for partition_id, offset in commands.items():
        done = await reports[partition_id].done(offset)
        if done < offset:
            return f"matching has done {done + 1} of {offset + 1} commands of partition {partition_id}"
    return None


class _Reports:
    """How far the commands of a partition are reported.

    Usually the last report in the topic shows it. But a restarted worker repeats older reports of instruments with
    older snapshots, and a paused worker sends its unsent ones late: then we read all reports, once.
    """

    def __init__(self, logs: VenueLogs, partition_id: int) -> None:
        self._logs, self._partition_id = logs, partition_id
        self._done = self._read_to = 0

    async def done(self, wanted: int) -> int:
        """The highest command known to be reported; at least `wanted` if that one is. 0 is the genesis record."""
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
    """The few fields of a report that we need here: decoding all of them takes four times as long."""

    offset: int
    part: int = 1
    parts: int = 1


_decode_part = msgspec.json.Decoder(_Part).decode


def _command_of(value: bytes | None) -> int:
    """The offset of the command whose report ends with this record; 0 (the genesis record) if none does."""
    try:
        report = _decode_part(value or b"")
    except UNDECODABLE:
        return 0  # the judge reports unreadable records
    return report.offset if report.part == report.parts else 0


def _unrecorded(recorded: Mapping[int, int] | None, ends: Mapping[int, int]) -> str | None:
    if recorded is None:
        return "Postgres cannot be reached"
    for partition_id, end in ends.items():
        if recorded.get(partition_id, 0) < end:
            return f"Postgres has {recorded.get(partition_id, 0)} of {end} reports of partition {partition_id}"
    return None


async def _wait(started: float, timeout_s: float, behind: str) -> None:
    if time.monotonic() - started > timeout_s:
        raise NotQuiet(f"not quiet after {timeout_s:g} s: {behind}")
    await asyncio.sleep(POLL_S)
