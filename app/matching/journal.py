"""Collects the effects of the current command: touched orders, trades, and the number of fills left."""

from app.matching.commands import Place
from app.matching.events import OrderState, Trade
from app.matching.fees import Tariff
from app.matching.orders import Order
from app.matching.words import Liquidity, Reason, Status

_new = tuple.__new__  # a NamedTuple's own constructor takes twice as long

# Price, quantity and liquidity of an order's last fill.
Fill = tuple[int, int, Liquidity]


class Journal:
    """`touched` has the orders in order of first touch, each with its last fill in this command, if any.

    `tariff` charges the fills; without one they cost nothing.
    """

    __slots__ = ("fills_left", "last_price", "max_fills", "tariff", "touched", "trade_seq", "trades")

    def __init__(self) -> None:
        self.touched: dict[Order, Fill | None] = {}
        self.trades: list[Trade] = []
        self.max_fills = self.fills_left = 0
        self.trade_seq = 0  # of the last trade of the instrument
        self.last_price: int | None = None
        self.tariff: Tariff | None = None

    def allow(self, fills: int) -> None:
        """Allow this many fills from here on (R13)."""
        self.max_fills = self.fills_left = fills

    def touch(self, order: Order) -> None:
        if order not in self.touched:
            self.touched[order] = None

    def take_states(self, seq: int, place: Place | None) -> list[OrderState]:
        """The touched orders as they are now; the one accepted by this command (`seq`) with its terms. Forgets them."""
        states = []
        for order, fill in self.touched.items():
            states.append(order_state(order, fill, place if order.seq == seq else None))
        self.touched.clear()
        return states

    def take_trades(self) -> list[Trade]:
        """The trades of this command; the next begins with none."""
        trades, self.trades = self.trades, []
        return trades


def order_state(order: Order, fill: Fill | None, place: Place | None) -> OrderState:
    """The order as it is now, for the report."""
    filled, remaining = order.filled, order.remaining
    status = order.status
    if status is None:
        status = _PARTIALLY_FILLED if filled else _NEW
    price, quantity, liquidity = fill or _NO_FILL
    return _new(
        OrderState,
        (
            order.order_id,
            order.client_id,
            status,
            order.reason,
            order.price,
            filled + remaining,
            filled,
            remaining,
            order.notional,
            price,
            quantity,
            liquidity,
            order.triggered,
            place,
            order.fees,
        ),
    )


def refused_state(place: Place, reason: Reason) -> OrderState:
    """A new order that was refused."""
    return OrderState(
        place.order_id,
        place.client_id,
        Status.REJECTED,
        reason,
        place.price,
        place.quantity,
        0,
        place.quantity,
        0,
        terms=place,
    )


_NEW, _PARTIALLY_FILLED = Status.NEW, Status.PARTIALLY_FILLED
_NO_FILL = (None, None, None)
