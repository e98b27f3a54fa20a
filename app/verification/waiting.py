"""Waiting until a running venue has done what it was asked so far; one whose workers are down is taken as it is."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from app.groups import members
from app.models.reports import decode_report
from app.topics import EXECUTIONS, ORDERS
from app.verification.reading import KafkaLogs

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


async def caught_up(broker: str, logs: KafkaLogs, recorded: Recorded | None, timeout_s: float) -> CaughtUp:
    """Wait for what is in `orders` now to be reported, and for those reports to be recorded. Raises NotQuiet."""
    started = time.monotonic()
    required = {number: await logs.end(ORDERS.name, number) for number in range(logs.partitions)}
    last = {number: await logs.last(ORDERS.name, number, end) for number, end in required.items()}
    commands = {number: record.offset for number, record in last.items() if record is not None}
    while behind := await _unmatched(logs, commands):
        if not await members(broker, "matching"):
            return CaughtUp(dict.fromkeys(required, 0), time.monotonic() - started)
        await _wait(started, timeout_s, behind)
    ends = {number: await logs.end(EXECUTIONS.name, number) for number in range(logs.partitions)}
    while recorded is not None and (behind := _unrecorded(await recorded(), ends)):
        if not await members(broker, "recording"):
            break
        await _wait(started, timeout_s, behind)
    return CaughtUp(required, time.monotonic() - started)


async def _unmatched(logs: KafkaLogs, commands: Mapping[int, int]) -> str | None:
    """Which partition's last command has no report yet, in words."""
    for number, offset in commands.items():
        done = await _last_reported(logs, number)
        if offset > done:
            return f"matching has done {done + 1} of {offset + 1} commands of partition {number}"
    return None


async def _last_reported(logs: KafkaLogs, number: int) -> int:
    """The command that the last report of a partition is about; 0, the genesis record, if there is none."""
    last = await logs.last(EXECUTIONS.name, number, await logs.end(EXECUTIONS.name, number))
    return 0 if last is None or last.value is None else decode_report(last.value).offset


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
