"""`python -m app replay FILE`: runs a log of commands through the engine without Kafka and prints the reports.

Each line is a command as in the `orders` topic. It may have `offset` (default: the line's number from 1, or the offset
before plus 1 if that is larger) and `time` in milliseconds (default: the time before plus 1). Offsets must ascend, as
in a log. Each line on standard output is a report as in `executions`.

Markets begin with the newest engine version, unless the first line is a genesis record: then they begin with the
version that it names, or 1 if it names none. So an old log gives its old reports.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from app.engine import Partition, UnknownEngine
from app.models.reports import encode
from app.output import guard

FIRST_OFFSET = 1
FIRST_TIME_MS = 1
GENESIS = b'"genesis"'  # the kind of a log's first record, before all commands

decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
decode_int = msgspec.json.Decoder(int).decode
decode_text = msgspec.json.Decoder(str).decode
encode_fields = msgspec.json.Encoder().encode


class OffsetGoesBack(ValueError):
    """The lines are not a log: an offset is not above the one before."""


def replay(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Report lines for command lines. Skips blank lines; a line that is not a command gives a rejection.

    Raises OffsetGoesBack, UnknownEngine.
    """
    partition, last, time = Partition(0, partitions=1), -1, FIRST_TIME_MS - 1
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        key, value, offset, time = _record(line, max(number, last + 1), time + 1)
        if offset <= last:
            raise OffsetGoesBack(f"line {number}: offset {offset} is not above {last}, the offset of the line before")
        last = offset
        outcome = partition.apply(offset, time, key, value)
        if outcome is not None:
            yield from (encode(report) for report in outcome.reports)


def main(arguments: Sequence[str]) -> int:
    """Run `python -m app replay FILE`; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m app replay", description=__doc__)
    parser.add_argument("file", help="a file with one command per line; - reads standard input")
    guard()
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
    """(key, value, offset, time) of a line's log record; the bytes of all other fields stay unchanged."""
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
