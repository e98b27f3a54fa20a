"""The channels: which message a report is for each, and the snapshot that a subscription begins with. No I/O.

An update is a function of the report, and for `book` of the levels before it: every gateway makes the same bytes of it,
live, from memory or from Kafka.
"""

from itertools import islice
from typing import NamedTuple, Protocol

from msgspec import UNSET

from app.matching.words import Side
from app.models.answers import Trade
from app.models.http import rfc3339
from app.models.reports import ExecutionReport, LevelChange
from app.models.streams import (
    BookMessage,
    Channel,
    Fill,
    MarketEvent,
    MessageType,
    OrdersMessage,
    StatusMessage,
    StreamOrder,
    TradesMessage,
    fills_of,
    order_of,
    trade_of,
)
from web.market.books import SNAPSHOT, LevelBook, Market, rules_answer
from web.streams.messages import Message

LATEST_TRADES = 50
LATEST_FILLS = 50
TRADES_LOOKED_AT = 2_000  # for a client's latest fills

Key = tuple[Channel, str, str | None]
"""Channel, instrument and, of a private channel, client: what a connection can subscribe to once."""


Levels = list[LevelChange] | None


class Variant(NamedTuple):
    """What subscriptions can share: their messages are the same."""

    channel: Channel
    instrument: str
    client_id: str | None
    depth: int | None

    @property
    def key(self) -> Key:
        return self.channel, self.instrument, self.client_id


class Made(Protocol):
    """A channel of an instrument."""

    def update(self, report: ExecutionReport, before: Levels) -> Message | None:
        """The message for the next report, which the book has taken in; None when it is not about this channel.

        `before`: its levels as they were, if that is known.
        """
        ...

    def snapshot(self, market: Market) -> Message:
        """Where a new subscription begins."""
        ...


def made(variant: Variant, book: LevelBook | None) -> Made:
    """The channel of this variant, of a book that takes in each report before it does."""
    if variant.channel is Channel.BOOK:
        return BookChannel(variant.instrument, variant.depth, book)
    if variant.channel is Channel.TRADES:
        return TradesChannel(variant.instrument)
    if variant.channel is Channel.STATUS:
        return StatusChannel(variant.instrument)
    assert variant.client_id is not None, "orders are those of a client"
    return OrdersChannel(variant.instrument, variant.client_id)


class BookChannel:
    """Levels: all of them, or the best `depth` of each side with those that enter and leave this window."""

    def __init__(self, instrument: str, depth: int | None, book: LevelBook | None) -> None:
        """Without a book, as in a replay from Kafka, there is no checksum, and no depth."""
        assert book is not None or depth is None, "a window is cut out of a book"
        self._instrument, self._depth, self._book = instrument, depth, book
        self._window = None if book is None or depth is None else _window(book, depth)
        self._snapshot: Message | None = None

    def update(self, report: ExecutionReport, before: Levels) -> Message | None:
        if not report.levels:
            return None
        levels = report.levels if self._window is None else self._moved()
        if report.command == SNAPSHOT and self._window is None and before is not None:  # it tells every level
            levels = [level for level, old in zip(levels, before, strict=True) if level != old]
        return self._message(MessageType.UPDATE, report.seq, report.time, levels) if levels else None

    def snapshot(self, market: Market) -> Message:
        if self._snapshot is None or self._snapshot.seq != market.seq:
            levels = [level for side in Side for level in market.book.best_first(side, self._depth)]
            self._snapshot = self._message(MessageType.SNAPSHOT, market.seq, market.time_ms, levels)
        return self._snapshot

    def _moved(self) -> list[LevelChange]:
        """What changes the window into what it is now."""
        assert self._book is not None and self._depth is not None and self._window is not None
        before, self._window = self._window, _window(self._book, self._depth)
        levels = []
        for side, now in self._window.items():
            was = before[side]
            levels += [level for price, level in now.items() if (old := was.get(price)) is not level and old != level]
            levels += [LevelChange(side, price, "0", 0) for price in was if price not in now]
        return levels

    def _message(self, type_: MessageType, seq: int, time_ms: int, levels: list[LevelChange]) -> Message:
        return Message(
            BookMessage(
                channel=Channel.BOOK,
                type=type_,
                instrument=self._instrument,
                seq=seq,
                time=rfc3339(time_ms),
                data=levels,
                checksum=UNSET if self._book is None else self._book.checksum(),
            )
        )


