"""Bars in a venue: topic, table, Postgres and command line say the same, through a bust, a lag and a rebuild."""

import json
from collections.abc import AsyncIterator
from typing import Any

import psycopg2
import pytest

from app import app
from app.engine import partition_of
from app.kafka.reading import LogRecord
from app.local.venue import Venue
from app.models.candles import CandlesUpdate, decode_update
from app.topics import CANDLES
from load.client import Client
from load.figures import compare_figures
from load.ledger import Ledger
from load.request import Terms
from tests.integration.conftest import addresses, cli, judge, list_market, records
from tests.until import LONG_PAUSE_S, UNTIL_S, until
from tests.venues import running_venue

ROWS = """
SELECT interval, open::text, high::text, low::text, close::text, volume::text, quote_volume::text, trades,
    first_trade_seq, last_trade_seq, seq, revision FROM candles WHERE instrument = %s ORDER BY seq, interval
"""
PLANTED = (("candles", "volume", "0.01"), ("tickers", "vwap", "0.00000001"), ("trade_busts", "seq", "1000000"))
"""Small changes; the last is a bust after the seq of an answer, in which its trade must still count."""
FIGURES = ("open", "high", "low", "close", "volume", "quote_volume", "trades", "first_trade_seq", "last_trade_seq")


@pytest.fixture(scope="module")
async def quoted(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Venue]:
    """A venue in which nobody starts again what stops; ticks tell of the last trades of a burst soon."""
    env = {"BAR_CLOSE_S": "0.3"}
    async with running_venue(tmp_path_factory.mktemp("bars"), supervised=False, env=env) as running:
        yield running


async def trade(venue: Venue, market: str, prices: list[str]) -> None:
    """A trade of 1 at each of these prices."""
    async with Client(venue.url) as client:
        for price in prices:
            await client.place(Terms("seller", market, "sell", "limit", "1", price))
            bought = await client.place(Terms("buyer", market, "buy", "limit", "1", price))
            await client.matched(bought.json()["order_id"])


async def updates(venue: Venue, market: str) -> list[LogRecord]:
    """The market's records of the topic."""
    found = await records(venue.servers.broker, CANDLES.name)
    return [record for record in found[_number(market)] if record.key == market.encode()]


async def last_update(venue: Venue, market: str) -> CandlesUpdate | None:
    """The newest one."""
    found = [decode_update(record.value or b"") for record in await updates(venue, market)]
    return max(found, key=lambda update: update.seq, default=None)


def rows(venue: Venue, market: str) -> dict[str, dict[str, Any]]:
    """Interval -> the newest bar in Postgres."""
    connection = psycopg2.connect(venue.servers.database_url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(ROWS, [market])
            return {interval: dict(zip((*FIGURES, "seq", "revision"), rest, strict=True)) for interval, *rest in cursor}
    finally:
        connection.close()


def change(venue: Venue, market: str, table: str, to: str) -> None:
    """Change all rows of the market in a table."""
    connection = psycopg2.connect(venue.servers.database_url)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET {to} WHERE instrument = %s", [market])
    connection.close()


async def test_a_bust_restates_topic_postgres_and_table(quoted: Venue) -> None:
    """The week's bar is of all three trades, then of two, with the revision 1; every part says so."""
    market = await list_market(quoted)
    await trade(quoted, market, ["10.00", "12.00", "11.00"])
    await until(lambda: rows(quoted, market), lambda found: found.get("1w", {}).get("trades") == 3)
    before = rows(quoted, market)["1w"]
    assert (before["open"], before["high"], before["close"], before["revision"]) == ("10.00", "12.00", "11.00", 0)
    assert (before["volume"], before["quote_volume"]) == ("3.00", "33.0000")

    told = await cli(quoted, "bust", f"{market}-2", "wrong price")
    assert told.code == 0, told.err
    await until(lambda: rows(quoted, market), lambda found: found["1w"]["revision"] == 1)
    after = rows(quoted, market)["1w"]
    assert (after["high"], after["trades"], after["volume"]) == ("11.00", 2, "2.00")
    update = await last_update(quoted, market)
    assert update is not None
    week = next((bar for bar in update.bars if bar.interval.value == "1w"), None)
    assert week is None or (week.high, week.trades, week.revision) == ("11.00", 2, 1)
    assert (update.ticker.high, update.ticker.trades, update.ticker.last) == ("11.00", 2, "11.00")
    shown = await until(lambda: _shown(quoted, market), lambda found: found["busted"] == 1, pause_s=LONG_PAUSE_S)
    assert [bar["revision"] for bar in shown["bars"] if bar["interval"] == "1w"] == [1]
    assert shown["ticker"][0]["trades"] == 2


async def test_bars_tickers_and_average_prices_are_those_of_plain_sql(quoted: Venue) -> None:
    """To the last digit, after a bust; and the comparison sees a planted difference in each of the three."""
    market = await list_market(quoted)
    await trade(quoted, market, ["10.00", "12.00", "9.99", "11.00"])
    assert (await cli(quoted, "bust", f"{market}-2", "wrong price")).code == 0
    await until(lambda: rows(quoted, market), lambda found: found.get("1w", {}).get("revision") == 1)
    found = await compare_figures(addresses(quoted), UNTIL_S)
    assert found.differing == [] and min(found.bars, found.averages) > 0
    for table, column, amount in PLANTED:
        change(quoted, market, table, f"{column} = {column} + {amount}")
        differing = (await compare_figures(addresses(quoted), timeout_s=0)).differing
        change(quoted, market, table, f"{column} = {column} - {amount}")
        assert differing and all(market in sentence for sentence in differing), table
    assert (await compare_figures(addresses(quoted), timeout_s=0)).differing == []


async def test_a_lag_and_a_rebuild_give_the_same_updates(quoted: Venue) -> None:
    """Folded late, and again from offset 0, each update has the bytes that it would have had at once.

    `verify` compares every byte with its own fold, repeats included.
    """
    market = await list_market(quoted)
    await quoted.stop_worker("analytics")
    await trade(quoted, market, ["10.00", "12.00", "9.00", "11.00"])
    await quoted.start_worker("analytics")
    await quoted.wait_ready("analytics")
    await until(lambda: rows(quoted, market), lambda found: found.get("1w", {}).get("trades") == 4)
    once = await updates(quoted, market)
    seqs = [decode_update(record.value or b"").seq for record in once]

    await quoted.stop_worker("analytics")
    told = await cli(quoted, "rebuild", "--candles", "--json")
    assert told.code == 0, told.err
    assert sum(one["removed"] for one in json.loads(told.out)) > 0
    await quoted.start_worker("analytics")
    await quoted.wait_ready("analytics")
    twice = await until(
        lambda: updates(quoted, market), lambda found: len(found) >= 2 * len(once), pause_s=LONG_PAUSE_S
    )
    again = {decode_update(record.value or b"").seq: record.value for record in twice[len(once) :]}
    assert [again[seq] for seq in seqs] == [record.value for record in once]
    verdict = await judge(quoted, Ledger())
    bars = next(finding for finding in verdict.findings if finding.check == "O8")
    assert bars.compared > len(twice)


async def _shown(venue: Venue, market: str) -> dict[str, Any]:
    told = await cli(venue, "table", "candles", market, "--json")
    return json.loads(told.out) if told.code == 0 else {"busted": None}


def _number(market: str) -> int:
    return partition_of(market, app.conf.topic_partitions)
