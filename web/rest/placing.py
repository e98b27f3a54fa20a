"""Places orders over HTTP, one or a batch: answers 201 once Kafka has them, or the order as the engine left it."""

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import msgspec
from aiohttp import web

from app.matching.words import Reason, Status
from app.models.commands import PlaceOrder
from app.models.http import decode_batch, decode_place
from web import metrics
from web.edge.answers import answer, order_path
from web.edge.callers import Caller, caller_of
from web.edge.limits import charge_orders
from web.edge.problems import Problem, problem_of
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
from web.gateway import Gateway
from web.hosting import GATEWAY
from web.refused import Refused
from web.trading.accepting import Placing, Sending, begin, send, wait_for_kafka, wait_for_match

MAX_BATCH_BYTES = 1024 * 1024


async def place_order(request: web.Request) -> web.StreamResponse:
    """201 once Kafka has the order; the same request always gets the same answer.

    With `?wait=matched` the order as the engine left it: 201, or 422 when it was rejected.
    """
    gateway, wait_s, started = request.app[GATEWAY], seconds_to_wait(request), monotonic()
    await gateway.room.take(1)
    try:
        return await _place(request, gateway, wait_s, started)
    finally:
        gateway.room.give_back(1)


async def _place(request: web.Request, gateway: Gateway, wait_s: int | None, started: float) -> web.StreamResponse:
    with _noting_refusals(gateway):
        placing = begin(gateway, await place_request(request), started)
    location = order_path(placing.order_id)
    with noting_conflicts(gateway):
        if wait_s is not None:
            return answer(placed(placing, await wait_for_match(gateway, placing, wait_s)), 201, location)
        is_repeat = await wait_for_kafka(gateway, placing, await send(gateway, placing))
    return answer(created(placing), 201, location | ({"Idempotent-Replayed": "true"} if is_repeat else {}))


async def place_batch(request: web.Request) -> web.StreamResponse:
    """`results` in the order of `orders`: each its order or its problem. Not atomic."""
    gateway, started = request.app[GATEWAY], monotonic()
    parameters(request)
    if header_key(request) is not None:
        raise malformed("Idempotency-Key", "does not fit a batch: give each order its client_order_id")
    entries = decoded(decode_batch, await body_of(request, MAX_BATCH_BYTES), is_flat=False).orders
    charge_orders(request, len(entries))
    await gateway.room.take(len(entries))
    try:
        status, body = await (await place_all(gateway, entries, caller_of(request), started))
    finally:
        gateway.room.give_back(len(entries))
    return answer(body, status)


async def place_all(
    gateway: Gateway, entries: list[msgspec.Raw], caller: Caller, started: float
) -> Awaitable[tuple[int, dict[str, Any]]]:
    """Send a batch; what is returned waits for Kafka, and is status and body."""
    begun = [_begin_entry(gateway, bytes(entry), caller, started) for entry in entries]
    sending = [entry if isinstance(entry, Problem) else await _send_entry(gateway, entry) for entry in begun]

    async def results() -> tuple[int, dict[str, Any]]:
        # All orders are on their way, so waiting for them one by one takes no longer.
        return 200, {"results": [await _result(gateway, *pair) for pair in zip(begun, sending, strict=True)]}

    return results()


def begin_noted(gateway: Gateway, order: PlaceOrder, started: float) -> Placing:
    """The same as `begin`, and a refusal counts as one; raises Refused."""
    with _noting_refusals(gateway):
        return begin(gateway, order, started)


def placed(placing: Placing, order: dict[str, Any] | None) -> dict[str, Any]:
    """The body for an order as the engine left it, None if it has not reported in time; raises 422."""
    order_id = placing.order_id
    if order is not None and order["status"] == Status.REJECTED:
        code = order["reason"] or Reason.MALFORMED_COMMAND
        raise Problem(422, code, f"the engine refused the order: {code}", order_path(order_id), order_id=order_id)
    return order or created(placing)


def _begin_entry(gateway: Gateway, body: bytes, caller: Caller, started: float) -> Placing | Problem:
    try:
        return begin(gateway, place_command(decoded(decode_place, body), None, caller), started)
    except (Problem, Refused) as error:
        problem = problem_of(error)
        _note(gateway, problem)
        return problem


async def _send_entry(gateway: Gateway, placing: Placing) -> Sending | Problem:
    try:
        with noting_conflicts(gateway):
            return await send(gateway, placing)
    except Refused as refused:
        return problem_of(refused)


async def _result(gateway: Gateway, placing: Placing | Problem, sending: Sending | Problem) -> dict[str, Any]:
    if isinstance(placing, Problem):
        return _failed(placing)
    if isinstance(sending, Problem):
        return _failed(sending)
    try:
        with noting_conflicts(gateway):
            await wait_for_kafka(gateway, placing, sending)
    except Refused as refused:
        return _failed(problem_of(refused))
    return {"status": 201, "order": created(placing)}


def _failed(problem: Problem) -> dict[str, Any]:
    return {"status": problem.status, "problem": problem.body("/api/v1/orders")}


def created(placing: Placing) -> dict[str, Any]:
    """The body for an order that Kafka has."""
    order = placing.order
    return {
        "order_id": placing.order_id,
        "client_order_id": order.client_order_id,
        "instrument": order.instrument,
        "status": Status.PENDING_NEW,
    }


@contextmanager
def noting_conflicts(gateway: Gateway) -> Iterator[None]:
    """Count an order as refused if its key belongs to another order, but not if the client may simply retry it."""
    try:
        yield
    except Refused as refused:
        if refused.code is Reason.DUPLICATE_ORDER:
            _note(gateway, problem_of(refused))
        raise


@contextmanager
def _noting_refusals(gateway: Gateway) -> Iterator[None]:
    """An order that is refused before it is sent counts as refused."""
    try:
        yield
    except (Problem, Refused) as error:
        _note(gateway, problem_of(error))
        raise


def _note(gateway: Gateway, problem: Problem) -> None:
    if problem.status != 503:
        metrics.rejected_by_gateway.inc()
    gateway.order_log.note_refused(problem.status, problem.code, problem.detail)
