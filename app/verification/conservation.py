"""Nothing from nothing (O6): what the effective topics say must add up by itself, whatever the engine thinks."""

from collections import defaultdict
from collections.abc import Iterator
from heapq import heappop, heappush

from app.models.decimals import UNIT_DIGITS, text, units
from app.models.reports import ExecutionReport, OrderChange, TradeReport

OPEN = ("new", "partially_filled")
MAX_LEFTOVERS = 1_000  # prices in a heap that are no levels any more


class _Fills:
    """What one order has traded: quantity in units, notional in units of units."""

    __slots__ = ("notional", "quantity")

    def __init__(self) -> None:
        self.quantity = self.notional = 0


class Conservation:
    """The reports of one partition, those of each instrument in order; remembers open orders only."""

    def __init__(self) -> None:
        self._fills: dict[str, _Fills] = defaultdict(_Fills)
        self._books: dict[str, _Book] = defaultdict(_Book)

    def hear(self, report: ExecutionReport) -> Iterator[str]:
        """What does not add up in the next report."""
        name = f"{report.instrument} seq {report.seq}"
        # In a report of several parts the order states come before the trades that explain them.
        book, fills = self._books[report.instrument], self._fills
        book.orders.extend(report.orders)
        for trade in report.trades:
            yield from (f"{name}: trade {trade.trade_id} {wrong}" for wrong in _trade(trade, fills))
        book.change(report)
        if report.part < report.parts:
            return
        for order in book.orders:
            yield from (f"{name}: order {order.order_id} {wrong}" for wrong in _order(order, fills[order.order_id]))
        for order in book.orders:
            if order.status.value not in OPEN:
                fills.pop(order.order_id, None)
                book.sides.pop(order.order_id, None)
        book.orders.clear()
        if book.is_crossed():
            bid, ask = text(-book.bids[0], UNIT_DIGITS), text(book.asks[0], UNIT_DIGITS)
            yield f"{name}: the book is crossed, bid {bid}, ask {ask}"

    def end(self) -> Iterator[str]:
        """What does not add up in the books that are left."""
        for instrument, book in self._books.items():
            yield from (f"{instrument}, final book: {wrong}" for wrong in book.complaints())


def _trade(trade: TradeReport, fills: dict[str, _Fills]) -> Iterator[str]:
    price, quantity = units(trade.price), units(trade.quantity)
    if not quantity:
        yield "has quantity zero"
    if trade.buy_order_id == trade.sell_order_id:
        yield f"is of the order {trade.buy_order_id} with itself"
    for order_id in (trade.buy_order_id, trade.sell_order_id):
        fills[order_id].quantity += quantity
        fills[order_id].notional += price * quantity


def _order(order: OrderChange, fills: _Fills) -> Iterator[str]:
    filled, remaining = units(order.filled_quantity), units(order.remaining_quantity)
    if units(order.quantity) != filled + remaining:
        yield f"is of {order.quantity}, but {order.filled_quantity} + {order.remaining_quantity}"
    if filled != fills.quantity:
        yield f"is filled {order.filled_quantity}, its trades add up to {text(fills.quantity, UNIT_DIGITS)}"
    elif filled:
        average = text((2 * fills.notional + filled) // (2 * filled), UNIT_DIGITS)
        if order.avg_price != average:
            yield f"has the average price {order.avg_price}, its trades give {average}"
    if (order.status.value == "filled") != (not remaining and order.status.value != "rejected"):
        yield f"is {order.status.value} with {order.remaining_quantity} remaining"


class _Sum:
    """The open orders at one price; `stops` of them may not be in the book; it `hides` some if they may show less."""

    __slots__ = ("hides", "orders", "quantity", "stops")

    def __init__(self) -> None:
        self.quantity = self.orders = self.stops = 0
        self.hides = False

    def add(self, quantity: int, is_stop: bool, is_iceberg: bool) -> None:
        self.quantity += quantity
        self.orders += 1
        self.stops += is_stop
        self.hides |= is_stop or is_iceberg

    def may_show(self, quantity: int, orders: int) -> bool:
        """Whether a level of these orders can look like this."""
        is_sum = quantity <= self.quantity if self.hides else quantity == self.quantity
        return is_sum and self.orders - self.stops <= orders <= self.orders


class _Book:
    """Levels and open orders of one instrument, from its reports; prices and quantities in units."""

    def __init__(self) -> None:
        self.levels: dict[tuple[str, int], tuple[int, int]] = {}
        self.open: dict[str, tuple[str, int, int] | None] = {}  # order -> (side, price, remaining) if it rests
        self.sides: dict[str, tuple[str, bool, bool]] = {}  # order -> (side, is a stop, is an iceberg)
        self.bids: list[int] = []  # heaps of prices, bids negated, with leftovers of levels that are gone
        self.asks: list[int] = []
        self.orders: list[OrderChange] = []  # of the parts so far

    def change(self, report: ExecutionReport) -> None:
        for level in report.levels:
            side, price = level.side.value, units(level.price)
            if level.orders and (side, price) not in self.levels:
                self._push(side, price)
            if level.orders:
                self.levels[side, price] = units(level.quantity), level.orders
            else:
                self.levels.pop((side, price), None)
        for order in report.orders:
            if order.terms is not None:
                is_stop = order.terms.stop_price is not None
                self.sides[order.order_id] = order.terms.side.value, is_stop, order.terms.display_quantity is not None
            self._rest(order)

    def _push(self, side: str, price: int) -> None:
        heap, sign = (self.bids, -1) if side == "buy" else (self.asks, 1)
        heappush(heap, sign * price)
        if len(heap) > 2 * len(self.levels) + MAX_LEFTOVERS:
            heap[:] = sorted({price * sign} | {sign * known for of, known in self.levels if of == side})

    def is_crossed(self) -> bool:
        while self.bids and ("buy", -self.bids[0]) not in self.levels:
            heappop(self.bids)
        while self.asks and ("sell", self.asks[0]) not in self.levels:
            heappop(self.asks)
        return bool(self.bids and self.asks) and -self.bids[0] >= self.asks[0]

    def complaints(self) -> Iterator[str]:
        """Each level that is not the sum of the open orders at its price.

        Icebergs show less than they have; a triggered stop rests, or waits for fills, which no report tells.
        """
        sums: dict[tuple[str, int], _Sum] = defaultdict(_Sum)
        for order_id, resting in self.open.items():
            if resting is not None:
                _, is_stop, is_iceberg = self.sides[order_id]
                sums[resting[0], resting[1]].add(resting[2], is_stop, is_iceberg)
        for (side, price), (quantity, orders) in self.levels.items():
            there = sums.pop((side, price), _Sum())
            if not there.may_show(quantity, orders):
                at, shown, right = (text(value, UNIT_DIGITS) for value in (price, quantity, there.quantity))
                yield f"{side} {at} shows {shown} in {orders}, its open orders are {right} in {there.orders}"
        for (side, price), there in sums.items():
            if there.orders > there.stops:
                yield f"{side} {text(price, UNIT_DIGITS)} has open orders and no level"

    def _rest(self, order: OrderChange) -> None:
        side, is_stop, _ = self.sides.get(order.order_id, ("", False, False))
        waits = is_stop and not order.triggered
        if order.status.value in OPEN and not waits and order.price is not None:
            self.open[order.order_id] = side, units(order.price), units(order.remaining_quantity)
        else:
            self.open.pop(order.order_id, None)
