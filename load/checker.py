"""The verdict on a venue, from what is durable and what clients were told: oracles O1 to O6 of exactness.md; pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from app.models.commands import Genesis, UndecodableCommand, decode_command
from app.models.reports import ExecutionReport, decode_report
from load import rows
from load.books import BookAnswer, books
from load.conservation import conservation
from load.effective import Effective, compare, effective
from load.expected import EngineMaker, Expected, LogRecord, expected
from load.ledger import Entry
from load.promises import promises

MAX_DIFFERENCES = 1_000  # counted per check; the first is shown


@dataclass
class Evidence:
    """Everything that is judged. Topics by partition; `tables` and `books` are None when nobody looked."""

    orders: dict[int, list[LogRecord]]
    executions: dict[int, list[LogRecord]]
    trades: dict[int, list[LogRecord]]
    tables: dict[str, list[rows.Row]] | None = None
    books: dict[str, BookAnswer] | None = None
    entries: list[Entry] = field(default_factory=list)

    @property
    def partitions(self) -> int:
        return len(self.orders)


class Finding(NamedTuple):
    """One oracle's word: how much was compared, how many differences (at most MAX_DIFFERENCES), and the first."""

    oracle: str
    about: str
    compared: int
    differences: int
    first: str | None


class Verdict(NamedTuple):
    engine: str
    findings: tuple[Finding, ...]

    @property
    def is_right(self) -> bool:
        return not any(finding.differences for finding in self.findings)

    @property
    def first(self) -> str | None:
        """The first difference, in the order of the oracles."""
        return next((f"{f.oracle}: {f.first}" for f in self.findings if f.first), None)

    def as_json(self) -> dict[str, Any]:
        findings = [finding._asdict() for finding in self.findings]
        return {"right": self.is_right, "engine": self.engine, "first": self.first, "findings": findings}

    def as_text(self) -> str:
        """A line for each oracle and one for the verdict."""
        lines = [f"  {f.oracle} {f.about}: {f.compared:,} compared, {f.first or 'equal'}" for f in self.findings]
        return "\n".join([f"checked with the {self.engine} engine:", *lines, "RIGHT" if self.is_right else "WRONG"])


def judge(evidence: Evidence, engine: EngineMaker, engine_name: str) -> Verdict:
    """Compare everything with what the log should have given."""
    count = evidence.partitions
    by_log = {p: expected(records, p, count, engine) for p, records in sorted(evidence.orders.items())}
    executions = effective("executions", evidence.executions)
    trades = effective("trades", evidence.trades)
    heard = [decode_report(value) for stream in executions.by_instrument.values() for value in stream]
    reports = [report for one in by_log.values() for report in one.reports]
    findings = [
        _finding("O1", "the log and its partitions", len(reports), _log(evidence)),
        _finding("O2", "executions", executions.records, _topic("executions", executions, by_log)),
        _finding("O2", "trades", trades.records, _topic("trades", trades, by_log)),
    ]
    if evidence.books is not None:
        findings.append(_finding("O3", "books", len(evidence.books), books(evidence.books, reports)))
    if evidence.tables is not None:
        found = sum(map(len, evidence.tables.values()))
        findings.append(_finding("O4", "Postgres", found, _postgres(evidence, evidence.tables, reports)))
    findings += [
        _finding("O5", "requests", len(evidence.entries), promises(evidence.entries, heard)),
        _finding("O6", "conservation", len(heard), conservation(heard)),
    ]
    return Verdict(engine_name, tuple(findings))


def _finding(oracle: str, about: str, compared: int, differences: Iterator[str]) -> Finding:
    found = list(islice(differences, MAX_DIFFERENCES))
    return Finding(oracle, about, compared, len(found), found[0] if found else None)


def _log(evidence: Evidence) -> Iterator[str]:
    """The log must begin with its genesis and have no hole: nobody has taken anything out of it."""
    for number, records in sorted(evidence.orders.items()):
        if not records or log_id(records[0]) is None:
            yield f"orders[{number}] does not begin with its genesis record"
        for offset, record in enumerate(records):
            if record.offset != offset:
                yield f"orders[{number}] jumps from offset {offset - 1} to {record.offset}"
                break
    for topic, partitions in (("executions", evidence.executions), ("trades", evidence.trades)):
        if partitions.keys() != evidence.orders.keys():
            yield f"{topic} has the partitions {sorted(partitions)}, orders {sorted(evidence.orders)}"


def log_id(record: LogRecord) -> str | None:
    """The log's identity, if this is a genesis record."""
    try:
        message = decode_command(record.value)
    except UndecodableCommand:
        return None
    return message.log_id if isinstance(message, Genesis) else None


def _topic(topic: str, heard: Effective, by_log: dict[int, Expected]) -> Iterator[str]:
    yield from heard.complaints
    right: dict[str, list[bytes]] = {}
    for one in by_log.values():
        right |= one.executions if topic == "executions" else one.trades
    yield from compare(topic, heard.by_instrument, right)


def _postgres(
    evidence: Evidence, tables: dict[str, list[rows.Row]], reports: Iterable[ExecutionReport]
) -> Iterator[str]:
    right = rows.rows(reports)
    right["sink_progress"] = {
        ("executions", number): {
            "next_offset": records[-1].offset + 1 if records else 0,
            "log_id": log_id(evidence.orders[number][0]),
        }
        for number, records in evidence.executions.items()
        # Whether an empty partition has a row is the sink's affair.
        if records or any(row["partition"] == number for row in tables.get("sink_progress", []))
    }
    for table in rows.KEYS:
        if table in tables:
            yield from rows.compare(table, tables[table], right[table])
