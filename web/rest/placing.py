"""New orders over HTTP, one or many: 201 once Kafka has them, or the order as the engine left it.

An order whose key was used before is not sent again, unless nobody knows what became of it (web/trading/earlier.py).
"""

import asyncio
from collections.abc import Awaitable
from time import monotonic
from typing import Any, NamedTuple

from aiohttp import web

from app.matching.commands import Place
from app.matching.words import OrderType, Outcome, Reason, Status
from app.models import identity
from app.models.commands import PlaceOrder, UndecodableCommand, encode_command, to_core
from app.models.http import decode_batch, decode_place
from app.models.reports import ExecutionReport
from web.edge import metrics
from web.edge.answers import RETRY_SOON, answer, order_path
from web.edge.callers import Caller, caller_of
from web.edge.limits import charge_orders
from web.edge.problems import Problem
from web.edge.reading import (
    body_of,
    decoded,
    header_key,
    malformed,
    parameters,
    place_command,
    place_request,
    seconds_to_wait,
)
from web.entry.expected import Expected
from web.entry.idempotency import Known, Seen
from web.gateway import GATEWAY, Gateway
from web.market.books import Market
from web.trading.earlier import Earlier, as_placed, earlier_order, first_state, is_known_here

MAX_BATCH_BYTES = 1024 * 1024
CONFLICT_TIMEOUT_S = 2.0


class Placing(NamedTuple):
    """An order that the gateway accepts, and whether Valkey knows its key."""

    order: PlaceOrder
    market: Market
    order_id: str
    known: Awaitable[Known]
    started: float


class Sending(NamedTuple):
    """An order on its way to Kafka, or one that is there already (no `sent`).

    `expected` is the report that an order waits for whose key Valkey has with another one.
    """

    is_repeat: bool
    sent: asyncio.Future[int] | None
    expected: Expected | None = None


async def place_order(request: web.Request) -> web.StreamResponse:
    """201 once Kafka has the order; the same request always gets the same answer.

    With `?wait=matched` the order as the engine left it: 201, or 422 when it was rejected.
    """
    gateway, wait_s, started = request.app[GATEWAY], seconds_to_wait(request), monotonic()
    try:
        placing = _begin(gateway, await place_request(request), started)
    except Problem as problem:
        _refused(gateway, problem, 1)
        raise
    if wait_s is not None:
        return await _matched(gateway, placing, wait_s)
    replayed = await _acknowledged(gateway, placing, await _send(gateway, placing))
    _accepted(gateway, placing)
    headers = order_path(placing.order_id)
    if replayed:
        headers["Idempotent-Replayed"] = "true"
    return answer(_created(placing), 201, headers)


async def place_batch(request: web.Request) -> web.StreamResponse:
    """`results` in the order of `orders`: each its order or its problem. Not atomic."""
    gateway, started = request.app[GATEWAY], monotonic()
    parameters(request)
    if header_key(request) is not None:
        raise malformed("Idempotency-Key", "does not fit a batch: give each order its client_order_id")
    entries = decoded(decode_batch, await body_of(request, MAX_BATCH_BYTES), is_flat=False).orders
    charge_orders(request, len(entries))
    caller = caller_of(request)
    begun = [_begin_entry(gateway, bytes(entry), caller, started) for entry in entries]
    sending = [entry if isinstance(entry, Problem) else await _send_entry(gateway, entry) for entry in begun]
    # All are on their way: to wait for one after the other takes no longer.
    return answer({"results": [await _result(gateway, *pair) for pair in zip(begun, sending, strict=True)]})


def _begin(gateway: Gateway, order: PlaceOrder, started: float) -> Placing:
    """Check the order and ask Valkey about its key; raises 404, 422 and 503."""
    market = _market(gateway, order.instrument)
    order_id, fingerprint = _checked(order, market, gateway.secret)
    gateway.outgoing.check_room()
    return Placing(order, market, order_id, gateway.idempotency.ask(order_id, fingerprint, market.seq), started)


async def _send(gateway: Gateway, placing: Placing) -> Sending:
    """Give the order to Kafka, unless its key was used before and it is known for what; raises 422 and 503."""
    known, order_id, market = await placing.known, placing.order_id, placing.market
    if known.seen in (Seen.REPEAT, Seen.CONFLICT) or is_known_here(gateway, order_id):
        earlier = await earlier_order(gateway, placing.order, market, order_id, known)
        if earlier is Earlier.SAME:
            return Sending(True, None)
        if earlier is Earlier.OTHER:
            raise _conflict(gateway, placing)
    sent = gateway.outgoing.append(placing.order.instrument, encode_command(placing.order))
    if known.seen is Seen.CONFLICT or gateway.pending.is_other(order_id, placing.order):
        return Sending(False, sent, gateway.feed.expectations.begin(order_id))
    is_repeat = known.seen is Seen.REPEAT or gateway.pending.get(order_id) is not None
    # Also when the acknowledgement stays away: the order may be in the log, and its report will tell.
    gateway.pending.add(order_id, placing.order, market.scale, is_repeat, market.seq, placing.started)
    return Sending(is_repeat, sent)


async def _acknowledged(gateway: Gateway, placing: Placing, sending: Sending) -> bool:
    """Once Kafka has the order: whether it is a repeat. Raises 422 and 504."""
    if sending.sent is None or sending.expected is None:
        if sending.sent is not None:
            await sending.sent
        return sending.is_repeat
    # Valkey may remember what never became an order: the engine decides.
    try:
        patience = max(0.0, placing.started + CONFLICT_TIMEOUT_S - monotonic())
        report = await within(patience, sending.expected.at(await sending.sent))
    finally:
        gateway.feed.expectations.end(sending.expected)
    if report is None:
        sentence = "the key is known with another order, and the engine does not answer in time; repeating is safe"
        raise Problem(504, "outcome_unknown", sentence, RETRY_SOON)
    if report[0].reason is Reason.DUPLICATE_ORDER:
        raise _conflict(gateway, placing)
    return report[0].outcome is Outcome.DUPLICATE


