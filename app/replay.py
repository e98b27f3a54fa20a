"""`python -m app replay FILE`: a log of commands in, its execution reports out, through the same engine, without Kafka.

A line is a command as in the `orders` topic; it may carry `offset` (else the line's number from 1, or one more than
the line before if that is larger) and `time` in milliseconds (else one more than the line before). Offsets ascend, as
in a log. A line on standard output is a report as in `executions`.

Markets begin with the newest engine version, unless the first line is a genesis record: then with the version that it
names, 1 if it names none. So an old log gives its old reports.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from app.engine import Partition, UnknownEngine
from app.models.reports import encode

FIRST_OFFSET = 1
FIRST_TIME_MS = 1
GENESIS = b'"genesis"'  # in a log it is the record before all commands

decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_int = msgspec.json.Decoder(int).decode
decode_text = msgspec.json.Decoder(str).decode
encode_fields = msgspec.json.Encoder().encode


class OffsetGoesBack(ValueError):
    """The lines are no log: an offset is not above the one before."""


def replay(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Report lines for command lines. Blank lines are passed over; a line that is no command gets its rejection.

    Raises OffsetGoesBack, UnknownEngine.
    """
    partition, last, time = Partition(0, partitions=1), -1, FIRST_TIME_MS - 1
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        key, value, offset, time = _record(line, max(number, last + 1), time + 1)
        if offset <= last:
            raise OffsetGoesBack(f"line {number}: the offset {offset} is not above {last}, that of the line before")
        last = offset
        outcome = partition.apply(offset, time, key, value)
        if outcome is not None:
            yield from (encode(report) for report in outcome.reports)


def main(arguments: Sequence[str]) -> int:
    """Run `python -m app replay FILE`; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m app replay", description=__doc__)
    parser.add_argument("file", help="a command a line; - for standard input")
    try:
        run(parser.parse_args(arguments).file)
    except (OSError, OffsetGoesBack, UnknownEngine) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def run(path: str, output: BinaryIO | None = None) -> None:
    """Replay a file, or standard input for `-`; raises OSError, OffsetGoesBack, UnknownEngine."""
    out = output or sys.stdout.buffer
    with sys.stdin.buffer if path == "-" else Path(path).open("rb") as source:
        for report in replay(source):
            out.write(report + b"\n")
    out.flush()


def _record(line: bytes, next_offset: int, next_time: int) -> tuple[bytes | None, bytes, int, int]:
    """(key, value, offset, time) of the log record that a line stands for; other fields stay as they are written."""
    try:
        fields = decode_fields(line)
        offset, time = fields.pop("offset", None), fields.pop("time", None)
        if next_offset == FIRST_OFFSET and bytes(fields.get("command", b"")) == GENESIS:
            next_offset = 0
        position = decode_int(offset) if offset else next_offset, decode_int(time) if time else next_time
        key = decode_text(fields["instrument"]).encode() if "instrument" in fields else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None, line.rstrip(b"\n"), next_offset, next_time
    return key, encode_fields(fields) if offset or time else line.rstrip(b"\n"), *position
