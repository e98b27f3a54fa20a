"""Check the invariants of a book (docs/EXACTNESS.md, I13); a violation is a bug and raises AssertionError."""

from app.matching.book import Book
from app.matching.events import Report
from app.matching.identities import BLOCK
from app.matching.ladder import NO_LIMIT, Ladder
from app.matching.orders import Order
from app.matching.words import Side


def check_cheap(book: Book, report: Report) -> None:
    """Check what costs next to nothing, after every command and before its report is sent."""
    orders = book.orders
    assert -orders.bids.best < orders.asks.best, f"crossed book: {book.best_bid} >= {book.best_ask}"
    assert report.seq + report.parts - 1 == book.seq, f"report {report.seq} of {report.parts} parts, seq {book.seq}"
    assert not (orders.bids.before or orders.asks.before), "a level changed and was not reported"
    for level in report.levels:
        assert (level[2] > 0) == (level[3] > 0), f"level {level} is half empty"


def check(book: Book) -> None:
    """Check everything; the cost grows with the book. For tests."""
    orders = book.orders
    resting = [*_check_side(orders.bids), *_check_side(orders.asks)]
    waiting = [order for order in orders.by_id.values() if order.queue is None]
    assert -orders.bids.best < orders.asks.best, f"crossed book: {book.best_bid} >= {book.best_ask}"
    assert len(resting) + len(waiting) == len(orders.by_id), "an order rests that is not open"
    for order in resting:
        assert orders.by_id.get(order.order_id) is order, f"{order.seq} rests and is not open"
        is_stop = order.terms.stop_price is not None
        assert order.triggered or not is_stop, f"{order.seq} rests and waits"
    for order in waiting:
        _check_waiting(order, book.journal.last_price)
    triggered = {order.seq for order in waiting if order.triggered}
    assert triggered == {order.seq for order in orders.triggered}, "a triggered stop waits for nothing, or two times"
    assert orders.some_triggered or not triggered, "triggered stops are forgotten"
    seqs = [order.seq for order in orders.by_id.values()]
    assert seqs == sorted(set(seqs)), "open orders are not by number"
    _check_clients(book)
    _check_counts(book)
    expiries = [e for order in orders.by_id.values() if (e := order.terms.expire_time_ms) is not None]
    assert orders.next_expiry_ms() == min(expiries, default=None), "the next expiry is wrong"
    assert all(expiry > book.time_ms for expiry in expiries), "an expired order is open"


def _check_side(ladder: Ladder) -> list[Order]:
    found: list[Order] = []
    assert ladder.best == min(ladder.queues, default=NO_LIMIT), f"best {ladder.side} is wrong"
    for rank, queue in ladder.queues.items():
        assert queue.rank == rank == queue.price * ladder.sign, f"queue {queue.price} is in the wrong place"
        orders, order, earlier = [], queue.first, None
        while order is not None:
            assert order.earlier is earlier and order.queue is queue, f"{order.seq} is linked wrongly"
            _check_resting(order, queue.price, ladder.side)
            orders.append(order)
            order, earlier = order.later, order
        assert queue.last is earlier, f"the last of queue {queue.price} is wrong"
        assert orders, f"queue {queue.price} is empty"
        assert queue.orders == len(orders), f"queue {queue.price} counts {queue.orders} orders"
        assert queue.quantity == sum(order.shown for order in orders), f"queue {queue.price} totals wrongly"
        found += orders
    return found


def _check_resting(order: Order, price: int, side: Side) -> None:
    _check_open(order)
    assert order.price == price and order.side is side, f"{order.seq} is in the wrong queue"
    assert 0 < order.shown <= order.remaining, f"{order.seq} shows {order.shown} of {order.remaining}"
    display = order.terms.display_quantity
    assert display is not None or order.shown == order.remaining, f"{order.seq} hides something"
    assert display is None or order.shown <= display, f"{order.seq} shows more than {display}"


def _check_waiting(order: Order, last_price: int | None) -> None:
    _check_open(order)
    stop_price = order.terms.stop_price
    assert stop_price is not None, f"{order.seq} neither rests nor waits"
    if last_price is not None and not order.triggered:
        reached = last_price >= stop_price if order.side is Side.BUY else last_price <= stop_price
        assert not reached, f"{order.seq} waits for {stop_price}, the last price is {last_price}"


def _check_open(order: Order) -> None:
    assert order.status is None and order.reason is None, f"{order.seq} is open and {order.status}"
    assert order.remaining > 0 and order.filled >= 0, f"{order.seq} has {order.remaining} left, {order.filled} filled"


def _check_clients(book: Book) -> None:
    clients: dict[str, int] = {}
    for order in book.orders.by_id.values():
        clients[order.client_id] = clients.get(order.client_id, 0) + 1
    assert clients == book.orders.clients, "a client's open orders are counted wrongly"


def _check_counts(book: Book) -> None:
    identities = book.identities
    assert 0 <= identities.live_from <= identities.total, "the id window is out of order"
    assert sum(len(block) for block in identities.blocks.values()) == (
        identities.total - identities.first_block * BLOCK
    ), "id records are missing"
    assert not book.journal.touched and not book.journal.trades, "something happened and was not reported"
