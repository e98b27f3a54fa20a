"""An honest venue in one process: a generated log, what it gives, and the answers that its clients got."""

from itertools import islice
from uuid import UUID

from aiokafka.partitioner import murmur2

from app.models.commands import Genesis, encode_command
from app.models.reports import decode_report
from load import fixtures, rows
from load.books import BookAnswer
from load.checker import Evidence
from load.expected import LogRecord, NaivePartition, expected
from load.generator import requests
from load.ledger import Entry, Outcome
from load.profiles import MIXED, PROFILES
from load.request import Kind, Request

PARTITIONS = 2
START_MS = 1_700_000_000_000


def evidence(profile: str = "crossing", seed: int = 1, count: int = 1_000) -> Evidence:
    """What a run of `count` requests leaves behind when nobody lies."""
    asked = list(islice(requests(PROFILES[profile], seed, MIXED), count))
    orders = _log(profile, asked)
    by_log = {p: expected(records, p, PARTITIONS, NaivePartition) for p, records in orders.items()}
    reports = [report for one in by_log.values() for report in one.reports]
    found = Evidence(
        orders,
        {p: _records(one.executions) for p, one in by_log.items()},
        {p: _records(one.trades) for p, one in by_log.items()},
        {table: [dict(row) for row in given.values()] for table, given in rows.rows(reports).items()},
        _books(orders),
        [entry for request in asked for entry in _answered(request)],
    )
    assert found.tables is not None
    found.tables["sink_progress"] = [
        {"topic": "executions", "partition": p, "next_offset": len(records), "log_id": str(UUID(int=p))}
        for p, records in found.executions.items()
    ]
    return found


def _log(profile: str, asked: list[Request]) -> dict[int, list[LogRecord]]:
    log = {p: [LogRecord(0, START_MS, None, encode_command(Genesis(str(UUID(int=p)))))] for p in range(PARTITIONS)}
    for number, line in enumerate(fixtures.command_lines(PROFILES[profile], asked)):
        key = line.partition(b'"instrument":"')[2].partition(b'"')[0]
        records = log[(murmur2(key) & 0x7FFFFFFF) % PARTITIONS]
        records.append(LogRecord(len(records), START_MS + number, key, line))
    return log


def _records(streams: dict[str, list[bytes]]) -> list[LogRecord]:
    records: list[LogRecord] = []
    for instrument, values in streams.items():
        records.extend(LogRecord(0, START_MS, instrument.encode(), value) for value in values)
    return [record._replace(offset=offset) for offset, record in enumerate(records)]


def _books(orders: dict[int, list[LogRecord]]) -> dict[str, BookAnswer]:
    """From the naive engine's own books, not from reports."""
    found: dict[str, BookAnswer] = {}
    for number, records in orders.items():
        partition = NaivePartition(number, PARTITIONS)
        for record in records:
            partition.apply(*record)
        for instrument, (oracle, scale) in partition.books.items():
            sides = (
                [(scale.price(level.price), scale.quantity(level.quantity), level.orders) for level in levels]
                for levels in oracle.depth(1_000)
            )
            found[instrument] = BookAnswer(oracle.seq, *sides)
    return found


def _answered(request: Request) -> list[Entry]:
    """201 for orders, 422 for nonsense; what a cancel was answered does not matter here."""
    if request.kind is Kind.CANCEL:
        return []
    if request.must_refuse or not request.places:
        return [Entry(request, Outcome.REFUSED, 400, 1, 0, 1)]
    if request.kind is Kind.HOSTILE:
        return [Entry(request, Outcome.REFUSED, 422, 1, 0, 1)]
    return [Entry(request, Outcome.OK, 201, 1, 0, 1, request.order_id)]


def reports_of(found: Evidence) -> list[tuple[int, int]]:
    """Partition and index of each effective report with a trade, for lies about it."""
    return [
        (partition, index)
        for partition, records in found.executions.items()
        for index, record in enumerate(records)
        if decode_report(record.value or b"").trades
    ]
