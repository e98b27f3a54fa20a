"""`verify` compares clearing with the log (O7): an honest projection is right, and each altered column is seen."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import given

from app.clearing.amounts import ONE, UNITS_PER_ONE, text
from app.clearing.entries import Trade
from app.kafka.reading import LogRecord
from app.local.servers import Servers
from app.matching.words import Outcome, Side
from app.models.commands import ListInstrument
from app.models.reports import BustReport, ExecutionReport, TradeReport
from app.postgres import Stored
from app.verification.clearing import ClearingJudge
from app.verification.findings import Finding
from tests.clearing.histories import MARKETS, History, examples, histories
from tests.clearing.projected import LOG_ID, project, records, refuse_nothing
from tests.clearing.test_projection import TWO_CYCLES
from tests.integration.fields import SQL
from tests.migrated import migrated_database
from tests.postgres.recorded import ask

TABLES = "('cycles', 'cycle_ranges', 'obligations', 'instructions', 'statements', 'cycle_positions')"
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
    """A database with our schema."""
    async with migrated_database(servers, "clearing_verified") as url:
        yield url


@pytest.fixture
async def two_cycles(database: str) -> str:
    """Two cycles of a history, projected; no constraint or trigger is left that would refuse an alteration."""
    await project(database, TWO_CYCLES)
    refuse_nothing(database)
    for table, constraint in ask(database, CONSTRAINTS):
        ask(database, f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")
    return database


def reports(history: History) -> list[ExecutionReport]:
    """The history's listings, trades and busts as the log gives them."""
    found = []
    for name, (base, quote) in MARKETS.items():
        listing = ListInstrument(name, "list", base, quote, "0.01", "0.01")
        found.append(ExecutionReport(name, 1, 0, 0, 3, "list", Outcome.ACCEPTED, listing=listing))
    for trade in history.trades:
        numbers = [f"{units // UNITS_PER_ONE}.{units % UNITS_PER_ONE:08d}" for units in (trade.price, trade.quantity)]
        parties, fees = ["", "", trade.buyer, trade.seller], [text(trade.buyer_fee), text(trade.seller_fee)]
        report = TradeReport(f"{trade.instrument}-{trade.number}", trade.number, *numbers, *parties, Side.BUY, *fees)
        found.append(ExecutionReport(trade.instrument, trade.seq, 0, 0, 3, "place", Outcome.ACCEPTED, trades=[report]))
    for (name, number), seq in history.busts.items():
        bust = BustReport(f"{name}-{number}", number, "an error")
        found.append(ExecutionReport(name, seq, 0, 0, 3, "bust", Outcome.ACCEPTED, bust=bust))
    return found


class Said(Finding):
    """A finding that keeps every sentence."""

    def __init__(self) -> None:
        super().__init__("O7", "clearing")
        self.said: list[str] = []

    def complain(self, sentence: str) -> None:
        """The next one."""
        super().complain(sentence)
        self.said.append(sentence)


async def judged(database: str, history: History = TWO_CYCLES) -> Said:
    """What the judge finds in this database."""
    judge = ClearingJudge([LogRecord(r.offset, r.timestamp, b"", r.value) for r in records(history)])
    for report in reports(history):
        judge.give(report)
    finding = Said()
    tables = await Stored.open(database)
    try:
        for sentence in judge.strange_positions(tables, LOG_ID):
            finding.complain(sentence)
        await judge.compare(tables, finding)
    finally:
        await tables.close()
    return finding


@pytest.fixture
async def busted(database: str) -> str:
    """One trade busted in the open cycle, and one after it was settled."""
    await project(database, AN_OPEN_AND_A_SETTLED)
    refuse_nothing(database)
    return database


async def test_an_honest_projection_is_right_and_every_column_is_compared(two_cycles: str) -> None:
    """Named by table, key and column, with what is found and what is right."""
    honest = await judged(two_cycles)
    assert (honest.first, honest.note) == (None, None)
    assert honest.compared == 2 + 2 + 8 + 4 + 4 + len(ask(two_cycles, "SELECT 1 FROM instructions"))
    missed = []
    for table, column, type_ in ask(two_cycles, COLUMNS):
        pick = f"SELECT ctid, {column}::text FROM {table} ORDER BY {column} IS NULL, {column}, ctid LIMIT 1"
        ((place, value),) = ask(two_cycles, pick)
        change = f"UPDATE {table} SET {column} = {SQL[type_].format(column)} WHERE ctid = %s RETURNING ctid"
        ((changed,),) = ask(two_cycles, change, place)
        first = (await judged(two_cycles)).first or "RIGHT"
        if f"Postgres {table}" not in first:
            missed.append(f"{table}.{column}: {first}")
        ask(two_cycles, f"UPDATE {table} SET {column} = %s::{type_} WHERE ctid = %s", value, changed)
    assert not missed, "\n".join(missed)
    assert (await judged(two_cycles)).first is None


