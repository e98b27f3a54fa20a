"""The JSON shape of the `candles` topic, and its conversion from the ticks and lots of app/analytics.

Prices have the decimals of the instrument's tick, quantities those of its lot, and amounts (price x quantity) both
together, so every figure is exact. Times are int milliseconds since the epoch.
"""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from app.analytics.bars import Trade
from app.analytics.intervals import LENGTH_MS, Interval
from app.analytics.market import BarState, Report, TickerState, Update
from app.matching.words import Side
from app.models.commands import ListInstrument
from app.models.decimals import Scale, units
from app.models.undecodable import read_own

Seq = Annotated[int, Meta(ge=1)]
_BUY = Side.BUY


class Candle(Struct, frozen=True):
    """A bar: the fold of the trades from `first_trade_seq` to `last_trade_seq` that lie in its time and are not busted.

    `seq` is the report that last changed or closed it. `closed`: a report has a time after `close_time`; from then on
    only a bust changes the bar. `revision` counts the busts of its trades. If all its trades are busted, `trades` is 0
    and the prices and trade numbers are null. `volume` is in the base asset, `quote_volume` in the quote asset;
    `taker_buy_*` are the parts of these in which the taker bought.
    """

    interval: Interval
    open_time: int
    close_time: int
    open: str | None
    high: str | None
    low: str | None
    close: str | None
    volume: str
    quote_volume: str
    trades: int
    taker_buy_volume: str
    taker_buy_quote_volume: str
    first_trade_seq: int | None
    last_trade_seq: int | None
    seq: Seq
    closed: bool
    revision: int


class Ticker(Struct, frozen=True):
    """The last 24 hours of the log's time: the minute of `close_time` and the 1,439 minutes before it.

    `open_time` is the first millisecond of these, `close_time` the time of the report. `vwap` is quote_volume / volume
    with eight decimals, rounded half up; `price_change` is close - open. Without trades in the window these and the
    prices are null, but `last`, `last_quantity` and `last_time` are those of the last trade that is not busted, however
    old it is.
    """

    open_time: int
    close_time: int
    open: str | None
    high: str | None
    low: str | None
    last: str | None
    last_quantity: str | None
    last_time: int | None
    price_change: str | None
    vwap: str | None
    volume: str
    quote_volume: str
    trades: int
    first_trade_seq: int | None
    last_trade_seq: int | None


class CandlesUpdate(Struct, frozen=True):
    """Every bar that has changed after the report `prev_seq`, as it is after the report `seq`, and the ticker then.

    A reader that has everything up to a seq from `prev_seq` to below `seq` applies it; a smaller `seq` is a repeat, a
    larger `prev_seq` a gap. The first update of an instrument has `prev_seq` 0.
    """

    instrument: str
    seq: Seq
    prev_seq: int
    time: int
    bars: list[Candle]
    ticker: Ticker


class UpdateHead(Struct):
    """The fields with which a reader decides whether it applies an update."""

    instrument: str
    seq: int
    prev_seq: int


encode_update = msgspec.json.Encoder().encode
decode_update = msgspec.json.Decoder(CandlesUpdate).decode
decode_update_head = msgspec.json.Decoder(UpdateHead).decode


def read_update(value: bytes | None) -> CandlesUpdate | None:
    """The update; None if the record lacks even its first fields, so that another program must have written it.

    Raises UNDECODABLE for an update that this release cannot read: skipping it would lose it.
    """
    return read_own(value, decode_update, decode_update_head)


class _TradeLine(Struct):
    seq: int
    price: str
    quantity: str
    aggressor_side: Side


class _BustLine(Struct):
    trade_seq: int


class ReportLine(Struct):
    """The fields of an execution report that analytics uses: decoding all of them takes four times as long."""

    instrument: str
    seq: int
    time: int
    trades: list[_TradeLine] = []
    bust: _BustLine | None = None
    listing: ListInstrument | None = None


_decode_line = msgspec.json.Decoder(ReportLine).decode


class _LineHead(Struct):
    instrument: str
    seq: int


_decode_line_head = msgspec.json.Decoder(_LineHead).decode


def read_line(value: bytes | None) -> ReportLine | None:
    """An execution report's fields; None and errors as for read_update."""
    return read_own(value, _decode_line, _decode_line_head)


def sizes_of(listing: ListInstrument) -> tuple[int, int]:
    """Tick and lot of a market in units of 10^-8."""
    return units(listing.tick_size), units(listing.lot_size)


def to_analytics(line: ReportLine, scale: Scale) -> Report:
    """The report in ticks and lots."""
    tick, lot = scale.tick_size, scale.lot_size
    seq, time_ms = line.seq, line.time
    trades = tuple(
        Trade(t.seq, time_ms, units(t.price) // tick, units(t.quantity) // lot, t.aggressor_side is _BUY, seq)
        for t in line.trades
    )
    return Report(seq, time_ms, trades, None if line.bust is None else line.bust.trade_seq)


def update_message(instrument: str, update: Update, scale: Scale) -> CandlesUpdate:
    """An update as a message for the topic."""
    seq, prev_seq, time_ms, bars, ticker = update
    return CandlesUpdate(
        instrument, seq, prev_seq, time_ms, [candle(found, scale) for found in bars], ticker_message(ticker, scale)
    )


def candle(state: BarState, scale: Scale) -> Candle:
    """A bar as others see it."""
    interval, open_ms, bar, seq, revision, closed = state
    close_ms = open_ms + LENGTH_MS[interval] - 1
    price, volume, amount = scale.price, scale.volume, scale.amount
    if bar is None:
        nothing, no_amount = volume(0), amount(0)
        return Candle(
            *(interval, open_ms, close_ms, None, None, None, None, nothing, no_amount, 0, nothing, no_amount),
            *(None, None, seq, closed, revision),
        )
    first, high, low, last, lots, notional, trades, bought, paid, first_seq, last_seq = bar
    return Candle(
        interval,
        open_ms,
        close_ms,
        price(first),
        price(high),
        price(low),
        price(last),
        volume(lots),
        amount(notional),
        trades,
        volume(bought),
        amount(paid),
        first_seq,
        last_seq,
        seq,
        closed,
        revision,
    )


def ticker_message(state: TickerState, scale: Scale) -> Ticker:
    """A ticker as others see it."""
    open_ms, time_ms, bar, last = state
    price = scale.price
    return Ticker(
        open_ms,
        time_ms,
        None if bar is None else price(bar.open),
        None if bar is None else price(bar.high),
        None if bar is None else price(bar.low),
        None if last is None else price(last.price),
        None if last is None else scale.quantity(last.quantity),
        None if last is None else last.time_ms,
        None if bar is None else scale.price_change(bar.close - bar.open),
        None if bar is None else scale.average_price(bar.quote_volume, bar.volume),
        scale.volume(0 if bar is None else bar.volume),
        scale.amount(0 if bar is None else bar.quote_volume),
        0 if bar is None else bar.trades,
        None if bar is None else bar.first_trade_seq,
        None if bar is None else bar.last_trade_seq,
    )
