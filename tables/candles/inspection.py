"""Show the candles table to people: the open bars and the ticker of its newest snapshots."""

from typing import Any

from msgspec import to_builtins

from app.analytics.market import Market
from app.models.candle_snapshots import MarketSnapshot
from app.models.candles import candle, ticker_message
from app.models.decimals import Scale
from tables.candles.subjects import codec
from tables.recovery.inspection import Records, newest

View = dict[str, Any]


def markets(records: Records) -> dict[str, MarketSnapshot]:
    """The newest valid snapshots of a partition."""
    return newest(records, codec)


def summary(found: MarketSnapshot) -> View:
    """One line about a market."""
    state = found.market
    last = None if state.last is None else _scale(found).price(state.last.price)
    view: View = {"instrument": found.instrument, "offset": found.offset, "seq": state.seq, "time": state.time_ms}
    return view | {"last": last, "trades": state.total, "busted": len(state.busted), "open_bars": len(state.open_bars)}


def market(found: MarketSnapshot) -> View:
    """A market with its ticker and its open bars."""
    scale, bars = _scale(found), Market(_no_block, found.market, ())
    shown = ticker_message(bars.ticker(), scale)
    open_bars = [to_builtins(candle(state, scale)) for state in found.market.open_bars]
    return summary(found) | {"ticker": [to_builtins(shown)], "bars": open_bars}


def _scale(found: MarketSnapshot) -> Scale:
    return Scale(found.tick_size, found.lot_size)


def _no_block(number: int) -> Any:
    raise AssertionError("open bars and tickers need no block")