async def test_a_reason_with_a_character_that_postgres_lacks_is_projected_and_right(database: str) -> None:
    """Once the topic has it, a worker that cannot store it would end at it again and again: NUL is replaced."""
    failed = History(
        TWO_CYCLES.trades, facts=[*TWO_CYCLES.facts[:2], ("outcome", 1, 1, "failed", "no\0money"), ("settle", "b")]
    )
    await project(database, failed)
    refuse_nothing(database)
    stored = ask(database, "SELECT state, reason FROM instructions WHERE instruction = 1")
    assert stored == [("failed", "no\N{REPLACEMENT CHARACTER}money")]
    assert (await judged(database, failed)).first is None
    ask(database, "UPDATE instructions SET reason = 'no' WHERE instruction = 1")
    assert "Postgres instructions of cycle 1 1: reason is" in ((await judged(database, failed)).first or "RIGHT")


async def test_a_trade_that_another_price_was_netted_for_is_found(two_cycles: str) -> None:
    """C4: the log decides, whatever the tables agree on among themselves."""
    trades = [TWO_CYCLES.trades[0]._replace(price=101 * UNITS_PER_ONE), *TWO_CYCLES.trades[1:]]
    found = await judged(two_cycles, History(trades, facts=TWO_CYCLES.facts))
    assert found.first == "Postgres obligations of cycle 1 ann USD: closing is -200, by the log -202"


async def test_a_cycle_that_is_being_netted_is_noted_and_not_wrong(two_cycles: str) -> None:
    """A venue that works: its last cycle is closed and has no seal yet."""
    for table in ("obligations", "instructions", "statements", "cycle_positions"):
        ask(two_cycles, f"DELETE FROM {table} WHERE cycle = 2")
    ask(two_cycles, "UPDATE instructions SET sealed_in = NULL")
    ask(two_cycles, "UPDATE cycles SET state = 'closed', has_positions = false, seal = NULL WHERE cycle = 2")
    found = await judged(two_cycles)
    assert (found.first, found.note) == (None, "cycle 2 is not sealed yet and is not compared")


