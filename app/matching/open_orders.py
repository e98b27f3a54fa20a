"""The open orders of a book: those that rest, by side and price, and the stops that wait; by id and by client."""

from app.matching.agenda import Agenda
from app.matching.ladder import NO_LIMIT, Ladder
from app.matching.orders import Order
from app.matching.words import Reason, Side, Status

_BUY = Side.BUY  # looked up once: a member of an enum class takes as long to find as a whole call


class OpenOrders:
    """Every open order is in `by_id` (by number), and either in a queue of a ladder or in one of the stops' agendas.

    While `some_triggered` is False, `triggered` has no open order.
    """

    __slots__ = ("_expiries", "_stops", "asks", "bids", "by_id", "clients", "expiry_ms", "some_triggered", "triggered")

    def __init__(self) -> None:
        self.by_id: dict[bytes, Order] = {}
        self.clients: dict[str, int] = {}  # open orders of each client that has any
        self.bids = Ladder(Side.BUY)
        self.asks = Ladder(Side.SELL)
        self.expiry_ms: int | None = None  # not later than the first expiry
        self._expiries = Agenda()
        self._stops = {Side.BUY: Agenda(), Side.SELL: Agenda()}
        self.triggered = Agenda()  # stops that wait for fills
        self.some_triggered = False

    def admit(self, order: Order) -> None:
        """Add a new open order."""
        self.by_id[order.order_id] = order
        clients, client_id = self.clients, order.client_id
        clients[client_id] = clients.get(client_id, 0) + 1
        expiry_ms = order.terms[5]
        if expiry_ms is not None:
            self._expiries.add(expiry_ms, order)
            if self.expiry_ms is None or expiry_ms < self.expiry_ms:
                self.expiry_ms = expiry_ms

    def rest(self, order: Order, shown: int) -> None:
        """Put the order at the back of the queue at its price, with this displayed quantity."""
        assert order.price is not None, "an order without a price never rests"
        order.shown = shown
        (self.bids if order.side is _BUY else self.asks).queue_at(order.price).append(order)

    def wait(self, order: Order) -> None:
        """Put a stop order among those that wait for their price (R9)."""
        assert order.terms.stop_price is not None, "only a stop order waits"
        self._stops[order.side].add(_nearness(order.side, order.terms.stop_price), order)

    def wait_for_fills(self, order: Order) -> None:
        """Keep a triggered stop until the next command brings fills (R9)."""
        assert order.terms.stop_price is not None, "only a stop waits for fills"
        key = _nearness(order.side, order.terms.stop_price)
        if order.side is not _BUY:
            key += NO_LIMIT  # sells after all buys
        self.triggered.add(key, order)
        self.some_triggered = True

    def leave_queue(self, order: Order) -> None:
        """Take a resting order out of its queue; it is still open."""
        queue = order.queue
        if queue is not None:
            (self.bids if order.side is _BUY else self.asks).leave(order, queue)

    def shrink(self, order: Order, remaining: int) -> None:
        """Reduce an open order; it keeps its place, and an iceberg loses its hidden quantity first (R6, R8)."""
        order.remaining = remaining
        queue = order.queue
        if queue is not None and order.shown > remaining:
            (self.bids if order.side is _BUY else self.asks).note(queue)
            queue.quantity -= order.shown - remaining
            order.shown = remaining

    def end(self, order: Order, status: Status, reason: Reason | None) -> None:
        """End an open order and drop it."""
        order.status = status
        order.reason = reason
        queue = order.queue
        if queue is not None:
            (self.bids if order.side is _BUY else self.asks).leave(order, queue)
        self.forget(order)

    def forget(self, order: Order) -> None:
        """Drop an ended order that has left its queue."""
        del self.by_id[order.order_id]
        clients, client_id = self.clients, order.client_id
        left = clients[client_id] - 1
        if left:
            clients[client_id] = left
        else:
            del clients[client_id]

    def pop_expired(self, time_ms: int) -> Order | None:
        """Take out the next order that has expired: by expiry time, then number."""
        order = self._expiries.pop_until(time_ms)
        if order is None:
            self.expiry_ms = self._expiries.first_key()
        return order

    def next_expiry_ms(self) -> int | None:
        """The earliest expiry time of an open order."""
        self.expiry_ms = self._expiries.first_key()
        return self.expiry_ms

    def pop_stop(self, last_price: int | None) -> Order | None:
        """Take out the stop that runs next: one that waits for fills, else the next whose condition holds (R9)."""
        if self.some_triggered:
            order = self.triggered.pop()
            if order is not None:
                return order
            self.some_triggered = False
        return self.pop_reached(last_price)

    def pop_reached(self, last_price: int | None) -> Order | None:
        """Take out the next stop order whose condition holds: buys before sells, nearest first, then by number (R9)."""
        if last_price is None:
            return None
        return self._stops[Side.BUY].pop_until(last_price) or self._stops[Side.SELL].pop_until(-last_price)


def _nearness(side: Side, stop_price: int) -> int:
    """Buys by lowest, sells by highest stop price."""
    return stop_price if side is _BUY else -stop_price
