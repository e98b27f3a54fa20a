"""Waiting until a running venue has done what it was asked so far; one whose workers are down is taken as it is."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import msgspec

from app.groups import members
from app.topics import EXECUTIONS, ORDERS
from app.verification.reading import KafkaLogs

POLL_S = 0.2
# What Postgres has recorded of each partition of executions; None while it is away.
Recorded = Callable[[], Awaitable[Mapping[int, int] | None]]


class NotQuiet(TimeoutError):
    """The venue did not finish its work in time; the message says where it stood."""


class _Part(msgspec.Struct):
    """Of a report, or a part of it, only what is needed here: decoding all of it takes four times as long."""

    offset: int
    part: int = 1
    parts: int = 1


_decode_part = msgspec.json.Decoder(_Part).decode


class CaughtUp(NamedTuple):
    """The offset of each partition of `orders` below which everything is done, and how long that took.

    With nobody to match what is left these are 0: only what a snapshot covers is then known to have been done.
    """

    required: dict[int, int]
    waited_s: float


async def caught_up(broker: str, logs: KafkaLogs, recorded: Recorded | None, timeout_s: float) -> CaughtUp:
    """Wait for what is in `orders` now to be reported, and for those reports to be recorded. Raises NotQuiet."""
    started = time.monotonic()
    required = {number: await logs.end(ORDERS.name, number) for number in range(logs.partitions)}
    last = {number: await logs.last(ORDERS.name, number, end) for number, end in required.items()}
    commands = {number: record.offset for number, record in last.items() if record is not None}
    reported = _Reported(logs)
    while behind := await _unmatched(reported, commands):
        if not await members(broker, "matching"):
            return CaughtUp(dict.fromkeys(required, 0), time.monotonic() - started)
        await _wait(started, timeout_s, behind)
    ends = {number: await logs.end(EXECUTIONS.name, number) for number in range(logs.partitions)}
    while recorded is not None and (behind := _unrecorded(await recorded(), ends)):
        if not await members(broker, "recording"):
            break
        await _wait(started, timeout_s, behind)
    return CaughtUp(required, time.monotonic() - started)


async def _unmatched(reported: "_Reported", commands: Mapping[int, int]) -> str | None:
    """Which partition's last command has no report yet, in words."""
    for number, offset in commands.items():
        done = await reported.up_to(number, offset)
        if done < offset:
            return f"matching has done {done + 1} of {offset + 1} commands of partition {number}"
    return None


class _Reported:
    """How far the commands of each partition are reported.

    Mostly the last report says it. But who begins anew after a snapshot of one instrument reports once more what is
    younger of another one, and a worker that was paused what it had in hand: then all reports are read, once.
    """

    def __init__(self, logs: KafkaLogs) -> None:
        self._logs = logs
        self._seen: dict[int, int] = {}
        self._highest: dict[int, int] = {}

    async def up_to(self, number: int, wanted: int) -> int:
        """The highest command known to be reported: at least `wanted`, if that one is."""
        last = await self._logs.last(EXECUTIONS.name, number, await self._logs.end(EXECUTIONS.name, number))
        highest = max(self._highest.get(number, 0), _command_of(last.value) if last else 0)
        if highest < wanted:
            stream = await self._logs.stream(EXECUTIONS.name, number, self._seen.get(number, 0))
            while records := await stream.read():
                highest = max(highest, *(_command_of(record.value) for record in records))
            self._seen[number] = stream.end
        self._highest[number] = highest
        return highest


def _command_of(value: bytes | None) -> int:
    """The command whose report ends with this; 0, the genesis record, if none does."""
    try:
        report = _decode_part(value or b"")
    except ValueError:
        return 0  # what it is instead is for the judge to say
    return report.offset if report.part == report.parts else 0


def _unrecorded(recorded: Mapping[int, int] | None, ends: Mapping[int, int]) -> str | None:
    if recorded is None:
        return "Postgres is away"
    for number, end in ends.items():
        if recorded.get(number, 0) < end:
            return f"Postgres has {recorded.get(number, 0)} of {end} reports of partition {number}"
    return None


async def _wait(started: float, timeout_s: float, behind: str) -> None:
    if time.monotonic() - started > timeout_s:
        raise NotQuiet(f"not quiet after {timeout_s:g} s: {behind}")
    await asyncio.sleep(POLL_S)