BUSTED = [
    Trade("BTC-USD", 1, 1, "BTC", "USD", 100_00000000, 2_00000000, "ann", "bob", 5 * ONE, -ONE // 4),
    Trade("BTC-USD", 2, 2, "BTC", "USD", 100_00000000, 1_00000000, "cy", "bob", 3 * ONE, ONE // 2),
]
AN_OPEN_AND_A_SETTLED = History(
    BUSTED,
    busts={("BTC-USD", 2): 3, ("BTC-USD", 1): 5},
    facts=[("settle", "a"), ("close", 1, {"BTC-USD": 4}), ("settle", "b"), ("close", 2, {"BTC-USD": 5})],
)
ALTERED = {
    "UPDATE trades SET buyer_fee = 6 WHERE seq = 1": "obligations of cycle 2 ann USD: fees is -5, by the log -6",
    "UPDATE trades SET quantity = 3 WHERE seq = 1": "obligations of cycle 2 ann BTC: closing is 0, by the log -1",
    "UPDATE trades SET price = 'NaN' WHERE seq = 1": "trades BTC-USD 1, which cycle 2 busts: not a decimal",
    "UPDATE trades SET buyer_fee = 'NaN' WHERE seq = 1": "trades BTC-USD 1, which cycle 2 busts: not a decimal",
    "UPDATE trades SET report_seq = 3 WHERE seq = 2": "statements of cycle 1 bob: digest is ",
    "DELETE FROM trades WHERE seq = 1": "trades BTC-USD 1, which cycle 2 busts: no such row",
    "UPDATE trade_busts SET seq = 4 WHERE trade_seq = 1": "statements of cycle 1 ann: digest is ",
    "UPDATE trade_busts SET busted_at = now() WHERE trade_seq = 2": "statements of cycle 1 bob: digest is ",
    "DELETE FROM trade_busts WHERE trade_seq = 1": "statements of cycle 2 ann: digest is ",
}


ANN_BTC = "WHERE cycle = 1 AND client_id = 'ann' AND asset = 'BTC'"
DAMAGE = {
    "fee changed": (
        "UPDATE trades SET seller_fee = -0.5 WHERE seq = 1",
        "obligations of cycle 2 bob USD: fees is 0.25, by the log 0.5",
    ),
    "posting missing": (
        "DELETE FROM instructions WHERE cycle = 1 AND instruction = 1",
        "instructions of cycle 1: no row for 1",
    ),
    "cycle missing a trade": (
        "UPDATE cycle_ranges SET after_seq = 1 WHERE cycle = 1",
        "cycle_ranges of cycle 1 BTC-USD: after_seq is 1, by the log 0",
    ),
    "obligation changed": (
        f"UPDATE obligations SET gross_in = 3, net = 3, closing = 3 {ANN_BTC}",
        "obligations of cycle 1 ann BTC: closing is 3, by the log 2",
    ),
    "obligation missing": (f"DELETE FROM obligations {ANN_BTC}", "obligations of cycle 1: no row for ann BTC"),
    "bust not mirrored": ("DELETE FROM trade_busts WHERE trade_seq = 1", "statements of cycle 2 ann: digest is "),
    "seal broken": ("UPDATE cycles SET seal = repeat('0', 64) WHERE cycle = 1", "cycles 1: seal is 0000"),
    "position changed": (
        "UPDATE trades SET price = 101 WHERE seq = 1",
        "obligations of cycle 2 ann USD: closing is 0, by the log 2",
    ),
    "netted position changed": (
        "UPDATE cycle_positions SET paid = 1 WHERE cycle = 2 AND client_id = 'ann'",
        "cycle_positions of cycle 2 ann BTC-USD: paid is 1, by the log ",
    ),
    "netted position missing": (
        "DELETE FROM cycle_positions WHERE cycle = 1 AND client_id = 'bob'",
        "cycle_positions of cycle 1: no row for bob BTC-USD",
    ),
    "statement altered": (
        "UPDATE statements SET digest = repeat('0', 64) WHERE cycle = 1 AND client_id = 'ann'",
        "statements of cycle 1 ann: digest is 0000",
    ),
    "too much history removed": (
        "INSERT INTO removed_history VALUES ('BTC-USD', 2)",
        "removed_history BTC-USD: cycle 2 has settled nothing of it",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_each_kind_of_damage_is_found(damage: str, busted: str) -> None:
    """By the row and the column that are wrong."""
    change, sentence = DAMAGE[damage]
    ask(busted, change)
    said = (await judged(busted, AN_OPEN_AND_A_SETTLED)).said
    assert any(found.startswith(f"Postgres {sentence}") for found in said), said


async def test_a_quiet_market_may_go_with_the_cycle_that_owns_it(database: str) -> None:
    """Nothing happened in it before the settled cycle: its history goes up to the cutoff of an earlier one."""
    closes = [
        ("settle", "a"),
        ("close", 1, {"BTC-USD": 2, "ETH-USD": 1}),
        ("settle", "b"),
        ("close", 2, {"BTC-USD": 3}),
    ]
    history = History(TWO_CYCLES.trades, facts=closes)
    settled = History(TWO_CYCLES.trades, facts=[*closes, ("outcome", 2, None, "settled")])
    await project(database, settled)
    ask(database, "INSERT INTO removed_history VALUES ('ETH-USD', 1)")
    assert (await judged(database, settled)).first is None
    sentence = "Postgres removed_history ETH-USD: cycle 1 has settled nothing of it"
    assert sentence in (await judged(database, history)).said


@pytest.mark.parametrize("change", ALTERED)
async def test_a_fee_or_a_bust_that_the_log_does_not_give_is_found(change: str, busted: str) -> None:
    """Of a trade that was busted in its own cycle, and of one that was settled before."""
    assert (await judged(busted, AN_OPEN_AND_A_SETTLED)).first is None
    ask(busted, change)
    said = (await judged(busted, AN_OPEN_AND_A_SETTLED)).said
    assert any(sentence.startswith(f"Postgres {ALTERED[change]}") for sentence in said), said


@examples(10)
@given(history=histories())
async def test_fees_and_busts_are_netted_as_the_tables_have_them(history: History, database: str) -> None:
    """Of random histories: a bust in the trade's own cycle, in a later one, and in none yet."""
    seals = await project(database, history)
    found = await judged(database, history)
    assert (found.first, found.note) == (None, None)
    assert found.compared >= len(seals)
