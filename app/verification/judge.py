"""The judge of one partition: commands in, and every topic, row, state and promise held against what they give; pure.

Feed it `orders`, and `executions` and `trades` whenever they want records, in offset order; `end` when all are read.
"""

from collections.abc import Iterable
from typing import Protocol

from app.engine import Output, Partition
from app.kafka.reading import LogRecord
from app.models.commands import Genesis, UndecodableCommand, decode_command
from app.models.reports import ExecutionReport, decode_report, encode
from app.models.undecodable import UNDECODABLE
from app.verification.books import Books
from app.verification.conservation import Conservation
from app.verification.effective import Effective, Expected, difference
from app.verification.engines import NaivePartition
from app.verification.findings import Findings
from app.verification.promises import Promises
from app.verification.rows import ExpectedRows


class States(Protocol):
    """Durable states of a partition, to be held against the engine's as it passes them (O3)."""

    def before(self, offset: int, partition: Partition) -> None:
        """The command at this offset comes next."""

    def after(self, instrument: str, offset: int, partition: Partition) -> None:
        """The command at this offset has changed this instrument."""

    def end(self, partition: Partition, executions: int) -> None:
        """All commands are carried out; `executions` ends there, which was asked after these states were read."""

    def heard(self, instrument: str, seq: int, offset: int) -> None:
        """This report took effect at this offset of `executions`."""

    def cover(self, instrument: str, offset: int) -> bool:
        """Whether a snapshot covers this command: what it gave was acknowledged before (docs/EXACTNESS.md, I3)."""


class PartitionJudge:
    """What commands below `required` gave must be everywhere; rows were recorded up to `recorded` of executions."""

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
        states: States | None = None,
        naive: bool = False,
    ) -> None:
        self.partition_id, self._findings, self._required, self._recorded = partition_id, findings, required, recorded
        self._partition = Partition(partition_id, partitions)
        self._naive = NaivePartition(partition_id, partitions) if naive else None
        self._books, self._promises, self._states = books, promises, states
        self._conservation = Conservation()
        self.executions = Effective("executions", partition_id, findings.executions, self._hear)
        self.trades = Effective("trades", partition_id, findings.trades, lambda offset, value, expected: None)
        self.rows = ExpectedRows(partition_id)
        self.next_offset = 0
        self.heard_to = -1
        """The last command of which a report is there."""

    def orders(self, records: Iterable[LogRecord]) -> None:
        """The next commands of the log."""
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
        """The log ends here, and `executions` there; topics may still show what it gave."""
        if self.next_offset == 0:
            self._findings.log.complain(f"orders[{self.partition_id}] does not begin with its genesis record")
        self.executions.end_of_log()
        self.trades.end_of_log()
        if self._states is not None:
            self._states.end(self._partition, executions)

    def is_required(self, instrument: str, offset: int) -> bool:
        """Whether what this command gave must be in the topics."""
        covered = self._states is not None and self._states.cover(instrument, offset)
        return offset < self._required or covered

    def end(self) -> int:
        """Everything is read; how many reports were not there yet and need not be."""
        in_flight = self.executions.end(self.is_required)
        self.trades.end(self.is_required)
        for sentence in self._conservation.end():
            self._findings.conservation.complain(sentence)
        return in_flight

    def _in_order(self, record: LogRecord) -> None:
        """Offsets ascend; holes are what transactions leave (docs/EXACTNESS.md, I7), and hold no command."""
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
            differs = next((difference(a, b) for a, b in zip(mine, should, strict=False) if a != b), "another length")
            self._findings.log.complain(f"{where}: the engines differ: {differs} by the naive one")

    def _give(self, output: Output, offset: int) -> None:
        for report in output.reports:
            self._findings.log.compared += 1
            self.executions.give(report.instrument, Expected(report.seq, encode(report), offset, report))
            if self._books is not None:
                for sentence in self._books.follow(report, offset < self._required):
                    self._findings.books.complain(sentence)
        for trade in output.trades:
            self.trades.give(trade.instrument, Expected(trade.seq, encode(trade), offset, trade))

    def _hear(self, offset: int, value: bytes, expected: Expected) -> None:
        """An effective report: of what it says the conservation is judged, of what it should say the rows."""
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
