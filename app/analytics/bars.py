"""Trades, and the bar that they fold into. Prices are in ticks, quantities in lots, amounts in ticks x lots."""

from collections.abc import Iterable
from typing import NamedTuple


class Trade(NamedTuple):
    """One trade; `seq` numbers the trades of a market from 1, `report_seq` is that of its report."""

    seq: int
    time_ms: int
    price: int
    quantity: int
    taker_buys: bool
    report_seq: int


class Bar(NamedTuple):
    """What trades in their order fold into. `volume` is in lots, `quote_volume` in ticks x lots."""

    open: int
    high: int
    low: int
    close: int
    volume: int
    quote_volume: int
    trades: int
    taker_buy_volume: int
    taker_buy_quote_volume: int
    first_trade_seq: int
    last_trade_seq: int


def bar_of(trades: Iterable[Trade]) -> Bar | None:
    """The bar of these trades, which come in order; None without any."""
    first = last = None
    high = low = volume = amount = count = bought = paid = 0
    for trade in trades:
        last = trade
        price, quantity = trade.price, trade.quantity
        if first is None:
            first, high, low = trade, price, price
        elif price > high:
            high = price
        elif price < low:
            low = price
        count += 1
        volume += quantity
        amount += price * quantity
        if trade.taker_buys:
            bought += quantity
            paid += price * quantity
    if first is None or last is None:
        return None
    return Bar(first.price, high, low, last.price, volume, amount, count, bought, paid, first.seq, last.seq)


def joined(earlier: Bar | None, later: Bar | None) -> Bar | None:
    """The bar of the trades of both."""
    if earlier is None or later is None:
        return later if earlier is None else earlier
    return Bar(
        earlier.open,
        max(earlier.high, later.high),
        min(earlier.low, later.low),
        later.close,
        earlier.volume + later.volume,
        earlier.quote_volume + later.quote_volume,
        earlier.trades + later.trades,
        earlier.taker_buy_volume + later.taker_buy_volume,
        earlier.taker_buy_quote_volume + later.taker_buy_quote_volume,
        earlier.first_trade_seq,
        later.last_trade_seq,
    )
