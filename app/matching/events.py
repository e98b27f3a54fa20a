"""The report of a command: everything that a reader needs to follow the book without running the engine."""

from collections.abc import Iterator
from typing import NamedTuple

from app.matching.commands import FeeSchedule, Listing, Place
from app.matching.words import Liquidity, MarketStatus, Outcome, Reason, Side, Status

# A report with more entries (orders + trades + levels) is sent in parts, each with its own seq. An entry takes less
# than 1 KiB as JSON, so a part stays below 256 KiB. Never change the number: replays would take other seqs.
MAX_ENTRIES_PER_PART = 256


class OrderState(NamedTuple):
    """An order after the command, once per report for each order that the command touched.

    `quantity` is the total, always `filled + remaining`; `remaining` of a finished order was canceled or expired.
    `notional` is the sum of price x quantity over its fills (ticks x lots). `last_*` and `liquidity` describe its last
    fill in this command. `terms` is given when the order first appears. `fees` is what the order has paid for its
    fills, in units of 10^-`quote_scale` of the quote asset.
    """

    order_id: bytes
    client_id: str
    status: Status
    reason: Reason | None
    price: int | None
    quantity: int
    filled: int
    remaining: int
    notional: int
    last_price: int | None = None
    last_quantity: int | None = None
    liquidity: Liquidity | None = None
    triggered: bool = False
    terms: Place | None = None
    fees: int = 0


class Trade(NamedTuple):
    """One fill at the maker's price. `seq` is dense per instrument over all trades. Fees as in `OrderState`."""

    seq: int
    price: int
    quantity: int
    maker_order_id: bytes
    taker_order_id: bytes
    maker_client_id: str
    taker_client_id: str
    taker_side: Side
    buyer_fee: int
    seller_fee: int


class BustedTrade(NamedTuple):
    """The trade that a bust cancels, by its `seq`, and why (R17)."""

    trade_seq: int
    reason: str


class Level(NamedTuple):
    """A price level after the command: displayed quantity and number of orders; 0 and 0 when it is gone."""

    side: Side
    price: int
    quantity: int
    orders: int


class Report(NamedTuple):
    """The outcome of one command. `seq` is dense per instrument; a report of n parts takes n of them.

    `order_id` is the order that the command names. `original_seq` is set for a duplicate only: the seq of the report on
    the first command. `listing` and `market_status` are given by the commands that change them. `raw` is the beginning
    of a record that is not a command for a listed instrument. `fees` are the rates that the command has set, `bust` is
    the trade that it cancels; if a report has several parts, only the first carries `fees` and `bust`.
    """

    instrument: str
    seq: int
    offset: int
    time_ms: int
    engine_version: int
    command: str
    command_id: bytes | None
    outcome: Outcome
    reason: Reason | None = None
    order_id: bytes | None = None
    original_seq: int | None = None
    orders: tuple[OrderState, ...] | list[OrderState] = ()
    trades: tuple[Trade, ...] | list[Trade] = ()
    levels: tuple[Level, ...] | list[Level] = ()
    listing: Listing | None = None
    market_status: MarketStatus | None = None
    raw: str | None = None
    fees: FeeSchedule | None = None
    bust: BustedTrade | None = None
    part: int = 1
    parts: int = 1


def parts_of(entries: int) -> int:
    """How many parts, and so seqs, a report with this many entries takes."""
    return max(1, -(-entries // MAX_ENTRIES_PER_PART))


def split(report: Report) -> Iterator[Report]:
    """The report as it is sent: itself, or its parts with consecutive seqs; orders first, then trades, then levels."""
    if report.parts == 1:
        yield report
        return
    orders, trades, levels = report.orders, report.trades, report.levels
    for index in range(report.parts):
        start = index * MAX_ENTRIES_PER_PART
        end = start + MAX_ENTRIES_PER_PART
        before_levels = len(orders) + len(trades)
        yield report._replace(
            seq=report.seq + index,
            part=index + 1,
            orders=orders[start:end],
            trades=trades[max(0, start - len(orders)) : max(0, end - len(orders))],
            levels=levels[max(0, start - before_levels) : max(0, end - before_levels)],
            fees=None if index else report.fees,
            bust=None if index else report.bust,
        )
