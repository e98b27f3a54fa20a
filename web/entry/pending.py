"""Keeps orders that Kafka has and the engine has not reported yet: a look-up right after the 201 must find them."""

from time import monotonic, time_ns
from typing import Any, NamedTuple

from app.models.commands import PlaceOrder
from app.models.decimals import Scale
from app.models.http import pending_answer

MAX_PENDING = 200_000  # beyond, look-ups miss the oldest orders until their reports come


class PendingOrder(NamedTuple):
    """An order on its way to the engine; if it is a repeat, the engine may have handled the order long ago."""

    order: PlaceOrder
    scale: Scale
    is_repeat: bool
    seq: int
    """The market's seq when the gateway sent the order."""
    time_ms: int
    started: float

    def answer(self, order_id: str) -> dict[str, Any]:
        return pending_answer(order_id, self.order, self.scale, self.time_ms)


class Pending:
    """The orders that this gateway accepted, oldest first."""

    def __init__(self) -> None:
        self._orders: dict[str, PendingOrder] = {}

    def add(self, order_id: str, order: PlaceOrder, scale: Scale, is_repeat: bool, seq: int, started: float) -> None:
        """Store an order that goes to Kafka now, at this seq of its market; its request came at `started` (monotonic).

        If the order is already here, the first entry counts.
        """
        if order_id in self._orders:
            return
        if len(self._orders) >= MAX_PENDING:
            del self._orders[next(iter(self._orders))]
        self._orders[order_id] = PendingOrder(order, scale, is_repeat, seq, time_ns() // 1_000_000, started)

    def get(self, order_id: str) -> PendingOrder | None:
        return self._orders.get(order_id)

    def is_other(self, order_id: str, order: PlaceOrder) -> bool:
        """Whether a different order is on its way under this id."""
        known = self._orders.get(order_id)
        return known is not None and known.order != order

    def settle(self, order_id: str) -> float | None:
        """Remove an order whose report has come; return the seconds since its request, or None if it is not here."""
        order = self._orders.pop(order_id, None)
        return None if order is None else monotonic() - order.started
