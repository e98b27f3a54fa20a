"""`verify` compares clearing with the log (O7): an honest projection is right, and each altered column is seen."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from app.clearing.amounts import UNITS_PER_ONE
from app.kafka.reading import LogRecord
from app.local import postgres
from app.local.servers import Servers
from app.matching.words import Outcome, Side
from app.models.commands import ListInstrument
from app.models.reports import ExecutionReport, TradeReport
from app.postgres import Audit
from app.postgres.schema import migrate
from app.verification.clearing import ClearingJudge
from app.verification.findings import Finding
from tests.clearing.histories import MARKETS, History
from tests.clearing.projected import LOG_ID, TOPIC, Projected, ask, drop_database, record, records
from tests.clearing.test_projection import TWO_CYCLES
from tests.integration.fields import SQL

TABLES = "('cycles', 'cycle_ranges', 'obligations', 'instructions', 'statements')"
CONSTRAINTS = f"""
SELECT conrelid::regclass::text, conname FROM pg_constraint
WHERE conrelid::regclass::text IN {TABLES} AND contype IN ('c', 'f') ORDER BY contype DESC
"""
COLUMNS = f"""
SELECT table_name, column_name, udt_name FROM information_schema.columns
WHERE (table_name IN {TABLES} OR table_name = 'sink_progress' AND column_name <> 'topic') AND is_generated = 'NEVER'
ORDER BY table_name, ordinal_position
"""


@pytest.fixture
async def database(servers: Servers) -> AsyncIterator[str]:
    """Two cycles of a history, projected; no constraint is left that would refuse an alteration."""
    name = "clearing_verified"
    postgres.create_database(servers.postgres_port, name)
    url = postgres.url(servers.postgres_port, name)
    await asyncio.to_thread(migrate, url)
    await asyncio.to_thread(record, url, TWO_CYCLES)
    async with Projected(url) as projected:
        await projected.settling.take(records(TWO_CYCLES))
    for table, constraint in ask(url, CONSTRAINTS):
        ask(url, f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")
    yield url
    drop_database(url)


def reports(history: History) -> list[ExecutionReport]:
    """The history's listings and trades as the log gives them."""
    found = []
    for name, (base, quote) in MARKETS.items():
        listing = ListInstrument(name, "list", base, quote, "0.01", "0.01")
        found.append(ExecutionReport(name, 1, 0, 0, 2, "list", Outcome.ACCEPTED, listing=listing))
    for trade in history.trades:
        numbers = [f"{units // UNITS_PER_ONE}.{units % UNITS_PER_ONE:08d}" for units in (trade.price, trade.quantity)]
        parties = ["", "", trade.buyer, trade.seller]
        report = TradeReport(f"{trade.instrument}-{trade.number}", trade.number, *numbers, *parties, Side.BUY)
        found.append(ExecutionReport(trade.instrument, trade.seq, 0, 0, 2, "place", Outcome.ACCEPTED, trades=[report]))
    return found


async def judged(database: str, history: History = TWO_CYCLES) -> Finding:
    """What the judge finds in this database."""
    judge = ClearingJudge([LogRecord(r.offset, r.timestamp, b"", r.value) for r in records(history)])
    for report in reports(history):
        judge.give(report)
    finding = Finding("O7", "clearing")
    tables = await Audit.open(database, "executions", TOPIC)
    try:
        for sentence in judge.strange_positions(tables, LOG_ID):
            finding.complain(sentence)
        await judge.compare(tables, finding)
    finally:
        await tables.close()
    return finding


async def test_an_honest_projection_is_right_and_every_column_is_compared(database: str) -> None:
    """Named by table, key and column, with what is found and what is right."""
    honest = await judged(database)
    assert (honest.first, honest.note) == (None, None)
    assert honest.compared == 2 + 2 + 8 + 4 + len(ask(database, "SELECT 1 FROM instructions"))
    missed = []
    for table, column, type_ in ask(database, COLUMNS):
        pick = f"SELECT ctid, {column}::text FROM {table} ORDER BY {column} IS NULL, {column}, ctid LIMIT 1"
        ((place, value),) = ask(database, pick)
        change = f"UPDATE {table} SET {column} = {SQL[type_].format(column)} WHERE ctid = %s RETURNING ctid"
        ((changed,),) = ask(database, change, place)
        first = (await judged(database)).first or "RIGHT"
        if f"Postgres {table}" not in first:
            missed.append(f"{table}.{column}: {first}")
        ask(database, f"UPDATE {table} SET {column} = %s::{type_} WHERE ctid = %s", value, changed)
    assert not missed, "\n".join(missed)
    assert (await judged(database)).first is None


async def test_a_trade_that_another_price_was_netted_for_is_found(database: str) -> None:
    """C4: the log decides, whatever the tables agree on among themselves."""
    trades = [TWO_CYCLES.trades[0]._replace(price=101 * UNITS_PER_ONE), *TWO_CYCLES.trades[1:]]
    found = await judged(database, History(trades, facts=TWO_CYCLES.facts))
    assert found.first == "Postgres obligations of cycle 1 ann USD: closing is -200, by the log -202"


async def test_a_cycle_that_is_being_netted_is_noted_and_not_wrong(database: str) -> None:
    """A venue that works: its last cycle is closed and has no seal yet."""
    for table in ("obligations", "instructions", "statements"):
        ask(database, f"DELETE FROM {table} WHERE cycle = 2")
    ask(database, "UPDATE instructions SET sealed_in = NULL")
    ask(database, "UPDATE cycles SET state = 'closed', seal = NULL WHERE cycle = 2")
    found = await judged(database)
    assert (found.first, found.note) == (None, "cycle 2 is not sealed yet and is not compared")
