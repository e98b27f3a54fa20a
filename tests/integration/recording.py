"""What a venue has made durable, taken down once: its topics in memory, its database as a copy, and what it answered.

So a test can alter anything, have it judged at once, and take the next.
"""

import io
from dataclasses import dataclass, replace
from uuid import uuid4

import psycopg2
from aiokafka import TopicPartition

from app.engine import Partition, partition_of
from app.kafka.genesis import log_ids
from app.kafka.groups import committed
from app.kafka.reading import LogRecord
from app.local import postgres
from app.local.venue import Venue
from app.models.answers import Book
from app.postgres import Stored, recorded_positions
from app.postgres.schema import migrate
from app.topics import BOOKS_CHANGELOG, CANDLES, CANDLES_CHANGELOG, EXECUTIONS, ORDERS, TRADES
from app.verification.bar_pass import judge_bars
from app.verification.bars import KEYS as BAR_KEYS
from app.verification.findings import Findings, Verdict, verdict
from app.verification.gateway import gateway_books
from app.verification.ledger import Entry
from app.verification.reading import VenueLogs
from app.verification.rows import KEYS
from app.verification.running import Addresses, verify
from app.verification.states import States
from app.verification.venue import Evidence, judge
from app.verification.waiting import caught_up
from tables.books.verification import books_states
from tables.candles.verification import candles_of, candles_states
from tables.recovery.verification import ChangelogStates
from tests.clearing.projected import refuse_nothing
from tests.integration.conftest import records, reserved_instrument
from tests.verification.honest import MemoryStream

QUIET_TIMEOUT_S = 60.0
TABLES = """
SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
ORDER BY table_name
"""
COLUMNS = """
SELECT table_name, column_name, udt_name FROM information_schema.columns JOIN information_schema.tables
    USING (table_schema, table_name)
WHERE table_schema = 'public' AND table_type = 'BASE TABLE' ORDER BY table_name, ordinal_position
"""
SCHEMA_VERSION = "alembic_version"

Topic = dict[int, list[LogRecord]]


@dataclass(frozen=True)
class Recorded:
    """Topics by name and partition; `database_url` is a copy that nobody else uses, None: it is not looked at."""

    topics: dict[str, Topic]
    database_url: str | None
    books: dict[str, Book]
    entries: list[Entry]
    log_ids: dict[int, str]
    required: dict[int, int]
    committed: dict[int, int]

    @property
    def partitions(self) -> int:
        return len(self.topics[ORDERS.name])

    async def stream(self, topic: str, partition: int) -> MemoryStream:
        """As app.verification.venue.Logs."""
        return MemoryStream(self.topics[topic][partition])

    def with_record(self, topic: str, partition: int, index: int, **changed: bytes | None) -> "Recorded":
        """The same with one record of a topic altered."""
        altered = list(self.topics[topic][partition])
        altered[index] = altered[index]._replace(**changed)
        return replace(self, topics=self.topics | {topic: self.topics[topic] | {partition: altered}})

    async def judged(self) -> Verdict:
        """What `verify` would say of it."""
        tables = await Stored.open(self.database_url) if self.database_url else None
        try:
            evidence = Evidence(self.required, self.log_ids, tables, self.books, self.entries, states=self._states)
            findings = Findings()
            seen = await judge(self, evidence, findings=findings)
            late = await judge_bars(self, findings, tables, self._bar_states, self.log_ids, 0.0)
            return verdict(findings, False, (*seen.in_flight, *late), self.log_ids)
        finally:
            if tables is not None:
                await tables.close()

    def only(self, number: int, database_url: str) -> "Recorded":
        """The same as if only this partition had traded, which is judged much faster."""
        genesis = {ORDERS.name: 1}
        topics = {
            name: {n: found if n == number else found[: genesis.get(name, 0)] for n, found in topic.items()}
            for name, topic in self.topics.items()
        }
        listed = {name for name in self.books if partition_of(name, self.partitions) == number}
        with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
            cursor.execute(TABLES)
            for (table,) in cursor.fetchall():
                if table in KEYS | BAR_KEYS:
                    names = [*listed, reserved_instrument(number)]
                    cursor.execute(f"DELETE FROM {table} WHERE instrument <> ALL(%s)", [names])
            cursor.execute("DELETE FROM sink_progress WHERE partition <> %s", [number])
        connection.close()
        return replace(
            self,
            topics=topics,
            database_url=database_url,
            books={name: self.books[name] for name in listed},
            entries=[entry for entry in self.entries if self._is_placed(entry, topics[ORDERS.name][number])],
            committed={n: position if n == number else 0 for n, position in self.committed.items()},
        )

    @staticmethod
    def _is_placed(entry: Entry, orders: list[LogRecord]) -> bool:
        """Whether the partition has what this client asked for."""
        key = f'"{entry.request.key}"'.encode()
        return any(key in (record.value or b"") for record in orders)

    async def _states(self, number: int, findings: Findings) -> States[Partition]:
        states = books_states(number, self.log_ids[number], findings)
        states.read((record.key or b"", record.value) for record in self.topics[BOOKS_CHANGELOG.name][number])
        states.all_read()
        states.committed(self.committed[number])
        return states

    async def _bar_states(self, number: int, findings: Findings) -> ChangelogStates:
        states = candles_of(number, self.log_ids[number], findings)
        states.read((record.key or b"", record.value) for record in self.topics[CANDLES_CHANGELOG.name][number])
        states.all_read()
        return states


