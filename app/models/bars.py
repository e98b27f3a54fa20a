"""Bars and tickers in the API's answers and on its streams: those of the topic `candles`, with RFC 3339 times."""

from msgspec import Struct, structs

from app.analytics.intervals import Interval
from app.models.answers import AveragePrice, Count, Price, Quantity, Seq, Time
from app.models.candles import Candle, Ticker
from app.models.commands import Identifier
from app.models.decimals import Scale
from app.models.http import rfc3339
from app.models.vwap import ExactAmount


class CandleAnswer(Struct, forbid_unknown_fields=True):
    """A bar after the report `seq`, which is the last that changed or closed it.

    `closed`: the market's log has passed `close_time`; from then on only a bust changes the bar. `revision` counts the
    busts of its trades. If all of them are busted, or there were none (`fill`), `trades` is 0.
    """

    interval: Interval
    open_time: Time
    close_time: Time
    open: Price | None
    high: Price | None
    low: Price | None
    close: Price | None
    volume: Quantity
    quote_volume: ExactAmount
    trades: Count
    taker_buy_volume: Quantity
    taker_buy_quote_volume: ExactAmount
    first_trade_seq: Seq | None
    last_trade_seq: Seq | None
    seq: Seq
    closed: bool
    revision: Count


class TickerData(Struct, forbid_unknown_fields=True):
    """The last 24 hours of a market's log: the minute of `close_time` and the 1,439 minutes before it.

    `vwap` is quote_volume / volume, rounded half up; `price_change` is last - open. Without trades in these hours both
    are null, and the prices; `last` is that of the last trade that is not busted, however old.
    """

    open_time: Time | None
    close_time: Time | None
    open: Price | None
    high: Price | None
    low: Price | None
    last: Price | None
    last_quantity: Quantity | None
    last_time: Time | None
    price_change: str | None
    vwap: AveragePrice | None
    volume: Quantity
    quote_volume: ExactAmount
    trades: Count
    first_trade_seq: Seq | None
    last_trade_seq: Seq | None


class TickerAnswer(TickerData, forbid_unknown_fields=True):
    """A ticker after the report `seq`, and the best prices of the book after the report `book_seq`.

    Of a market that never traded `seq` and the times are null.
    """

    instrument: Identifier
    seq: Seq | None
    best_bid: Price | None
    best_ask: Price | None
    book_seq: Seq


class CandlePage(Struct, forbid_unknown_fields=True):
    """Bars, newest first, the cursor of the next page, null on the last page, and the seq up to which they are right.

    `seq` is 0 while the market has never traded.
    """

    candles: list[CandleAnswer]
    next_cursor: str | None
    seq: Count


def no_ticker(scale: Scale) -> TickerData:
    """The ticker of a market that never traded."""
    return TickerData(
        open_time=None,
        close_time=None,
        open=None,
        high=None,
        low=None,
        last=None,
        last_quantity=None,
        last_time=None,
        price_change=None,
        vwap=None,
        volume=scale.volume(0),
        quote_volume=scale.amount(0),
        trades=0,
        first_trade_seq=None,
        last_trade_seq=None,
    )


def candle_answer(candle: Candle) -> CandleAnswer:
    """A bar as it is answered."""
    fields = structs.asdict(candle)
    return CandleAnswer(**fields | {name: rfc3339(fields[name]) for name in ("open_time", "close_time")})


def ticker_data(ticker: Ticker) -> TickerData:
    """A ticker as it is told."""
    fields = structs.asdict(ticker)
    last_time = None if ticker.last_time is None else rfc3339(ticker.last_time)
    times = {"open_time": rfc3339(ticker.open_time), "close_time": rfc3339(ticker.close_time), "last_time": last_time}
    return TickerData(**fields | times)
