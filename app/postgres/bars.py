"""Reads recorded bars and tickers from Postgres (docs/ANALYTICS.md)."""

from typing import Any, NamedTuple

from msgspec import convert, json
from msgspec.structs import fields

from app.analytics.intervals import INTERVALS, Interval
from app.models.candles import Candle, CandlesUpdate, Ticker
from app.postgres.reading import Reader
from app.postgres.rows import time_text
from app.topics import CANDLES

NUMBERS = frozenset(("trades", "first_trade_seq", "last_trade_seq", "seq", "closed", "revision", "interval"))
TIMES = frozenset(("open_time", "close_time", "last_time"))
BAR_FIELDS = len(fields(Candle))


def _select(struct: type[Candle] | type[Ticker], table: str) -> str:
    """The select list in the order of the struct's fields: times in ms, decimals as text."""
    return ", ".join(_column(f"{table}.{field.name}", field.name) for field in fields(struct))


def _column(column: str, name: str) -> str:
    if name in TIMES:
        return f"(extract(epoch FROM {column}) * 1000)::bigint"
    return column if name in NUMBERS else f"{column}::text"


_OF_INTERVAL = "candles.instrument = %(instrument)s AND candles.interval = %(interval)s"
# One statement, so that bars and ticker are as of one moment; without bars the row of the ticker remains.
READ_CANDLES = f"""
SELECT ticker.seq, ticker.time_ms, {_select(Candle, "bar")} FROM (
    SELECT coalesce(max(seq), 0) AS seq, coalesce(max({_column("close_time", "close_time")}), 0) AS time_ms
    FROM tickers WHERE instrument = %(instrument)s
) AS ticker LEFT JOIN LATERAL (
    SELECT * FROM candles WHERE {_OF_INTERVAL} AND open_time >= %(from)s AND open_time < %(to)s
    ORDER BY open_time DESC LIMIT %(limit)s
) AS bar ON true ORDER BY bar.open_time DESC
"""
READ_EARLIER = f"""
SELECT {_select(Candle, "candles")} FROM candles WHERE {_OF_INTERVAL} AND open_time < %(to)s AND trades > 0
ORDER BY open_time DESC LIMIT 1
"""
READ_TICKERS = f"SELECT instrument, seq, {_select(Ticker, 'tickers')} FROM tickers WHERE instrument = ANY(%s)"
# One statement, so that positions, bars and tickers are as of one moment; without bars the row of positions remains.
READ_NEWEST = f"""
SELECT recorded.positions::text, tickers.instrument, tickers.seq, {_select(Candle, "bar")}, {_select(Ticker, "tickers")}
FROM (
    SELECT jsonb_object_agg(partition, next_offset) AS positions FROM sink_progress WHERE topic = '{CANDLES.name}'
) AS recorded LEFT JOIN (
    tickers CROSS JOIN unnest(%(intervals)s::text[]) AS wanted(interval) CROSS JOIN LATERAL (
        SELECT * FROM candles WHERE candles.instrument = tickers.instrument AND candles.interval = wanted.interval
        ORDER BY open_time DESC LIMIT 1
    ) AS bar
) ON tickers.instrument <> ALL(%(known)s)
"""


class Recorded(NamedTuple):
    """Bars, newest first, as of the report `seq` at the log's time `time_ms`; both 0 if nothing is recorded."""

    seq: int
    time_ms: int
    candles: list[Candle]


async def candles(
    reader: Reader, instrument: str, interval: Interval, from_ms: int, to_ms: int, limit: int
) -> Recorded:
    """The newest bars that open at or after one time and before another. Raises HistoryUnavailable."""
    given = {"from": time_text(from_ms), "to": time_text(to_ms), "limit": limit}
    rows = await reader.rows(READ_CANDLES, {"instrument": instrument, "interval": interval.value, **given})
    seq, time_ms = rows[0][:2]
    return Recorded(seq, time_ms, [_candle(row[2:]) for row in rows if row[2] is not None])


async def candle_before(reader: Reader, instrument: str, interval: Interval, to_ms: int) -> Candle | None:
    """The newest bar with trades that opens before this time. Raises HistoryUnavailable."""
    given = {"instrument": instrument, "interval": interval.value, "to": time_text(to_ms)}
    rows = await reader.rows(READ_EARLIER, given)
    return _candle(rows[0]) if rows else None


async def tickers(reader: Reader, instruments: list[str]) -> dict[str, tuple[int, Ticker]]:
    """Instrument -> the seq of its ticker, and the ticker. Raises HistoryUnavailable."""
    rows = await reader.rows(READ_TICKERS, [instruments])
    return {name: (seq, Ticker(*values)) for name, seq, *values in rows}


async def newest(reader: Reader, known: list[str]) -> tuple[dict[int, int], list[CandlesUpdate]]:
    """The newest bars and the ticker of each recorded market but the known ones, as an update that changes nothing.

    With them the offset below which each partition of the topic is recorded. Raises HistoryUnavailable.
    """
    rows = await reader.rows(READ_NEWEST, {"intervals": [interval.value for interval in INTERVALS], "known": known})
    found: dict[str, CandlesUpdate] = {}
    for _, instrument, seq, *values in rows:
        if instrument is None:
            continue
        bar, ticker = _candle(tuple(values[:BAR_FIELDS])), Ticker(*values[BAR_FIELDS:])
        update = CandlesUpdate(instrument, seq, seq, ticker.close_time, [], ticker)
        found.setdefault(instrument, update).bars.append(bar)
    return json.decode(rows[0][0] or "{}", type=dict[int, int]), list(found.values())


def _candle(row: tuple[Any, ...]) -> Candle:
    interval, *values = row
    return Candle(convert(interval, Interval), *values)
