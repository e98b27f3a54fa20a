"""Every query of the ledger finds its rows by index, however long the history is: no table that grows is read whole."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from app.local.servers import Servers
from app.postgres import History, Journal, Reader, RowKey, Settlements
from app.postgres.holdings import BALANCES, LARGEST_SEQ, POSITIONS, UP_TO_SEQ
from benchmarks.clearing import fill, last_seq
from tests.long import LONG
from tests.migrated import migrated_database
from tests.postgres.recorded import ask

TRADES = 1_000_000 if LONG else 200_000
GROWING = {"trades", "obligations", "instructions", "statements", "cycle_ranges", "cycle_positions"}
CYCLES = 100
# Each of the cycles owns a hundredth of every market, but for the last fifth, which is open.
FILL_CYCLES = f"""
INSERT INTO cycles SELECT n, 'day-' || n, 'settled', NULL, now(), now(), repeat('0', 64), true
FROM generate_series(1, {CYCLES}) AS n;
INSERT INTO cycle_ranges (cycle, instrument, after_seq, to_seq)
SELECT n, 'M' || m || '-USD', (n - 1) * {{width}}, n * {{width}}
FROM generate_series(1, {CYCLES}) AS n, generate_series(0, 9) AS m;
INSERT INTO obligations SELECT n, 'client-' || c, 'M' || m, 1, 0, 0, 0, 1, n - 1, n
FROM generate_series(1, {CYCLES}) AS n, generate_series(0, 210) AS c, generate_series(0, 9) AS m;
INSERT INTO cycle_positions SELECT n, 'M' || m || '-USD', 'client-' || c, 1, 1, 1, 1, 0
FROM generate_series(1, {CYCLES}) AS n, generate_series(0, 210) AS c, generate_series(0, 9) AS m;
INSERT INTO instructions SELECT cycle, row_number() OVER (PARTITION BY cycle), client_id, asset, net, 'settled', NULL,
    now(), least(cycle + 1, {CYCLES}) FROM obligations;
INSERT INTO statements SELECT DISTINCT cycle, client_id, repeat('0', 64) FROM obligations;
ANALYZE;
"""
ROUNDED = 10  # rows at most: Postgres gives the average of all loops, with two decimals
WIDTH = last_seq(TRADES) * 4 // 5 // CYCLES


class Explaining(Reader):
    """A reader that asks Postgres for the plan of each query, and remembers which growing tables it reads whole."""

    def __init__(self, database_url: str) -> None:
        super().__init__(database_url, timeout_s=120.0)
        self.asked: list[str] = []
        self.scanned: list[str] = []

    async def rows(self, query: str, parameters: Any) -> list[tuple[Any, ...]]:
        """Those of the query."""
        (((plan,),),) = await super().rows(f"EXPLAIN (FORMAT JSON) {query}", parameters)
        self.asked.append(query)
        for node in nodes(plan["Plan"]):
            if node["Node Type"].endswith("Seq Scan") and node["Relation Name"] in GROWING:
                self.scanned.append(f"{node['Relation Name']} is read whole for {query}")
        return await super().rows(query, parameters)

    async def trades_read(self, query: str, parameters: Any) -> float:
        """How many rows of trades Postgres fetches to answer the query, those included that it then drops."""
        (((plan,),),) = await super().rows(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}", parameters)
        scans = [node for node in nodes(plan["Plan"]) if node.get("Relation Name") == "trades"]
        fetched = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Index Recheck")
        return sum(sum(node.get(name, 0) for name in fetched) * node["Actual Loops"] for node in scans)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The plan and everything below it."""
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


@pytest.fixture(scope="module")
async def reader(servers: Servers) -> AsyncIterator[Explaining]:
    """A long history."""
    async with migrated_database(servers, "long_history") as url:
        await asyncio.to_thread(fill, url, TRADES)
        await asyncio.to_thread(ask, url, FILL_CYCLES.format(width=WIDTH))
        explaining = Explaining(url)
        yield explaining
        await explaining.close()


async def test_no_list_of_the_ledger_reads_a_growing_table_whole(reader: Explaining) -> None:
    """Each call of the API, for everybody and for one client, at the beginning and in the middle."""
    settlements, journal, history = Settlements(reader), Journal(reader), History("postgresql://unused")
    history._rows = reader.rows
    client, market = "client-7", "M3-USD"
    assert len(await settlements.cycles(below=50)) == 49
    assert (await settlements.cycle(50) or {})["ranges"]
    assert await settlements.cycle_of_key("day-7")
    for who in (None, client):
        assert await settlements.obligations(50, who, limit=10)
        assert await settlements.obligations(50, who, after=("client-7", "M3"), limit=10)
        assert await settlements.instructions(50, who, limit=10)
        assert await settlements.instructions(50, who, after=5, limit=10)
        assert await journal.page(market, (0, 0), 100, who)
        middle = await journal.page(market, (last_seq(TRADES) // 2, 0), 100, who)
        assert len(middle) > 3
        assert await journal.page(market, middle[2].place, 100, who)
    assert await settlements.statement(client, 50)
    assert await settlements.digest(client, 50)
    assert len(await settlements.positions(client)) == 10
    assert await settlements.positions(client, market, WIDTH)
    assert len(await settlements.positions(client, cycle=50)) == 10
    assert len(await settlements.balances(client)) == 11
    page = await history.trades(limit=10)
    assert page.following is not None
    assert await history.trades(below=page.following)
    assert await history.trades(instrument=market, below=RowKey(0, market, 1_000), limit=10)
    assert await history.trades(instrument=market, skip=100, limit=10)
    assert not reader.scanned, "\n".join(reader.scanned)
    assert len(reader.asked) > 25


async def test_holdings_read_only_what_no_cycle_has_netted(reader: Explaining) -> None:
    """The client's trades in the last fifth of the history, and the trade of each bust there, once for each side."""
    client = "client-7"
    open_trades = f"""SELECT count(*) FILTER (WHERE buy_client_id = %s) + count(*) FILTER (WHERE sell_client_id = %s)
        FROM trades WHERE report_seq > {WIDTH * CYCLES}"""
    ((since,),) = await reader.rows(open_trades, [client, client])
    ((busts,),) = await reader.rows(f"SELECT count(*) FROM trade_busts WHERE seq > {WIDTH * CYCLES}", None)
    ((ever,),) = await reader.rows("SELECT count(*) FROM trades WHERE %s IN (buy_client_id, sell_client_id)", [client])
    given = {"client": client, "instrument": None, "to": LARGEST_SEQ}
    for query in (POSITIONS.format(UP_TO_SEQ), BALANCES):
        read = await reader.trades_read(query, given)
        assert since - ROUNDED < read < since + 2 * busts + ROUNDED
    assert 0 < since + 2 * busts < ever / 3
    in_the_middle = given | {"to": WIDTH * CYCLES // 2}
    assert await reader.trades_read(POSITIONS.format(UP_TO_SEQ), in_the_middle) == 0


async def test_what_closing_now_would_give_reads_only_what_is_open(reader: Explaining) -> None:
    """And a query that has no index is seen: this test can fail."""
    reader.scanned.clear()
    preview = await Settlements(reader).preview()
    assert len(preview.obligations) > 211
    assert not [scanned for scanned in reader.scanned if not scanned.startswith("cycle_ranges")]
    await reader.rows("SELECT count(*) FROM trades WHERE aggressor_side = 'sell'", None)
    assert reader.scanned[-1].startswith("trades is read whole")
