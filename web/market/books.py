"""Level-2 books and recent trades: they start empty or from a snapshot, and reports update them.

Invariant: docs/EXACTNESS.md, I10.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby, islice
from typing import Any, NamedTuple

from app.matching.states import BookState, OpenOrder
from app.matching.words import MarketStatus, Side
from app.models.checksum import CHECKED_LEVELS, book_checksum
from app.models.commands import FeeRates, ListInstrument
from app.models.conversion import list_message
from app.models.decimals import Scale, shortest, units
from app.models.fees import fee_rates
from app.models.http import trade_answer
from app.models.reports import ExecutionReport, LevelChange, TradeReport
from app.postgres import RowKey
from web.market.newest import Recent
from web.market.open_orders import OpenOrders

MAX_TRADES = 10_000  # kept in memory for each instrument
SNAPSHOT = "snapshot"  # the command of a report that carries a snapshot of the book

OF_THE_CLIENTS = ("buy_client_id", "sell_client_id", "buyer_fee", "seller_fee")
"""What a listed trade has besides what everybody may see."""

_new = tuple.__new__  # takes half as long as a NamedTuple's own constructor


class RecentTrade(NamedTuple):
    """A trade with the fields by which lists sort it (time, instrument, seq) and the seq of its report."""

    time_ms: int
    instrument: str
    seq: int
    trade: TradeReport
    report_seq: int
    busted_ms: int | None = None

    @property
    def row_key(self) -> RowKey:
        return RowKey(self.time_ms, self.instrument, self.seq)

    def answer(self) -> dict[str, Any]:
        trade = self.trade
        answer = trade_answer(self.instrument, trade, self.time_ms, self.busted_ms)
        return answer | {name: getattr(trade, name) for name in OF_THE_CLIENTS}


class Levels:
    """One side of a book: its levels, keyed by price in units of 10^-8."""

    def __init__(self) -> None:
        self._levels: dict[int, LevelChange] = {}
        self._prices: list[int] = []

    def __len__(self) -> int:
        return len(self._prices)

    def put(self, level: LevelChange) -> LevelChange | None:
        """Store the new state of a level, or remove it if it has no orders left; returns its old state, if any."""
        price, prices = units(level.price), self._prices
        before = self._levels.get(price)
        if level.orders:
            if before is None:
                insort(prices, price)
            self._levels[price] = level
        elif before is not None:
            del self._levels[price]
            del prices[bisect_left(prices, price)]
        return before

    def copy(self) -> "Levels":
        """The same levels, to be changed apart."""
        other = Levels()
        other._levels, other._prices = self._levels.copy(), self._prices.copy()
        return other

    def ascending(self) -> Iterator[LevelChange]:
        return (self._levels[price] for price in self._prices)

    def descending(self) -> Iterator[LevelChange]:
        return (self._levels[price] for price in reversed(self._prices))


class LevelBook:
    """Both sides of a book by levels."""

    def __init__(self) -> None:
        self.sides = {Side.BUY: Levels(), Side.SELL: Levels()}
        self._checksum: int | None = None

    def put(self, level: LevelChange) -> LevelChange:
        """The level as it is now; returns what brings back the level as it was."""
        self._checksum = None
        return self.sides[level.side].put(level) or LevelChange(level.side, level.price, "0", 0)

    def best_first(self, side: Side, levels: int | None = None) -> Iterator[LevelChange]:
        """The best levels of a side, or all."""
        book = self.sides[side]
        return islice(book.descending() if side is Side.BUY else book.ascending(), levels)

    def checksum(self) -> int:
        """What a client's copy of the book must give as well."""
        if self._checksum is None:
            bids, asks = (
                ((level.price, level.quantity) for level in self.best_first(side, CHECKED_LEVELS))
                for side in (Side.BUY, Side.SELL)
            )
            self._checksum = book_checksum(bids, asks)
        return self._checksum

    def copy(self) -> "LevelBook":
        """The same book, to be changed apart."""
        other = LevelBook()
        other.sides = {side: levels.copy() for side, levels in self.sides.items()}
        return other


