"""Fetching the evidence: whole topics through a plain consumer, tables in one read-only transaction, books by HTTP."""

import asyncio
import time
from collections.abc import Iterable
from typing import Any

import psycopg2
from aiohttp import ClientResponseError
from aiokafka import AIOKafkaConsumer, TopicPartition
from psycopg2 import sql

from app.models.reports import decode_report
from app.topics import EXECUTIONS, ORDERS, TRADES
from load.books import MOST_LEVELS, BookAnswer
from load.checker import Evidence
from load.client import Client
from load.expected import LogRecord
from load.ledger import Entry
from load.rows import KEYS, Row

TOPICS = (ORDERS.name, EXECUTIONS.name, TRADES.name)
POLL_S = 0.2
FETCH_TIMEOUT_MS = 1_000
# How a column's type is read, so that rows compare with reports; other types as they are.
CASTS = {
    "numeric": "{}::text",
    "uuid": "{}::text",
    "timestamp with time zone": "(extract(epoch FROM {}) * 1000)::bigint",
}


class NotQuiet(TimeoutError):
    """The venue did not finish its work in time; the message says where it stood."""


async def collect(
    broker: str, database_url: str | None = None, url: str | None = None, entries: Iterable[Entry] = ()
) -> Evidence:
    """Everything that is there now. `broker` is host:port; without a database or URL those parts are not judged."""
    found = Evidence(
        await _topic(broker, ORDERS.name),
        await _topic(broker, EXECUTIONS.name),
        await _topic(broker, TRADES.name),
        entries=list(entries),
    )
    if database_url is not None:
        found.tables = await asyncio.to_thread(_tables, database_url)
    if url is not None:
        found.books = await _books(url, found)
    return found


async def until_quiet(broker: str, database_url: str | None = None, timeout_s: float = 60.0) -> float:
    """Wait until every command has its report and every report is in Postgres; seconds waited, or NotQuiet."""
    started, last, (consumer, partitions) = time.monotonic(), None, await _consumer(broker)
    try:
        while True:
            ends = {name: await _ends(consumer, name, partitions) for name in TOPICS}
            behind = await _behind(consumer, ends, database_url)
            if not behind and ends == last:  # the trades of the last report may come a moment after it
                return time.monotonic() - started
            if time.monotonic() - started > timeout_s:
                raise NotQuiet(f"not quiet after {timeout_s:g} s: {behind or 'records keep coming'}")
            last = ends
            await asyncio.sleep(POLL_S)
    finally:
        await consumer.stop()


async def _behind(consumer: Any, ends: dict[str, dict[int, int]], database_url: str | None) -> str | None:
    """Who still has work to do, in words."""
    for partition, end in ends[ORDERS.name].items():
        done = await _last_offset(consumer, partition, ends[EXECUTIONS.name].get(partition, 0))
        if done < end - 1:
            return f"matching has done {done + 1} of {end} commands of partition {partition}"
    if database_url is None:
        return None
    try:
        recorded = await asyncio.to_thread(_progress, database_url)
    except psycopg2.OperationalError as error:
        return f"Postgres is away: {error}".strip()
    for partition, end in ends[EXECUTIONS.name].items():
        if recorded.get(partition, 0) < end:
            return f"Postgres has {recorded.get(partition, 0)} of {end} reports of partition {partition}"
    return None


async def _last_offset(consumer: Any, partition: int, end: int) -> int:
    """The `orders` offset of the last report of a partition; 0, the genesis record, if there is none."""
    if not end:
        return 0
    where = TopicPartition(EXECUTIONS.name, partition)
    consumer.assign([where])
    consumer.seek(where, end - 1)
    record = await consumer.getone(where)
    return decode_report(record.value).offset


async def _topic(broker: str, topic: str) -> dict[int, list[LogRecord]]:
    consumer, partitions = await _consumer(broker)
    try:
        ends = await _ends(consumer, topic, partitions)
        found: dict[int, list[LogRecord]] = {partition: [] for partition in ends}
        waiting = {partition for partition, end in ends.items() if end}
        consumer.assign([TopicPartition(topic, partition) for partition in waiting])
        for partition in waiting:
            consumer.seek(TopicPartition(topic, partition), 0)
        while waiting:
            fetched = await consumer.getmany(timeout_ms=FETCH_TIMEOUT_MS)
            for where, records in fetched.items():
                end = ends[where.partition]
                found[where.partition] += [
                    LogRecord(r.offset, r.timestamp, r.key, r.value) for r in records if r.offset < end
                ]
                if records[-1].offset >= end - 1:
                    waiting.discard(where.partition)
        return found
    finally:
        await consumer.stop()


async def _consumer(broker: str) -> tuple[Any, range]:
    """A consumer with nothing assigned, and the partitions of our topics; it forgets those of a topic it leaves."""
    consumer = AIOKafkaConsumer(*TOPICS, bootstrap_servers=broker, enable_auto_commit=False)
    await consumer.start()
    partitions = range(len(consumer.partitions_for_topic(ORDERS.name)))
    consumer.unsubscribe()
    return consumer, partitions


async def _ends(consumer: Any, topic: str, partitions: range) -> dict[int, int]:
    ends = await consumer.end_offsets([TopicPartition(topic, partition) for partition in partitions])
    return {where.partition: end for where, end in ends.items()}


def _tables(database_url: str) -> dict[str, list[Row]]:
    with psycopg2.connect(database_url) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor() as cursor:
            found = {table: _rows(cursor, table) for table in KEYS}
    connection.close()
    return found


def _rows(cursor: Any, table: str) -> list[Row]:
    cursor.execute("SELECT column_name, data_type FROM information_schema.columns WHERE table_name = %s", (table,))
    columns = cursor.fetchall()
    fields = [sql.SQL(CASTS.get(type_, "{}")).format(sql.Identifier(name)) for name, type_ in columns]
    cursor.execute(sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(fields), sql.Identifier(table)))
    names = [name for name, _ in columns]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _progress(database_url: str) -> dict[int, int]:
    """The sink's next offset in each partition of `executions`."""
    connection = psycopg2.connect(database_url, connect_timeout=5)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT partition, next_offset FROM sink_progress WHERE topic = %s", (EXECUTIONS.name,))
            return dict(cursor.fetchall())
    finally:
        connection.close()


async def _books(url: str, found: Evidence) -> dict[str, BookAnswer]:
    keys = {record.key for records in found.executions.values() for record in records}
    names = {key.decode() for key in keys if key and not key.startswith(b"_")}
    books: dict[str, BookAnswer] = {}
    async with Client(url) as client:
        for name in sorted(names):
            try:
                answer = await client.book(name, MOST_LEVELS)
            except ClientResponseError:
                answer = {"seq": 0, "bids": [], "asks": []}
            sides = ([(v["price"], v["quantity"], v["orders"]) for v in answer[side]] for side in ("bids", "asks"))
            books[name] = BookAnswer(answer["seq"], *sides)
    return books
