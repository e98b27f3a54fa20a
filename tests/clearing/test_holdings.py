"""Positions and balances are the sums over all trades, whatever cycles have netted of them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import psycopg2
import pytest
from hypothesis import given

from app.clearing.amounts import of_units
from app.clearing.positions import Position
from app.local.servers import Servers
from app.postgres.schema import migrate
from tests.clearing.histories import CLIENTS, MARKETS, Cleared, History, examples, histories
from tests.clearing.projected import Projected, project
from tests.clearing.test_projection import TWO_CYCLES
from tests.migrated import migrated_database
from tests.postgres.recorded import ask

AS_BEFORE = """
DROP TABLE cycle_positions;
ALTER TABLE cycles DROP COLUMN has_positions CASCADE;
UPDATE alembic_version SET version_num = '0006'
"""
ROWS = "SELECT * FROM cycle_positions ORDER BY cycle, instrument, client_id"


@pytest.fixture(scope="module")
async def database(servers: Servers) -> AsyncIterator[str]:
    """A database with our schema."""
    async with migrated_database(servers, "clearing_holdings") as url:
        yield url


def added_up(history: History, client: str, to: dict[str, int]) -> dict[str, Position]:
    """The client's positions, from each of its trades that is not busted at these seqs; an absent market has none."""
    sums: dict[str, Counter[str]] = {}
    for trade in history.trades:
        last, bust = to.get(trade.instrument, 0), history.bust_of(trade)
        if trade.seq > last or (bust is not None and bust <= last):
            continue
        for party, base, cash, fee in (
            (trade.buyer, "bought", "paid", trade.buyer_fee),
            (trade.seller, "sold", "received", trade.seller_fee),
        ):
            if party == client:
                found = sums.setdefault(trade.instrument, Counter())
                found.update({base: of_units(trade.quantity), cash: trade.notional, "fees": fee})
    return {name: Position(*(found[field] for field in Position._fields)) for name, found in sorted(sums.items())}


@examples(25)
@given(history=histories())
async def test_positions_are_the_sums_over_all_trades(history: History, database: str) -> None:
    """Now, at every seq and after every cycle, with busts before and after cutoffs, fees, and no cycle at all."""
    await project(database, history)
    cleared, ends = Cleared(history), [entry.seq for entry in history.entries()]
    async with Projected(database) as projected:
        positions = projected.settlements.positions
        for client in CLIENTS:
            assert await positions(client) == added_up(history, client, dict.fromkeys(MARKETS, 1000))
            for seq in range(max(ends, default=0) + 1):
                assert await positions(client, to_seq=seq) == added_up(history, client, dict.fromkeys(MARKETS, seq))
                alone = added_up(history, client, {"ETH-BTC": seq})
                assert await positions(client, instrument="ETH-BTC", to_seq=seq) == alone
            cutoffs: dict[str, int] = {}
            for cycle, closed in cleared.closed.items():
                cutoffs |= {name: to for name, (_, to) in closed.ranges.items()}
                assert await positions(client, cycle=cycle) == added_up(history, client, cutoffs)


async def test_entries_that_a_netted_cycle_owns_are_not_read_again(database: str) -> None:
    """Without the trades of the cycles the positions and balances are the same: nothing reads them."""
    await project(database, TWO_CYCLES)
    async with Projected(database) as projected:
        holdings = projected.settlements
        asked = [
            lambda: holdings.positions("ann"),
            lambda: holdings.positions("ann", "BTC-USD", to_seq=2),
            lambda: holdings.positions("bob", cycle=1),
            lambda: holdings.balances("bob"),
        ]
        before = [await ask() for ask in asked]
        ask(database, "DELETE FROM trades")
        assert [await ask() for ask in asked] == before
        assert all(before)


@examples(5)
@given(history=histories())
async def test_an_upgrade_sums_the_cycles_that_are_netted_already(history: History, database: str) -> None:
    """The rows are those that netting itself had written."""
    await project(database, history)
    right = ask(database, ROWS)
    ask(database, AS_BEFORE)
    await asyncio.to_thread(migrate, database)
    assert ask(database, ROWS) == right


async def test_a_worker_of_the_older_release_can_net_no_cycle(database: str) -> None:
    """It would write no positions; a constraint refuses its cycle until a newer worker nets it."""
    await project(database, History(facts=[("settle", "a")]))
    ask(database, "UPDATE cycles SET state = 'closed', closed_at = now()")
    with pytest.raises(psycopg2.errors.CheckViolation, match="netted_with_positions"):
        ask(database, "UPDATE cycles SET state = 'netted' WHERE cycle = 1")
