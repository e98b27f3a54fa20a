"""Level-2 books and recent trades and orders, built from reports alone (design: exactness.md, Readers)."""

from collections import OrderedDict, deque
from typing import Any, NamedTuple

from app.matching.words import MarketStatus, Side
from app.models.commands import ListInstrument
from app.models.decimals import Scale, shortest, units
from app.models.http import order_answer, trade_answer
from app.models.reports import ExecutionReport, OrderChange, OrderTerms, TradeReport

MAX_TRADES = 10_000  # remembered of each instrument, and of all together
MAX_ORDERS = 200_000  # remembered; older ones are asked of Postgres


class Market:
    """One instrument as its reports leave it."""

    def __init__(self, listing: ListInstrument) -> None:
        self.listing, self.status = listing, MarketStatus.OPEN
        self.scale = Scale(units(listing.tick_size), units(listing.lot_size))
        # price in units -> (price, quantity, orders) as text, text and number
        self.sides: dict[Side, dict[int, tuple[str, str, int]]] = {Side.BUY: {}, Side.SELL: {}}
        self.trades: deque[tuple[TradeReport, int]] = deque(maxlen=MAX_TRADES)
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
            side = self.sides[level.side]
            if level.orders:
                side[units(level.price)] = (level.price, level.quantity, level.orders)
            else:
                side.pop(units(level.price), None)
        for trade in report.trades:
            self.trades.append((trade, report.time))

    def depth(self, side: Side, levels: int) -> list[dict[str, Any]]:
        """The best levels, best first, with the quantity up to and including each."""
        book, answer, sum_units = self.sides[side], [], 0
        for price in sorted(book, reverse=side is Side.BUY)[:levels]:
            text, quantity, orders = book[price]
            sum_units += units(quantity)
            cumulative = self.scale.quantity(sum_units // self.scale.lot_size)
            answer.append({"price": text, "quantity": quantity, "orders": orders, "cumulative": cumulative})
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
        orders = self._orders
        for change in report.orders:
            known = orders.get(change.order_id)
            if change.terms is not None:
                seen = SeenOrder(report.instrument, change.terms, change, report.seq, report.time, report.time)
            elif known is not None:
                seen = known._replace(change=change, seq=report.seq, updated_ms=report.time)
            else:
                continue
            orders[change.order_id] = seen
            orders.move_to_end(change.order_id)
        while len(orders) > MAX_ORDERS:
            orders.popitem(last=False)

    def get(self, order_id: str) -> SeenOrder | None:
        return self._orders.get(order_id)


def recent_trades(markets: dict[str, Market], instrument: str, first: int, limit: int) -> list[dict[str, Any]] | None:
    """Trades newest first from memory, skipping `first`; None when memory does not reach back that far."""
    market = markets.get(instrument)
    if market is None or (len(market.trades) < first + limit and len(market.trades) == MAX_TRADES):
        return None
    newest = list(market.trades)[::-1][first : first + limit]
    return [trade_answer(instrument, trade, time_ms) for trade, time_ms in newest]
