"""Convert a book to plain values and back; equal histories give equal states."""

from collections.abc import Mapping
from typing import NamedTuple

from app.matching.book import Book
from app.matching.commands import FeeSchedule, Listing
from app.matching.fees import fees_of
from app.matching.identities import BLOCK, Block
from app.matching.ladder import Ladder
from app.matching.orders import PLAIN, Order, Terms
from app.matching.words import OrderType, SelfTradePrevention, Side, TimeInForce


class OpenOrder(NamedTuple):
    """An open order. Its accepting seq and fingerprint answer repeats of its key (I12)."""

    order_id: bytes
    fingerprint: int
    seq: int
    client_id: str
    price: int | None
    remaining: int
    filled: int
    notional: int
    shown: int
    triggered: bool
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    stop_price: int | None
    display_quantity: int | None
    expire_time_ms: int | None
    post_only: bool
    mode: SelfTradePrevention
    fee_sum: int = 0


class BookState(NamedTuple):
    """The state of a book without its complete id blocks. Before `listed_offset` the instrument was unknown.

    `bids` and `asks` are in the order in which they trade; stops are by seq, and triggered ones among them wait for
    fills.

    `fees` are the rates in force, set by the report `fees_seq`; `busted` are the seqs of the busted trades, ascending.

    `ids` are the records of the unfinished block, live or not: with `live_from` and `total` they follow from the log.
    """

    instrument: str
    offset: int
    listed_offset: int
    time_ms: int
    seq: int
    engine_version: int
    halted: bool
    trade_seq: int
    last_price: int | None
    listing: Listing
    live_from: int
    total: int
    ids: Block
    bids: tuple[OpenOrder, ...]
    asks: tuple[OpenOrder, ...]
    stops: tuple[OpenOrder, ...]
    fees: FeeSchedule | None = None
    fees_seq: int = 0
    busted: tuple[int, ...] = ()

    @property
    def first_block(self) -> int:
        """The first complete id block that is needed beside this state."""
        return self.live_from // BLOCK

    @property
    def end_block(self) -> int:
        """The number after that of the last complete id block."""
        return self.total // BLOCK


def freeze(book: Book) -> BookState:
    """The state of a listed book: all that its later reports depend on, except complete id blocks (`Book.id_block`)."""
    listing, identities = book.listing, book.identities
    assert listing is not None, "a book without a listing has no state"
    return BookState(
        book.instrument,
        book.offset,
        book.listed_offset,
        book.time_ms,
        book.seq,
        book.engine_version,
        book.halted,
        book.journal.trade_seq,
        book.journal.last_price,
        listing,
        identities.live_from,
        identities.total,
        identities.block(identities.total // BLOCK),
        _resting(book.orders.bids),
        _resting(book.orders.asks),
        tuple(_open_order(order) for order in book.orders.by_id.values() if order.queue is None),
        book.fees,
        book.fees_seq,
        tuple(sorted(book.busted)),
    )


def restore(state: BookState, blocks: Mapping[int, Block]) -> Book:
    """The book that had this state; `blocks` has the complete id blocks from `first_block` up to `end_block`."""
    book = Book(state.instrument, state.engine_version)
    book.set_listing(state.listing)
    if state.fees is not None:
        book.set_fees(state.fees, state.fees_seq)
    book.busted = set(state.busted)
    book.offset, book.listed_offset = state.offset, state.listed_offset
    book.time_ms, book.seq = state.time_ms, state.seq
    book.halted = state.halted
    book.journal.trade_seq, book.journal.last_price = state.trade_seq, state.last_price
    book.identities.restore(state.live_from, state.total, {**blocks, state.end_block: state.ids})
    resting = [_order(value, state.listing) for value in (*state.bids, *state.asks)]
    stops = [_order(value, state.listing) for value in state.stops]
    for order in sorted(resting + stops, key=lambda order: order.seq):
        book.orders.admit(order)
    for order in resting:
        book.orders.rest(order, order.shown)
    for order in stops:
        if order.triggered:
            book.orders.wait_for_fills(order)
        else:
            book.orders.wait(order)
    for ladder in (book.orders.bids, book.orders.asks):
        ladder.before.clear()
    return book


def _resting(ladder: Ladder) -> tuple[OpenOrder, ...]:
    orders: list[OpenOrder] = []
    for rank in sorted(ladder.queues):
        order = ladder.queues[rank].first
        while order is not None:
            orders.append(_open_order(order))
            order = order.later
    return tuple(orders)


def _open_order(order: Order) -> OpenOrder:
    terms = order.terms
    return OpenOrder(
        order.order_id,
        order.fingerprint,
        order.seq,
        order.client_id,
        order.price,
        order.remaining,
        order.filled,
        order.notional,
        order.shown,
        order.triggered,
        *terms,
        order.fee_sum,
    )


def _order(value: OpenOrder, listing: Listing) -> Order:
    terms = Terms(*value[10:18])
    shared = PLAIN[terms.side, terms.mode]
    order = Order(
        value.order_id,
        value.fingerprint,
        value.seq,
        value.client_id,
        shared if terms == shared else terms,
        value.price,
        value.remaining,
    )
    order.filled, order.notional = value.filled, value.notional
    order.shown, order.triggered = value.shown, value.triggered
    order.fee_sum, order.fees = value.fee_sum, fees_of(value.fee_sum, listing)
    return order
