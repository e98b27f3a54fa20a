"""Match an order against the other side: fills, self-trade prevention, then rest or expire the remainder."""

from collections import deque

from app.matching.events import Trade
from app.matching.journal import Journal
from app.matching.ladder import NO_LIMIT, Ladder
from app.matching.open_orders import OpenOrders
from app.matching.orders import Order, Queue
from app.matching.versions import Behaviour
from app.matching.words import Liquidity, Reason, SelfTradePrevention, Side, Status, TimeInForce

_new = tuple.__new__  # a NamedTuple's own constructor takes twice as long
# Looked up once: a member of an enum class takes as long to find as a whole call.
_MAKER, _TAKER, _FILLED = Liquidity.MAKER, Liquidity.TAKER, Status.FILLED
_NONE, _BUY = SelfTradePrevention.NONE, Side.BUY
_FOK, _IOC = TimeInForce.FOK, TimeInForce.IOC


def take(taker: Order, orders: OpenOrders, journal: Journal, behaviour: Behaviour) -> None:
    """Trade until the order is filled, ended or meets no price; then rest or expire what is left (R1-R5, R7).

    A triggered stop waits with its remainder if earlier stops have used up the command's fills (R9).
    """
    opposite = orders.asks if taker.side is _BUY else orders.bids
    limit = NO_LIMIT - 1 if taker.price is None else taker.price * opposite.sign
    if opposite.best <= limit:
        may_wait = behaviour.keeps_triggered and journal.fills_left < journal.max_fills
        joins = behaviour.joins_slices
        if taker.terms.time_in_force is _FOK:
            if not _can_fill(taker, opposite, limit, journal.max_fills if may_wait else journal.fills_left, joins):
                taker.end(Status.EXPIRED, Reason.FOK_NOT_FILLED)
            elif may_wait and not _can_fill(taker, opposite, limit, journal.fills_left, joins):
                orders.wait_for_fills(taker)
                journal.fills_left = 0  # so that later stops wait too
                return
        _match(taker, opposite, limit, orders, journal, joins)
        if taker.remaining and taker.status is None and opposite.best <= limit:
            if may_wait:
                orders.wait_for_fills(taker)
                return
            taker.end(Status.EXPIRED, Reason.MAX_FILLS)
    _settle(taker, orders)


def _match(taker: Order, opposite: Ladder, limit: int, orders: OpenOrders, journal: Journal, joins: bool) -> None:
    """Trade while there is a price to meet and a fill left."""
    trades = len(journal.trades)
    while taker.remaining and taker.status is None and opposite.best <= limit and journal.fills_left:
        queue = opposite.queues[opposite.best]
        opposite.note(queue)
        _match_queue(taker, queue, orders, journal, joins)
        if not queue.orders:
            opposite.drop(queue)
    if len(journal.trades) > trades:
        last = journal.trades[-1]
        journal.touched[taker] = (last.price, last.quantity, _TAKER)
        journal.last_price = last.price


def _match_queue(taker: Order, queue: Queue, orders: OpenOrders, journal: Journal, joins: bool) -> None:
    """Trade with the orders at one price, earliest first; the caller drops the queue when it is empty."""
    prevents = taker.terms.mode is not _NONE
    touched, client_id = journal.touched, taker.client_id
    while taker.remaining and journal.fills_left and (maker := queue.first) is not None:
        if prevents and maker.client_id == client_id:
            _prevent(taker, maker, queue, orders, journal)
            if taker.status is not None:
                return
            continue
        quantity = _fill(taker, maker, queue, journal, joins and queue.orders == 1)
        touched[maker] = (queue.price, quantity, _MAKER)
        if not maker.remaining:
            maker.status = _FILLED
            queue.remove(maker)
            orders.forget(maker)
        elif not maker.shown:
            queue.remove(maker)
            maker.shown = maker.slice()
            queue.append(maker)


