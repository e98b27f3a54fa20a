"""The views of the schema `market`, and the role that may read them and do nothing else (docs/ANALYTICS.md)."""

import asyncio
import re
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import errors

from app.postgres.exports import EXPORTS
from app.postgres.schema import migrate
from tests.postgres.recorded import ask

ROLE = "matchstream_reader"
SQL = re.findall(r"```sql\n(.*?)```", (Path(__file__).parents[2] / "docs" / "ANALYTICS.md").read_text(), re.DOTALL)


@pytest.fixture
async def database(database_url: str) -> str:
    """A database with our schema."""
    await asyncio.to_thread(migrate, database_url)
    return database_url


def as_reader(database: str, statement: str) -> None:
    """Run a statement as the role."""
    ask(database, f"SET ROLE {ROLE}; {statement}")


def test_the_reader_reads_every_view_and_an_export_has_its_columns(database: str) -> None:
    """By name, in the same order."""
    columns = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'market' AND table_name = %s"
    for name, exported in EXPORTS.items():
        as_reader(database, f"SELECT * FROM market.{name}")
        found = ask(database, f"{columns} ORDER BY ordinal_position", name)
        assert [column for (column,) in found] == list(exported.columns)
        assert exported.source == f"market.{name}"


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM market.trades",
        "UPDATE market.orders SET price = 1",
        "DELETE FROM market.candles",
        "INSERT INTO market.candles SELECT * FROM market.candles",
        "CREATE TABLE public.mine (n int)",
        "CREATE VIEW market.mine AS SELECT 1",
        "SELECT * FROM public.trades",
        "SELECT * FROM public.sink_progress",
        "UPDATE public.sink_progress SET next_offset = 0",
        "DROP VIEW market.trades",
    ],
)
def test_the_reader_can_do_nothing_else(database: str, statement: str) -> None:
    """Neither write through a view, nor see or change a table."""
    # A view that joins cannot be written to by anyone.
    refusals = (errors.InsufficientPrivilege, errors.ObjectNotInPrerequisiteState)
    with pytest.raises(refusals):
        as_reader(database, statement)


def test_the_documents_sql_runs(database: str) -> None:
    """As it is written there; the role exists already, which only the first line of its making says."""
    for block in SQL:
        try:
            ask(database, block)
        except psycopg2.errors.DuplicateObject:
            ask(database, block.partition(";")[2])
    assert len(SQL) == 2