async def _matched(gateway: Gateway, placing: Placing, wait_s: int) -> web.StreamResponse:
    """The order as the engine left it: a repeat gets it as the engine left it the first time."""
    order_id, parts = placing.order_id, None
    expected = gateway.feed.expectations.begin(order_id)
    try:
        sending = await _send(gateway, placing)
        await _acknowledged(gateway, placing, sending)
        _accepted(gateway, placing)
        if sending.sent is not None:
            parts = await within(wait_s, expected.at(await sending.sent))
    finally:
        gateway.feed.expectations.end(expected)
    if parts is not None and parts[0].reason is Reason.DUPLICATE_ORDER:
        raise _conflict(gateway, placing)
    if sending.sent is not None and parts is None:
        order = None  # the wait is over
    elif parts is None or parts[0].outcome is Outcome.DUPLICATE:
        order = await first_state(gateway, order_id)
    else:
        order = as_placed(parts, order_id)
    if order is not None and order["status"] == Status.REJECTED:
        raise _rejected(order_id, order["reason"])
    return answer(order or _created(placing), 201, order_path(order_id))


async def within(seconds: float, expected: asyncio.Future[list[ExecutionReport]]) -> list[ExecutionReport] | None:
    """The report that is expected, in its parts; None when it does not come in time."""
    try:
        async with asyncio.timeout(seconds):
            return await expected
    except TimeoutError:
        return None


def _begin_entry(gateway: Gateway, body: bytes, caller: Caller, started: float) -> Placing | Problem:
    try:
        return _begin(gateway, place_command(decoded(decode_place, body), None, caller), started)
    except Problem as problem:
        _refused(gateway, problem, 1)
        return problem


async def _send_entry(gateway: Gateway, placing: Placing) -> Sending | Problem:
    try:
        return await _send(gateway, placing)
    except Problem as problem:
        return problem


async def _result(gateway: Gateway, placing: Placing | Problem, sending: Sending | Problem) -> dict[str, Any]:
    if isinstance(placing, Problem) or isinstance(sending, Problem):
        problem = placing if isinstance(placing, Problem) else sending
        assert isinstance(problem, Problem), "one of them is"
        return {"status": problem.status, "problem": problem.body("/api/v1/orders")}
    try:
        await _acknowledged(gateway, placing, sending)
    except Problem as problem:
        return {"status": problem.status, "problem": problem.body("/api/v1/orders")}
    _accepted(gateway, placing)
    return {"status": 201, "order": _created(placing)}


def _created(placing: Placing) -> dict[str, Any]:
    order = placing.order
    return {
        "order_id": placing.order_id,
        "client_order_id": order.client_order_id,
        "instrument": order.instrument,
        "status": Status.PENDING_NEW,
    }


def _accepted(gateway: Gateway, placing: Placing) -> None:
    metrics.orders_received.inc()
    metrics.accepted_latency.observe(monotonic() - placing.started)
    gateway.order_log.accepted(placing.order, placing.order_id)


def _refused(gateway: Gateway, problem: Problem, count: int) -> None:
    if problem.status != 503:
        metrics.rejected_by_gateway.inc(count)
    gateway.order_log.refused(problem.status, problem.code, problem.detail)


def _conflict(gateway: Gateway, placing: Placing) -> Problem:
    sentence = "this key was used for another order"
    problem = Problem(422, Reason.DUPLICATE_ORDER, sentence, order_id=placing.order_id)
    _refused(gateway, problem, 1)
    return problem


def _rejected(order_id: str, reason: Reason | None) -> Problem:
    code = reason or Reason.MALFORMED_COMMAND
    return Problem(422, code, f"the engine refused the order: {code}", order_path(order_id), order_id=order_id)


def _market(gateway: Gateway, instrument: str) -> Market:
    market = gateway.feed.markets.get(instrument)
    if market is None:
        raise Problem(404, Reason.UNKNOWN_INSTRUMENT, f"{instrument} is not listed")
    return market


def _checked(order: PlaceOrder, market: Market, secret: bytes) -> tuple[str, int]:
    """Order id and fingerprint of an order that the market could take; raises 422 with the reason."""
    try:
        core = to_core(order, market.scale, secret)
    except UndecodableCommand as error:
        raise Problem(422, "invalid_value", str(error)) from error
    assert isinstance(core, Place), "a place message is a place command"
    listing = market.listing
    if core.quantity <= 0:
        said = f"quantity must be a positive multiple of {listing.lot_size}"
        raise Problem(422, Reason.INCORRECT_QUANTITY, said)
    if core.price is None and core.type in (OrderType.LIMIT, OrderType.STOP_LIMIT):
        raise Problem(422, Reason.UNSUPPORTED_ORDER, f"a {core.type} order needs a price")
    if core.price is not None and core.type is OrderType.STOP:
        said = "a stop order has no price: it trades at any once it triggers; with a limit it is a stop_limit order"
        raise Problem(422, Reason.UNSUPPORTED_ORDER, said)
    if core.price is not None and core.price <= 0:
        said = f"price must be a positive multiple of {listing.tick_size}"
        raise Problem(422, Reason.INVALID_PRICE_INCREMENT, said)
    return identity.id_text(core.order_id), core.fingerprint
