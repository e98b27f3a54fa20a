"""The naive engine as a partition of the market; it shares no matching code with the venue's engine (O1)."""

import json
from typing import Any, NamedTuple

from aiokafka.partitioner import murmur2

from app.matching import events
from app.matching.commands import Moment
from app.matching.words import Reason
from app.models.commands import Genesis, ListInstrument, UndecodableCommand, decode_command
from app.models.conversion import scale_of, to_core
from app.models.decimals import Scale
from app.models.identity import NO_SECRET
from app.models.reports import ExecutionReport, PublicTrade, public_trades, report_message
from app.naive.matching import ENGINE_VERSIONS, NaiveEngine, NaiveRejections


class NaiveOutput(NamedTuple):
    """The reports and trades of one command, like app.engine.Output."""

    reports: list[ExecutionReport]
    trades: list[PublicTrade]


class NaivePartition:
    """A partition whose books are the naive engine's, like app.engine.Partition."""

    def __init__(self, partition_id: int, partitions: int) -> None:
        self.partition_id, self.partitions = partition_id, partitions
        self.books: dict[str, tuple[NaiveEngine, Scale]] = {}
        self._rejections = NaiveRejections(partition_id)
        self._secret: bytes | None = None
        self._engine_version = ENGINE_VERSIONS[-1]  # until the genesis record names one

    def apply(self, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None) -> NaiveOutput | None:
        at = Moment(offset, timestamp_ms)
        try:
            report, scale = self._report(at, key, value)
        except UndecodableCommand:
            report, scale = self._reject(Reason.MALFORMED_COMMAND, value, at), None
        if report is None:
            return None
        parts = [report_message(part, scale) for part in events.split(report)]
        return NaiveOutput(parts, public_trades(parts))

    def _report(self, at: Moment, key: bytes | None, value: bytes | None) -> tuple[events.Report | None, Scale | None]:
        message = decode_command(value)
        if self._secret is None:  # the first record, if it is a genesis record, has it
            self._secret = message.secret if isinstance(message, Genesis) else NO_SECRET
        if isinstance(message, Genesis):
            if at.offset == 0:
                self._engine_version = message.engine_version
            return None, None
        reason, listed = None, self.books.get(message.instrument)
        if key != message.instrument.encode():
            reason = Reason.KEY_MISMATCH
        elif self._engine_version >= 2 and _has_a_name_twice(value or b""):
            reason = Reason.MALFORMED_COMMAND
        elif (murmur2(key) & 0x7FFFFFFF) % self.partitions != self.partition_id:
            reason = Reason.WRONG_PARTITION
        elif listed is None and not isinstance(message, ListInstrument):
            reason = Reason.UNKNOWN_INSTRUMENT
        if reason is not None:
            return self._reject(reason, value, at), None
        command = to_core(message, listed[1] if listed else None, self._secret, strictly=self._engine_version >= 2)
        if listed is None:
            naive = NaiveEngine(message.instrument, self._engine_version)
            report = naive.apply(command, at)  # an invalid listing raises here, before we keep the book
            self.books[message.instrument] = naive, scale_of(naive.listing)
            return report, self.books[message.instrument][1]
        return listed[0].apply(command, at), listed[1]

    def _reject(self, reason: Reason, value: bytes | None, at: Moment) -> events.Report:
        return self._rejections.reject(reason, value or b"", at, self._engine_version)


def _has_a_name_twice(value: bytes) -> bool:
    pairs: list[tuple[str, Any]] = json.loads(value, object_pairs_hook=list)
    return len(dict(pairs)) < len(pairs)