class Market:
    """The current state of one instrument, built from its reports."""

    def __init__(self, listing: ListInstrument) -> None:
        self.listing, self.status = listing, MarketStatus.OPEN
        self.scale = Scale(units(listing.tick_size), units(listing.lot_size), listing.quote_scale)
        self.fees = FeeRates("0", "0")
        self.fees_seq: int | None = None
        """The seq of the report that set these rates; None while nobody has set any."""
        self.book, self.open_orders = LevelBook(), OpenOrders()
        self.trades: deque[RecentTrade] = deque(maxlen=MAX_TRADES)
        self.seq = 0
        self.time_ms = 0
        self.known_after = 0
        """`trades` has the trades and busts of all reports after this seq; earlier ones may be in Postgres only."""
        self.snapshot_seq = 0
        """The seq of the last report that carried a snapshot of this book, or of the snapshot that we started from."""
        self._begins: RowKey | None = None

    @classmethod
    def of(cls, state: BookState, after: int | None = None) -> "Market":
        """The instrument as a snapshot describes it. A snapshot holds the number of trades, not the trades.

        With `after`, the caller must then call `remember` for each report from after + 1 up to the snapshot's seq.
        """
        market = cls(list_message(state.listing, "snapshot"))
        market.seq, market.time_ms = state.seq, state.time_ms
        market.status = MarketStatus.HALTED if state.halted else MarketStatus.OPEN
        if state.fees is not None:
            market.fees, market.fees_seq = fee_rates(state.fees), state.fees_seq
        for side, orders in ((Side.BUY, state.bids), (Side.SELL, state.asks)):
            for price, level in groupby(orders, key=lambda order: order.price):
                market.book.put(_level(side, price or 0, list(level), market.scale))
        market.open_orders.begin(state, market.scale)
        market.known_after = market.snapshot_seq = state.seq if after is None else after
        if state.trade_seq:
            market._begins = RowKey(state.time_ms, state.instrument, state.trade_seq + 1)
        return market

    @property
    def trades_since(self) -> RowKey | None:
        """The row key from which `trades` is complete; None if it has every trade since the first."""
        return self.trades[0].row_key if len(self.trades) == MAX_TRADES else self._begins

    def apply(self, report: ExecutionReport) -> list[LevelChange]:
        """Apply the next report; returns its levels as they were before."""
        self.seq, self.time_ms = report.seq, report.time
        if report.listing is not None:
            self.listing = report.listing
        if report.market_status is not None:
            self.status = report.market_status
        if report.fees is not None:
            self.fees, self.fees_seq = report.fees, report.seq
        before = [self.book.put(level) for level in report.levels]
        self.open_orders.apply(report)
        self.remember(report)
        return before

    def remember(self, report: ExecutionReport) -> None:
        """Store a report's trades, for lists, and leave the levels alone: they may include the report already."""
        trades = self.trades
        for trade in report.trades:
            if not trades:
                self._begins = RowKey(report.time, report.instrument, trade.seq) if trade.seq > 1 else None
            elif len(trades) == MAX_TRADES:
                self.known_after = max(self.known_after, trades[0].report_seq)
            trades.append(_new(RecentTrade, (report.time, report.instrument, trade.seq, trade, report.seq, None)))
        if report.bust is not None:
            self._bust(report.bust.trade_seq, report)
        if report.command == SNAPSHOT:
            self.snapshot_seq = report.seq

    def _bust(self, trade_seq: int, report: ExecutionReport) -> None:
        """Mark a trade; if memory does not have it, Postgres must have recorded this report before it is asked."""
        trades = self.trades
        index = trade_seq - trades[0].seq if trades else -1  # trades are numbered without gaps
        if 0 <= index < len(trades):
            trades[index] = trades[index]._replace(busted_ms=report.time)
        self.known_after = max(self.known_after, report.seq)

    def depth(self, side: Side, levels: int) -> list[dict[str, Any]]:
        """The best levels, best first; each with `cumulative`, the quantity up to and including it."""
        answer, lots = [], 0
        for level in self.book.best_first(side, levels):
            lots += self.scale.lots(level.quantity) or 0
            answer.append(
                {
                    "price": level.price,
                    "quantity": level.quantity,
                    "orders": level.orders,
                    "cumulative": self.scale.quantity(lots),
                }
            )
        return answer

    def checksum(self) -> int:
        """The checksum of the best levels; a client compares it with the checksum of its own copy of the book."""
        return self.book.checksum()

    def answer(self) -> dict[str, Any]:
        """The market's rules and status, as in GET /instruments."""
        return _answer(self.listing, self.status, self.seq)

    def answer_after(self, report: ExecutionReport) -> dict[str, Any]:
        """The rules and status after an earlier report; the current values if that report did not change them."""
        return _answer(report.listing or self.listing, report.market_status or self.status, report.seq)


def _answer(listing: ListInstrument, status: MarketStatus, seq: int) -> dict[str, Any]:
    return {**rules_answer(listing), "market_status": status, "seq": seq}


def rules_answer(listing: ListInstrument) -> dict[str, Any]:
    """The rules of a market as they are answered."""
    fields = {name: getattr(listing, name) for name in listing.__struct_fields__ if name != "command_id"}
    sizes = {name: shortest(units(fields[name])) for name in ("tick_size", "lot_size")}
    return {**fields, **sizes}


def recent_trades(markets: Iterable[Market]) -> Recent:
    """The trades that memory has of these markets, and the row key from which they are complete."""
    every = {market.listing.instrument: market for market in markets}
    since = max((row_key for market in every.values() if (row_key := market.trades_since) is not None), default=None)
    rows = {name: partial(reversed, market.trades) for name, market in every.items()}
    return Recent(rows, since, {name: market.known_after for name, market in every.items()})


def _level(side: Side, price: int, orders: list[OpenOrder], scale: Scale) -> LevelChange:
    quantity = scale.quantity(sum(order.shown for order in orders))
    return LevelChange(side, scale.price(price), quantity, len(orders))
