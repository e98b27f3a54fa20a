"""Finds one order: in memory, on its way to the engine, or in Postgres."""

from typing import Any

from app.postgres import HistoryUnavailable
from web.gateway import Gateway
from web.market.recent_orders import FINISHED, OrderOfSnapshot, SeenOrder, completed
from web.trading.recorded import ask_history, require_seqs


async def find_order(gateway: Gateway, order_id: str) -> Any:
    """The order, `pending_new` until its report comes; None if it is neither in memory nor in Postgres."""
    seen = gateway.feed.orders.get(order_id)
    if seen is not None:
        return seen.answer() if seen.created_ms is not None else await _complete(gateway, order_id, seen)
    pending = gateway.pending.get(order_id)
    if pending is None:
        return await _ask_recorded(gateway, order_id)
    if pending.is_repeat:  # the order may have finished long ago, and Postgres then has it
        try:
            return await gateway.history.order(order_id) or pending.answer(order_id)
        except HistoryUnavailable:
            pass
    return pending.answer(order_id)


async def known_order(gateway: Gateway, order_id: str) -> Any:
    """The order, or None if it does not exist, not even on its way from another gateway. Raises Refused."""
    order = await find_order(gateway, order_id)
    if order is not None:
        return order
    await gateway.commands.require_answered(gateway.feed)
    return await find_order(gateway, order_id)


async def _ask_recorded(gateway: Gateway, order_id: str) -> Any:
    """An order from Postgres that memory does not have; None if Postgres does not have it either. Raises Refused."""
    order, instrument = await ask_history(gateway.history.order(order_id)), gateway.feed.instrument_of(order_id)
    if instrument is None or (order is not None and order["status"] in FINISHED):
        return order
    await require_seqs(gateway, {instrument: gateway.feed.orders.known_after.get(instrument, 0)})
    return await ask_history(gateway.history.order(order_id))


async def _complete(gateway: Gateway, order_id: str, seen: SeenOrder | OrderOfSnapshot) -> dict[str, Any]:
    """An order from before this gateway's start, completed from Postgres if Postgres answers."""
    try:
        return completed(seen, await gateway.history.order(order_id))
    except HistoryUnavailable:
        return seen.answer()
