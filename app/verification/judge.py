"""The judge of a partition: replays its commands, and compares topics, rows, states and promises with the result. Pure.

Feed it `orders` in offset order, and records of `executions` and `trades` whenever they want some; then call `end`.
"""

from collections.abc import Iterable, Mapping

from app.engine import Output, Partition
from app.kafka.reading import LogRecord
from app.models.commands import Genesis, UndecodableCommand, decode_command
from app.models.reports import ExecutionReport, decode_report, encode
from app.models.undecodable import UNDECODABLE
from app.verification.books import Books
from app.verification.clearing import ClearingJudge
from app.verification.conservation import Conservation
from app.verification.effective import Effective, Expected, difference
from app.verification.engines import NaivePartition
from app.verification.findings import Findings
from app.verification.promises import Promises
from app.verification.rows import ExpectedRows
from app.verification.states import States


class PartitionJudge:
    """Judges one partition.

    `required`: the topics must have all output of commands below this offset. `recorded`: Postgres has recorded
    `executions` below this offset; None without Postgres. `removed`: instrument -> the seq up to which Postgres may
    lack the history of its orders.
    """

    def __init__(
        self,
        partition_id: int,
        partitions: int,
        findings: Findings,
        *,
        required: int,
        recorded: int | None,
        books: Books | None,
        promises: Promises,
        clearing: ClearingJudge | None = None,
        states: States[Partition] | None = None,
        naive: bool = False,
        removed: Mapping[str, int] | None = None,
    ) -> None:
        self.partition_id, self._findings, self._required, self._recorded = partition_id, findings, required, recorded
        self._partition = Partition(partition_id, partitions)
        self._naive = NaivePartition(partition_id, partitions) if naive else None
        self._books, self._promises, self._states, self._clearing = books, promises, states, clearing
        self._conservation = Conservation()
        self.executions = Effective("executions", partition_id, findings.executions, self._hear)
        self.trades = Effective("trades", partition_id, findings.trades, lambda offset, value, expected: None)
        self.rows = ExpectedRows(partition_id, removed)
        self.next_offset = 0
        self.heard_to = -1
        """The offset of the last command with a report in the topic."""

    def orders(self, records: Iterable[LogRecord]) -> None:
        """Replay the log's next commands."""
        for record in records:
            self._in_order(record)
            if self._states is not None:
                self._states.before(record.offset, self._partition)
            output = self._partition.apply(*record)
            self._compare_engines(record, output)
            if output is None:
                continue
            if self._states is not None:
                self._states.after(output.instrument, record.offset, self._partition)
            self._give(output, record.offset)
        self.executions.compare()
        self.trades.compare()

    def end_of_orders(self, executions: int) -> None:
        """Declare the log ended, with `executions` ending at this offset; the topics may still bring late records."""
        if self.next_offset == 0:
            self._findings.log.complain(f"orders[{self.partition_id}] does not begin with its genesis record")
        self.executions.end_of_log()
        self.trades.end_of_log()
        if self._states is not None:
            self._states.end(self._partition, executions)

    def is_required(self, instrument: str, offset: int) -> bool:
        """Whether the output of this command must be in the topics."""
        covered = self._states is not None and self._states.cover(instrument, offset)
        return offset < self._required or covered

    def end(self) -> int:
        """Finish after the last record; returns how many reports are missing that are not required yet."""
        in_flight = self.executions.end(self.is_required)
        self.trades.end(self.is_required)
        for sentence in self._conservation.end():
            self._findings.conservation.complain(sentence)
        return in_flight

    def _in_order(self, record: LogRecord) -> None:
        """Check the genesis record; offsets may have holes, which transactions leave (docs/EXACTNESS.md, I7)."""
        if self.next_offset == 0:
            genesis = None if record.offset else _genesis(record)
            if genesis is None:
                self._findings.log.complain(f"orders[{self.partition_id}] does not begin with its genesis record")
            else:
                self.rows.secret = genesis.secret
        self.next_offset = record.offset + 1

    def _compare_engines(self, record: LogRecord, output: Output | None) -> None:
        if self._naive is None:
            return
        right = self._naive.apply(*record)
        mine = [encode(report) for report in output.reports] if output else []
        should = [encode(report) for report in right.reports] if right else []
        if mine != should:
            where = f"orders[{self.partition_id}]@{record.offset}"
            differs = next((difference(a, b) for a, b in zip(mine, should, strict=False) if a != b), "report count")
            self._findings.log.complain(f"{where}: the engines differ: {differs} by the naive engine")

    def _give(self, output: Output, offset: int) -> None:
        for report in output.reports:
            self._findings.log.compared += 1
            if self._clearing is not None:
                self._clearing.give(report)
            self.executions.give(report.instrument, Expected(report.seq, encode(report), offset, report))
            if self._books is not None:
                for sentence in self._books.follow(report, offset < self._required):
                    self._findings.books.complain(sentence)
        for trade in output.trades:
            self.trades.give(trade.instrument, Expected(trade.seq, encode(trade), offset, trade))

    def _hear(self, offset: int, value: bytes, expected: Expected) -> None:
        """Handle an effective report: conservation and promises use the topic's report, expected rows the log's."""
        self.heard_to = max(self.heard_to, expected.offset)
        if self._recorded is not None and offset < self._recorded:
            self.rows.add(expected.message)
        if self._states is not None:
            self._states.heard(expected.message.instrument, expected.seq, offset)
        report = expected.message if value == expected.value else _readable(value)
        if report is None:
            return
        self._findings.conservation.compared += 1
        for sentence in self._conservation.hear(report):
            self._findings.conservation.complain(sentence)
        self._promises.hear(report)


def _genesis(record: LogRecord) -> Genesis | None:
    try:
        message = decode_command(record.value)
    except UndecodableCommand:
        return None
    return message if isinstance(message, Genesis) else None


def _readable(value: bytes) -> ExecutionReport | None:
    try:
        return decode_report(value)
    except UNDECODABLE:
        return None
