"""Bars and tickers as others see them: exact decimals, and what is absent."""

import msgspec

from app.analytics.bars import Bar, Trade
from app.analytics.intervals import Interval
from app.analytics.market import BarState, Report, TickerState, Update
from app.matching.words import Outcome, Side
from app.models import reports
from app.models.candles import candle, read_line, read_update, ticker_message, to_analytics, update_message
from app.models.candles import encode_update as encode
from app.models.decimals import Scale

SCALE = Scale(1_000_000, 10_000)  # 0.01 and 0.0001
BAR = Bar(7_000_000, 7_000_050, 6_999_999, 7_000_001, 25_000, 175_000_012_500, 3, 10_000, 70_000_005_000, 11, 13)
MINUTE_MS = 60_000


def test_a_bar_has_exact_decimals() -> None:
    """Prices with the decimals of the tick, volumes with those of the lot, amounts with both."""
    found = candle(BarState(Interval.M1, MINUTE_MS, BAR, 40, 1, closed=True), SCALE)
    assert msgspec.to_builtins(found) == {
        "interval": "1m",
        "open_time": 60_000,
        "close_time": 119_999,
        "open": "70000.00",
        "high": "70000.50",
        "low": "69999.99",
        "close": "70000.01",
        "volume": "2.5000",
        "quote_volume": "175000.012500",
        "trades": 3,
        "taker_buy_volume": "1.0000",
        "taker_buy_quote_volume": "70000.005000",
        "first_trade_seq": 11,
        "last_trade_seq": 13,
        "seq": 40,
        "closed": True,
        "revision": 1,
    }


def test_a_bar_without_trades_left_has_no_prices() -> None:
    """All of them are busted."""
    found = candle(BarState(Interval.M1, 0, None, 5, 2), SCALE)
    assert (found.open, found.close, found.first_trade_seq, found.trades) == (None, None, None, 0)
    assert (found.volume, found.quote_volume) == ("0.0000", "0.000000")


def test_large_sums_and_sizes_above_one_stay_exact() -> None:
    """Sums may have more digits than a price or a quantity."""
    scale = Scale(10**9, 10**10)  # 10 and 100
    bar = BAR._replace(volume=10**20, quote_volume=10**30)
    found = candle(BarState(Interval.W1, 0, bar, 5, 0), scale)
    assert (found.volume, found.quote_volume) == (str(10**22), str(10**33))


def test_a_ticker_has_its_change_and_average() -> None:
    """The average is rounded half up in the eighth decimal."""
    last = Trade(13, 61_000, 7_000_001, 5_000, True, 40)
    found = ticker_message(TickerState(MINUTE_MS, 61_500, BAR._replace(close=6_999_900), last), SCALE)
    assert (found.open, found.last, found.last_quantity, found.last_time) == ("70000.00", "70000.01", "0.5000", 61_000)
    assert (found.price_change, found.vwap) == ("-1.00", "70000.00500000")


def test_a_ticker_without_trades_in_its_window_keeps_the_last_price() -> None:
    """Of the trade that was before."""
    found = ticker_message(TickerState(MINUTE_MS, 61_500, None, Trade(1, 5, 7, 9, True, 3)), SCALE)
    assert (found.open, found.vwap, found.price_change, found.trades, found.volume) == (None, None, None, 0, "0.0000")
    assert (found.last, found.last_time) == ("0.07", 5)


def test_an_update_survives_its_topic() -> None:
    """And what another program wrote is none."""
    state = BarState(Interval.H1, 0, BAR, 40, 0)
    update = update_message("BTC-USD", Update(40, 38, 61_500, (state,), TickerState(0, 1, None, None)), SCALE)
    assert read_update(encode(update)) == update
    assert read_update(b"hello") is None
    assert read_update(None) is None


def test_a_report_is_read_without_what_bars_do_not_need() -> None:
    """Its trades in ticks and lots, its bust by number."""
    trade = reports.TradeReport("BTC-USD-3", 3, "70000.01", "0.5000", "a", "b", "alice", "bob", Side.BUY)
    bust = reports.BustReport("BTC-USD-2", 2, "wrong price")
    report = reports.ExecutionReport("BTC-USD", 9, 4, 61_000, 3, "place", Outcome.ACCEPTED, trades=[trade], bust=bust)
    line = read_line(reports.encode(report))
    assert line is not None
    assert to_analytics(line, SCALE) == Report(9, 61_000, (Trade(3, 61_000, 7_000_001, 5_000, True, 9),), 2)