def _fill(taker: Order, maker: Order, queue: Queue, journal: Journal, is_alone: bool) -> int:
    """One trade at the maker's price, of at most what it displays, or all it has if it is alone there (R2, R8)."""
    price, shown = queue.price, maker.shown
    quantity = maker.remaining if is_alone else shown
    if taker.remaining < quantity:
        quantity = taker.remaining
    notional = price * quantity
    taker.remaining -= quantity
    taker.filled += quantity
    taker.notional += notional
    maker.remaining -= quantity
    maker.filled += quantity
    maker.notional += notional
    if journal.tariff is None:
        maker_fee = taker_fee = 0
    else:
        maker_fee = journal.tariff.charge_maker(maker, notional)
        taker_fee = journal.tariff.charge_taker(taker, notional)
    left = maker.shown = shown - quantity if quantity <= shown else maker.shown_after(quantity - shown)
    queue.quantity += left - shown
    journal.fills_left -= 1
    journal.trade_seq += 1
    journal.trades.append(
        _new(
            Trade,
            (
                journal.trade_seq,
                price,
                quantity,
                maker.order_id,
                taker.order_id,
                maker.client_id,
                taker.client_id,
                taker.side,
                *((taker_fee, maker_fee) if taker.side is _BUY else (maker_fee, taker_fee)),
            ),
        )
    )
    return quantity


def _prevent(taker: Order, maker: Order, queue: Queue, orders: OpenOrders, journal: Journal) -> None:
    """Two orders of one client have met: the taker's mode decides which of them ends (R7)."""
    mode = taker.terms.mode
    ends_taker = mode in (SelfTradePrevention.CANCEL_NEWEST, SelfTradePrevention.CANCEL_BOTH)
    ends_maker = mode in (SelfTradePrevention.CANCEL_OLDEST, SelfTradePrevention.CANCEL_BOTH)
    if mode is SelfTradePrevention.DECREMENT_AND_CANCEL:
        difference = taker.remaining - maker.remaining
        ends_taker, ends_maker = difference <= 0, difference >= 0
        if difference > 0:
            taker.remaining = difference
        elif difference < 0:
            orders.shrink(maker, -difference)
        journal.touch(maker)
    if ends_maker:
        journal.touch(maker)
        queue.remove(maker)
        maker.end(Status.CANCELED, Reason.SELF_TRADE_PREVENTED)
        orders.forget(maker)
    if ends_taker:
        taker.end(Status.CANCELED, Reason.SELF_TRADE_PREVENTED)


def _can_fill(taker: Order, opposite: Ladder, limit: int, fills_left: int, joins: bool) -> bool:
    """Whether matching would fill the whole order within this many fills (R4)."""
    left, mode = taker.remaining, taker.terms.mode
    for queue in opposite.best_first():
        if queue.rank > limit:
            return False
        maker, again = queue.first, deque[tuple[Order, int]]()
        while maker is not None or again:
            if maker is not None:
                order, shown, remaining = maker, maker.shown, maker.remaining
                maker = maker.later
            else:
                order, remaining = again.popleft()
                shown = min(order.terms.display_quantity or remaining, remaining)
            if order.client_id == taker.client_id and mode is not _NONE:
                if mode is not SelfTradePrevention.CANCEL_OLDEST:
                    return False
                continue
            if not fills_left:
                return False
            fills_left -= 1
            if joins and maker is None and not again:
                shown = remaining
            if left <= shown:
                return True
            left -= shown
            if remaining > shown:
                again.append((order, remaining - shown))
    return False


def _settle(taker: Order, orders: OpenOrders) -> None:
    """Mark an order as filled after matching, or rest or expire its remainder."""
    is_open = taker.order_id in orders.by_id
    if taker.status is None:
        if not taker.remaining:
            taker.status = _FILLED
        elif taker.terms.time_in_force is _FOK:
            taker.end(Status.EXPIRED, Reason.FOK_NOT_FILLED)
        elif taker.price is None:
            taker.end(Status.EXPIRED, Reason.INSUFFICIENT_LIQUIDITY)
        elif taker.terms.time_in_force is _IOC:
            taker.end(Status.EXPIRED, Reason.IOC_REMAINDER)
        else:
            orders.rest(taker, taker.slice())
            if not is_open:
                orders.admit(taker)
            return
    if is_open:
        orders.forget(taker)
