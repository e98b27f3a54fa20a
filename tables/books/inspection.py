"""Show the books table to people: its newest snapshots and id records, from a worker's RocksDB or the changelog."""

from typing import Any
from uuid import UUID

from app.matching.identities import BLOCK, Block
from app.matching.rejections import RejectionsState
from app.matching.states import BookState, OpenOrder
from app.models.conversion import scale_of
from app.models.decimals import Scale
from app.models.identity import id_text
from app.models.snapshots import State, decode_block
from tables.books.subjects import codec
from tables.recovery.changelog import block_key
from tables.recovery.inspection import Records, newest

View = dict[str, Any]


def states(records: Records) -> dict[str, State]:
    """The newest valid snapshots of a partition."""
    return newest(records, codec)


def summary(state: State) -> View:
    """One line about a subject: a book, or the rejections of a partition."""
    view: View = {"instrument": state.instrument, "offset": state.offset, "seq": state.seq, "time": state.time_ms}
    if isinstance(state, RejectionsState):
        return view
    orders = len(state.bids) + len(state.asks) + len(state.stops)
    scale = scale_of(state.listing)
    best = {side: scale.price(found[0].price or 0) if found else None for side, found in _sides(state).items()}
    return view | {"open_orders": orders, "bid": best["bids"], "ask": best["asks"], "trades": state.trade_seq}


def book(state: BookState) -> View:
    """A snapshot in full, with open orders in the order in which they trade."""
    scale = scale_of(state.listing)
    more = {
        "engine_version": state.engine_version,
        "halted": state.halted,
        "last_price": None if state.last_price is None else scale.price(state.last_price),
        "stops": [_order(order, scale) for order in state.stops],
    }
    sides = {name: [_order(order, scale) for order in found] for name, found in _sides(state).items()}
    return summary(state) | more | sides


def ids_summary(state: BookState) -> View:
    """How many keys (order and command ids) a market remembers."""
    live = state.total - state.live_from
    blocks = state.end_block - state.first_block
    return {"instrument": state.instrument, "remembered": live, "since": state.live_from, "blocks": blocks}


def find_id(records: Records, state: BookState, wanted: UUID) -> View | None:
    """The latest use of this order or command id that the market remembers."""
    found = None
    for number in range(state.first_block, state.end_block + 1):
        for place, (key, _, seq, time_ms) in enumerate(_block(records, state, number)):
            count = number * BLOCK + place
            if key == wanted.bytes and count >= state.live_from:
                found = {"instrument": state.instrument, "id": str(wanted), "seq": seq, "time": time_ms, "count": count}
    return found


def _block(records: Records, state: BookState, number: int) -> Block:
    if number == state.end_block:
        return state.ids
    value = records.get(block_key(state.instrument, number))
    return () if value is None else decode_block(value)


def _sides(state: BookState) -> dict[str, tuple[OpenOrder, ...]]:
    return {"bids": state.bids, "asks": state.asks}


def _order(order: OpenOrder, scale: Scale) -> View:
    return {
        "order_id": id_text(order.order_id),
        "client_id": order.client_id,
        "side": order.side.value,
        "type": order.type.value,
        "price": None if order.price is None else scale.price(order.price),
        "remaining": scale.quantity(order.remaining),
        "shown": scale.quantity(order.shown),
        "filled": scale.quantity(order.filled),
        "seq": order.seq,
    }
