"""One side of the book: a queue of orders for each price, and which price is best."""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush, nsmallest

from app.matching.events import Level
from app.matching.orders import Order, Queue
from app.matching.words import Side

# A rank worse than any price: the `best` of an empty side. A market order accepts every rank below it.
NO_LIMIT = 1 << 256
# Rebuild the heap when it holds more than twice the prices in use plus this many.
SLACK = 64

_new = tuple.__new__  # a NamedTuple's own constructor takes twice as long


class Ladder:
    """The queues of one side. A price's *rank* is the price itself for sells, its negative for buys: lower is better.

    `best` is the lowest rank in use, NO_LIMIT if no order rests. `before` remembers the displayed quantity and the
    orders of each queue from before the current command touched it; every change of a queue calls `note` first.
    """

    __slots__ = ("_ranks", "before", "best", "queues", "side", "sign")

    def __init__(self, side: Side) -> None:
        self.side = side
        self.sign = -1 if side is Side.BUY else 1
        self.queues: dict[int, Queue] = {}
        self.best = NO_LIMIT
        self.before: dict[int, tuple[int, int]] = {}
        self._ranks: list[int] = []  # a heap of the ranks in use and stale ones; the first is in use

    def queue_at(self, price: int) -> Queue:
        """The queue at a price, or a new one; remembers what it displayed before the command."""
        rank = price * self.sign
        queue = self.queues.get(rank)
        if queue is None:
            queue = self.queues[rank] = Queue(rank, price)
            heappush(self._ranks, rank)
            if rank < self.best:
                self.best = rank
        if rank not in self.before:
            self.before[rank] = (queue.quantity, queue.orders)
        return queue

    def note(self, queue: Queue) -> None:
        """Remember what the queue displays, unless this command did so already."""
        if queue.rank not in self.before:
            self.before[queue.rank] = (queue.quantity, queue.orders)

    def leave(self, order: Order, queue: Queue) -> None:
        """Take the order out of its queue; drop the queue if it is then empty."""
        self.note(queue)
        queue.remove(order)
        if not queue.orders:
            self.drop(queue)

    def drop(self, queue: Queue) -> None:
        """Forget an empty queue."""
        del self.queues[queue.rank]
        ranks, queues = self._ranks, self.queues
        if queue.rank == self.best:
            while ranks and ranks[0] not in queues:
                heappop(ranks)
            self.best = ranks[0] if ranks else NO_LIMIT
        elif len(ranks) > 2 * len(queues) + SLACK:
            ranks[:] = queues
            heapify(ranks)

    def best_first(self) -> Iterator[Queue]:
        """The queues by precedence. The caller must not change the ladder while it iterates."""
        ranks, last = self._ranks.copy(), None
        while ranks:
            rank = heappop(ranks)
            if rank != last and rank in self.queues:
                yield self.queues[rank]
            last = rank

    def best_without(self, order: Order) -> int:
        """The best rank if this order were gone."""
        queue = order.queue
        if queue is None or queue.orders > 1 or self.queues.get(self.best) is not queue:
            return self.best
        return nsmallest(2, (*self.queues, NO_LIMIT))[1]

    @property
    def best_price(self) -> int | None:
        return self.best * self.sign if self.queues else None

    def depth(self, levels: int) -> list[Level]:
        """The best levels, best first."""
        return [self._level(rank) for rank in nsmallest(levels, self.queues)]

    def take_all_levels(self) -> list[Level]:
        """Every level of the side, and those that this command emptied; clears `before`."""
        ranks = sorted({*self.queues, *(rank for rank, before in self.before.items() if before[1])})
        self.before.clear()
        return [self._level(rank) for rank in ranks]

    def take_changes(self) -> list[Level]:
        """The levels that the command changed, best first; clears `before`."""
        before = self.before
        levels: list[Level] = []
        for rank in sorted(before) if len(before) > 1 else before:
            level = self._level(rank)
            if level[2:] != before[rank]:
                levels.append(level)
        before.clear()
        return levels

    def _level(self, rank: int) -> Level:
        queue = self.queues.get(rank)
        if queue is None:
            return _new(Level, (self.side, rank * self.sign, 0, 0))
        return _new(Level, (self.side, queue.price, queue.quantity, queue.orders))
