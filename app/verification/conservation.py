"""Conservation (O6): checks, without any engine, that the quantities and fees in the effective reports add up."""

from collections import defaultdict
from collections.abc import Iterator
from heapq import heappop, heappush

from app.clearing.amounts import amount_of
from app.clearing.amounts import text as amount_text
from app.models.decimals import UNIT_DIGITS, text, units
from app.models.reports import ExecutionReport, OrderChange, TradeReport

OPEN = ("new", "partially_filled")
MAX_LEFTOVERS = 1_000  # prices in a heap that no longer have a level


class _Fills:
    """The total fills of an order: quantity in units (10^-8), notional in price units x quantity units, fees."""

    __slots__ = ("fees", "notional", "quantity")

    def __init__(self) -> None:
        self.quantity = self.notional = self.fees = 0


class Conservation:
    """Checks the reports of one partition, those of each instrument in order; remembers only open orders."""

    def __init__(self) -> None:
        self._fills: dict[str, _Fills] = defaultdict(_Fills)
        self._books: dict[str, _Book] = defaultdict(_Book)

    def hear(self, report: ExecutionReport) -> Iterator[str]:
        """Take in the next report; yields what does not add up in it."""
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
        """What does not add up in the books after the last report."""
        for instrument, book in self._books.items():
            yield from (f"{instrument}, final book: {wrong}" for wrong in book.complaints())


def _trade(trade: TradeReport, fills: dict[str, _Fills]) -> Iterator[str]:
    price, quantity = units(trade.price), units(trade.quantity)
    if not quantity:
        yield "has quantity zero"
    if trade.buy_order_id == trade.sell_order_id:
        yield f"has the order {trade.buy_order_id} on both sides"
    for order_id, fee in ((trade.buy_order_id, trade.buyer_fee), (trade.sell_order_id, trade.seller_fee)):
        fills[order_id].quantity += quantity
        fills[order_id].notional += price * quantity
        fills[order_id].fees += amount_of(fee)


def _order(order: OrderChange, fills: _Fills) -> Iterator[str]:
    filled, remaining = units(order.filled_quantity), units(order.remaining_quantity)
    if units(order.quantity) != filled + remaining:
        parts = f"filled {order.filled_quantity} + remaining {order.remaining_quantity}"
        yield f"has quantity {order.quantity}, but {parts}"
    if filled != fills.quantity:
        yield f"has filled {order.filled_quantity}, but its trades add up to {text(fills.quantity, UNIT_DIGITS)}"
    elif filled:
        average = text((2 * fills.notional + filled) // (2 * filled), UNIT_DIGITS)
        if order.avg_price != average:
            yield f"has the average price {order.avg_price}, but its trades give {average}"
    if amount_of(order.fees) != fills.fees:
        yield f"has fees {order.fees}, but its trades add up to {amount_text(fills.fees)}"
    if (order.status.value == "filled") != (not remaining and order.status.value != "rejected"):
        yield f"is {order.status.value} with {order.remaining_quantity} remaining"


class _Sum:
    """Totals of the open orders at one price.

    `stops` counts stop orders, which may not be in the book. `hides`: the level may show less than the total quantity.
    """

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
        """Whether a level with this quantity and number of orders is consistent with these open orders."""
        is_sum = quantity <= self.quantity if self.hides else quantity == self.quantity
        return is_sum and self.orders - self.stops <= orders <= self.orders


class _Book:
    """Levels and open orders of one instrument, built from its reports; prices and quantities are in units."""

    def __init__(self) -> None:
        self.levels: dict[tuple[str, int], tuple[int, int]] = {}
        self.open: dict[str, tuple[str, int, int] | None] = {}  # order -> (side, price, remaining) if it rests
        self.sides: dict[str, tuple[str, bool, bool]] = {}  # order -> (side, is a stop, is an iceberg)
        self.bids: list[int] = []  # heaps of prices, bids negated; may contain prices whose level is gone
        self.asks: list[int] = []
        self.orders: list[OrderChange] = []  # from the parts of the current report so far

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

        Icebergs show less than their remaining quantity. Reports do not tell whether a triggered stop is in the book
        already or has still to be executed.
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
                sums_up = f"its {there.orders} open orders add up to {right}"
                yield f"level {side} {at} shows {shown} in {orders} orders, but {sums_up}"
        for (side, price), there in sums.items():
            if there.orders > there.stops:
                yield f"{side} {text(price, UNIT_DIGITS)} has open orders, but no level"

    def _rest(self, order: OrderChange) -> None:
        side, is_stop, _ = self.sides.get(order.order_id, ("", False, False))
        waits = is_stop and not order.triggered
        if order.status.value in OPEN and not waits and order.price is not None:
            self.open[order.order_id] = side, units(order.price), units(order.remaining_quantity)
        else:
            self.open.pop(order.order_id, None)
