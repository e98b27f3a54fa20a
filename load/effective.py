"""What a topic effectively says: each seq of an instrument once, as an honest reader hears it (exactness.md, I10)."""

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from load.expected import LogRecord


class _Head(msgspec.Struct):
    instrument: str
    seq: int


_head = msgspec.json.Decoder(_Head).decode


class Effective(NamedTuple):
    """The records of one topic by instrument, seq 1 first, and every sentence about what should not be there."""

    by_instrument: dict[str, list[bytes]]
    records: int
    complaints: list[str]


def effective(topic: str, partitions: dict[int, list[LogRecord]]) -> Effective:
    """Read a whole topic. A gap, a repeat with other bytes, a wrong key or an unreadable record is a complaint."""
    heard = Effective({}, sum(map(len, partitions.values())), [])
    for number, records in sorted(partitions.items()):
        for record in records:
            heard.complaints.extend(f"{topic}[{number}]@{record.offset}: {said}" for said in _hear(record, heard))
    return heard


def _hear(record: LogRecord, heard: Effective) -> Iterator[str]:
    try:
        head = _head(record.value or b"")
    except msgspec.MsgspecError as error:
        yield f"is unreadable: {error}"
        return
    if record.key != head.instrument.encode():
        yield f"has the key {record.key!r}, its instrument is {head.instrument}"
    so_far = heard.by_instrument.setdefault(head.instrument, [])
    if head.seq == len(so_far) + 1:
        so_far.append(record.value or b"")
    elif head.seq > len(so_far):
        yield f"{head.instrument} jumps from seq {len(so_far)} to {head.seq}"
    elif head.seq < 1:
        yield f"{head.instrument} has seq {head.seq}"
    elif record.value != so_far[head.seq - 1]:
        other = difference(record.value or b"", so_far[head.seq - 1])
        yield f"{head.instrument} seq {head.seq} is repeated with other bytes: {other} before"


def compare(topic: str, found: dict[str, list[bytes]], expected: dict[str, list[bytes]]) -> Iterator[str]:
    """Each way in which the effective topic is not the expected one."""
    for instrument in sorted(found.keys() | expected.keys()):
        have, want = found.get(instrument, []), expected.get(instrument, [])
        for index, (mine, right) in enumerate(zip(have, want, strict=False)):
            if mine != right:
                yield f"{topic}: {instrument} seq {index + 1}: {difference(mine, right)} by the log"
        if len(have) != len(want):
            yield f"{topic}: {instrument} ends at seq {len(have)}, by the log it is {len(want)}"


def difference(found: bytes, right: bytes) -> str:
    """The first field in which two JSON texts differ: `orders[0].status is "new", but "filled"`."""
    try:
        ours, theirs = msgspec.json.decode(found), msgspec.json.decode(right)
    except msgspec.MsgspecError:
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
