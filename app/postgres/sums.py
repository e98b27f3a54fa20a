"""Sums over recorded trades, for VWAP: those of a span of time that no bust has taken out."""

from typing import NamedTuple

from app.postgres.reading import Reader
from app.postgres.rows import time_text

MAX_SUMMED_TRADES = 1_000_000
"""Of one span: more would take longer than a request may (reading.py)."""
SUM = """
SELECT count(*), coalesce(sum(quantity), 0)::text, coalesce(sum(price * quantity), 0)::text FROM (
    SELECT trades.price, trades.quantity FROM trades LEFT JOIN trade_busts AS busts
        ON busts.instrument = trades.instrument AND busts.trade_seq = trades.seq AND busts.seq <= %(seq)s
    WHERE trades.instrument = %(instrument)s AND report_seq <= %(seq)s AND busts.seq IS NULL
        AND executed_at >= %(from)s AND executed_at < %(to)s
    LIMIT %(most)s
) AS effective
"""


class TooManyTrades(ValueError):
    """The span has more than MAX_SUMMED_TRADES trades."""


class Summed(NamedTuple):
    """The number of trades, and the sums of their quantities and of price x quantity, exact."""

    trades: int
    volume: str
    quote_volume: str


async def trade_sums(reader: Reader, instrument: str, seq: int, from_ms: int, to_ms: int) -> Summed:
    """The sums of an instrument's trades from one time to before another, as of the report `seq`.

    Raises HistoryUnavailable, and TooManyTrades.
    """
    parameters = {"instrument": instrument, "seq": seq, "from": time_text(from_ms), "to": time_text(to_ms)}
    rows = await reader.rows(SUM, {**parameters, "most": MAX_SUMMED_TRADES + 1})
    found = Summed(*rows[0])
    if found.trades > MAX_SUMMED_TRADES:
        raise TooManyTrades(instrument)
    return found
