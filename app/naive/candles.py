"""The naive analytics: bars and tickers from all trades, by their definition, with dicts and Fractions.

It imports nothing of ours. It folds everything again for each question.
"""

from fractions import Fraction
from typing import Any, NamedTuple

MINUTES = {"1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "4h": 240, "1d": 1440, "1w": 10080}
_DAYS_TO_MONDAY = 4  # 1970 began on a Thursday


class NaiveTrade(NamedTuple):
    """A trade in whole assets."""

    number: int
    time: int
    price: Fraction
    quantity: Fraction
    taker: str
    report: int


Figures = dict[str, Any]


def opened(interval: str, time: int) -> int:
    """The first millisecond of the bar with this one, counted from a Monday for weeks, else from a midnight."""
    minute = time // 60_000
    origin = _DAYS_TO_MONDAY * 1_440 if interval == "1w" else 0
    return (minute - (minute - origin) % MINUTES[interval]) * 60_000


def figures(trades: list[NaiveTrade]) -> Figures:
    """What a number of trades says."""
    bought = [trade for trade in trades if trade.taker == "buy"]
    return {
        "open": trades[0].price if trades else None,
        "high": max((trade.price for trade in trades), default=None),
        "low": min((trade.price for trade in trades), default=None),
        "close": trades[-1].price if trades else None,
        "volume": sum((trade.quantity for trade in trades), Fraction(0)),
        "quote_volume": sum((trade.price * trade.quantity for trade in trades), Fraction(0)),
        "trades": len(trades),
        "taker_buy_volume": sum((trade.quantity for trade in bought), Fraction(0)),
        "taker_buy_quote_volume": sum((trade.price * trade.quantity for trade in bought), Fraction(0)),
        "first_trade_seq": trades[0].number if trades else None,
        "last_trade_seq": trades[-1].number if trades else None,
    }


def bars(
    trades: list[NaiveTrade], busts: dict[int, int], times: list[tuple[int, int]]
) -> dict[tuple[str, int], Figures]:
    """Interval and opening time -> the bar.

    `busts`: the number of a busted trade -> the seq of the bust's report. `times`: seq and time of every report so far.
    """
    found: dict[tuple[str, int], Figures] = {}
    now = max((time for _, time in times), default=0)
    for interval, minutes in MINUTES.items():
        groups: dict[int, list[NaiveTrade]] = {}
        for trade in trades:
            groups.setdefault(opened(interval, trade.time), []).append(trade)
        for begin, group in groups.items():
            end = begin + minutes * 60_000
            changed = [trade.report for trade in group] + [busts[t.number] for t in group if t.number in busts]
            if end <= now:
                changed.append(min(seq for seq, time in times if time >= end))
            found[interval, begin] = figures([trade for trade in group if trade.number not in busts]) | {
                "close_time": end - 1,
                "seq": max(changed),
                "closed": end <= now,
                "revision": sum(trade.number in busts for trade in group),
            }
    return found


def ticker(trades: list[NaiveTrade], busts: dict[int, int], now: int) -> Figures:
    """The minute of `now` and the 1,439 minutes before it."""
    left = [trade for trade in trades if trade.number not in busts]
    begin = opened("1m", now) - 1_439 * 60_000
    window = [trade for trade in left if trade.time >= begin]
    found = figures(window)
    return found | {
        "open_time": begin,
        "close_time": now,
        "last": left[-1].price if left else None,
        "vwap": found["quote_volume"] / found["volume"] if window else None,
        "price_change": window[-1].price - window[0].price if window else None,
    }
