"""Verifies the venue at given addresses: waits until it has caught up, collects the evidence, and judges it."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TypeVar

import aiohttp
from aiokafka import TopicPartition

from app.engine import Partition
from app.kafka.genesis import WrongTopic, log_ids
from app.kafka.reading import LogRecord, Stretch, connected_reader
from app.models.answers import Book
from app.postgres import AWAY, Stored, recorded_positions, shown_address
from app.topics import CLEARING, EXECUTIONS, ORDERS
from app.verification.bar_pass import judge_bars
from app.verification.bars import BarStates
from app.verification.effective import head_of
from app.verification.findings import Findings, Verdict, verdict
from app.verification.gateway import gateway_books
from app.verification.ledger import Entry
from app.verification.reading import VenueLogs
from app.verification.states import States
from app.verification.venue import Evidence, judge
from app.verification.waiting import Recorded, caught_up

FEED_TIMEOUT_S = 15.0  # time for a gateway to apply all reports
POLL_S = 0.1
PATIENCE_S = 15.0  # time for the last commands' reports, and for what a killed worker writes after its restart

S = TypeVar("S")
# (partition, its log id, findings) -> the partition's durable states as they are now.
StatesOf = Callable[[int, str, Findings], Awaitable[States[Partition]]]
BarStatesOf = Callable[[int, str, Findings], Awaitable[BarStates]]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Addresses:
    """Kafka's host:port, Postgres' URL and a gateway's URL; a part without an address is not judged."""

    broker: str
    database_url: str | None = None
    url: str | None = None
    api_key: str | None = None

    @property
    def shown(self) -> dict[str, str]:
        """Each part's address, without passwords."""
        database = shown_address(self.database_url) if self.database_url else None
        parts = {"Kafka": self.broker, "Postgres": database, "gateway": self.url}
        return {part: address for part, address in parts.items() if address is not None}


async def verify(
    where: Addresses,
    *,
    states: StatesOf | None = None,
    bar_states: BarStatesOf | None = None,
    entries: Sequence[Entry] = (),
    naive: bool = False,
    timeout_s: float = 60.0,
    progress: Progress = lambda done, total: None,
) -> Verdict:
    """Verify the venue; calls `progress(done, total)` with the number of replayed commands.

    Raises waiting.NotQuiet, and the errors of a server that cannot be reached.
    """
    async with VenueLogs(where.broker) as logs:
        ids = await _log_ids(where.broker, logs.partitions)
        # If Postgres belongs to another log, it will never catch up: do not wait, the judge reports it.
        recorded = None if await _has_another_log(where, ids) else _recorded(where)
        required, _, unrecorded = await caught_up(where.broker, logs, recorded, timeout_s)
        total = sum([await logs.end(ORDERS.name, partition_id) for partition_id in range(logs.partitions)])
        books = await _books(where, logs) if where.url else None
        tables = await Stored.open(where.database_url) if where.database_url else None
        evidence = Evidence(
            required,
            ids,
            tables,
            books,
            entries,
            await _facts(where.broker),
            _of_log(states, ids) if states else None,
            PATIENCE_S if any(required.values()) else 0.0,
        )
        done = 0

        def count(commands: int) -> None:
            nonlocal done
            done += commands
            progress(done, max(done, total))

        try:
            findings = Findings()
            seen = await judge(logs, evidence, naive, count, findings)
            read = _of_log(bar_states, ids) if bar_states else None
            late = await judge_bars(logs, findings, tables, read, ids, evidence.patience_s)
            whole = verdict(findings, naive, (*filter(None, [unrecorded]), *seen.in_flight, *late), ids)
            return whole._replace(addresses=where.shown)
        finally:
            if tables is not None:
                await tables.close()


async def until_quiet(where: Addresses, timeout_s: float) -> float:
    """Wait until all commands now in `orders` are reported and recorded; returns seconds. Raises waiting.NotQuiet."""
    async with VenueLogs(where.broker) as logs:
        return (await caught_up(where.broker, logs, _recorded(where), timeout_s)).waited_s


def _recorded(where: Addresses) -> Recorded | None:
    return partial(recorded_positions, where.database_url, EXECUTIONS.name) if where.database_url else None


async def _has_another_log(where: Addresses, ids: Mapping[int, str]) -> bool:
    """Whether Postgres has recorded another log than this one; False while it cannot be reached."""
    if where.database_url is None:
        return False
    try:
        tables = await Stored.open(where.database_url)
    except AWAY:
        return False
    await tables.close()
    return any(ids.get(partition_id) not in (None, log_id) for partition_id, log_id in tables.log_ids.items())


async def _books(where: Addresses, logs: VenueLogs) -> dict[str, Book]:
    """The gateway's books once it has applied all of `executions`; after FEED_TIMEOUT_S as they are, for the judge."""
    assert where.url is not None
    ends = {partition_id: await logs.end(EXECUTIONS.name, partition_id) for partition_id in range(logs.partitions)}
    last = [await logs.last(EXECUTIONS.name, partition_id, end) for partition_id, end in ends.items()]
    heads = dict(head_of(record.value) for record in last if record is not None)
    give_up = time.monotonic() + FEED_TIMEOUT_S
    while True:
        is_late = time.monotonic() > give_up
        try:
            books = await gateway_books(where.url, where.api_key)
        except aiohttp.ClientResponseError as error:
            if error.status != HTTPStatus.SERVICE_UNAVAILABLE or is_late:  # 503: it may still be catching up
                raise
        else:
            behind = [name for name, seq in heads.items() if name in books and books[name].seq < seq]
            if not behind or is_late:
                return books
        await asyncio.sleep(POLL_S)


async def _facts(broker: str) -> list[LogRecord]:
    """The topic `clearing` as it is now."""
    facts: list[LogRecord] = []
    async with connected_reader(broker) as reader:
        stretch = await Stretch.whole(reader, TopicPartition(CLEARING.name, 0))
        while records := await stretch.read():
            facts += records
    return facts


async def _log_ids(broker: str, partitions: int) -> Mapping[int, str]:
    try:
        return await log_ids(broker, partitions)
    except WrongTopic:
        return {}  # the judge reports which partition does not begin with its genesis record


def _of_log(
    states: Callable[[int, str, Findings], Awaitable[S]], ids: Mapping[int, str]
) -> Callable[[int, Findings], Awaitable[S]]:
    async def of_partition(partition_id: int, findings: Findings) -> S:
        return await states(partition_id, ids.get(partition_id, ""), findings)

    return of_partition
