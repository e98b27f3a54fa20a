"""Real NASDAQ messages (LOBSTER's public sample, AAPL) with the book after each: our levels must agree row by row.

The sample shows ten levels of each side and tells nothing of what lies beyond them.
"""

import csv
from typing import NamedTuple

from app.matching.book import Book
from app.matching.commands import Cancel, Command, List, Listing, Moment, Place, Reduce
from app.matching.events import Report
from app.matching.sanity import check
from app.matching.words import OrderType, Outcome, SelfTradePrevention, Side, Status, TimeInForce
from tests.market_data import data_folder

NEW, REDUCED, DELETED, EXECUTED, EXECUTED_HIDDEN = "12345"
LISTING = Listing("AAPL", "AAPL", "USD", 1, 1, self_trade_prevention=SelfTradePrevention.NONE)


class Message(NamedTuple):
    """A line of the message file; `side` is the resting order's."""

    kind: str
    order_id: int
    size: int
    price: int
    side: Side


class Row(NamedTuple):
    """A line of the order book file: (price, size) best first."""

    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class Exchange:
    """The book, driven by messages; orders that no message has named are one order a level, known by its price."""

    def __init__(self) -> None:
        self.book = Book(LISTING.instrument)
        self.sent = 0
        self.prices: dict[int, int] = {}  # of the orders that messages have named
        self.unnamed: dict[int, int] = {}  # price -> number of the order that stands for what was there
        self.apply(List(self.key(), 0, LISTING))

    def key(self) -> bytes:
        self.sent += 1
        return b"command%9d" % self.sent

    def apply(self, command: Command) -> Report:
        report = self.book.apply(command, Moment(self.sent, self.sent))
        check(self.book)
        return report

    def place(self, number: int, side: Side, price: int, size: int, force: TimeInForce = TimeInForce.GTC) -> Report:
        place = Place(order_id(number), 0, "client", str(number), side, OrderType.LIMIT, size, price, force)
        report = self.apply(place)
        assert report.outcome is Outcome.ACCEPTED, report
        return report

    def show(self, side: Side, price: int, size: int) -> None:
        """Make the level what came into view: one order that stands for all of it."""
        there = [number for number, at in self.prices.items() if at == price] + [self.unnamed.get(price, 0)]
        for number in there:
            self.prices.pop(number, None)
            self.apply(Cancel(self.key(), 0, order_id(number)))
        if size:
            self.sent += 1
            self.unnamed[price] = -self.sent
            self.place(-self.sent, side, price, size)

    def carry_out(self, message: Message) -> None:
        kind, number, size, price, side = message
        resting = order_id(number if number in self.prices else self.unnamed.get(price, 0))
        if kind == NEW:
            self.prices[number] = price
            assert not self.place(number, side, price, size).trades
        elif kind in (REDUCED, DELETED):
            report = self.apply(Reduce(self.key(), 0, resting, size))
            assert report.outcome is Outcome.ACCEPTED, message
            assert (report.orders[0].status is Status.CANCELED) or kind == REDUCED or number not in self.prices
        elif kind == EXECUTED:
            self.sent += 1
            taker = Side.SELL if side is Side.BUY else Side.BUY
            trades = self.place(-self.sent, taker, price, size, TimeInForce.IOC).trades
            assert [(trade.maker_order_id, trade.price, trade.quantity) for trade in trades] == [(resting, price, size)]


def order_id(number: int) -> bytes:
    return number.to_bytes(16, "big", signed=True)


def read() -> tuple[list[Message], list[Row]]:
    folder = data_folder("lobster")
    with next(folder.glob("*_message_*.csv")).open() as source:
        messages = [
            Message(kind, int(number), int(size), int(price), Side.BUY if direction == "1" else Side.SELL)
            for _, kind, number, size, price, direction in csv.reader(source)
        ]
    with next(folder.glob("*_orderbook_*.csv")).open() as source:
        numbers = [[int(text) for text in line] for line in csv.reader(source)]
    pairs = [list(zip(line[0::2], line[1::2], strict=True)) for line in numbers]
    return messages, [Row(bids=line[1::2], asks=line[0::2]) for line in pairs]


def levels_of(book: Book) -> tuple[dict[int, int], dict[int, int]]:
    """Price to displayed quantity, of bids and asks."""
    bids, asks = book.depth(100)
    return {level.price: level.quantity for level in bids}, {level.price: level.quantity for level in asks}


def test_the_levels_are_those_of_the_exchange_after_every_message() -> None:
    """Every visible order, reduction, deletion and execution of the sample, in the order of the exchange.

    A level that comes into view from beyond the tenth is taken as it is; all that stayed in view must agree.
    """
    messages, rows = read()
    exchange, compared = Exchange(), 0
    seen: list[set[int]] = [set(), set()]
    for message, row in zip(messages, rows, strict=True):
        exchange.carry_out(message)
        for index, (side, theirs) in enumerate(((Side.BUY, row.bids), (Side.SELL, row.asks))):
            ours, worst = levels_of(exchange.book)[index], theirs[-1][0]
            in_view = {price for price in ours if (price >= worst if side is Side.BUY else price <= worst)}
            if message.kind == NEW and message.side is side and message is not messages[0]:
                seen[index].add(message.price)
            for price in in_view | {price for price, _ in theirs}:
                if price in seen[index]:
                    assert ours.get(price, 0) == dict(theirs).get(price, 0), message
                    compared += 1
                elif ours.get(price, 0) != dict(theirs).get(price, 0):
                    exchange.show(side, price, dict(theirs).get(price, 0))
            seen[index] = {price for price, _ in theirs}
    assert compared > 19 * len(rows), "too little was compared"
