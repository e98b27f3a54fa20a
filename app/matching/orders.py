"""An order as the book keeps it while it is open, and the terms that it was accepted on."""

from typing import NamedTuple

from app.matching.commands import Place
from app.matching.words import OrderType, Reason, SelfTradePrevention, Side, Status, TimeInForce


class Terms(NamedTuple):
    """The fields of an order that never change. Most orders have plain terms and share one object (`PLAIN`)."""

    side: Side
    type: OrderType
    time_in_force: TimeInForce
    stop_price: int | None
    display_quantity: int | None
    expire_time_ms: int | None
    post_only: bool
    mode: SelfTradePrevention  # the order's own or, if it named none, the instrument's when it was accepted (R14)


# By side and mode: a limit order, good till canceled, and nothing else.
PLAIN = {
    (side, mode): Terms(side, OrderType.LIMIT, TimeInForce.GTC, None, None, None, False, mode)
    for side in Side
    for mode in SelfTradePrevention
}

# Of a `Place` with plain terms: time in force, stop price, displayed quantity, expiry, post-only.
_LIMIT = OrderType.LIMIT
_PLAIN_FIELDS = (TimeInForce.GTC, None, None, None, False)


class Order:
    """One accepted order. Prices in ticks, quantities in lots; `notional` sums price x quantity over its fills.

    `fee_sum` sums rate x price x quantity over them, `fees` is that sum as the order has paid it (`Tariff`).

    `seq`, that of the report which accepted it, is also its number: it orders expiries, mass cancels and stops. While
    it rests, `queue` is where, `earlier` and `later` are its neighbours there and `shown` is what the book displays.
    `status` stays None while the order is open. An open order without a queue is a stop that waits: for its price or,
    once it is `triggered`, for fills.
    """

    __slots__ = (
        "client_id",
        "earlier",
        "fee_sum",
        "fees",
        "filled",
        "fingerprint",
        "later",
        "notional",
        "order_id",
        "price",
        "queue",
        "reason",
        "remaining",
        "seq",
        "shown",
        "side",
        "status",
        "terms",
        "triggered",
    )

    def __init__(
        self,
        order_id: bytes,
        fingerprint: int,
        seq: int,
        client_id: str,
        terms: Terms,
        price: int | None,
        quantity: int,
    ) -> None:
        self.order_id = order_id
        self.fingerprint = fingerprint
        self.seq = seq
        self.client_id = client_id
        self.side = terms[0]
        self.terms = terms
        self.price = price
        self.remaining = quantity
        self.filled = 0
        self.notional = 0
        self.fee_sum = 0
        self.fees = 0
        self.shown = 0
        self.triggered = False
        self.status: Status | None = None
        self.reason: Reason | None = None
        self.queue: Queue | None = None
        self.earlier: Order | None = None
        self.later: Order | None = None

    def end(self, status: Status, reason: Reason | None = None) -> None:
        self.status, self.reason = status, reason

    def slice(self) -> int:
        """What a resting order displays when it (or an iceberg's next slice) joins a queue (R8)."""
        display = self.terms.display_quantity
        return self.remaining if display is None or display > self.remaining else display

    def shown_after(self, later: int) -> int:
        """What an iceberg displays after this many lots of its later slices were filled (R8)."""
        display = self.terms.display_quantity
        assert display is not None, "an order that hides nothing has no later slices"
        return min(display - later % display, self.remaining)


def terms_of(place: Place, default_mode: SelfTradePrevention) -> Terms:
    """The terms of a new order; `default_mode` is the instrument's (R14)."""
    mode = place.self_trade_prevention or default_mode
    if place[8:13] == _PLAIN_FIELDS and place.type is _LIMIT:
        return PLAIN[place.side, mode]
    return Terms(
        place.side,
        place.type,
        place.time_in_force,
        place.stop_price,
        place.display_quantity,
        place.expire_time_ms,
        place.post_only,
        mode,
    )


class Queue:
    """The orders at one price, first come first served: a linked list, so leaving from anywhere costs the same.

    `rank` is the price in its side's order of precedence (`Ladder`); `quantity` is the sum of what is shown.
    """

    __slots__ = ("first", "last", "orders", "price", "quantity", "rank")

    def __init__(self, rank: int, price: int) -> None:
        self.rank = rank
        self.price = price
        self.quantity = 0
        self.orders = 0
        self.first: Order | None = None
        self.last: Order | None = None

    def append(self, order: Order) -> None:
        """Add the order at the back, with its displayed quantity."""
        last = self.last
        if last is None:
            self.first = order
        else:
            last.later = order
            order.earlier = last
        self.last = order
        order.queue = self
        self.orders += 1
        self.quantity += order.shown

    def remove(self, order: Order) -> None:
        """Take the order out, wherever it is in the queue."""
        earlier, later = order.earlier, order.later
        if earlier is None:
            self.first = later
        else:
            earlier.later = later
            order.earlier = None
        if later is None:
            self.last = earlier
        else:
            later.earlier = earlier
            order.later = None
        order.queue = None
        self.orders -= 1
        self.quantity -= order.shown
