"""A market on the naive engine with short words for commands, and what its reports say."""

from typing import Any

from app.matching.commands import (
    Amend,
    Cancel,
    Command,
    Halt,
    List,
    Listing,
    Moment,
    Place,
    Reduce,
    Replace,
)
from app.matching.events import Report
from app.matching.words import (
    OrderType,
    Reason,
    Side,
    Status,
)
from app.naive.matching import NaiveEngine

BUY, SELL = Side.BUY, Side.SELL


class Market:
    """A naive engine with short words for commands; ids are the words that a case uses, padded to 16 bytes."""

    def __init__(self, **rules: Any) -> None:
        self.naive = NaiveEngine("X")
        self.offset = 0
        self.now = 1_000
        self.keys = 0
        self.list(**rules)

    def send(self, command: Command) -> Report:
        self.offset += 1
        return self.naive.apply(command, Moment(self.offset, self.now))

    def key(self) -> tuple[bytes, int]:
        self.keys += 1
        return name(f"#{self.keys}"), self.keys

    def list(self, **rules: Any) -> Report:
        return self.send(List(*self.key(), Listing("X", "B", "Q", 1, 1, **rules)))

    def place(self, word: str, side: Side, quantity: int, price: int | None = None, **terms: Any) -> Report:
        return self.send(order(word, side, quantity, price, **terms))

    def cancel(self, word: str, client: str | None = None) -> Report:
        return self.send(Cancel(*self.key(), name(word), client))

    def amend(self, word: str, price: int | None = None, quantity: int | None = None) -> Report:
        return self.send(Amend(*self.key(), name(word), None, price, quantity))

    def reduce(self, word: str, quantity: int) -> Report:
        return self.send(Reduce(*self.key(), name(word), quantity))

    def replace(self, word: str, new: Place) -> Report:
        return self.send(Replace(*self.key(), name(word), new))

    def halt(self) -> Report:
        return self.send(Halt(*self.key()))


def name(word: str) -> bytes:
    return word.encode().ljust(16, b".")


def order(word: str, side: Side, quantity: int, price: int | None = None, **terms: Any) -> Place:
    """A GTC limit order, or market without a price; the client is named like the order unless given."""
    terms.setdefault("type", OrderType.MARKET if price is None else OrderType.LIMIT)
    terms.setdefault("client_id", word)
    return Place(name(word), len(word), terms.pop("client_id"), word, side, terms.pop("type"), quantity, price, **terms)


def trades(report: Report) -> list[tuple[str, str, int, int]]:
    """Maker, taker, quantity, price."""
    return [
        (word(trade.maker_order_id), word(trade.taker_order_id), trade.quantity, trade.price) for trade in report.trades
    ]


def word(order_id: bytes) -> str:
    return order_id.decode().rstrip(".")


def states(report: Report) -> list[tuple[str, Status, Reason | None, int, int]]:
    """Order, status, reason, filled, remaining."""
    return [(word(o.order_id), o.status, o.reason, o.filled, o.remaining) for o in report.orders]


def levels(report: Report) -> list[tuple[Side, int, int, int]]:
    return [(level.side, level.price, level.quantity, level.orders) for level in report.levels]


def stop(word: str, side: Side, quantity: int, stop_price: int, price: int | None = None, **terms: Any) -> Place:
    type_ = OrderType.STOP if price is None else OrderType.STOP_LIMIT
    return order(word, side, quantity, price, type=type_, stop_price=stop_price, **terms)


def trade_at(market: Market, price: int) -> Report:
    market.place(f"m{market.offset}", SELL, 1, price)
    return market.place(f"t{market.offset}", BUY, 1, price)
