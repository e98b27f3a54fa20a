"""Why a command is refused: every check, in the order of precedence (docs/MATCHING.md, "Order of checks").

The book checks identity (R15) before all of these. A refused command changes nothing (R11).
"""

from collections.abc import Set

from app.matching.commands import Amend, FeeSchedule, Listing, Place
from app.matching.fees import is_valid_schedule
from app.matching.open_orders import OpenOrders
from app.matching.orders import Order
from app.matching.versions import Behaviour
from app.matching.words import OrderType, Reason, Side, TimeInForce

MAX_QUOTE_SCALE = 8
MAX_BUSTS = 10_000  # of a market: its state remembers each
UNCHANGEABLE = ("base_asset", "quote_asset", "tick_size", "lot_size", "quote_scale")  # of a market's listing

_LIMIT, _MARKET, _STOP_LIMIT = OrderType.LIMIT, OrderType.MARKET, OrderType.STOP_LIMIT
_GTC, _GTD = TimeInForce.GTC, TimeInForce.GTD


def refusal_of_place(
    place: Place,
    listing: Listing,
    behaviour: Behaviour,
    halted: bool,
    time_ms: int,
    orders: OpenOrders,
    replaced: Order | None = None,
) -> Reason | None:
    """The first check that a new order fails, as if the order it replaces were gone."""
    # Taking all fields at once is as fast as asking for two of them by name.
    _, _, client_id, _, side, type_, quantity, price, force, stop_price, display, expire_ms, post_only, _, due_ms = (
        place
    )
    min_price, max_price, min_quantity, max_quantity = listing[5:9]
    if halted:
        return Reason.MARKET_CLOSED
    if _is_unsupported(type_, force, price, stop_price, display, expire_ms, post_only):
        return Reason.UNSUPPORTED_ORDER
    if not min_quantity <= quantity <= max_quantity or (display is not None and not 1 <= display <= quantity):
        return Reason.INCORRECT_QUANTITY
    if display is not None and behaviour.bounds_slices and quantity > display * listing.max_slices:
        return Reason.INCORRECT_QUANTITY
    if (price is not None and price <= 0) or (stop_price is not None and stop_price <= 0):
        return Reason.INVALID_PRICE_INCREMENT
    if (price is not None and not min_price <= price <= max_price) or (
        stop_price is not None and not min_price <= stop_price <= max_price
    ):
        return Reason.PRICE_BAND
    if (due_ms is not None and time_ms > due_ms) or (expire_ms is not None and expire_ms <= time_ms):
        return Reason.STALE_ORDER
    if _could_stay_open(type_, force) and _are_too_many(client_id, listing, orders, replaced):
        return Reason.TOO_MANY_ORDERS
    if post_only and _would_take(side, price, orders, replaced):
        return Reason.POST_ONLY_WOULD_TAKE
    return None


def refusal_of_amend(
    amend: Amend, order: Order, listing: Listing, behaviour: Behaviour, halted: bool, orders: OpenOrders
) -> Reason | None:
    """The first check that an amend fails. A total that is already filled passes the checks on the new terms (R6)."""
    price, quantity = amend.price, amend.quantity
    if halted:
        return Reason.MARKET_CLOSED
    if price is not None and order.price is None:
        return Reason.UNSUPPORTED_ORDER
    if quantity is not None:
        if behaviour.cancels_before_checks and 0 <= quantity <= order.filled:
            return None
        if not listing.min_quantity <= quantity <= listing.max_quantity:
            return Reason.INCORRECT_QUANTITY
        if behaviour.bounds_slices and _has_too_many_slices(quantity, order, listing):
            return Reason.INCORRECT_QUANTITY
    if price is None:
        return None
    if price <= 0:
        return Reason.INVALID_PRICE_INCREMENT
    if not listing.min_price <= price <= listing.max_price:
        return Reason.PRICE_BAND
    if order.terms.post_only and _would_take(order.side, price, orders, None):
        return Reason.POST_ONLY_WOULD_TAKE
    return None


