"""Reports to record, the records that carry them, and what Postgres then holds beside what it should hold."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2

from app.matching.book import Book
from app.matching.commands import Command, List
from app.matching.events import split
from app.models.conversion import scale_of
from app.models.reports import decode_report, encode, report_message
from app.postgres import Recorder, Sink
from app.postgres.stored import CASTS
from app.verification.rows import KEYS, ExpectedRows, compare, compare_counts
from tests.matching.streams import commands

TOPIC = "executions"
LOG_ID = "00000000-0000-4000-8000-000000000001"


@dataclass(frozen=True)
class Record:
    """A record as the consumer gives it, as far as the recorder looks."""

    offset: int
    value: bytes | None
    topic: str = TOPIC


def market(seed: int, count: int) -> list[bytes]:
    """The encoded reports of a seeded stream of commands, from a real book."""
    found: list[bytes] = []
    stream = commands(seed, count)
    book = Book("BTC-USD")
    for command, moment in stream:
        report = book.apply(_sayable(command), moment)
        found += [encode(report_message(part, scale_of(book.listing))) for part in split(report)]
    return found


def _sayable(command: Command) -> Command:
    """No message can list a market that remembers nothing or lets nobody in, as the core's own tests do."""
    if not isinstance(command, List):
        return command
    names = ("id_window_count", "id_window_ms", "max_open_orders", "max_open_orders_per_client")
    least = {name: max(1, getattr(command.listing, name)) for name in names}
    return command._replace(listing=command.listing._replace(**least))


def records(values: Iterable[bytes], first_offset: int = 0) -> list[Record]:
    """Values at consecutive offsets."""
    return [Record(offset, value) for offset, value in enumerate(values, first_offset)]


def differences(database_url: str, reports: Iterable[bytes], next_offsets: dict[int, int]) -> list[str]:
    """What is wrong in Postgres, if it should hold exactly these reports and positions."""
    rows, lines = ExpectedRows(0), []
    for value in reports:
        rows.add(decode_report(value))
    settled, rest = rows.take(), rows.rest()
    for table in KEYS:
        found = table_rows(database_url, table)
        lines += compare(table, found, settled[table] | rest[table])
        lines += compare_counts(table, Counter(row["instrument"] for row in found), rows.counts[table])
    positions = {
        (row["topic"], row["partition"]): row["next_offset"] for row in table_rows(database_url, "sink_progress")
    }
    right = {(TOPIC, partition): offset for partition, offset in next_offsets.items()}
    return [*lines, f"positions {positions}, expected {right}"] if positions != right else lines


def table_rows(database_url: str, table: str) -> list[dict[str, Any]]:
    """A table as dicts: decimals and ids as text, times in ms."""
    types = ask(
        database_url,
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name = %s",
        table,
    )
    columns = ", ".join(CASTS.get(type_, "t.{}").format(name) for name, type_ in types)
    return [
        dict(zip([name for name, _ in types], row, strict=True))
        for row in ask(database_url, f"SELECT {columns} FROM {table} t")
    ]


def ask(database_url: str, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """The rows of a query on a connection of its own; what it changes is committed."""
    connection = psycopg2.connect(database_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query, parameters or None)  # without any, % is only a character
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


class Recording:
    """A recorder at work, as the agent and its task use it."""

    def __init__(self, sink: Sink, recorder: Recorder, positions: dict[int, int]) -> None:
        self.sink, self.recorder, self.positions = sink, recorder, positions
        self.taken = self.acknowledged = 0
        self._changed = asyncio.Event()

    async def take(self, batch: Sequence[Record], partition: int = 0) -> None:
        """Hand over one fetched batch."""

        def acknowledge() -> None:
            self.acknowledged += len(batch)
            self._changed.set()

        await self.recorder.append(partition, batch, acknowledge)
        self.taken += len(batch)

    async def written(self) -> None:
        """Wait until everything that was handed over is acknowledged, which is when it is written."""
        while self.acknowledged < self.taken:
            self._changed.clear()
            await self._changed.wait()


@asynccontextmanager
async def recording(database_url: str, log_ids: dict[int, str] | None = None) -> AsyncIterator[Recording]:
    """A recorder on this database; the end of the block waits for everything to be written, or raises what stopped it.

    An exception in the block breaks off what is being written, as the end of a process does.
    """
    sink = Sink(database_url, TOPIC)
    recorder = Recorder(sink)
    positions = await recorder.start({0: LOG_ID} if log_ids is None else log_ids)
    running = asyncio.create_task(recorder.run())
    try:
        at_work = Recording(sink, recorder, positions)
        yield at_work
        written = asyncio.create_task(at_work.written())
        await asyncio.wait([written, running], return_when=asyncio.FIRST_COMPLETED)
        written.cancel()
        if running.done():
            running.result()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await sink.close()