class TradesChannel:
    """Every trade."""

    def __init__(self, instrument: str) -> None:
        self._instrument = instrument

    def update(self, report: ExecutionReport, before: Levels) -> Message | None:
        if not report.trades:
            return None
        trades = [trade_of(self._instrument, trade, report.time) for trade in report.trades]
        return self._message(MessageType.UPDATE, report.seq, report.time, trades)

    def snapshot(self, market: Market) -> Message:
        latest = list(islice(reversed(market.trades), LATEST_TRADES))
        trades = [trade_of(self._instrument, recent.trade, recent.time_ms) for recent in reversed(latest)]
        return self._message(MessageType.SNAPSHOT, market.seq, market.time_ms, trades)

    def _message(self, type_: MessageType, seq: int, time_ms: int, trades: list[Trade]) -> Message:
        return Message(
            TradesMessage(
                channel=Channel.TRADES,
                type=type_,
                instrument=self._instrument,
                seq=seq,
                time=rfc3339(time_ms),
                data=trades,
            )
        )


class OrdersChannel:
    """One client's orders and fills."""

    def __init__(self, instrument: str, client_id: str) -> None:
        self._instrument, self._client_id = instrument, client_id

    def update(self, report: ExecutionReport, before: Levels) -> Message | None:
        orders = [
            order_of(change.terms, change, report.seq)
            for change in report.orders
            if change.client_id == self._client_id
        ]
        fills = [fill for trade in report.trades for fill in fills_of(self._client_id, trade, report.time)]
        if not orders and not fills:
            return None
        return self._message(MessageType.UPDATE, report.seq, report.time, orders, fills)

    def snapshot(self, market: Market) -> Message:
        known = market.open_orders.of(self._client_id)
        orders = [order_of(order.terms, order.change, order.seq) for order in known]
        fills = islice(
            (
                fill
                for recent in islice(reversed(market.trades), TRADES_LOOKED_AT)
                for fill in fills_of(self._client_id, recent.trade, recent.time_ms)
            ),
            LATEST_FILLS,
        )
        return self._message(MessageType.SNAPSHOT, market.seq, market.time_ms, orders, list(fills)[::-1])

    def _message(
        self, type_: MessageType, seq: int, time_ms: int, orders: list[StreamOrder], fills: list[Fill]
    ) -> Message:
        return Message(
            OrdersMessage(
                channel=Channel.ORDERS,
                type=type_,
                instrument=self._instrument,
                seq=seq,
                time=rfc3339(time_ms),
                client_id=self._client_id,
                data=orders,
                fills=fills,
            )
        )


class StatusChannel:
    """Halts, resumes and changes of the rules."""

    def __init__(self, instrument: str) -> None:
        self._instrument = instrument

    def update(self, report: ExecutionReport, before: Levels) -> Message | None:
        if report.market_status is None and report.listing is None:
            return None
        rules = None if report.listing is None else rules_answer(report.listing)
        event = MarketEvent(report.command, report.market_status, rules)
        return self._message(MessageType.UPDATE, report.seq, report.time, event)

    def snapshot(self, market: Market) -> Message:
        event = MarketEvent("snapshot", market.status, rules_answer(market.listing))
        return self._message(MessageType.SNAPSHOT, market.seq, market.time_ms, event)

    def _message(self, type_: MessageType, seq: int, time_ms: int, event: MarketEvent) -> Message:
        return Message(
            StatusMessage(
                channel=Channel.STATUS,
                type=type_,
                instrument=self._instrument,
                seq=seq,
                time=rfc3339(time_ms),
                data=[event],
            )
        )


def _window(book: LevelBook, depth: int) -> dict[Side, dict[str, LevelChange]]:
    return {side: {level.price: level for level in book.best_first(side, depth)} for side in Side}
