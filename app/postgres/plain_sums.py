"""Bars, tickers and average prices computed from the trades by plain SQL, which knows nothing of our fold.

For those who check ours: `python -m load chaos` and the tests.
"""

from collections.abc import Sequence
from typing import NamedTuple

from app.postgres.reading import Reader

MINUTE_MS = 60_000
DAY_MS = 1_440 * MINUTE_MS
MONDAY_MS = 4 * DAY_MS  # the epoch was a Thursday
LENGTHS_MS = {
    **{f"{minutes}m": minutes * MINUTE_MS for minutes in (1, 3, 5, 15, 30)},
    "1h": 60 * MINUTE_MS,
    "4h": 240 * MINUTE_MS,
    "1d": DAY_MS,
    "1w": 7 * DAY_MS,
}
EFFECTIVE = """
WITH effective AS (
    SELECT *, (extract(epoch FROM executed_at) * 1000)::bigint AS ms FROM market.trades WHERE bust_seq IS NULL
)
"""
# An exact quotient, rounded half up: numeric division of Postgres would round twice.
AVERAGE = "div(2 * 100000000 * sum(price * quantity) + sum(quantity), 2 * sum(quantity)) * 0.00000001"
DIFFERING_BARS = f"""
{EFFECTIVE}, placed AS (
    SELECT *, ms - (ms - %(begin)s) %% %(length)s AS opens FROM effective
), folded AS (
    SELECT instrument, opens, (array_agg(price ORDER BY seq))[1] AS open, max(price) AS high, min(price) AS low,
        (array_agg(price ORDER BY seq DESC))[1] AS close, sum(quantity) AS volume,
        sum(price * quantity) AS quote_volume, count(*) AS trades,
        coalesce(sum(quantity) FILTER (WHERE aggressor_side = 'buy'), 0) AS bought,
        coalesce(sum(price * quantity) FILTER (WHERE aggressor_side = 'buy'), 0) AS paid,
        min(seq) AS first, max(seq) AS last
    FROM placed GROUP BY instrument, opens
), recorded AS (
    SELECT instrument, (extract(epoch FROM open_time) * 1000)::bigint AS opens, open, high, low, close, volume,
        quote_volume, trades, taker_buy_volume, taker_buy_quote_volume, first_trade_seq, last_trade_seq
    FROM market.candles WHERE interval = %(interval)s AND trades > 0
)
SELECT coalesce(folded::text, recorded::text) FROM folded FULL JOIN recorded USING (instrument, opens)
WHERE folded IS DISTINCT FROM recorded
"""
DIFFERING_TICKERS = f"""
{EFFECTIVE}, folded AS (
    SELECT instrument, tickers.open_time, (array_agg(price ORDER BY effective.seq))[1] AS open, max(price) AS high,
        min(price) AS low, (array_agg(price ORDER BY effective.seq DESC))[1] AS last, sum(quantity) AS volume,
        sum(price * quantity) AS quote_volume, count(*) AS trades, {AVERAGE} AS vwap,
        min(effective.seq) AS first, max(effective.seq) AS newest
    FROM effective JOIN tickers USING (instrument) WHERE executed_at >= tickers.open_time
    GROUP BY instrument, tickers.open_time
), recorded AS (
    SELECT instrument, open_time, open, high, low, last, volume, quote_volume, trades, vwap, first_trade_seq,
        last_trade_seq
    FROM tickers WHERE trades > 0
)
SELECT coalesce(folded::text, recorded::text) FROM folded FULL JOIN recorded USING (instrument)
WHERE folded IS DISTINCT FROM recorded
"""
BARS = """
SELECT instrument, (extract(epoch FROM open_time) * 1000)::bigint,
    (extract(epoch FROM close_time) * 1000)::bigint + 1
FROM market.candles ORDER BY instrument, open_time, close_time
"""
TRADES = """
SELECT instrument, (extract(epoch FROM executed_at) * 1000)::bigint FROM market.trades ORDER BY instrument, seq
"""
AVERAGES = f"""
{EFFECTIVE}
SELECT count(effective.seq), coalesce(sum(quantity), 0)::text, coalesce(sum(price * quantity), 0)::text,
    CASE WHEN sum(quantity) > 0 THEN ({AVERAGE})::text END
FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) WITH ORDINALITY AS span(instrument, from_ms, to_ms, number)
LEFT JOIN effective ON effective.instrument = span.instrument
    AND (from_ms IS NULL OR from_ms <= ms) AND (to_ms IS NULL OR ms < to_ms)
GROUP BY number ORDER BY number
"""


class Span(NamedTuple):
    """A market's trades from one time to before another, in ms since the epoch; None: without that bound."""

    instrument: str
    from_ms: int | None
    to_ms: int | None


class Average(NamedTuple):
    """The trades of a span, their sums, and the average price with eight decimals; None without trades."""

    trades: int
    volume: str
    quote_volume: str
    vwap: str | None


async def differing_rows(reader: Reader) -> list[str]:
    """Each recorded bar and ticker that is not what the trades say, or that only one of the two has, as text.

    Raises HistoryUnavailable, as all functions here.
    """
    found: list[str] = []
    for interval, length in LENGTHS_MS.items():
        begin = MONDAY_MS if interval == "1w" else 0
        rows = await reader.rows(DIFFERING_BARS, {"interval": interval, "length": length, "begin": begin})
        found += [f"{interval} bar {text}" for (text,) in rows]
    return found + [f"ticker {text}" for (text,) in await reader.rows(DIFFERING_TICKERS, None)]


async def bar_spans(reader: Reader) -> list[Span]:
    """The span of every recorded bar."""
    return [Span(*row) for row in await reader.rows(BARS, None)]


async def trade_times(reader: Reader) -> dict[str, list[int]]:
    """Instrument -> the time of each of its trades, busted ones included, in the order of their numbers."""
    found: dict[str, list[int]] = {}
    for instrument, time_ms in await reader.rows(TRADES, None):
        found.setdefault(instrument, []).append(time_ms)
    return found


async def averages(reader: Reader, spans: Sequence[Span]) -> list[Average]:
    """The average prices of some spans, in their order."""
    columns = [list(column) for column in zip(*spans, strict=True)] or [[], [], []]
    return [Average(*row) for row in await reader.rows(AVERAGES, columns)]