def refusal_of_listing(new: Listing, old: Listing) -> Reason | None:
    """The first check that new rules of a market fail: limits may change, what is UNCHANGEABLE may not."""
    same = all(getattr(new, name) == getattr(old, name) for name in ("instrument", *UNCHANGEABLE))
    return None if same and is_valid_listing(new) else Reason.UNSUPPORTED_ORDER


def is_valid_listing(listing: Listing) -> bool:
    """Whether a market can be run by these rules. The first command of a book must bring one."""
    return (
        min(listing.tick_size, listing.lot_size, listing.max_fills, listing.max_slices) >= 1
        and 0 <= listing.quote_scale <= MAX_QUOTE_SCALE
        and 1 <= listing.min_price <= listing.max_price
        and 1 <= listing.min_quantity <= listing.max_quantity
        and min(listing.max_open_orders, listing.max_open_orders_per_client) >= 0
        and min(listing.id_window_count, listing.id_window_ms) >= 0
    )


def refusal_of_fees(schedule: FeeSchedule, behaviour: Behaviour) -> Reason | None:
    """Why a market may not charge by these rates (R16)."""
    if not behaviour.charges_fees:
        return Reason.UNSUPPORTED_ENGINE_VERSION
    return None if is_valid_schedule(schedule) else Reason.INVALID_FEES


def refusal_of_bust(trade_seq: int, last_trade_seq: int, busted: Set[int], behaviour: Behaviour) -> Reason | None:
    """Why a trade cannot be busted (R17). Trades are numbered without gaps, so the last number tells all there are."""
    if not behaviour.busts_trades:
        return Reason.UNSUPPORTED_ENGINE_VERSION
    if not 1 <= trade_seq <= last_trade_seq:
        return Reason.UNKNOWN_TRADE
    if trade_seq in busted:
        return Reason.TRADE_BUSTED
    return Reason.TOO_MANY_BUSTS if len(busted) >= MAX_BUSTS else None


def _has_too_many_slices(quantity: int, order: Order, listing: Listing) -> bool:
    """Whether an iceberg would need more slices than allowed; shrinking it is always allowed."""
    display = order.terms.display_quantity
    grows = quantity > order.filled + order.remaining
    return display is not None and grows and quantity > display * listing.max_slices


def _is_unsupported(
    type_: OrderType,
    force: TimeInForce,
    price: int | None,
    stop_price: int | None,
    display: int | None,
    expire_ms: int | None,
    post_only: bool,
) -> bool:
    """Whether the type or time in force lacks a required field, or has one that it does not use."""
    has_limit = type_ is _LIMIT or type_ is _STOP_LIMIT
    is_stop = not (type_ is _LIMIT or type_ is _MARKET)
    rests_at_once = type_ is _LIMIT and (force is _GTC or force is _GTD)
    return (
        (price is not None) != has_limit
        or (stop_price is not None) != is_stop
        or (expire_ms is not None) != (force is _GTD)
        or (type_ is _MARKET and force is _GTD)
        or (not rests_at_once and (post_only or display is not None))
    )


def _could_stay_open(type_: OrderType, force: TimeInForce) -> bool:
    return force is _GTC or force is _GTD if type_ is _LIMIT else type_ is not _MARKET


def _are_too_many(client_id: str, listing: Listing, orders: OpenOrders, replaced: Order | None) -> bool:
    gone = 0 if replaced is None else 1
    return (
        len(orders.by_id) - gone >= listing.max_open_orders
        or orders.clients.get(client_id, 0) - gone >= listing.max_open_orders_per_client
    )


def _would_take(side: Side, price: int | None, orders: OpenOrders, replaced: Order | None) -> bool:
    opposite = orders.asks if side is Side.BUY else orders.bids
    best = opposite.best if replaced is None else opposite.best_without(replaced)
    return price is not None and best <= price * opposite.sign
