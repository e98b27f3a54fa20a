"""Level-2 books and recent trades and orders, built from reports alone (design: exactness.md, Readers)."""

from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import islice
from typing import Any, NamedTuple

from app.matching.words import MarketStatus, Side
from app.models.commands import ListInstrument
from app.models.decimals import Scale, shortest, units
from app.models.http import order_answer, trade_answer
from app.models.reports import ExecutionReport, LevelChange, OrderChange, OrderTerms, TradeReport

MAX_TRADES = 10_000  # remembered of each instrument
MAX_ORDERS = 200_000  # remembered of all together; older ones are asked of Postgres


class RecentTrade(NamedTuple):
    """A trade with what it is sorted by in lists: time, instrument, seq."""

    time_ms: int
    instrument: str
    seq: int
    trade: TradeReport

    def answer(self) -> dict[str, Any]:
        return trade_answer(self.instrument, self.trade, self.time_ms)


class Levels:
    """One side of a book: its levels by price in units of 10^-8."""

    def __init__(self) -> None:
        self._levels: dict[int, LevelChange] = {}
        self._prices: list[int] = []

    def __len__(self) -> int:
        return len(self._prices)

    def put(self, level: LevelChange) -> None:
        """The level as it is now; without orders it is gone."""
        price, prices = units(level.price), self._prices
        if level.orders:
            if price not in self._levels:
                insort(prices, price)
            self._levels[price] = level
        elif self._levels.pop(price, None) is not None:
            del prices[bisect_left(prices, price)]

    def ascending(self) -> Iterator[LevelChange]:
        return (self._levels[price] for price in self._prices)

    def descending(self) -> Iterator[LevelChange]:
        return (self._levels[price] for price in reversed(self._prices))


class Market:
    """One instrument as its reports leave it."""

    def __init__(self, listing: ListInstrument) -> None:
        self.listing, self.status = listing, MarketStatus.OPEN
        self.scale = Scale(units(listing.tick_size), units(listing.lot_size))
        self.sides = {Side.BUY: Levels(), Side.SELL: Levels()}
        self.trades: deque[RecentTrade] = deque(maxlen=MAX_TRADES)
        self.seq = 0
        self.time_ms = 0

    def apply(self, report: ExecutionReport) -> None:
        """Take in the next report."""
        self.seq, self.time_ms = report.seq, report.time
        if report.listing is not None:
            self.listing = report.listing
        if report.market_status is not None:
            self.status = report.market_status
        for level in report.levels:
            self.sides[level.side].put(level)
        for trade in report.trades:
            self.trades.append(RecentTrade(report.time, report.instrument, trade.seq, trade))

    def depth(self, side: Side, levels: int) -> list[dict[str, Any]]:
        """The best levels, best first, with the quantity up to and including each."""
        book, answer, lots = self.sides[side], [], 0
        for level in islice(book.descending() if side is Side.BUY else book.ascending(), levels):
            lots += self.scale.lots(level.quantity) or 0
            answer.append(
                {
                    "price": level.price,
                    "quantity": level.quantity,
                    "orders": level.orders,
                    "cumulative": self.scale.quantity(lots),
                }
            )
        return answer

    def answer(self) -> dict[str, Any]:
        """The market's rules and status, as GET /instruments has them."""
        fields = {name: getattr(self.listing, name) for name in self.listing.__struct_fields__ if name != "command_id"}
        sizes = {name: shortest(units(fields[name])) for name in ("tick_size", "lot_size")}
        return {**fields, **sizes, "market_status": self.status, "seq": self.seq}


class SeenOrder(NamedTuple):
    """An order whose first report the feed has seen, after its latest."""

    instrument: str
    terms: OrderTerms
    change: OrderChange
    seq: int
    created_ms: int
    updated_ms: int

    def answer(self) -> Any:
        return order_answer(self.instrument, self.terms, self.change, self.seq, self.created_ms, self.updated_ms)


class RecentOrders:
    """The orders touched last, as far as the feed has seen their beginning."""

    def __init__(self) -> None:
        self._orders: OrderedDict[str, SeenOrder] = OrderedDict()

    def apply(self, report: ExecutionReport) -> None:
        """Take in the next report."""
        orders, instrument, seq, time = self._orders, report.instrument, report.seq, report.time
        for change in report.orders:
            order_id = change.order_id
            if change.terms is not None:
                orders[order_id] = SeenOrder(instrument, change.terms, change, seq, time, time)
            elif (known := orders.get(order_id)) is not None:
                orders[order_id] = SeenOrder(instrument, known.terms, change, seq, known.created_ms, time)
                orders.move_to_end(order_id)
        while len(orders) > MAX_ORDERS:
            orders.popitem(last=False)

    def get(self, order_id: str) -> SeenOrder | None:
        return self._orders.get(order_id)


def recent_trades(markets: Iterable[Market], first: int, limit: int) -> list[dict[str, Any]] | None:
    """Trades newest first from memory, skipping `first`; None when memory does not reach back that far."""
    rings = [market.trades for market in markets]
    newest = list(islice(merge(*map(reversed, rings), reverse=True), first + limit))
    # A full ring has forgotten older trades, so only what is newer than its last one is complete.
    forgotten = max((ring[0] for ring in rings if len(ring) == MAX_TRADES), default=None)
    if forgotten is not None and (len(newest) < first + limit or newest[-1] < forgotten):
        return None
    return [trade.answer() for trade in newest[first:]]
