"""One pass over a venue: for each partition, reads its topics, its rows in Postgres and its durable states.

Memory does not grow with the logs: it holds little more than the engine's own state. We ask for the end of `orders`
last, so that it covers the commands behind all that we see; so we can judge a running venue.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from app.engine import Partition
from app.kafka.reading import LogRecord
from app.models.answers import Book
from app.topics import EXECUTIONS, ORDERS, TRADES
from app.verification.books import Books
from app.verification.clearing import ClearingJudge, removed_to
from app.verification.findings import Finding, Findings, Verdict, verdict
from app.verification.judge import PartitionJudge
from app.verification.ledger import Entry
from app.verification.promises import Promises
from app.verification.rows import KEYS, Rows, Tables, compare, compare_counts
from app.verification.states import States

ROWS_AT_ONCE = 5_000
POLL_S = 0.05


class Stream(Protocol):
    """The records of one partition of a topic, up to its end when the stream was opened."""

    end: int

    async def read(self) -> list[LogRecord]:
        """The next records; empty at the end."""

    async def extend(self) -> None:
        """Move the end to the partition's current end."""


class Logs(Protocol):
    """The venue's topics."""

    @property
    def partitions(self) -> int: ...

    async def stream(self, topic: str, partition: int) -> Stream:
        """The partition from its first record to its current end."""


class Evidence(NamedTuple):
    """The data to judge beside the topics; a None is skipped.

    `required`: partition -> the offset below which every command must have had its effects. `log_ids`: partition -> the
    id in its genesis record. `facts`: the topic `clearing`, read after the moment of the tables. `states` reads a
    partition's durable states. `patience_s`: how long a working venue may take to report its last commands, and to
    write again what a crash has cut off.
    """

    required: Mapping[int, int]
    log_ids: Mapping[int, str]
    tables: Tables | None = None
    books: Mapping[str, Book] | None = None
    entries: Sequence[Entry] = ()
    facts: Sequence[LogRecord] = ()
    states: Callable[[int, Findings], Awaitable[States[Partition]]] | None = None
    patience_s: float = 0.0


class Streams(NamedTuple):
    """The streams of one partition's topics."""

    executions: Stream
    trades: Stream
    orders: Stream

    @classmethod
    async def of(cls, logs: Logs, partition_id: int) -> "Streams":
        """Open all streams, `orders` last: so everything in the others comes from a command below its end."""
        executions, trades = (
            await logs.stream(EXECUTIONS.name, partition_id),
            await logs.stream(TRADES.name, partition_id),
        )
        return cls(executions, trades, await logs.stream(ORDERS.name, partition_id))

    async def carry_to(self, judge_: PartitionJudge, after_batch: Callable[[int], Awaitable[None]]) -> None:
        """Feed all commands to the judge, and the topics' records as soon as it wants them."""
        outputs = ((judge_.executions, self.executions), (judge_.trades, self.trades))
        while commands := await self.orders.read():
            judge_.orders(commands)
            for effective, stream in outputs:
                while effective.wants_records and (records := await stream.read()):
                    effective.show(records)
            await after_batch(len(commands))
        for effective, stream in outputs:
            while records := await stream.read():
                effective.show(records)
        judge_.end_of_orders(self.executions.end)

    async def wait_for_missing(self, judge_: PartitionJudge, patience_s: float) -> None:
        """Wait for missing records: a working venue may report late, or only after a killed worker's restart."""
        deadline = time.monotonic() + patience_s
        for effective, stream in ((judge_.executions, self.executions), (judge_.trades, self.trades)):
            while effective.first_missing is not None and time.monotonic() < deadline:
                await asyncio.sleep(POLL_S)
                await stream.extend()
                while records := await stream.read():
                    effective.show_late(records)


async def judge(
    logs: Logs,
    evidence: Evidence,
    naive: bool = False,
    progress: Callable[[int], None] = lambda commands: None,
    findings: Findings | None = None,
) -> Verdict:
    """Compare everything with what the log gives; calls `progress` with the size of every batch of commands.

    It adds to the `findings`, if any are given.
    """
    whole = _Pass(evidence, naive, progress, findings or Findings())
    for partition_id in range(logs.partitions):
        await whole.partition(logs, partition_id)
    return await whole.end()


