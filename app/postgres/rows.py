"""The rows that a run of reports leaves in Postgres; all changes of an order are merged into its last state. Pure."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from app.matching.words import Outcome
from app.models.commands import PlaceOrder, ReplaceOrder, UndecodableCommand, decode_command
from app.models.identity import NO_SECRET, id_text, order_id
from app.models.reports import ExecutionReport, LevelChange, OrderChange, OrderTerms, TradeReport
from app.postgres.arrays import NULL

RESERVED = "_"  # the first character of instrument names in reports about records of no market
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Row = tuple[str, ...]


class PlacedOrder:
    """An order that first appeared in this run: its terms, and its state at the end of the run."""

    __slots__ = ("accepting_seq", "change", "created_at", "instrument", "seq", "terms", "updated_at")

    def __init__(self, instrument: str, seq: int, time: str, change: OrderChange, terms: OrderTerms) -> None:
        self.instrument, self.accepting_seq, self.created_at, self.terms = instrument, seq, time, terms
        self.moved_to(seq, time, change)

    def moved_to(self, seq: int, time: str, change: OrderChange) -> None:
        """Update the order with another report."""
        self.seq, self.updated_at, self.change = seq, time, change


class SnapshotLevels(NamedTuple):
    """The levels of a snapshot that this run has; earlier runs may have its first parts, later runs its last."""

    seq: int
    time: str
    levels: list[LevelChange]
    complete: bool


class Rows:
    """The rows of consecutive reports; `add` must get each report once and in order.

    With the log's `secret` it computes the order ids that refused records would have had.
    """

    def __init__(self, secret: bytes = NO_SECRET) -> None:
        self._secret = secret
        self.events: list[Row] = []
        self.trades: list[Row] = []
        self.placed: list[PlacedOrder] = []
        self.changed: dict[str, tuple[int, str, OrderChange]] = {}
        """Order id -> last seq, time and state in this run, for orders from before this run."""
        self.snapshots: dict[tuple[str, int], SnapshotLevels] = {}
        """(instrument, seq of the snapshot's first part) -> its levels."""
        self.rejections: list[tuple[Any, ...]] = []
        self.busts: list[tuple[Any, ...]] = []
        self.market_changes: list[ExecutionReport] = []
        """Reports with a listing or a market status."""
        self._by_id: dict[str, PlacedOrder] = {}

    def add(self, report: ExecutionReport) -> None:
        """Take in the next report."""
        instrument, seq, time = report.instrument, report.seq, time_text(report.time)
        if report.orders:
            self._add_orders(report.orders, instrument, seq, time)
        if report.trades:
            self._add_trades(report.trades, instrument, seq, time)
        if report.market_status is not None:
            self.market_changes.append(report)
        if report.command == "snapshot" and report.outcome is Outcome.ACCEPTED:
            self._add_snapshot(report, time)
        if report.bust is not None:
            self.busts.append((instrument, report.bust.trade_seq, seq, time, storable(report.bust.reason)))
        if report.raw is not None and report.reason is not None and instrument.startswith(RESERVED):
            self.rejections.append(
                (
                    instrument,
                    seq,
                    report.offset,
                    time,
                    report.reason,
                    storable(report.raw),
                    order_id_in(report.raw, self._secret),
                )
            )

    def _add_orders(self, changes: list[OrderChange], instrument: str, seq: int, time: str) -> None:
        number = str(seq)
        for change in changes:
            key = change.order_id
            self.events.append(
                (
                    key,
                    instrument,
                    number,
                    time,
                    change.status,
                    change.reason or NULL,
                    change.price or NULL,
                    change.quantity,
                    change.filled_quantity,
                    change.remaining_quantity,
                    change.avg_price or NULL,
                    change.last_price or NULL,
                    change.last_quantity or NULL,
                    change.liquidity or NULL,
                    "t" if change.triggered else "f",
                    change.fees,
                )
            )
            # Only an order's first state has terms; if a key is used again, a new order with the same id begins.
            if change.terms is not None:
                order = self._by_id[key] = PlacedOrder(instrument, seq, time, change, change.terms)
                self.placed.append(order)
            elif (known := self._by_id.get(key)) is not None:
                known.moved_to(seq, time, change)
            else:
                self.changed[key] = (seq, time, change)

    def _add_trades(self, trades: list[TradeReport], instrument: str, seq: int, time: str) -> None:
        number = str(seq)
        for trade in trades:
            self.trades.append(
                (
                    instrument,
                    str(trade.seq),
                    trade.trade_id,
                    number,
                    trade.price,
                    trade.quantity,
                    trade.buy_order_id,
                    trade.sell_order_id,
                    trade.buy_client_id,
                    trade.sell_client_id,
                    trade.aggressor_side,
                    time,
                    trade.buyer_fee,
                    trade.seller_fee,
                )
            )

    def _add_snapshot(self, report: ExecutionReport, time: str) -> None:
        key = (report.instrument, report.seq - report.part + 1)
        before = self.snapshots[key].levels if key in self.snapshots else []
        # Levels without orders are gone and not part of the book.
        levels = before + [level for level in report.levels if level.orders]
        self.snapshots[key] = SnapshotLevels(report.seq, time, levels, report.part == report.parts)


def order_row(order: PlacedOrder) -> Row:
    """A placed order in the columns of statements.ORDERS."""
    change, terms = order.change, order.terms
    return (
        order.instrument,
        str(order.accepting_seq),
        str(order.seq),
        change.order_id,
        change.client_id,
        terms.client_order_id,
        terms.side,
        terms.type,
        terms.time_in_force,
        change.price or NULL,
        terms.stop_price or NULL,
        change.quantity,
        change.filled_quantity,
        change.remaining_quantity,
        change.avg_price or NULL,
        terms.display_quantity or NULL,
        change.status,
        change.reason or NULL,
        "t" if change.triggered else "f",
        "t" if terms.post_only else "f",
        terms.self_trade_prevention or NULL,
        NULL if terms.expire_time is None else time_text(terms.expire_time),
        order.created_at,
        order.updated_at,
        change.fees,
    )


def change_row(order_id: str, seq: int, time: str, change: OrderChange) -> Row:
    """The new state of an order that Postgres already has, in the columns of statements.CHANGES."""
    return (
        order_id,
        str(seq),
        time,
        change.status,
        change.reason or NULL,
        change.price or NULL,
        change.quantity,
        change.filled_quantity,
        change.remaining_quantity,
        change.avg_price or NULL,
        "t" if change.triggered else "f",
        change.fees,
    )


@lru_cache(maxsize=4096)
def time_text(time_ms: int) -> str:
    """Milliseconds since the epoch as text for Postgres, exactly."""
    return (_EPOCH + timedelta(milliseconds=time_ms)).isoformat(timespec="milliseconds")


def storable(raw: str) -> str:
    """Text with NUL, the only character that Postgres cannot store, replaced."""
    return raw.replace("\0", "\N{REPLACEMENT CHARACTER}")


def order_id_in(raw: str, secret: bytes) -> str | None:
    """The order id that a refused record would have had in this log; None if it is not a readable order."""
    try:
        message = decode_command(raw.encode())
    except (UndecodableCommand, UnicodeEncodeError):
        return None
    if not isinstance(message, PlaceOrder | ReplaceOrder):
        return None
    return id_text(order_id(message.client_id, message.instrument, message.client_order_id, secret))
