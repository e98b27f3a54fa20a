"""An honest venue in one process: a generated log, what it gives, and the answers that its clients got."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import accumulate, islice
from typing import ClassVar
from uuid import UUID

from aiokafka.partitioner import murmur2

from app.kafka.reading import LogRecord
from app.matching.versions import NEWEST_VERSION
from app.matching.words import Outcome as Decision
from app.models.answers import Book, BookLevel
from app.models.checksum import CHECKED_LEVELS, book_checksum
from app.models.commands import CancelOrder, Genesis, decode_command, encode_command
from app.models.decimals import Scale
from app.models.http import rfc3339
from app.models.identity import id_text, order_id
from app.models.reports import decode_report, encode
from app.naive.matching import NaiveEngine
from app.postgres import Recorded, Removed
from app.topics import EXECUTIONS, ORDERS, TRADES
from app.verification.engines import NaivePartition
from app.verification.findings import Verdict
from app.verification.ledger import Entry, Kind, Outcome, Request
from app.verification.rows import KEYS, ExpectedRows, Key, Row
from app.verification.venue import Evidence, judge
from load import fixtures
from load.generator import requests
from load.profiles import MIXED, PROFILES
from load.request import resolved

PARTITIONS = 2
START_MS = 1_700_000_000_000
READ_AT_ONCE = 100
SECRET = bytes(range(32))


class MemoryStream:
    """Records of a list, some at a time."""

    def __init__(self, records: list[LogRecord]) -> None:
        self.records, self.end = records, records[-1].offset + 1 if records else 0
        self._position = 0

    async def read(self) -> list[LogRecord]:
        """The next records."""
        found = self.records[self._position : self._position + READ_AT_ONCE]
        self._position += len(found)
        return found

    async def extend(self) -> None:
        """Nothing comes later."""


@dataclass
class Telling:
    """What a venue says of itself: topics by partition, Postgres, gateways' books, and what clients were answered."""

    orders: dict[int, list[LogRecord]]
    executions: dict[int, list[LogRecord]]
    trades: dict[int, list[LogRecord]]
    tables: dict[str, list[Row]] | None
    positions: dict[int, int]
    log_ids: dict[int, str]
    books: dict[str, Book]
    entries: list[Entry] = field(default_factory=list)
    strange_topics: tuple[str, ...] = ()

    @property
    def partitions(self) -> int:
        return len(self.orders)

    async def stream(self, topic: str, partition: int) -> MemoryStream:
        """As app.verification.venue.Logs."""
        topics = {ORDERS.name: self.orders, EXECUTIONS.name: self.executions, TRADES.name: self.trades}
        return MemoryStream(topics[topic][partition])

    async def rows(self, table: str, key_columns: Sequence[str], keys: Sequence[Key]) -> list[Row]:
        """As app.verification.rows.Tables."""
        assert self.tables is not None
        wanted = set(keys)
        return [row for row in self.tables[table] if tuple(row[name] for name in key_columns) in wanted]

    async def counts(self, table: str) -> Mapping[str, int]:
        """As app.verification.rows.Tables."""
        assert self.tables is not None
        return Counter(row["instrument"] for row in self.tables[table])

    projections: ClassVar[dict[int, Recorded]] = {}
    """As app.verification.clearing.ClearingTables: nothing was settled."""

    removed: ClassVar[dict[str, Removed]] = {}
    """As app.verification.clearing.ClearingTables: nothing was removed."""

    async def cycles(self) -> list[Row]:
        """As app.verification.clearing.ClearingTables."""
        return []

    async def judged(self, naive: bool = True) -> Verdict:
        """The verdict on all this."""
        evidence = Evidence(
            required={p: len(records) for p, records in self.orders.items()},
            log_ids={p: str(UUID(int=p)) for p in self.orders},
            tables=None if self.tables is None else self,
            books=self.books,
            entries=self.entries,
        )
        return await judge(self, evidence, naive)


def telling(profile: str = "crossing", seed: int = 1, count: int = 1_000) -> Telling:
    """What a run of `count` requests leaves behind when nobody lies."""
    asked = list(islice(requests(PROFILES[profile], seed, MIXED), count))
    orders = _log(profile, asked)
    told = Telling(
        orders,
        {p: [] for p in orders},
        {p: [] for p in orders},
        {table: [] for table in KEYS},
        {},
        {p: str(UUID(int=p)) for p in orders},
        {},
    )
    for number, records in orders.items():
        _carry_out(told, number, records)
    canceled = set(_canceled(told))
    told.entries += [entry for request in asked for entry in _answered(request, canceled)]
    return told


