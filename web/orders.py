"""Order entry and look-up over HTTP: place, cancel, one order, many orders."""

import asyncio
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import orjson
from aiohttp import web

from app.matching.commands import Place
from app.matching.words import OrderType, Outcome, Reason, Status
from app.models import identity
from app.models.commands import CancelOrder, PlaceOrder, UndecodableCommand, encode_command, to_core
from app.models.http import decode_cancel
from app.models.reports import ExecutionReport
from app.postgres import HistoryUnavailable, InvalidCursor
from web import metrics
from web.books import Market
from web.gateway import GATEWAY, Gateway
from web.idempotency import Seen
from web.problems import Problem
from web.requests import MAX_PAGE, body_of, decoded, header_key, identifier, number, parameters, place_request

MATCHED_TIMEOUT_S = 2.0
DEFAULT_LIMIT = 10
MAX_LIMIT = 1_000


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(status=status, body=orjson.dumps(body), content_type="application/json", headers=headers)


async def place_order(request: web.Request) -> web.StreamResponse:
    """201 once Kafka has the order; the same request always gets the same answer.

    With `?wait=matched` the order as the engine left it: 201, or 422 when it was rejected.
    """
    started, gateway = monotonic(), request.app[GATEWAY]
    wait = parameters(request, "wait").get("wait") == "matched"
    order = await place_request(request)
    market = _market(gateway, order.instrument)
    order_id, fingerprint = _checked(order, market)
    seen = await gateway.idempotency.seen(order_id, fingerprint)
    if seen is Seen.CONFLICT:
        raise Problem(422, "duplicate_order", "this key was used for another order", order_id=order_id)
    report = gateway.feed.expect(order_id) if wait else None
    await _send_place(gateway, order, order_id, started)
    metrics.orders_received.inc()
    metrics.accepted_latency.observe(monotonic() - started)
    if report is not None:
        return await _matched(gateway, order_id, report)
    accepted = {
        "order_id": order_id,
        "client_order_id": order.client_order_id,
        "instrument": order.instrument,
        "status": Status.PENDING_NEW,
    }
    headers = {"Location": f"/api/v1/orders/{order_id}"}
    if seen is Seen.REPEAT:
        headers["Idempotent-Replayed"] = "true"
    return answer(accepted, 201, headers)


async def cancel_order(request: web.Request) -> web.StreamResponse:
    """The order as the cancel left it; 202 when the engine does not answer in time."""
    gateway, order_id = request.app[GATEWAY], _order_id(request)
    instrument = gateway.feed.instrument_of(order_id)
    if instrument is None:
        raise _unknown_order(order_id)
    client_id = await _canceling_client(request)
    key = header_key(request) or uuid4().hex
    command = CancelOrder(instrument=instrument, order_id=order_id, command_id=key, client_id=client_id)
    command_id = identity.id_text(identity.command_id(client_id, instrument, key))
    expected = gateway.feed.expect(command_id)
    try:
        await gateway.send(instrument, encode_command(command))
        report = await _report(expected)
    finally:
        gateway.feed.stop_expecting(command_id, expected)
    if report is None:
        return answer({"order_id": order_id, "instrument": instrument}, 202, {"Location": f"/api/v1/orders/{order_id}"})
    if report.reason is Reason.UNKNOWN_ORDER:
        raise _unknown_order(order_id)
    order = await _order(gateway, order_id)
    if report.reason is Reason.TOO_LATE_TO_CANCEL:
        raise Problem(409, "too_late_to_cancel", "the order is finished", order=order)
    if report.reason is not None:
        raise Problem(422, report.reason, f"the cancel was refused: {report.reason}", order=order)
    return answer(order)


async def get_order(request: web.Request) -> web.StreamResponse:
    """One order: from the feed, or else from Postgres; `pending_new` until its report arrives."""
    order = await _order(request.app[GATEWAY], _order_id(request))
    if order is None:
        raise _unknown_order(request.match_info["order_id"])
    return answer(order)


async def list_orders(request: web.Request) -> web.StreamResponse:
    """Orders newest first: an array by `page`, or with `cursor` an object that has the next one."""
    given = parameters(request, "client_id", "instrument", "status", "limit", "page", "cursor")
    for name in ("client_id", "instrument"):
        if name in given:
            identifier(name, given[name])
    if given.get("status", Status.NEW) not in set(Status):
        raise Problem(400, "malformed_request", f"status must be one of {', '.join(Status)}")
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


