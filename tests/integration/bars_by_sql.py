"""Bars computed from the trades by plain SQL, which knows nothing of our fold, beside those that Postgres has."""

import psycopg2

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
DIFFERING = """
WITH effective AS (
    SELECT *, (extract(epoch FROM executed_at) * 1000)::bigint AS ms FROM market.trades WHERE bust_seq IS NULL
), placed AS (
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
SELECT %(interval)s, coalesce(folded, recorded)::text FROM folded FULL JOIN recorded USING (instrument, opens)
WHERE folded::text IS DISTINCT FROM recorded::text
"""


def differing_bars(database_url: str) -> list[tuple[str, str]]:
    """Interval and figures of each bar that is not what the trades say, or that only one of the two has."""
    connection = psycopg2.connect(database_url)
    try:
        with connection, connection.cursor() as cursor:
            found: list[tuple[str, str]] = []
            for interval, length in LENGTHS_MS.items():
                begin = MONDAY_MS if interval == "1w" else 0
                cursor.execute(DIFFERING, {"interval": interval, "length": length, "begin": begin})
                found += cursor.fetchall()
            return found
    finally:
        connection.close()
