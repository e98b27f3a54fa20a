"""Orders over HTTP: one by its id or its key, its history, and lists of them."""

from typing import Any

from aiohttp import web

from app.matching.words import Status
from app.models import identity
from app.postgres import HistoryUnavailable
from web.answers import answer, asked, unknown_order
from web.gateway import GATEWAY, Gateway
from web.problems import Problem
from web.requests import MAX_LIMIT, MAX_PAGE, identifier, number, order_id_of, parameters, word

DEFAULT_LIMIT = 10


async def find_order(gateway: Gateway, order_id: str) -> Any:
    """The order as it is known here, `pending_new` until its report comes; None when nobody knows it."""
    seen = gateway.feed.orders.get(order_id)
    if seen is not None:
        return seen.answer()
    pending = gateway.pending.get(order_id)
    if pending is None:
        return await asked(gateway.history.order(order_id))
    if pending.is_repeat:  # of an order that may be long finished, which Postgres knows then
        try:
            return await gateway.history.order(order_id) or pending.answer(order_id)
        except HistoryUnavailable:
            pass
    return pending.answer(order_id)


async def get_order(request: web.Request) -> web.StreamResponse:
    """One order: from memory, or else from Postgres; `pending_new` until its report arrives."""
    parameters(request)
    return await _found(request, order_id_of(request))


async def get_order_by_key(request: web.Request) -> web.StreamResponse:
    """One order, by who placed it, where, and under which key."""
    parameters(request)
    client_id, instrument, key = (
        identifier(name, request.match_info[name]) for name in ("client_id", "instrument", "key")
    )
    return await _found(request, identity.id_text(identity.order_id(client_id, instrument, key)))


async def list_order_events(request: web.Request) -> web.StreamResponse:
    """The changes of an order, oldest first, after the seq `after_seq`."""
    given = parameters(request, "after_seq", "limit")
    order_id, gateway = order_id_of(request), request.app[GATEWAY]
    after_seq = number(given, "after_seq", 0, 10**9)
    limit = number(given, "limit", MAX_LIMIT, MAX_LIMIT)
    events = await asked(gateway.history.order_events(order_id, after_seq, limit))
    if not events and await find_order(gateway, order_id) is None:
        raise unknown_order(order_id)
    return answer(events)


async def list_orders(request: web.Request) -> web.StreamResponse:
    """Orders newest first: an array by `page`, or with `cursor` an object that has the next one."""
    given = parameters(request, "client_id", "instrument", "status", "limit", "page", "cursor")
    for name in ("client_id", "instrument"):
        if name in given:
            identifier(name, given[name])
    if "status" in given:
        word(Status, "status", given["status"])
    page = await asked(
        request.app[GATEWAY].history.orders(
            client_id=given.get("client_id"),
            instrument=given.get("instrument"),
            status=given.get("status"),
            limit=number(given, "limit", DEFAULT_LIMIT, MAX_LIMIT),
            page=number(given, "page", 1, MAX_PAGE),
            cursor=given.get("cursor"),
        )
    )
    if "cursor" in given:
        return answer({"orders": page.rows, "next_cursor": page.next_cursor})
    return answer(page.rows)


async def _found(request: web.Request, order_id: str) -> web.StreamResponse:
    gateway = request.app[GATEWAY]
    order = await find_order(gateway, order_id)
    if order is None:
        rejection = await asked(gateway.history.rejection(order_id))
        if rejection is None:
            raise unknown_order(order_id)
        sentence = f"the command never reached a market: {rejection['reason']}"
        raise Problem(404, rejection["reason"], sentence, order_id=order_id)
    return answer(order)