def _log(profile: str, asked: list[Request]) -> dict[int, list[LogRecord]]:
    log = {p: [LogRecord(0, START_MS, None, encode_command(_genesis(p)))] for p in range(PARTITIONS)}
    for number, line in enumerate(fixtures.command_lines(PROFILES[profile], asked, SECRET)):
        key = line.partition(b'"instrument":"')[2].partition(b'"')[0]
        records = log[(murmur2(key) & 0x7FFFFFFF) % PARTITIONS]
        records.append(LogRecord(len(records), START_MS + number, key, line))
    return log


def _genesis(partition: int) -> Genesis:
    return Genesis(str(UUID(int=partition)), NEWEST_VERSION, SECRET.hex())


def id_of(request: Request) -> str:
    """The id that the venue gives the order of a request."""
    assert request.about is not None
    client_id, instrument, key = request.about.split()
    return id_text(order_id(client_id, instrument, key, SECRET))


def _carry_out(told: Telling, number: int, orders: list[LogRecord]) -> None:
    """What the naive engine gives for a partition goes to the topics, the tables and the books."""
    partition, rows = NaivePartition(number, PARTITIONS), ExpectedRows(number)
    executions, trades = told.executions[number], told.trades[number]
    for record in orders:
        outcome = partition.apply(*record)
        for report in outcome.reports if outcome else ():
            executions.append(LogRecord(len(executions), START_MS, report.instrument.encode(), encode(report)))
            rows.add(report)
        for trade in outcome.trades if outcome else ():
            trades.append(LogRecord(len(trades), START_MS, trade.instrument.encode(), encode(trade)))
    assert told.tables is not None
    for part in (rows.take(), rows.rest()):
        for table, found in part.items():
            told.tables[table] += found.values()
    told.positions[number] = len(executions)
    for instrument, (naive, scale) in partition.books.items():
        told.books[instrument] = _shown(instrument, naive, scale)


def _shown(instrument: str, naive: NaiveEngine, scale: Scale) -> Book:
    """The naive engine's book as a gateway answers it."""
    sides: list[list[BookLevel]] = []
    for levels in naive.depth(1_000):
        totals = accumulate(level.quantity for level in levels)
        sides.append(
            [
                BookLevel(scale.price(level.price), scale.quantity(level.quantity), level.orders, scale.quantity(total))
                for level, total in zip(levels, totals, strict=True)
            ]
        )
    best = ([(level.price, level.quantity) for level in side[:CHECKED_LEVELS]] for side in sides)
    return Book(instrument, naive.seq, rfc3339(naive.time_ms), *sides, book_checksum(*best))


def _canceled(told: Telling) -> Iterator[str]:
    """The keys of the cancels that the engine carried out."""
    for number, records in told.executions.items():
        for record in records:
            report = decode_report(record.value or b"")
            if report.command == "cancel" and report.outcome is Decision.ACCEPTED:
                command = decode_command(told.orders[number][report.offset].value)
                assert isinstance(command, CancelOrder)
                yield command.command_id


def _answered(request: Request, canceled: Set[str]) -> list[Entry]:
    """201 for orders, 422 for nonsense; 200 for a cancel that was carried out, else 409."""
    if request.kind is Kind.CANCEL:
        assert request.about is not None
        request = resolved(request, {request.about: id_of(request)})
        done = request.key in canceled
        return [Entry(request, Outcome.OK if done else Outcome.REFUSED, 200 if done else 409, 1, 0, 1)]
    if request.must_refuse or not request.places:
        return [Entry(request, Outcome.REFUSED, 400, 1, 0, 1)]
    if request.kind is Kind.HOSTILE:
        return [Entry(request, Outcome.REFUSED, 422, 1, 0, 1)]
    return [Entry(request, Outcome.OK, 201, 1, 0, 1, id_of(request))]


def reports_of(told: Telling) -> list[tuple[int, int]]:
    """Partition and index of each effective report with a trade, for lies about it."""
    return [
        (partition, index)
        for partition, records in told.executions.items()
        for index, record in enumerate(records)
        if decode_report(record.value or b"").trades
    ]