async def asked(question: Any) -> Any:
    """What Postgres answers; away is 503, a cursor that is none of ours 400."""
    try:
        return await question
    except HistoryUnavailable as error:
        sentence = "history is not available: Postgres does not answer; order entry and books go on"
        raise Problem(503, "history_unavailable", sentence, {"Retry-After": "1"}) from error
    except InvalidCursor as error:
        raise Problem(400, "malformed_request", str(error)) from error


def _market(gateway: Gateway, instrument: str) -> Market:
    market = gateway.feed.markets.get(instrument)
    if market is not None:
        return market
    if not gateway.feed.caught_up:
        raise Problem(503, "not_ready", "this gateway is still reading the market", {"Retry-After": "1"})
    metrics.rejected_by_gateway.inc()
    raise Problem(404, Reason.UNKNOWN_INSTRUMENT, f"{instrument} is not listed")


def _checked(order: PlaceOrder, market: Market) -> tuple[str, int]:
    """Order id and fingerprint of an order that the market could take; raises 422 with the reason."""
    try:
        core = to_core(order, market.scale)
    except UndecodableCommand as error:
        raise Problem(422, "invalid_value", str(error)) from error
    assert isinstance(core, Place), "a place message is a place command"
    listing, reason, sentence = market.listing, None, ""
    if core.quantity <= 0:
        reason, sentence = (
            Reason.INCORRECT_QUANTITY,
            f"quantity must be a positive multiple of {listing.lot_size}",
        )
    elif core.type in (OrderType.LIMIT, OrderType.STOP_LIMIT) and core.price is None:
        reason, sentence = Reason.UNSUPPORTED_ORDER, f"a {core.type} order needs a price"
    elif core.price is not None and core.price <= 0:
        reason, sentence = (
            Reason.INVALID_PRICE_INCREMENT,
            f"price must be a positive multiple of {listing.tick_size}",
        )
    if reason is not None:
        metrics.rejected_by_gateway.inc()
        raise Problem(422, reason, sentence)
    return identity.id_text(core.order_id), core.fingerprint


async def _send_place(gateway: Gateway, order: PlaceOrder, order_id: str, started: float) -> None:
    gateway.feed.begin(order_id, started)
    try:
        await gateway.send(order.instrument, encode_command(order))
    except Problem:
        gateway.feed.forget(order_id)
        raise


async def _matched(gateway: Gateway, order_id: str, expected: asyncio.Future[ExecutionReport]) -> web.StreamResponse:
    report = await _report(expected)
    order = await _order(gateway, order_id)
    headers = {"Location": f"/api/v1/orders/{order_id}"}
    if report is not None and report.outcome is Outcome.REJECTED:
        reason = report.reason or Reason.MALFORMED_COMMAND
        raise Problem(422, reason, f"the engine refused the order: {reason}", headers, order_id=order_id)
    return answer(order, 201, headers)


async def _report(expected: asyncio.Future[ExecutionReport]) -> ExecutionReport | None:
    try:
        async with asyncio.timeout(MATCHED_TIMEOUT_S):
            return await expected
    except TimeoutError:
        return None


async def _order(gateway: Gateway, order_id: str) -> Any:
    """The order as it is known here; None when nobody knows it."""
    seen = gateway.feed.orders.get(order_id)
    if seen is not None:
        return seen.answer()
    if gateway.feed.is_pending(order_id):
        instrument = gateway.feed.instrument_of(order_id)
        return {"order_id": order_id, "instrument": instrument, "status": Status.PENDING_NEW}
    return await asked(gateway.history.order(order_id))


async def _canceling_client(request: web.Request) -> str | None:
    """Who cancels, if the request says so."""
    given = parameters(request, "client_id").get("client_id")
    body = await body_of(request)
    said = decoded(decode_cancel, body).client_id if body else None
    if given and said and given != said:
        raise Problem(400, "malformed_request", "client_id of the query and the body differ")
    client_id = said or given
    return identifier("client_id", client_id) if client_id else None


def _order_id(request: web.Request) -> str:
    order_id = request.match_info["order_id"]
    try:
        return str(UUID(order_id)) if len(order_id) == 36 else _not_an_id(order_id)
    except ValueError:
        return _not_an_id(order_id)


def _not_an_id(order_id: str) -> str:
    raise _unknown_order(order_id)


def _unknown_order(order_id: str) -> Problem:
    return Problem(404, Reason.UNKNOWN_ORDER, f"no order {order_id[:64]}")