class _Pass:
    """The findings so far, partition by partition."""

    def __init__(self, evidence: Evidence, naive: bool, progress: Callable[[int], None], findings: Findings) -> None:
        self._evidence, self._naive, self._progress = evidence, naive, progress
        self._findings, self._promises = findings, Promises(evidence.entries)
        self._clearing = ClearingJudge(evidence.facts)
        self._books = None if evidence.books is None else Books(evidence.books)
        self._counts: dict[str, dict[str, int]] = {table: {} for table in KEYS}
        self._in_flight: list[str] = []
        self._judged: set[int] = set()

    async def partition(self, logs: Logs, partition_id: int) -> None:
        """Judge the next partition."""
        evidence, findings = self._evidence, self._findings
        self._judged.add(partition_id)
        states = await evidence.states(partition_id, findings) if evidence.states else None
        streams = await Streams.of(logs, partition_id)
        self._compare_position(partition_id, streams.executions.end)
        judge_ = PartitionJudge(
            partition_id,
            logs.partitions,
            findings,
            required=evidence.required.get(partition_id, streams.orders.end),
            recorded=evidence.tables.positions.get(partition_id, 0) if evidence.tables else None,
            books=self._books,
            promises=self._promises,
            clearing=self._clearing,
            states=states,
            naive=self._naive,
            removed=removed_to(evidence.tables) if evidence.tables else None,
        )

        async def after_batch(commands: int) -> None:
            if judge_.rows.settled >= ROWS_AT_ONCE:
                await self._compare_rows(judge_.rows.take())
            self._progress(commands)

        await streams.carry_to(judge_, after_batch)
        await streams.wait_for_missing(judge_, evidence.patience_s)
        await self._compare_rows(judge_.rows.take())
        await self._compare_rows(judge_.rows.rest())
        for table, counts in judge_.rows.counts.items():
            self._counts[table] |= counts
        if missing := judge_.end():
            self._in_flight.append(f"orders[{partition_id}]: {missing:,} reports are not there yet")

    async def end(self) -> Verdict:
        """The verdict, after all partitions."""
        findings = self._findings
        await self._compare_counts()
        if self._evidence.tables is not None:
            log_id = self._evidence.log_ids.get(0)
            _complain(findings.origin, self._clearing.strange_positions(self._evidence.tables, log_id))
            await self._clearing.compare(self._evidence.tables, findings.clearing)
        findings.books.compared = len(self._evidence.books or ())
        _complain(findings.books, self._books.end() if self._books else ())
        findings.requests.compared = len(self._promises)
        _complain(findings.requests, self._promises.end())
        findings.requests.note = self._promises.note
        return verdict(findings, self._naive, tuple(self._in_flight), self._evidence.log_ids)

    async def _compare_counts(self) -> None:
        """Report rows that the log does not give, and positions of partitions that do not exist."""
        tables, finding = self._evidence.tables, self._findings.postgres
        if tables is None:
            return
        for table in KEYS:
            _complain(finding, compare_counts(table, await tables.counts(table), self._counts[table]))
        missing = (
            f"{EXECUTIONS.name}[{partition_id}]"
            for partition_id in tables.positions
            if partition_id not in self._judged
        )
        strange = [*tables.strange_topics, *missing]
        sentence = "Postgres sink_progress: has a position of {}, which does not exist"
        _complain(self._findings.origin, map(sentence.format, strange))

    async def _compare_rows(self, rows: Mapping[str, Rows]) -> None:
        tables, finding = self._evidence.tables, self._findings.postgres
        if tables is None:
            return
        for table, expected in rows.items():
            keys = list(expected)
            for start in range(0, len(keys), ROWS_AT_ONCE):
                some = keys[start : start + ROWS_AT_ONCE]
                found = await tables.rows(table, KEYS[table], some)
                finding.compared += len(found)
                _complain(finding, compare(table, found, {key: expected[key] for key in some}))

    def _compare_position(self, partition_id: int, end: int) -> None:
        """Check that Postgres has recorded this log, and not beyond the end of `executions`."""
        tables, finding = self._evidence.tables, self._findings.origin
        if tables is None or partition_id not in tables.positions:
            return
        finding.compared += 1
        position, log_id = tables.positions[partition_id], tables.log_ids[partition_id]
        name = f"Postgres sink_progress: {EXECUTIONS.name}[{partition_id}]"
        if log_id != (right := self._evidence.log_ids.get(partition_id)):
            finding.complain(
                f"{name} is of the log {log_id}, orders[{partition_id}] of {right}: these are two installations"
            )
        elif position > end:
            finding.complain(f"{name} is recorded up to {position}, but the topic ends at {end}: it lost its end")


def _complain(finding: Finding, sentences: Iterable[str]) -> None:
    for sentence in sentences:
        finding.complain(sentence)
