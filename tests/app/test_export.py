"""`python -m app export`: the rows of a file are those of Postgres, with their range and digest (app/export.py)."""

import asyncio
import csv
import hashlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from app.export import METADATA, main
from app.models.candles import update_message
from app.models.decimals import Scale
from app.postgres import remove_history
from app.postgres.candles import BarRows
from app.postgres.exports import EXPORTS
from app.postgres.schema import migrate
from tests.analytics.markets import carry, history_of
from tests.long import LONG
from tests.postgres.recorded import ask, market, recording, records

ROOT = Path(__file__).parents[2]
READERS = re.findall(r"^\$ python (-c .+)$", (ROOT / "README.md").read_text(), re.MULTILINE)
MANY, FEW = (1_000_000, 100_000) if LONG else (140_000, 70_000)
MORE_MEMORY_MB = 60
FILL = """
INSERT INTO trades (instrument, seq, trade_id, report_seq, price, quantity, buy_order_id, sell_order_id,
    buy_client_id, sell_client_id, aggressor_side, executed_at)
SELECT 'BTC-USD', n, 'BTC-USD-' || n, n, 70000.00 + n %% 1000, 0.0001 * (1 + n %% 500), gen_random_uuid(),
    gen_random_uuid(), 'alice', 'bob', 'buy', timestamptz '2026-01-01' + n * interval '1 millisecond'
FROM generate_series(1, %s) AS n
"""
PROGRESS = "INSERT INTO instrument_progress (instrument, partition, last_seq) VALUES ('BTC-USD', 0, %s)"
MEASURED = (
    "import re, sys; from app.export import main; code = main(sys.argv[1:]);"
    "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1]); sys.exit(code)"
)
"""Prints the most memory in KB that the process has had; `ru_maxrss` would include that of the process it began as."""


@pytest.fixture
async def recorded(database_url: str) -> str:
    """A database with what a market of some hundred commands has left."""
    await asyncio.to_thread(migrate, database_url)
    async with recording(database_url) as at_work:
        await at_work.take(records(market(seed=7, count=600)))
    bars = BarRows()
    for update in carry(history_of(seed=7, length=200)).updates:
        if update:
            bars.add(update_message("BTC-USD", update, Scale(1_000_000, 10_000)))
    for statement, parameters in bars.statements():
        await asyncio.to_thread(ask, database_url, statement, *parameters)
    # What a bust's reason may contain, and CSV must quote.
    bust = "INSERT INTO trade_busts VALUES ('BTC-USD', 1, 900, '2026-01-01', E'wrong, \"price\"\\nof a line')"
    await asyncio.to_thread(ask, database_url, f"{bust} ON CONFLICT DO NOTHING")
    return database_url


