"""What a topic effectively says (docs/EXACTNESS.md, I10) against what the log gives, record by record (O2).

A partition's records come in the order of their commands, so neither side runs far ahead of the other; what an
honest venue never leaves behind is bounded by MAX_WAITING.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from app.kafka.reading import LogRecord
from app.models.reports import decode_head
from app.models.undecodable import UNDECODABLE
from app.verification.digests import Digests
from app.verification.findings import Finding

MAX_WAITING = 100_000  # records that the log has given and the topic has not shown, while it shows others


class Expected(NamedTuple):
    """A record that the log gives: its seq and bytes, the command's offset, and the message."""

    seq: int
    value: bytes
    offset: int
    message: Any


def head_of(value: bytes | None) -> tuple[str, int]:
    """Instrument and seq of a record; of what is none, no instrument."""
    try:
        head = decode_head(value or b"")
    except UNDECODABLE:
        return "", 0
    return head.instrument, head.seq


# Given each effective record: its offset in the topic, its bytes, and what the log says.
Hear = Callable[[int, bytes, Expected], None]


class Effective:
    """One partition of a topic."""

    def __init__(self, topic: str, partition_id: int, finding: Finding, hear: Hear) -> None:
        self._name, self._finding, self._hear = f"{topic}[{partition_id}]", finding, hear
        self._digests = Digests()
        self._given: dict[str, deque[Expected]] = {}
        self._shown: deque[LogRecord] = deque()
        self._seqs: dict[str, int] = {}
        self._lost: set[str] = set()  # instruments in which something is wrong: what follows says nothing new
        self._waiting = 0
        self._log_has_ended = self._is_late = False

    @property
    def wants_records(self) -> bool:
        """Whether what the log has given waits for the topic."""
        return self._waiting > 0 and not self._shown

    def give(self, instrument: str, expected: Expected) -> None:
        """The log gives a record."""
        if instrument not in self._lost:
            self._given.setdefault(instrument, deque()).append(expected)
            self._waiting += 1
            if self._waiting > MAX_WAITING:
                self._give_up()

    def show(self, records: Iterable[LogRecord]) -> None:
        """The topic shows records."""
        self._shown.extend(records)
        self.compare()

    def compare(self) -> None:
        """Go as far as the log allows."""
        while self._shown and self._judge(self._shown[0]):
            self._shown.popleft()

    def end_of_log(self) -> None:
        """The log gives nothing more, so what is shown beyond it is wrong."""
        self._log_has_ended = True
        self.compare()

    def show_late(self, records: Iterable[LogRecord]) -> None:
        """Records from beyond the end of the topic: among them may be what was missing, the rest is not judged."""
        self._is_late = True
        self.show(records)

    def missing(self, is_required: Callable[[str, int], bool]) -> dict[str, int]:
        """Per instrument, the last seq that must be there and is not; `is_required(instrument, command's offset)`."""
        return {
            instrument: required[-1].seq
            for instrument, queue in sorted(self._given.items())
            if (required := [expected for expected in queue if is_required(instrument, expected.offset)])
        }

    @property
    def first_missing(self) -> int | None:
        """The first command of which something that it gave is not there."""
        return min((queue[0].offset for queue in self._given.values() if queue), default=None)

    def end(self, is_required: Callable[[str, int], bool]) -> int:
        """Nothing more comes; how many records that the log gives are not there and need not be."""
        missing = self.missing(is_required)
        for instrument, seq in missing.items():
            last = self._seqs.get(instrument, 0)
            self._finding.complain(f"{self._name}: {instrument} ends at seq {last}, by the log it is {seq}")
        self._digests.close()
        return sum(len(queue) for instrument, queue in self._given.items() if instrument not in missing)

    def _judge(self, record: LogRecord) -> bool:
        """Whether this record is done with; it may have to wait for the log."""
        value = record.value or b""
        try:
            instrument, seq = (head := decode_head(value)).instrument, head.seq
        except UNDECODABLE as error:
            return self._done(record, f"is unreadable: {error}")
        last = self._seqs.get(instrument, 0)
        if instrument in self._lost:
            return self._done(record)
        if record.key != instrument.encode():
            return self._done(record, f"has the key {record.key!r}, its instrument is {instrument}")
        if seq == last + 1:
            return self._next(record, instrument, value)
        if seq > last and self._is_late:
            return self._done(record)
        if seq > last:
            return self._done(record, f"{instrument} jumps from seq {last} to {seq}", lost=instrument)
        if seq < 1:
            return self._done(record, f"{instrument} has seq {seq}")
        if not self._digests.is_of(instrument, seq, value):
            return self._done(record, f"{instrument} seq {seq} is repeated with other bytes")
        return self._done(record)

    def _next(self, record: LogRecord, instrument: str, value: bytes) -> bool:
        queue = self._given.get(instrument)
        if not queue:
            if not self._log_has_ended:
                return False
            if self._is_late:
                return self._done(record)
            last = self._seqs.get(instrument, 0)
            return self._done(record, f"{instrument} goes on with seq {last + 1}, by the log it ends", lost=instrument)
        expected = queue.popleft()
        self._waiting -= 1
        self._seqs[instrument] = expected.seq
        self._digests.append(instrument, value)
        self._hear(record.offset, value, expected)
        if value == expected.value:
            return self._done(record)
        return self._done(record, f"{instrument} seq {expected.seq}: {difference(value, expected.value)} by the log")

    def _done(self, record: LogRecord, complaint: str | None = None, lost: str | None = None) -> bool:
        self._finding.compared += 1
        if complaint is not None:
            self._finding.complain(f"{self._name}@{record.offset}: {complaint}")
        if lost is not None:
            self._lose(lost)
        return True

    def _give_up(self) -> None:
        """The sides have come apart: the topic shows what the log does not give, or not what it has long given."""
        if self._shown:
            record = self._shown.popleft()
            instrument, _ = head_of(record.value)
            self._done(record, f"{instrument} has a record that the log does not give", lost=instrument)
            self.compare()
        else:
            instrument = max(self._given, key=lambda name: len(self._given[name]))
            seq = self._given[instrument][0].seq
            self._finding.complain(f"{self._name}: {instrument} has no seq {seq}, which the log gives")
            self._lose(instrument)

    def _lose(self, instrument: str) -> None:
        self._lost.add(instrument)
        self._waiting -= len(self._given.pop(instrument, ()))


def difference(found: bytes, right: bytes) -> str:
    """The first field in which two JSON texts differ: `orders[0].status is "new", but "filled"`."""
    try:
        ours, theirs = msgspec.json.decode(found), msgspec.json.decode(right)
    except UNDECODABLE:
        return f"{found[:80]!r}, but {right[:80]!r}"
    first = next(_differences("", ours, theirs), None)
    return first or "the same fields in other bytes"


def _differences(path: str, found: object, right: object) -> Iterator[str]:
    if isinstance(found, dict) and isinstance(right, dict):
        for name in [*right, *(name for name in found if name not in right)]:
            yield from _differences(f"{path}.{name}" if path else name, found.get(name), right.get(name))
    elif isinstance(found, list) and isinstance(right, list):
        for index, (mine, theirs) in enumerate(zip(found, right, strict=False)):
            yield from _differences(f"{path}[{index}]", mine, theirs)
        if len(found) != len(right):
            yield f"{path} has {len(found)} entries, but {len(right)}"
    elif found != right:
        yield f"{path} is {_shown(found)}, but {_shown(right)}"


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()[:120]
