"""Reads orders over HTTP: one order by its id or its key, its history, and lists of orders."""

from functools import partial

from aiohttp import web

from app.matching.words import Reason, Status
from app.models import identity
from app.postgres import Page, RowKey
from web.edge.answers import answer, unknown_order, up_to
from web.edge.callers import caller_of
from web.edge.problems import Problem
from web.edge.reading import MAX_AFTER_SEQ, MAX_LIMIT, identifier, number, order_id_of, parameters, word
from web.hosting import GATEWAY
from web.rest.lists import answer_list, wanted
from web.trading.finding import known_order
from web.trading.recorded import ask_history, require, require_seqs

DEFAULT_LIMIT = 10


async def get_order(request: web.Request) -> web.StreamResponse:
    """One order: from memory, or else from Postgres; `pending_new` until its report arrives."""
    parameters(request)
    order_id = order_id_of(request)
    return await _answer_order(request, order_id, unknown_order(order_id))


async def get_order_by_key(request: web.Request) -> web.StreamResponse:
    """One order, found by its client, instrument and key."""
    parameters(request)
    client_id, instrument, key = (
        identifier(name, request.match_info[name]) for name in ("client_id", "instrument", "key")
    )
    order_id = identity.id_text(identity.order_id(client_id, instrument, key, request.app[GATEWAY].secret))
    # Omit the id: trades show order ids, so a client that guesses other clients' keys would learn whose orders trade.
    unknown = Problem(404, Reason.UNKNOWN_ORDER, f"no order of {client_id} on {instrument} under the key {key}")
    return await _answer_order(request, order_id, unknown, key)


async def list_order_events(request: web.Request) -> web.StreamResponse:
    """The changes of an order, oldest first, after the seq `after_seq`."""
    given = parameters(request, "after_seq", "limit")
    order_id, gateway = order_id_of(request), request.app[GATEWAY]
    after_seq = number(given, "after_seq", 0, MAX_AFTER_SEQ, least=0)
    limit = number(given, "limit", MAX_LIMIT, MAX_LIMIT)
    order = await known_order(gateway, order_id)
    if order is None or not caller_of(request).sees(order["client_id"]):
        raise unknown_order(order_id)
    seen, seq = gateway.feed.orders.get(order_id), gateway.feed.markets[order["instrument"]].seq
    if seen is not None:
        await require_seqs(gateway, {seen.instrument: seen.as_of})
    return answer(await ask_history(gateway.history.order_events(order_id, after_seq, limit)), headers=up_to(seq))


async def list_orders(request: web.Request) -> web.StreamResponse:
    """Orders newest first: an array by `page`, or with `cursor` an object that has the next one.

    Recent ones come from memory, older ones from Postgres.
    """
    given = parameters(request, "client_id", "instrument", "status", "limit", "page", "cursor")
    for name in ("client_id", "instrument"):
        if name in given:
            identifier(name, given[name])
    if "status" in given:
        word(Status, "status", given["status"])
    client_id = caller_of(request).client_of_orders(given.get("client_id"))
    instrument, status = given.get("instrument"), given.get("status")
    gateway = request.app[GATEWAY]
    markets, orders, history = gateway.feed.markets, gateway.feed.orders, gateway.history
    recent = orders.of_client(client_id, markets if instrument is None else [instrument], status)
    if status is not None:  # a recorded status may be outdated, so wait until Postgres has every report
        recent = recent._replace(known_after={name: market.seq for name, market in markets.items()})

    async def ask_recorded(below: RowKey | None, skip: int, limit: int) -> Page:
        page = await history.orders(
            client_id=client_id, instrument=instrument, status=status, below=below, skip=skip, limit=limit
        )
        return page._replace(rows=[orders.latest(row) for row in page.rows])

    page, market = wanted(given, DEFAULT_LIMIT), markets.get(instrument or "")
    return await answer_list("orders", page, recent, partial(require, gateway), ask_recorded, market)


async def _answer_order(
    request: web.Request, order_id: str, unknown: Problem, key: str | None = None
) -> web.StreamResponse:
    gateway, caller = request.app[GATEWAY], caller_of(request)
    order = await known_order(gateway, order_id)
    if order is None:
        # A rejection does not name the order's client, so only callers that see all orders may read it.
        rejection = await ask_history(gateway.history.rejection(order_id)) if caller.sees_all else None
        if rejection is None:
            raise unknown
        sentence = f"the command never reached a market: {rejection['reason']}"
        raise Problem(404, rejection["reason"], sentence, order_id=order_id)
    if not caller.sees(order["client_id"]):
        raise unknown
    return answer({**order, "client_order_id": order["client_order_id"] or key})