@pytest.fixture
def export(recorded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs the command; returns its exit code and what it says: metadata, or the error."""

    def run(*arguments: Any) -> tuple[int, Any]:
        monkeypatch.setattr("app.export.where", Where(recorded))
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.err.splitlines()[-1] if code else json.loads(said.out)

    return run


class Where:
    """The addresses of the test's database."""

    def __init__(self, database_url: str) -> None:
        self.database_url = database_url

    def need(self, *_: str) -> None: ...

    def text(self, *_: str) -> str:
        return "the test's database"


@pytest.mark.parametrize("what", EXPORTS)
def test_a_parquet_file_has_the_rows_of_postgres(
    recorded: str, export: Callable[..., Any], what: str, tmp_path: Path
) -> None:
    """Every column of every row, with values equal to those that SQL gives."""
    file, exported = tmp_path / "rows.parquet", EXPORTS[what]
    code, metadata = export(what, file)
    columns = ", ".join(f"{name}::text" if kind == "text" else name for name, kind in exported.columns.items())
    wanted = ask(recorded, f"SET TimeZone = 'UTC'; SELECT {columns} FROM {exported.source} ORDER BY {exported.order}")

    assert code == 0
    found = pyarrow.parquet.read_table(file)
    assert [tuple(row.values()) for row in found.to_pylist()] == wanted
    assert metadata["rows"] == len(wanted) > 50
    assert json.loads(pyarrow.parquet.read_metadata(file).metadata[METADATA.encode()]) == metadata


@pytest.mark.parametrize("what", EXPORTS)
def test_a_csv_file_has_the_digest_of_the_parquet_file(export: Callable[..., Any], what: str, tmp_path: Path) -> None:
    """The digest is the SHA-256 of the CSV file, so that anyone can check it; the decimals are as reported."""
    of_parquet = export(what, tmp_path / "rows.parquet")[1]
    code, of_csv = export(what, "--format", "csv", tmp_path / "rows.csv")

    assert (code, of_csv) == (0, of_parquet)
    assert hashlib.sha256((tmp_path / "rows.csv").read_bytes()).hexdigest() == of_csv["sha256"]
    assert json.loads((tmp_path / "rows.csv.json").read_text()) == of_csv
    with (tmp_path / "rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == of_csv["rows"] and list(rows[0]) == list(EXPORTS[what].columns)
    price = next(row[name] for row in rows for name in ("price", "open") if row.get(name))
    assert len(price.partition(".")[2]) == 2


def test_a_range_has_the_rows_of_these_reports(recorded: str, export: Callable[..., Any], tmp_path: Path) -> None:
    """Both ends included, and the same range gives the same digest again."""
    wanted = ask(recorded, "SELECT seq FROM trades WHERE report_seq BETWEEN 100 AND 400 ORDER BY seq")
    range_ = ("--instrument", "BTC-USD", "--from-seq", 100, "--to-seq", 400)
    code, metadata = export("trades", *range_, tmp_path / "rows.parquet")
    found = pyarrow.parquet.read_table(tmp_path / "rows.parquet")

    assert code == 0 and metadata["ranges"] == {"BTC-USD": {"from_seq": 100, "to_seq": 400}}
    assert found["seq"].to_pylist() == [seq for (seq,) in wanted]
    assert export("trades", *range_, tmp_path / "again.parquet")[1] == metadata


def test_an_export_says_what_retention_has_removed(recorded: str, export: Callable[..., Any], tmp_path: Path) -> None:
    """The range promised every order from seq 1 on; trades stay."""
    cycle = "(cycle, key, state, requested_at, closed_at, seal, has_positions)"
    ask(recorded, f"INSERT INTO cycles {cycle} VALUES (1, 'a', 'settled', '1970-01-01', '1970-01-01', 'seal', true)")
    ask(recorded, "INSERT INTO cycle_ranges VALUES (1, 'BTC-USD', 0, 150)")
    asyncio.run(remove_history(recorded, 1, kept_h=-1))

    def ranges(what: str, *arguments: Any) -> Any:
        return export(what, *arguments, tmp_path / "rows.parquet")[1]["ranges"]["BTC-USD"]

    assert ranges("orders")["removed_to_seq"] == 150
    later = ("--instrument", "BTC-USD", "--from-seq")
    assert "removed_to_seq" in ranges("orders", *later, 150)
    assert "removed_to_seq" not in ranges("orders", *later, 151) | ranges("trades")


def test_a_range_without_rows_is_an_empty_file(export: Callable[..., Any], tmp_path: Path) -> None:
    """It has columns and metadata, and reads like any other."""
    code, metadata = export("trades", "--instrument", "BTC-USD", "--to-seq", 1, tmp_path / "rows.parquet")

    assert (code, metadata["rows"]) == (0, 0)
    assert pyarrow.parquet.read_table(tmp_path / "rows.parquet").column_names == list(EXPORTS["trades"].columns)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--from-seq", "5"), "need --instrument"),
        (("--instrument", "ETH-USD"), "nothing of ETH-USD is recorded"),
        (("--instrument", "BTC-USD", "--to-seq", "999999"), "so a range cannot end at 999999"),
        (("--instrument", "BTC-USD", "--from-seq", "5", "--to-seq", "4"), "the range begins at seq 5 and ends at 4"),
        (("--instrument", "BTC-USD", "--from-seq", "999999"), "the range begins at seq 999999 and ends at "),
    ],
)
def test_a_wrong_range_is_refused_and_no_file_is_made(
    export: Callable[..., Any], tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    """With one sentence that says what to change; a file that was there stays."""
    (tmp_path / "rows.parquet").write_text("mine")
    code, said = export("trades", *arguments, tmp_path / "rows.parquet")

    assert code and sentence in said
    assert [file.name for file in tmp_path.iterdir()] == ["rows.parquet"]
    assert (tmp_path / "rows.parquet").read_text() == "mine"


@pytest.mark.parametrize("folder", ["", "/"])
def test_a_folder_is_no_file_to_write(
    export: Callable[..., Any], tmp_path: Path, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that has no name."""
    monkeypatch.chdir(tmp_path)
    code, said = export("trades", folder)
    assert code == 1 and said.endswith("is a folder: name the file to write")
    assert list(tmp_path.iterdir()) == []


def test_an_amount_that_parquet_cannot_hold_is_named(recorded: str, export: Callable[..., Any], tmp_path: Path) -> None:
    """Three trades of the largest price and quantity: 25 digits before the point, 16 after; readers have 38."""
    largest = "2999999999999999999940000.0000000000000003"
    ask(recorded, "UPDATE candles SET quote_volume = %s WHERE interval = '1w'", largest)
    code, said = export("candles", tmp_path / "rows.parquet")
    assert code == 1 and "not every row fits into Parquet, choose --format csv" in said and largest in said
    assert list(tmp_path.iterdir()) == []
    assert export("candles", "--format", "csv", tmp_path / "rows.csv")[0] == 0
    assert largest in (tmp_path / "rows.csv").read_text()


def test_the_readers_of_the_readme_read_an_export(recorded: str, export: Callable[..., Any], tmp_path: Path) -> None:
    """pandas, polars and DuckDB find the exact sum that Postgres has."""
    export("trades", tmp_path / "trades.parquet")
    ((volume,),) = ask(recorded, "SELECT sum(quantity) FROM trades")

    assert [re.search("import ([a-z]+)", reader)[1] for reader in READERS] == ["pandas", "polars", "duckdb"]
    for reader in READERS:
        command = [sys.executable, *shlex.split(reader)]
        shown = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
        assert f"{volume:.8f}" in shown and "BTC-USD" in shown, shown


def test_a_missing_pyarrow_is_named(
    export: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an extra, which `make run` does not install; CSV works without it."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    assert "pip install 'matchstream[export]'" in export("trades", tmp_path / "rows.parquet")[1]
    assert export("trades", "--format", "csv", tmp_path / "rows.csv")[0] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_rows(database_url: str, tmp_path: Path) -> None:
    """A million rows (in the long form) take hardly more of it than a tenth of them."""
    migrate(database_url)
    ask(database_url, FILL, MANY)
    ask(database_url, PROGRESS, MANY)

    def peak_mb(format: str, rows: int) -> int:
        file = tmp_path / f"{rows}.{format}"
        range_ = ["--instrument", "BTC-USD", "--to-seq", str(rows)]
        command = [sys.executable, "-c", MEASURED, "trades", "--format", format, *range_, str(file)]
        env = {"DATABASE_URL": database_url, "PATH": "/usr/bin:/bin"}
        done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        metadata, kilobytes = done.stdout.splitlines()
        assert json.loads(metadata)["rows"] == rows
        return int(kilobytes) // 1024

    for format in ("parquet", "csv"):
        few, many = peak_mb(format, FEW), peak_mb(format, MANY)
        print(f"{format}: {few} MB for {FEW:,} rows, {many} MB for {MANY:,}")
        assert many - few < MORE_MEMORY_MB
