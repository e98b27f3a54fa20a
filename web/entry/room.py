"""Bounds the orders that a gateway works on at once: it refuses more of them at once, instead of answering all late."""

from web import metrics
from web.refused import RETRY_SOON_S, Refused

MAX_ORDERS_AT_ONCE = (
    4_000  # about a second's work; an order counts from its request to its answer, a batch as its orders
)


class Room:
    """Counts the orders in progress."""

    def __init__(self) -> None:
        self.taken = 0

    def take(self, orders: int) -> None:
        """Begin to work on so many orders; raises Refused. Call `give_back` once they are answered."""
        if self.taken + orders > MAX_ORDERS_AT_ONCE:
            metrics.orders_shed.labels("busy").inc()
            raise Refused("overloaded", "this gateway has too many orders in progress", RETRY_SOON_S)
        self.taken += orders

    def give_back(self, orders: int) -> None:
        """These are answered."""
        self.taken -= orders
