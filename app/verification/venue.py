"""One pass over a venue: for each partition its topics to their ends, what Postgres has of it, its durable states.

Nothing is held but what the engine itself holds, whatever the logs' length. Ends are taken in an order in which the
cause of everything that is seen lies below the end of `orders`, so a running venue is judged up to a fixed point.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from app.topics import EXECUTIONS, ORDERS, TRADES
from app.verification.books import BookAnswer, Books
from app.verification.effective import Effective
from app.verification.engines import LogRecord
from app.verification.findings import Findings, Verdict, verdict
from app.verification.judge import PartitionJudge, States
from app.verification.ledger import Entry
from app.verification.promises import Promises
from app.verification.rows import KEYS, ExpectedRows, Tables, compare, compare_counts

ROWS_AT_ONCE = 5_000
POLL_S = 0.2


class Stream(Protocol):
    """The records of one partition of a topic, up to the end that it had when this was made."""

    end: int

    async def read(self) -> list[LogRecord]:
        """The next ones; none when it has ended."""

    async def extend(self) -> None:
        """Go on to the end that it has now."""


class Logs(Protocol):
    """The venue's topics."""

    @property
    def partitions(self) -> int: ...

    async def stream(self, topic: str, partition: int) -> Stream:
        """From its first record to its end now."""


class Evidence(NamedTuple):
    """What there is to judge beside the topics; what is None nobody looks at.

    `required`: by partition, the offset below which every command must have had its effects. `log_ids`: the genesis
    of each partition. `states` gives a partition's durable states once they are read. `patience_s`: how long a working
    venue may take to write again what a crash has cut off.
    """

    required: Mapping[int, int]
    log_ids: Mapping[int, str]
    tables: Tables | None = None
    books: Mapping[str, BookAnswer] | None = None
    entries: Sequence[Entry] = ()
    states: Callable[[int, Findings], Awaitable[States]] | None = None
    patience_s: float = 0.0


async def judge(
    logs: Logs, evidence: Evidence, naive: bool = False, progress: Callable[[int], None] = lambda commands: None
) -> Verdict:
    """Compare everything with what the log gives; `progress` hears of every batch of commands."""
    findings, promises, in_flight = Findings(), Promises(evidence.entries), []
    books = None if evidence.books is None else Books(evidence.books)
    all_rows: list[ExpectedRows] = []
    for number in range(logs.partitions):
        states = await evidence.states(number, findings) if evidence.states else None
        executions, trades = await logs.stream(EXECUTIONS.name, number), await logs.stream(TRADES.name, number)
        orders = await logs.stream(ORDERS.name, number)  # last: what the others have came from below this end
        recorded = evidence.tables.positions.get(number, 0) if evidence.tables else None
        judge_ = PartitionJudge(
            number,
            logs.partitions,
            findings,
            required=evidence.required.get(number, orders.end),
            recorded=recorded,
            books=books,
            promises=promises,
            states=states,
            naive=naive,
        )
        while records := await orders.read():
            judge_.orders(records)
            await _follow(judge_.executions, executions)
            await _follow(judge_.trades, trades)
            await _rows(findings, evidence.tables, judge_.rows)
            progress(len(records))
        for effective, stream in ((judge_.executions, executions), (judge_.trades, trades)):
            while records := await stream.read():
                effective.show(records)
        judge_.end_of_orders()
        for effective, stream in ((judge_.executions, executions), (judge_.trades, trades)):
            await _wait_for_missing(effective, stream, judge_, evidence.patience_s)
        await _rows(findings, evidence.tables, judge_.rows, rest=True)
        all_rows.append(judge_.rows)
        if missing := judge_.end():
            in_flight.append(f"orders[{number}]: {missing:,} reports had not come yet")
        _position(findings, evidence, number, executions.end)
    await _counts(findings, evidence.tables, all_rows)
    findings.books.compared = len(evidence.books or ())
    for sentence in books.end() if books else ():
        findings.books.complain(sentence)
    findings.requests.compared = len(promises)
    for sentence in promises.end():
        findings.requests.complain(sentence)
    return verdict(findings, naive, tuple(in_flight))


async def _follow(effective: Effective, stream: Stream) -> None:
    """Read as long as the log is ahead."""
    while effective.wants_records and (records := await stream.read()):
        effective.show(records)


async def _wait_for_missing(effective: Effective, stream: Stream, judge_: PartitionJudge, patience_s: float) -> None:
    """A worker that was killed between two topics writes to the second after its start."""
    deadline = time.monotonic() + patience_s
    while effective.missing(judge_.is_required) and time.monotonic() < deadline:
        await asyncio.sleep(POLL_S)
        await stream.extend()
        while records := await stream.read():
            effective.show_late(records)


async def _rows(findings: Findings, tables: Tables | None, rows: ExpectedRows, rest: bool = False) -> None:
    if tables is None or not (rest or rows.settled >= ROWS_AT_ONCE):
        return
    for part in [rows.take(), rows.rest()] if rest else [rows.take()]:
        for table, expected in part.items():
            keys = list(expected)
            for start in range(0, len(keys), ROWS_AT_ONCE):
                some = keys[start : start + ROWS_AT_ONCE]
                found = await tables.rows(table, KEYS[table], some)
                findings.postgres.compared += len(found)
                _complain(findings, compare(table, found, {key: expected[key] for key in some}))


async def _counts(findings: Findings, tables: Tables | None, partitions: list[ExpectedRows]) -> None:
    if tables is None:
        return
    for table in KEYS:
        expected: dict[str, int] = {}
        for rows in partitions:
            expected |= rows.counts[table]
        _complain(findings, compare_counts(table, await tables.counts(table), expected))


def _position(findings: Findings, evidence: Evidence, number: int, end: int) -> None:
    tables = evidence.tables
    if tables is None or number not in tables.positions:
        return
    position, log_id = tables.positions[number], tables.log_ids[number]
    if position > end:
        findings.postgres.complain(f"Postgres has recorded executions[{number}] up to {position}, it ends at {end}")
    if log_id != (right := evidence.log_ids.get(number)):
        findings.postgres.complain(f"Postgres has recorded the log {log_id} in partition {number}, this is {right}")


def _complain(findings: Findings, sentences: Iterable[str]) -> None:
    for sentence in sentences:
        findings.postgres.complain(sentence)
