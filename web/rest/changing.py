"""Cancel, amend and mass cancel over HTTP: each waits for the engine; a repeat gets the first answer."""

import asyncio
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from aiohttp import web

from app.matching.fees import MAX_CLIENTS_WITH_RATES, MAX_RATE
from app.matching.words import Reason, Side, Status
from app.models.commands import AmendOrder, CancelOrder, MassCancelOrders
from app.models.http import decode_amend, decode_cancel
from web.edge.answers import answer, order_path, unknown_order
from web.edge.callers import caller_of
from web.edge.problems import Problem
from web.edge.reading import (
    body_of,
    decimal,
    decoded,
    header_key,
    identifier,
    malformed,
    order_id_of,
    parameters,
    word,
)
from web.gateway import Gateway
from web.hosting import GATEWAY
from web.trading.carrying_out import carry_out
from web.trading.earlier import as_left
from web.trading.finding import find_order

MAX_BASIS_POINTS = MAX_RATE // 100
FEE_BOUNDS = (
    f"a rate is from -{MAX_BASIS_POINTS} to {MAX_BASIS_POINTS} basis points, "
    f"and at most {MAX_CLIENTS_WITH_RATES:,} clients have their own"
)


async def cancel_order(request: web.Request) -> web.StreamResponse:
    """The order as the cancel left it; 202 when the engine does not answer in time."""
    gateway, order_id = request.app[GATEWAY], order_id_of(request)
    client_id = await _client_of_cancel(request)
    key = header_key(request) or uuid4().hex
    instrument = instrument_of(gateway, order_id)
    command = CancelOrder(instrument=instrument, order_id=order_id, command_id=key, client_id=client_id)
    return _answer(*await change(gateway, command))


async def amend_order(request: web.Request) -> web.StreamResponse:
    """The order after its price, its total quantity or both were set; 202 when the engine does not answer in time."""
    gateway, order_id = request.app[GATEWAY], order_id_of(request)
    parameters(request)
    requested = decoded(decode_amend, await body_of(request))
    price, quantity = decimal("price", requested.price), decimal("quantity", requested.quantity)
    if price is None and quantity is None:
        raise malformed("", "give a price, a quantity, or both")
    client_id = caller_of(request).client_of_orders(requested.client_id)
    key = header_key(request) or uuid4().hex
    instrument = instrument_of(gateway, order_id)
    command = AmendOrder(
        instrument=instrument,
        order_id=order_id,
        command_id=key,
        client_id=client_id,
        price=price,
        quantity=quantity,
    )
    return _answer(*await change(gateway, command))


async def cancel_orders(request: web.Request) -> web.StreamResponse:
    """All open orders of a client, on one instrument or on all; a client must be named, so that no slip cancels all."""
    gateway = request.app[GATEWAY]
    given = parameters(request, "instrument", "client_id", "side")
    client_id = caller_of(request).client_of_orders(given.get("client_id"))
    if client_id is None:
        raise malformed("client_id", "is required")
    identifier("client_id", client_id)
    side = word(Side, "side", given["side"].lower()) if "side" in given else None
    key = header_key(request) or uuid4().hex
    instruments = chosen_instruments(gateway, given.get("instrument"))
    results = await asyncio.gather(
        *(_cancel_all(gateway, instrument, client_id, side, key) for instrument in instruments)
    )
    return answer({"results": results}, 202 if any(result["canceled"] is None for result in results) else 200)


def chosen_instruments(gateway: Gateway, instrument: str | None) -> list[str]:
    """The named instrument, or all listed ones (None); raises Refused if the named one is not listed."""
    return sorted(gateway.feed.markets) if instrument is None else [gateway.market(instrument).listing.instrument]


async def change(gateway: Gateway, command: CancelOrder | AmendOrder) -> tuple[int, dict[str, Any]]:
    """Cancel or amend: 200 and the order as the engine left it, or 202 when it does not answer in time.

    Raises Problem and Refused.
    """
    order_id, client_id = command.order_id, command.client_id
    later = 202, {"order_id": order_id, "instrument": command.instrument}
    parts = await carry_out(gateway, command, client_id, command.command_id)
    if parts is None:
        return later
    reason = parts[0].reason
    if reason is Reason.UNKNOWN_ORDER:
        raise unknown_order(order_id)
    if reason is not None and reason is not Reason.TOO_LATE_TO_CANCEL:
        raise refusal(reason)  # without the order: a reused key proves nothing, and it may be another client's
    order = await find_order(gateway, order_id)
    if order is None and reason is None:
        return later  # memory no longer has the order, and Postgres does not have it yet
    if order is None or client_id not in (None, order["client_id"]):
        raise unknown_order(order_id)
    if reason is not None:
        raise refusal(reason, order=order)
    return 200, as_left(parts, order)


def _answer(status: int, body: dict[str, Any]) -> web.Response:
    """With 202 also the order's address: the command is durable, and the client can read its effect there."""
    return answer(body, status, order_path(body["order_id"]) if status == HTTPStatus.ACCEPTED else None)


def refusal(reason: Reason, **more: Any) -> Problem:
    """The problem for a command that the engine has refused."""
    if reason is Reason.TOO_LATE_TO_CANCEL:
        return Problem(409, reason, "the order is finished", **more)
    if reason is Reason.DUPLICATE_ORDER:
        return Problem(422, reason, "this key was used for another command", **more)
    if reason is Reason.INVALID_FEES:
        return Problem(422, reason, FEE_BOUNDS, **more)
    return Problem(422, reason, f"the engine refused it: {reason}", **more)


async def _cancel_all(gateway: Gateway, instrument: str, client_id: str, side: Side | None, key: str) -> dict[str, Any]:
    command = MassCancelOrders(instrument=instrument, command_id=key, client_id=client_id, side=side)
    parts = await carry_out(gateway, command, client_id, key)
    if parts is None:
        return {"instrument": instrument, "canceled": None, "seq": None}
    if parts[0].reason is not None:
        raise refusal(parts[0].reason)
    canceled = [change.order_id for part in parts for change in part.orders if change.status is Status.CANCELED]
    return {"instrument": instrument, "canceled": canceled, "seq": parts[-1].seq}


async def _client_of_cancel(request: web.Request) -> str | None:
    """The client whose order to cancel, from the query, the body or the key; None: any client."""
    given = parameters(request, "client_id").get("client_id")
    body = await body_of(request)
    named = decoded(decode_cancel, body).client_id if body else None
    if None not in (named, given) and given != named:
        raise malformed("client_id", "of the query and of the body differ")
    client_id = caller_of(request).client_of_orders(named if given is None else given)
    return None if client_id is None else identifier("client_id", client_id)


def instrument_of(gateway: Gateway, order_id: str) -> str:
    instrument = gateway.feed.instrument_of(order_id)
    if instrument is None:
        raise unknown_order(order_id)
    return instrument
