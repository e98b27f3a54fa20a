"""Orders that Kafka has and whose report has not come: a look-up right after the 201 must find them."""

from time import monotonic, time_ns
from typing import Any, NamedTuple

from app.models.commands import PlaceOrder
from app.models.decimals import Scale
from app.models.http import pending_answer

MAX_PENDING = 200_000  # beyond, the oldest are found again when their report comes


class PendingOrder(NamedTuple):
    """An order on its way; a repeat may be about an order that is long known."""

    order: PlaceOrder
    scale: Scale
    is_repeat: bool
    seq: int
    """The market's, when it was sent."""
    time_ms: int
    started: float

    def answer(self, order_id: str) -> dict[str, Any]:
        return pending_answer(order_id, self.order, self.scale, self.time_ms)


class Pending:
    """The orders that this gateway accepted, oldest first."""

    def __init__(self) -> None:
        self._orders: dict[str, PendingOrder] = {}

    def add(self, order_id: str, order: PlaceOrder, scale: Scale, is_repeat: bool, seq: int, started: float) -> None:
        """The order goes to Kafka now, at this seq of its market; `started` is when its request came (monotonic)."""
        if order_id in self._orders:
            return  # sent again: the first one counts
        if len(self._orders) >= MAX_PENDING:
            del self._orders[next(iter(self._orders))]
        self._orders[order_id] = PendingOrder(order, scale, is_repeat, seq, time_ns() // 1_000_000, started)

    def get(self, order_id: str) -> PendingOrder | None:
        return self._orders.get(order_id)

    def is_other(self, order_id: str, order: PlaceOrder) -> bool:
        """Whether another order is on its way under this id."""
        known = self._orders.get(order_id)
        return known is not None and known.order != order

    def settle(self, order_id: str) -> float | None:
        """Its report has come: the seconds since its request; None when it is another gateway's."""
        order = self._orders.pop(order_id, None)
        return None if order is None else monotonic() - order.started