async def record(venue: Venue, entries: list[Entry]) -> Recorded:
    """Take everything down once the venue is quiet: whatever is taken first follows from what is taken later."""
    broker, source = venue.servers.broker, venue.servers.database_url

    async def recorded() -> dict[int, int] | None:
        return await recorded_positions(source, EXECUTIONS.name)

    async with VenueLogs(broker) as logs:
        required = (await caught_up(broker, logs, recorded, QUIET_TIMEOUT_S)).required
        partitions = logs.partitions
        while not await _bars_are_recorded(logs, Addresses(broker, source)):
            pass
    books = await gateway_books(venue.url)
    positions = await committed(broker, "matching")
    order = (CANDLES_CHANGELOG, CANDLES, BOOKS_CHANGELOG, EXECUTIONS, TRADES, ORDERS)
    return Recorded(
        topics={topic.name: await records(broker, topic.name) for topic in order},
        database_url=None,
        books=books,
        entries=entries,
        log_ids=await log_ids(broker, partitions),
        required=required,
        committed={n: positions.get(TopicPartition(ORDERS.name, n), 0) for n in range(partitions)},
    )


async def _bars_are_recorded(logs: VenueLogs, where: Addresses) -> bool:
    """Whether every report is folded, and every update recorded."""
    assert where.database_url is not None
    seen = await verify(where, bar_states=candles_states(where.broker))
    found = await recorded_positions(where.database_url, CANDLES.name) or {}
    ends = {number: await logs.end(CANDLES.name, number) for number in range(logs.partitions)}
    return not seen.in_flight and found == ends


def copied(venue: Venue) -> str:
    """The URL of a database with the same rows, of one moment, on the same server."""
    port = venue.servers.postgres_port
    url = postgres.url(port, f"copy_{uuid4().hex[:12]}")
    migrate(url)
    source, target = psycopg2.connect(venue.servers.database_url), psycopg2.connect(url)
    source.set_session(isolation_level="REPEATABLE READ", readonly=True)
    with source, target, source.cursor() as reader, target.cursor() as writer:
        writer.execute("SET session_replication_role = replica")  # a row may come before the one that it refers to
        reader.execute(TABLES)
        for (table,) in reader.fetchall():
            if table != SCHEMA_VERSION:
                rows = io.BytesIO()
                reader.copy_expert(f"COPY {table} TO STDOUT", rows)
                rows.seek(0)
                writer.copy_expert(f"COPY {table} FROM STDIN", rows)
    source.close()
    target.close()
    refuse_nothing(url)
    return url
