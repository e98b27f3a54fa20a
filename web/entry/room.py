"""Bounds the orders that a gateway works on at once; others wait in their order, for a second at most.

A request that waits costs nothing and keeps its client from sending the next one. Refusing it immediately costs a third
of an order, and clients that repeat it at once would leave the gateway no time for the orders that it has begun.
"""

import asyncio
from collections import deque

from web import metrics
from web.refused import RETRY_SOON_S, Refused

# An order counts from its request to its answer, a batch as its orders.
MAX_ORDERS_AT_ONCE = 2_000  # half a second's work
MAX_WAITING = 20_000  # orders; beyond, batches are refused immediately (single ones have a connection each)
MAX_WAIT_S = 1.0  # so the gateway refuses an order before its client gives up


class Room:
    """Counts the orders in progress, and lets others in as there is room."""

    def __init__(self) -> None:
        self._taken = self._waiting = 0
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, orders: int) -> None:
        """Wait until the gateway may begin so many orders; raises Refused. Call `give_back` once they are answered."""
        if not self._waiting and self._taken + orders <= MAX_ORDERS_AT_ONCE:
            self._taken += orders
            return
        if self._waiting + orders > MAX_WAITING:
            raise _refused()
        entry: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((orders, entry))
        self._waiting += orders
        try:
            await asyncio.wait([entry], timeout=MAX_WAIT_S)
            if not entry.done():
                raise _refused()
        except BaseException:
            if entry.done():  # cancelled just after it was let in
                self.give_back(orders)
            else:
                entry.cancel()
                self._waiting -= orders
                self._let_in()
            raise

    def give_back(self, orders: int) -> None:
        """These are answered."""
        self._taken -= orders
        self._let_in()

    def _let_in(self) -> None:
        queue = self._queue
        while queue:
            orders, entry = queue[0]
            if not entry.done():
                if self._taken + orders > MAX_ORDERS_AT_ONCE:
                    return
                self._taken += orders
                self._waiting -= orders
                entry.set_result(None)
            queue.popleft()


def _refused() -> Refused:
    metrics.orders_shed.labels("busy").inc()
    return Refused("overloaded", "this gateway has too many orders in progress", RETRY_SOON_S)
