"""A priority queue of open orders, by expiry time or stop price."""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from app.matching.orders import Order

# Drop the finished orders of a heap when it holds about this many more of them than open ones.
SLACK = 64


class Agenda:
    """Orders by a key, lowest first, then by number. Finished orders stay until they come first, then it skips them."""

    __slots__ = ("_entries", "_limit")

    def __init__(self) -> None:
        self._entries: list[tuple[int, int, Order]] = []
        self._limit = SLACK

    def add(self, key: int, order: Order) -> None:
        heappush(self._entries, (key, order.seq, order))
        if len(self._entries) > self._limit:
            self._entries = [entry for entry in self._entries if entry[2].status is None]
            heapify(self._entries)
            self._limit = 2 * len(self._entries) + SLACK

    def __iter__(self) -> Iterator[Order]:
        """Every open order, in no order."""
        return (order for _, _, order in self._entries if order.status is None)

    def first_key(self) -> int | None:
        """The key of the first open order, None without one."""
        entries = self._entries
        while entries and entries[0][2].status is not None:
            heappop(entries)
        return entries[0][0] if entries else None

    def pop(self) -> Order | None:
        """Take out the first open order."""
        return None if self.first_key() is None else heappop(self._entries)[2]

    def pop_until(self, key: int) -> Order | None:
        """Take out the first open order whose key is at most this one."""
        first = self.first_key()
        return heappop(self._entries)[2] if first is not None and first <= key else None
