"""Sums over trades: bounded, and found through an index (app/postgres/sums.py)."""

import asyncio

import pytest

from app.postgres import Reader, sums
from app.postgres.schema import migrate
from tests.postgres.recorded import ask

DAY_MS = 86_400_000
TRADES = 20_000
FILL = f"""
INSERT INTO trades (instrument, seq, trade_id, report_seq, price, quantity, buy_order_id, sell_order_id,
    buy_client_id, sell_client_id, aggressor_side, executed_at)
SELECT 'BTC-USD', n, 'BTC-USD-' || n, n, 0.01 * n, 0.0001, gen_random_uuid(), gen_random_uuid(), 'alice', 'bob',
    'buy', timestamptz '1970-01-01Z' + n * interval '1 hour'
FROM generate_series(1, {TRADES}) AS n
"""


async def test_a_span_is_bounded_and_read_through_an_index(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day of a long history costs what a day has; a trade too many is an error, never a sum of some."""
    await asyncio.to_thread(migrate, database_url)
    await asyncio.to_thread(ask, database_url, FILL)
    await asyncio.to_thread(ask, database_url, "ANALYZE trades")
    reader = Reader(database_url)
    parameters = {"instrument": "BTC-USD", "seq": TRADES, "from": "1970-01-03Z", "to": "1970-01-04Z", "most": 100}
    plan = "\n".join(line for (line,) in await reader.rows(f"EXPLAIN {sums.SUM}", parameters))
    day = await sums.trade_sums(reader, "BTC-USD", TRADES, 2 * DAY_MS, 3 * DAY_MS)
    monkeypatch.setattr(sums, "MAX_SUMMED_TRADES", 24)
    same = await sums.trade_sums(reader, "BTC-USD", TRADES, 2 * DAY_MS, 3 * DAY_MS)
    earlier = await sums.trade_sums(reader, "BTC-USD", 50, 2 * DAY_MS, 3 * DAY_MS)
    with pytest.raises(sums.TooManyTrades):
        await sums.trade_sums(reader, "BTC-USD", TRADES, 2 * DAY_MS, 3 * DAY_MS + 1)
    await reader.close()

    assert "Seq Scan on trades" not in plan
    assert day == same == (24, "0.0024", f"{sum(range(48, 72)) / 1_000_000:.6f}")
    assert earlier == (3, "0.0003", f"{(48 + 49 + 50) / 1_000_000:.6f}")
