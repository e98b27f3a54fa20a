"""What a log of commands should have given (O1): every report and trade, byte for byte, from one of two engines."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from aiokafka.partitioner import murmur2

from app.matching import events
from app.matching.commands import Moment
from app.matching.words import Reason
from app.models.commands import Genesis, ListInstrument, UndecodableCommand, decode_command, scale_of, to_core
from app.models.decimals import Scale
from app.models.reports import ExecutionReport, PublicTrade, encode, public_trades, report_message
from app.oracle import Oracle, OracleRejections


class LogRecord(NamedTuple):
    """A record of a topic as it lies in the log; time in ms since the epoch."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


class _Result(Protocol):
    @property
    def reports(self) -> list[ExecutionReport]: ...

    @property
    def trades(self) -> list[PublicTrade]: ...


class Engine(Protocol):
    """One partition of the market, as app.engine.Partition."""

    def apply(self, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None) -> _Result | None: ...


EngineMaker = Callable[[int, int], Engine]


class Expected(NamedTuple):
    """The reports of one partition in order, and the bytes of its effective records by instrument, seq 1 first."""

    reports: list[ExecutionReport]
    executions: dict[str, list[bytes]]
    trades: dict[str, list[bytes]]


def expected(records: Iterable[LogRecord], number: int, partitions: int, engine: EngineMaker) -> Expected:
    """Run one partition of `orders` through an engine, from its first record."""
    partition = engine(number, partitions)
    found = Expected([], {}, {})
    for record in records:
        result = partition.apply(*record)
        if result is None:
            continue
        found.reports.extend(result.reports)
        for report in result.reports:
            found.executions.setdefault(report.instrument, []).append(encode(report))
        for trade in result.trades:
            found.trades.setdefault(trade.instrument, []).append(encode(trade))
    return found


class _NaiveResult(NamedTuple):
    reports: list[ExecutionReport]
    trades: list[PublicTrade]


class NaivePartition:
    """A partition whose books are the naive engine's: it shares no decision with the engine of the venue."""

    def __init__(self, number: int, partitions: int) -> None:
        self.number, self.partitions = number, partitions
        self.books: dict[str, tuple[Oracle, Scale]] = {}
        self._rejections = OracleRejections(number)

    def apply(self, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None) -> _NaiveResult | None:
        at = Moment(offset, timestamp_ms)
        try:
            report, scale = self._report(at, key, value)
        except UndecodableCommand:
            report, scale = self._rejections.reject(Reason.MALFORMED_COMMAND, value or b"", at), None
        if report is None:
            return None
        parts = [report_message(part, scale) for part in events.split(report)]
        return _NaiveResult(parts, public_trades(report, scale) if scale else [])

    def _report(self, at: Moment, key: bytes | None, value: bytes | None) -> tuple[events.Report | None, Scale | None]:
        message = decode_command(value)
        if isinstance(message, Genesis):
            return None, None
        reason, listed = None, self.books.get(message.instrument)
        if key != message.instrument.encode():
            reason = Reason.KEY_MISMATCH
        elif (murmur2(key) & 0x7FFFFFFF) % self.partitions != self.number:
            reason = Reason.WRONG_PARTITION
        elif listed is None and not isinstance(message, ListInstrument):
            reason = Reason.UNKNOWN_INSTRUMENT
        if reason is not None:
            return self._rejections.reject(reason, value or b"", at), None
        command = to_core(message, listed[1] if listed else None)
        if listed is None:
            oracle = Oracle(message.instrument)
            report = oracle.apply(command, at)  # raises before it is kept, if the listing is invalid
            self.books[message.instrument] = oracle, scale_of(oracle.listing)
            return report, self.books[message.instrument][1]
        return listed[0].apply(command, at), listed[1]
