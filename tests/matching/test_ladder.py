"""One side of a book: the best price is always known, and prices that are gone are not kept for ever."""

from itertools import pairwise
from random import Random

from app.matching.ladder import NO_LIMIT, SLACK, Ladder
from app.matching.orders import PLAIN, Order
from app.matching.words import SelfTradePrevention, Side


def rested(ladder: Ladder, seq: int, price: int) -> Order:
    terms = PLAIN[ladder.side, SelfTradePrevention.NONE]
    order = Order(b"%16d" % seq, 0, seq, "ann", terms, price, 1)
    order.shown = 1
    ladder.queue_at(price).append(order)
    return order


def leave(ladder: Ladder, order: Order) -> None:
    assert order.queue is not None
    ladder.leave(order, order.queue)


def test_the_best_price_is_known_whatever_comes_and_goes() -> None:
    """Also the best without an order, and all of them in order; prices come again after they were gone."""
    for side, best_of in ((Side.BUY, max), (Side.SELL, min)):
        ladder, random, orders = Ladder(side), Random(1), list[Order]()
        for seq in range(3_000):
            if orders and random.random() < 0.5:
                leave(ladder, orders.pop(random.randrange(len(orders))))
            else:
                orders.append(rested(ladder, seq, random.randint(90, 110)))
            prices = [order.price for order in orders if order.price is not None]
            assert ladder.best_price == best_of(prices, default=None)
            assert [queue.price for queue in ladder.best_first()] == sorted(set(prices), reverse=side is Side.BUY)
            for order in orders[:3]:
                others = [other.price for other in orders if other is not order and other.price is not None]
                expected = best_of(others) * ladder.sign if others else NO_LIMIT
                assert ladder.best_without(order) == expected


def test_prices_that_are_gone_are_thrown_out() -> None:
    """Memory is at most twice the prices in use, and a little; and the work is not done at every step."""
    for count in (1, 50, 300):
        ladder, largest, lengths = Ladder(Side.SELL), 0, list[int]()
        for price in range(1, count + 1):
            rested(ladder, price, price)
        for seq in range(1_000, 6_000):
            leave(ladder, rested(ladder, seq, seq))
            lengths.append(len(ladder._ranks))
            largest = max(largest, lengths[-1])
        assert largest == 2 * count + SLACK
        assert sum(after < before for before, after in pairwise(lengths)) <= 5_000 // (count + SLACK)
        assert [queue.price for queue in ladder.best_first()] == list(range(1, count + 1))


def test_an_empty_side_is_worse_than_any_price() -> None:
    """Nothing crosses it, whatever the price; quantities and prices have no upper bound."""
    assert NO_LIMIT > 10**70
    for side in Side:
        ladder = Ladder(side)
        assert (ladder.best, ladder.best_price, ladder.depth(5)) == (NO_LIMIT, None, [])
        order = rested(ladder, 1, 10**70)
        assert ladder.best_price == 10**70
        leave(ladder, order)
        assert (ladder.best, ladder.best_price, ladder.take_all_levels()) == (NO_LIMIT, None, [])
