"""`python -m app export trades|orders|candles FILE`: recorded rows as Parquet or CSV, with their range and digest.

The export is as of one moment. `--from-seq` and `--to-seq` choose the rows of one instrument by the seq of their report
(of an order the report that accepted it, of a bar the one that last changed it), both ends included. The digest is the
SHA-256 of the rows as the CSV file has them, so it is that of the CSV file itself, and of a Parquet file with the same
rows. Range and digest are in the key-value metadata of a Parquet file under the key `matchstream`, and beside a CSV
file in FILE.json.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from app import where
from app.addresses import NoAddress
from app.commands.progress import ProgressBar
from app.postgres import Away, Refused
from app.postgres.exports import EXPORTS, BeyondRecorded, Exported, Kind, Span, UnknownInstrument, exporting

ROWS_PER_GROUP = 65_536
"""Of a Parquet file; no more than these are in memory."""
DIGITS, DECIMALS, AMOUNT_DECIMALS = 38, 8, 16
"""Of numbers in a Parquet file: those of money everywhere, in the widest type that every reader has."""
MISSING = "Parquet needs the package pyarrow: pip install 'matchstream[export]', or choose --format csv"
METADATA = "matchstream"


class MissingPackage(RuntimeError):
    """pyarrow is not installed."""


class TooManyDigits(ValueError):
    """A Parquet file cannot hold a number."""


class Target(Protocol):
    """Writes the lines of an export in some format."""

    def add(self, line: bytes) -> None:
        """Take one row as a line of CSV."""

    def finish(self, metadata: str) -> None:
        """Write the rest and the metadata."""

    def close(self) -> None:
        """Release everything, also after a failure."""


FAILURES = (NoAddress, Away, Refused, BeyondRecorded, UnknownInstrument, MissingPackage, TooManyDigits, OSError)
"""What ends the command with one sentence."""


class CsvTarget:
    """A CSV file, and beside it FILE.json with the metadata."""

    def __init__(self, file: BinaryIO, beside: Path, columns: Sequence[str]) -> None:
        self._file, self._beside = file, beside
        file.write(header(columns))

    def add(self, line: bytes) -> None:
        self._file.write(line)

    def finish(self, metadata: str) -> None:
        self._beside.write_text(metadata + "\n")

    def close(self) -> None: ...


class ParquetTarget:
    """A Parquet file, a row group for every ROWS_PER_GROUP rows."""

    def __init__(self, file: BinaryIO, columns: dict[str, Kind]) -> None:
        try:
            import pyarrow
            import pyarrow.csv
            import pyarrow.parquet
        except ModuleNotFoundError as error:
            raise MissingPackage(MISSING) from error
        types = {
            "text": pyarrow.string(),
            "integer": pyarrow.int64(),
            "decimal": pyarrow.decimal128(DIGITS, DECIMALS),
            "amount": pyarrow.decimal128(DIGITS, AMOUNT_DECIMALS),
            "boolean": pyarrow.bool_(),
            "time": pyarrow.timestamp("ms", tz="UTC"),
        }
        self._csv, self._lines = pyarrow.csv, list[bytes]()
        self._schema = pyarrow.schema([(name, types[kind]) for name, kind in columns.items()])
        self._reading = {
            "read_options": self._csv.ReadOptions(column_names=list(columns), use_threads=False),
            "parse_options": self._csv.ParseOptions(newlines_in_values=True),
            "convert_options": self._csv.ConvertOptions(
                column_types=self._schema, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
            ),
        }
        self._writer = pyarrow.parquet.ParquetWriter(file, self._schema)

    def add(self, line: bytes) -> None:
        self._lines.append(line)
        if len(self._lines) == ROWS_PER_GROUP:
            self._write_group()

    def finish(self, metadata: str) -> None:
        if self._lines:
            self._write_group()
        self._writer.add_key_value_metadata({METADATA: metadata})

    def close(self) -> None:
        self._writer.close()

    def _write_group(self) -> None:
        try:
            table = self._csv.read_csv(BytesIO(b"".join(self._lines)), **self._reading)
        except ValueError as error:
            raise TooManyDigits(f"not every row fits into Parquet, choose --format csv: {error}") from error
        self._writer.write_table(table, row_group_size=ROWS_PER_GROUP)
        self._lines.clear()


def main(arguments: Sequence[str]) -> int:
    """Run `python -m app export`; returns the exit code."""
    given = _parser().parse_args(arguments)
    span = Span(given.instrument, given.from_seq, given.to_seq)
    if span.instrument is None and span != Span():
        print("Error: --from-seq and --to-seq need --instrument: each instrument has its own seq", file=sys.stderr)
        return 2
    try:
        where.need("DATABASE_URL")
        print(where.text("DATABASE_URL"), file=sys.stderr)
        metadata = export(where.database_url, given.what, given.format, span, given.file)
    except FAILURES as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(metadata))
    return 0


def export(database_url: str, name: str, format: str, span: Span, path: Path) -> dict[str, Any]:
    """Write the rows to this file and return the metadata; if it fails, the file is as it was.

    Raises FAILURES.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name the file to write")
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        with unfinished.open("wb") as file, closing(_target(format, file, path, EXPORTS[name])) as target:
            metadata = _write(database_url, name, span, target)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return metadata


def header(columns: Sequence[str]) -> bytes:
    """The first line of a CSV file, which counts for the digest."""
    return ",".join(columns).encode() + b"\n"


def _write(database_url: str, name: str, span: Span, target: Target) -> dict[str, Any]:
    what = EXPORTS[name]
    digest, bar, done = hashlib.sha256(header(list(what.columns))), ProgressBar("rows", sys.stderr), 0
    with exporting(database_url, what, span) as rows:
        total = rows.count()

        def take(line: bytes) -> None:
            nonlocal done
            done += 1
            digest.update(line)
            target.add(line)
            bar.show(done, total)

        try:
            rows.copy(take)
        finally:
            bar.clear()
        ranges = {market: {"from_seq": first, "to_seq": last} for market, (first, last) in rows.ranges.items()}
        for market, last in rows.removed.items():
            ranges[market]["removed_to_seq"] = last
    metadata = {"rows_of": name, "ranges": ranges, "rows": done, "sha256": digest.hexdigest()}
    target.finish(json.dumps(metadata))
    return metadata


def _target(format: str, file: BinaryIO, path: Path, what: Exported) -> Target:
    if format == "csv":
        return CsvTarget(file, path.with_name(path.name + ".json"), list(what.columns))
    return ParquetTarget(file, what.columns)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app export", description=__doc__)
    parser.add_argument("what", choices=list(EXPORTS), help="the rows to export")
    parser.add_argument("file", type=Path, help="the file to write")
    parser.add_argument("--format", choices=("parquet", "csv"), default="parquet", help="default: parquet")
    parser.add_argument("--instrument", help="of this instrument only")
    parser.add_argument("--from-seq", type=_seq, help="the first seq; default: 1")
    parser.add_argument("--to-seq", type=_seq, help="the last seq; default: the last recorded")
    return parser


def _seq(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, not {text[:32]!r}")
    return int(text)
