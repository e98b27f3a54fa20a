"""A seeded stream of orders for the benchmarks: resting orders, then passive orders, cancels and marketable orders.

We draw it with a real book, so that every cancel names an order that is still open. Engines are timed later, on the
finished stream.
"""

from collections.abc import Iterable
from random import Random
from typing import NamedTuple

from app.matching.book import Book
from app.matching.commands import Cancel, List, Listing, Moment, Place
from app.matching.words import OrderType, Side, Status

INSTRUMENT = "BTC-USD"
UNLIMITED = Listing(
    INSTRUMENT,
    "BTC",
    "USD",
    tick_size=1_000_000,
    lot_size=1_000,
    max_fills=10**7,
    max_open_orders=10**7,
    max_open_orders_per_client=10**7,
)
MIDDLE = 100_000
CLIENTS = 50
LARGEST_PASSIVE = 10


class Operation(NamedTuple):
    """A new order, or the cancel of the order `target`. `number` and `target` count the stream; price is in ticks."""

    number: int
    target: int | None
    side: Side
    price: int
    quantity: int
    client: int


class Mix(NamedTuple):
    """The shares of passive orders and cancels; the rest are marketable orders, sized to keep the book's size."""

    passive: float = 0.6
    cancels: float = 0.3

    @property
    def largest_marketable(self) -> int:
        passive, marketable = self.passive - self.cancels, 1 - self.passive - self.cancels
        return round(LARGEST_PASSIVE * passive / marketable)


def listed(listing: Listing = UNLIMITED) -> Book:
    """An empty book with these rules."""
    book = Book(listing.instrument)
    book.apply(List(bytes(16), 0, listing), Moment(0, 0))
    return book


def draw(seed: int, resting: int, count: int, levels: int = 50, mix: Mix | None = None) -> list[Operation]:
    """`resting` passive orders and then `count` operations; passive prices are within about `levels` of the middle."""
    flow = _Flow(seed, levels, mix or Mix())
    return [flow.passive() for _ in range(resting)] + [flow.next() for _ in range(count)]


class _Flow:
    def __init__(self, seed: int, levels: int, mix: Mix) -> None:
        self._random, self._levels, self._mix = Random(seed), levels, mix
        self._book = listed()
        self._number = 0
        self._open: list[int] = []
        self._places: dict[int, int] = {}

    def next(self) -> Operation:
        draw = self._random.random()
        if draw < self._mix.passive:
            return self.passive()
        if draw < self._mix.passive + self._mix.cancels and self._open:
            target = self._random.choice(self._open)
            return self._note(Operation(self._next_number(), target, Side.BUY, 0, 0, 0))
        quantity = self._random.randint(1, self._mix.largest_marketable)
        return self._order(-self._levels, quantity, CLIENTS)

    def passive(self) -> Operation:
        """An order that does not trade; most are near the middle."""
        away = 1 + min(int(self._random.expovariate(3 / self._levels)), self._levels - 1)
        return self._order(away, self._random.randint(1, LARGEST_PASSIVE), 0)

    def _order(self, away: int, quantity: int, first_client: int) -> Operation:
        side = self._random.choice((Side.BUY, Side.SELL))
        price = MIDDLE - away if side is Side.BUY else MIDDLE + away
        client = first_client + self._random.randrange(CLIENTS)
        return self._note(Operation(self._next_number(), None, side, price, quantity, client))

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _note(self, operation: Operation) -> Operation:
        report = self._book.apply(_command(operation), Moment(operation.number, operation.number))
        for state in report.orders:
            number = int.from_bytes(state.order_id, "big")
            if state.status in (Status.NEW, Status.PARTIALLY_FILLED):
                if number not in self._places:
                    self._places[number] = len(self._open)
                    self._open.append(number)
            elif number in self._places:
                self._close(number)
        return operation

    def _close(self, number: int) -> None:
        place, last = self._places.pop(number), self._open.pop()
        if last != number:
            self._open[place], self._places[last] = last, place


def _command(operation: Operation) -> Place | Cancel:
    number, target, side, price, quantity, client = operation
    if target is not None:
        return Cancel(number.to_bytes(16, "big"), 0, target.to_bytes(16, "big"))
    key = number.to_bytes(16, "big")
    return Place(key, 0, f"c{client}", "", side, OrderType.LIMIT, quantity, price)


def ids(seed: int, operations: Iterable[Operation]) -> dict[int, bytes]:
    """An id of 16 random-looking bytes for each operation's number."""
    random = Random(seed)
    return {operation.number: random.getrandbits(128).to_bytes(16, "big") for operation in operations}
