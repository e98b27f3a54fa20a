"""Compares the effective records of a topic (docs/EXACTNESS.md, I10) with those that the log gives, one by one (O2).

A partition's records come in the order of their commands, so neither side gets far ahead of the other. If one does,
because records are missing or added, MAX_WAITING bounds what we hold.
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

MAX_WAITING = 100_000  # records that the log has given, but the topic has not shown while it showed others


class Expected(NamedTuple):
    """A record that the log gives: its seq and bytes, the offset of its command, and the message."""

    seq: int
    value: bytes
    offset: int
    message: Any


def head_of(value: bytes | None) -> tuple[str, int]:
    """Instrument and seq of a record; ("", 0) if it is unreadable."""
    try:
        head = decode_head(value or b"")
    except UNDECODABLE:
        return "", 0
    return head.instrument, head.seq


# Called with each effective record: its offset in the topic, its bytes, and the log's record.
Hear = Callable[[int, bytes, Expected], None]


class Effective:
    """One partition of a topic."""

    def __init__(self, topic: str, partition_id: int, finding: Finding, hear: Hear) -> None:
        self._name, self._finding, self._hear = f"{topic}[{partition_id}]", finding, hear
        self._digests = Digests()
        self._given: dict[str, deque[Expected]] = {}
        self._shown: deque[LogRecord] = deque()
        self._seqs: dict[str, int] = {}
        self._lost: set[str] = set()  # instruments with a difference after which further ones mean nothing
        self._waiting = 0
        self._log_has_ended = self._is_late = False

    @property
    def wants_records(self) -> bool:
        """Whether records of the log wait to be compared and the topic must be read further."""
        return self._waiting > 0 and not self._shown

    def give(self, instrument: str, expected: Expected) -> None:
        """Take in a record that the log gives."""
        if instrument not in self._lost:
            self._given.setdefault(instrument, deque()).append(expected)
            self._waiting += 1
            if self._waiting > MAX_WAITING:
                self._give_up()

    def show(self, records: Iterable[LogRecord]) -> None:
        """Take in the topic's next records."""
        self._shown.extend(records)
        self.compare()

    def compare(self) -> None:
        """Compare as many records as the log has given so far."""
        while self._shown and self._judge(self._shown[0]):
            self._shown.popleft()

    def end_of_log(self) -> None:
        """Declare the log ended: further records in the topic are wrong."""
        self._log_has_ended = True
        self.compare()

    def show_late(self, records: Iterable[LogRecord]) -> None:
        """Take in records from beyond the topic's end as first seen: missing ones may be there; ignore the others."""
        self._is_late = True
        self.show(records)

    def missing(self, is_required: Callable[[str, int], bool]) -> dict[str, int]:
        """Instrument -> the last required seq that is missing; calls `is_required(instrument, command's offset)`."""
        return {
            instrument: required[-1].seq
            for instrument, queue in sorted(self._given.items())
            if (required := [expected for expected in queue if is_required(instrument, expected.offset)])
        }

    @property
    def first_missing(self) -> int | None:
        """The offset of the first command with a missing record; None if nothing is missing."""
        return min((queue[0].offset for queue in self._given.values() if queue), default=None)

    def end(self, is_required: Callable[[str, int], bool]) -> int:
        """Report missing records; returns how many records are missing that are not required yet."""
        missing = self.missing(is_required)
        for instrument, seq in missing.items():
            last = self._seqs.get(instrument, 0)
            self._finding.complain(f"{self._name}: {instrument} ends at seq {last}, but should end at {seq} by the log")
        self._digests.close()
        return sum(len(queue) for instrument, queue in self._given.items() if instrument not in missing)

    def _judge(self, record: LogRecord) -> bool:
        """Compare a record; returns False if it must wait until the log has given its counterpart."""
        value = record.value or b""
        try:
            instrument, seq = (head := decode_head(value)).instrument, head.seq
        except UNDECODABLE as error:
            return self._done(record, f"is unreadable: {error}")
        last = self._seqs.get(instrument, 0)
        if instrument in self._lost:
            return self._done(record)
        if record.key != instrument.encode():
            return self._done(record, f"has the key {record.key!r}, but its instrument is {instrument}")
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
            return self._done(record, f"{instrument} has seq {last + 1}, but ends before by the log", lost=instrument)
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
        """Report the instrument on which log and topic have drifted apart: a record is extra or missing."""
        if self._shown:
            record = self._shown.popleft()
            instrument, _ = head_of(record.value)
            self._done(record, f"{instrument} has a record that the log does not give", lost=instrument)
            self.compare()
        else:
            instrument = max(self._given, key=lambda name: len(self._given[name]))
            seq = self._given[instrument][0].seq
            self._finding.complain(f"{self._name}: {instrument} lacks seq {seq}, which the log gives")
            self._lose(instrument)

    def _lose(self, instrument: str) -> None:
        self._lost.add(instrument)
        self._waiting -= len(self._given.pop(instrument, ()))


def difference(found: bytes, right: bytes) -> str:
    """The first field in which two JSON texts differ: `orders[0].status is "new", but should be "filled"`."""
    try:
        ours, theirs = msgspec.json.decode(found), msgspec.json.decode(right)
    except UNDECODABLE:
        return f"it is {found[:80]!r}, but should be {right[:80]!r}"
    first = next(_differences("", ours, theirs), None)
    return first or "it has the right fields, but should have other bytes"


def _differences(path: str, found: object, right: object) -> Iterator[str]:
    if isinstance(found, dict) and isinstance(right, dict):
        for name in [*right, *(name for name in found if name not in right)]:
            yield from _differences(f"{path}.{name}" if path else name, found.get(name), right.get(name))
    elif isinstance(found, list) and isinstance(right, list):
        for index, (mine, theirs) in enumerate(zip(found, right, strict=False)):
            yield from _differences(f"{path}[{index}]", mine, theirs)
        if len(found) != len(right):
            yield f"{path} has {len(found)} entries, but should have {len(right)}"
    elif found != right:
        yield f"{path} is {_shown(found)}, but should be {_shown(right)}"


def _shown(value: object) -> str:
    return msgspec.json.encode(value).decode()[:120]
