"""The engine of one partition: turns records of the `orders` log into execution reports, without I/O or a clock.

The matching agent, `replay` and `verify` all run this. It decides whether a record is a command of a listed instrument
and rejects all others; app/matching carries the command out.
"""

from collections.abc import Mapping

from aiokafka.partitioner import murmur2

from app.matching.book import Book
from app.matching.commands import List, Moment
from app.matching.events import Report, split
from app.matching.identities import Block
from app.matching.rejections import Rejections, RejectionsState
from app.matching.rules import is_valid_listing
from app.matching.sanity import check_cheap
from app.matching.states import restore
from app.matching.versions import NEWEST_VERSION, VERSIONS
from app.matching.words import Reason
from app.models.commands import (
    CommandMessage,
    Genesis,
    ListInstrument,
    UndecodableCommand,
    decode_command,
    require_each_name_once,
)
from app.models.conversion import scale_of, to_core
from app.models.decimals import Scale
from app.models.identity import NO_SECRET
from app.models.reports import ExecutionReport, PublicTrade, public_trades, report_message
from app.models.snapshots import State

_new = tuple.__new__  # a NamedTuple's own constructor takes twice as long


def partition_of(instrument: str, partitions: int) -> int:
    """The partition of an instrument's records, as Kafka's default partitioner chooses it: murmur2 of the key."""
    return int((murmur2(instrument.encode()) & 0x7FFFFFFF) % partitions)


class UnknownEngine(RuntimeError):
    """A log or a market requires an engine version that this release does not have."""


class Output:
    """The output of one record, as sent to the topics: the report (in parts if it is large) and its trades."""

    __slots__ = ("instrument", "reports", "trades")

    def __init__(self, report: Report, scale: Scale | None) -> None:
        self.instrument = report.instrument
        parts = (report,) if report.parts == 1 else split(report)
        self.reports: list[ExecutionReport] = [report_message(part, scale) for part in parts]
        self.trades: list[PublicTrade] = public_trades(self.reports) if report.trades else []


class Partition:
    """The books of one partition of `orders`, and `_partition-<p>`, the reserved instrument for rejected records.

    `genesis` is the log's first record. Readers that start at offset 0 omit it, because they read it there. A log
    without a genesis record has no secret and uses the newest engine version.

    Raises UnknownEngine for an engine version that this release does not have.
    """

    def __init__(self, partition_id: int, partitions: int, genesis: Genesis | None = None) -> None:
        self.partition_id, self.partitions = partition_id, partitions
        self._secret: bytes | None = None if genesis is None else genesis.secret
        self._begin(NEWEST_VERSION if genesis is None else genesis.engine_version)
        self.books: dict[str, Book] = {}
        self.rejections = Rejections(partition_id)
        self._scales: dict[str, Scale] = {}

    def _begin(self, engine_version: int) -> None:
        if engine_version not in VERSIONS:
            known = ", ".join(map(str, VERSIONS))
            raise UnknownEngine(
                f"orders[{self.partition_id}] begins with engine version {engine_version}, this program has {known}: "
                "start a release that has it"
            )
        self._engine_version, self._strictly = engine_version, VERSIONS[engine_version].reads_strictly

    def restore(self, state: State, blocks: Mapping[int, Block]) -> None:
        """Restore the book of an instrument, or the rejections, from a snapshot's state."""
        if isinstance(state, RejectionsState):
            self.rejections = Rejections.restore(state)
        else:
            self.books[state.instrument] = restore(state, blocks)
            self._scales[state.instrument] = scale_of(state.listing)

    def apply(self, offset: int, timestamp_ms: int, key: bytes | None, value: bytes | None) -> Output | None:
        """Apply one record; None for the genesis record and for records that a restored state already includes.

        Raises UnknownEngine for the genesis record of a later release.
        """
        at = _new(Moment, (offset, timestamp_ms))
        try:
            message = decode_command(value)
            if self._secret is None:
                self._secret = message.secret if isinstance(message, Genesis) else NO_SECRET
            if isinstance(message, Genesis):
                if offset == 0:  # ignore a later one
                    self._begin(message.engine_version)
                return None
            return self._apply_command(message, key, value or b"", at)
        except UndecodableCommand:
            return self._reject(Reason.MALFORMED_COMMAND, value, at)

    def _apply_command(self, message: CommandMessage, key: bytes | None, value: bytes, at: Moment) -> Output | None:
        instrument = message.instrument
        if key != instrument.encode():
            return self._reject(Reason.KEY_MISMATCH, value, at)
        if self._strictly:
            require_each_name_once(message, value)
        book = self.books.get(instrument)
        if book is None or at.offset < book.listed_offset:
            return self._apply_first_command(message, value, at)
        scale = self._scales[instrument]
        assert self._secret is not None, "the first record has told it"
        # Convert first, even if the book is past this offset: a command that cannot be converted goes to rejections.
        command = to_core(message, scale, self._secret, self._strictly)
        if at.offset <= book.offset:
            return None
        report = book.apply(command, at)
        check_cheap(book, report)
        return Output(report, scale)

    def _apply_first_command(self, message: CommandMessage, value: bytes, at: Moment) -> Output | None:
        """Apply a command whose instrument is not listed yet at this offset."""
        instrument = message.instrument
        if partition_of(instrument, self.partitions) != self.partition_id:
            return self._reject(Reason.WRONG_PARTITION, value, at)
        if not isinstance(message, ListInstrument):
            return self._reject(Reason.UNKNOWN_INSTRUMENT, value, at)
        command = to_core(message, None)
        assert isinstance(command, List), "a list message is a list command"
        if not is_valid_listing(command.listing):
            return self._reject(Reason.MALFORMED_COMMAND, value, at)
        book = self.books[instrument] = Book(instrument, self._engine_version)
        scale = self._scales[instrument] = scale_of(command.listing)
        return Output(book.apply(command, at), scale)

    def _reject(self, reason: Reason, value: bytes | None, at: Moment) -> Output | None:
        if at.offset <= self.rejections.offset:
            return None
        return Output(self.rejections.reject(reason, value or b"", at, self._engine_version), None)
