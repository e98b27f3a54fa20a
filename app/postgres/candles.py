"""Write bars and tickers to Postgres: each update of the topic `candles` once, with the position in one transaction.

Bars gather for LINGER_S, so that one that changes often is written once: the latest state of each is enough.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from app import metrics
from app.models.candles import Candle, CandlesUpdate, Ticker, read_update
from app.postgres.arrays import NULL, Columns
from app.postgres.rows import Row, time_text
from app.postgres.sink import Run, Sink
from app.postgres.statements import Statement
from app.unusable import NO_UPDATE, pass_over

LINGER_S = 0.25
MAX_ROWS = 10_000  # in one transaction; it takes no further batch once it has this many

CANDLES = Columns(
    "candles",
    {
        "instrument": "text",
        "interval": "text",
        "open_time": "timestamptz",
        "close_time": "timestamptz",
        "open": "numeric",
        "high": "numeric",
        "low": "numeric",
        "close": "numeric",
        "volume": "numeric",
        "quote_volume": "numeric",
        "trades": "bigint",
        "taker_buy_volume": "numeric",
        "taker_buy_quote_volume": "numeric",
        "first_trade_seq": "bigint",
        "last_trade_seq": "bigint",
        "seq": "bigint",
        "closed": "boolean",
        "revision": "bigint",
    },
    frozenset({"instrument"}),
)
TICKERS = Columns(
    "tickers",
    {
        "instrument": "text",
        "seq": "bigint",
        "open_time": "timestamptz",
        "close_time": "timestamptz",
        "open": "numeric",
        "high": "numeric",
        "low": "numeric",
        "last": "numeric",
        "last_quantity": "numeric",
        "last_time": "timestamptz",
        "price_change": "numeric",
        "vwap": "numeric",
        "volume": "numeric",
        "quote_volume": "numeric",
        "trades": "bigint",
        "first_trade_seq": "bigint",
        "last_trade_seq": "bigint",
    },
    frozenset({"instrument"}),
)
TIMES = frozenset({"open_time", "close_time", "last_time"})


def _upsert(columns: Columns, key: tuple[str, ...]) -> str:
    values = ", ".join(f"{name} = excluded.{name}" for name in columns.types if name not in key)
    newer = f"{columns.table}.seq < excluded.seq"
    return f"{columns.insert()} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {values} WHERE {newer}"


WRITE_CANDLES = _upsert(CANDLES, ("instrument", "interval", "open_time"))
WRITE_TICKERS = _upsert(TICKERS, ("instrument",))


class BarRows:
    """The latest bars and tickers of some updates."""

    def __init__(self) -> None:
        self.bars: dict[tuple[str, str, int], Candle] = {}
        self.tickers: dict[str, tuple[int, Ticker]] = {}

    def add(self, update: CandlesUpdate) -> None:
        """Take in the next update of an instrument."""
        for bar in update.bars:
            self.bars[update.instrument, bar.interval.value, bar.open_time] = bar
        self.tickers[update.instrument] = update.seq, update.ticker

    def statements(self) -> list[Statement]:
        """What writes them."""
        found: list[Statement] = []
        if self.bars:
            rows = [_row(CANDLES, {"instrument": name}, bar) for (name, _, _), bar in self.bars.items()]
            found.append((WRITE_CANDLES, CANDLES.arrays(rows)))
        if self.tickers:
            rows = [_row(TICKERS, {"instrument": n, "seq": seq}, t) for n, (seq, t) in self.tickers.items()]
            found.append((WRITE_TICKERS, TICKERS.arrays(rows)))
        return found


class BarRecorder:
    """Connects the topic with the sink. It writes only while `run` is running."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._last_seqs: dict[str, int] = {}
        self._changed = asyncio.Condition()
        self._begin()
        self.recorded: dict[int, int] = {}
        """Partition -> the offset below which everything is in Postgres."""
        self._next_offsets: dict[int, int] = {}

    async def start(self, log_ids: dict[int, str]) -> dict[int, int]:
        """Start the partitions whose log ids are given; returns the offset from which to read each.

        Raises AnotherInstallation, Refused. Waits while Postgres cannot be reached.
        """
        found = await self._sink.begin(log_ids)
        self._last_seqs = await self._sink.last_bars()
        self.recorded = {number: recorded.next_offset for number, recorded in found.items()}
        self._next_offsets = dict(self.recorded)
        return dict(self.recorded)

    async def append(self, number: int, records: Iterable[Any], acknowledge: Callable[[], None]) -> None:
        """Take in fetched records; calls `acknowledge` once they are written. Waits while a transaction is full."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._rows.bars) < MAX_ROWS)
            begin = self._next_offsets[number]
            for record in records:
                self._take(number, record)
                self._next_offsets[number] = record.offset + 1
            self._moves[number] = (self._moves.get(number, (begin, 0))[0], self._next_offsets[number])
            self._acknowledgements.append(acknowledge)
            self._changed.notify_all()

    async def run(self) -> None:
        """Write gathered bars until cancelled; raises what the sink raises."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._moves))
            await asyncio.sleep(LINGER_S)
            async with self._changed:
                bars = len(self._rows.bars)
                run, acknowledgements = Run(self._moves, self._rows.statements(), {}), self._acknowledgements
                self._begin()
                self._changed.notify_all()
            await self._sink.write(run)
            metrics.bars_recorded.inc(bars)
            self.recorded |= {number: to_offset for number, (_, to_offset) in run.moves.items()}
            for acknowledge in acknowledgements:
                acknowledge()

    def _begin(self) -> None:
        self._rows, self._moves = BarRows(), dict[int, tuple[int, int]]()
        self._acknowledgements: list[Callable[[], None]] = []

    def _take(self, number: int, record: Any) -> None:
        update = read_update(record.value)
        if update is None:
            pass_over(self._sink.topic, number, record.offset, NO_UPDATE)
            return
        # After a gap the missing updates come again, and this one too: the worker that fills it sends them once more.
        if update.prev_seq <= self._last_seqs.get(update.instrument, 0) < update.seq:
            self._last_seqs[update.instrument] = update.seq
            self._rows.add(update)


def _row(columns: Columns, known: dict[str, Any], struct: Candle | Ticker) -> Row:
    return tuple(_text(name, known[name] if name in known else getattr(struct, name)) for name in columns.types)


def _text(name: str, value: Any) -> str:
    if value is None:
        return NULL
    if name in TIMES:
        return time_text(value)
    return ("true" if value else "false") if isinstance(value, bool) else str(value)
