"""Accepts new orders: checks and sends them, then waits for Kafka's acknowledgement or for the engine's report.

The gateway does not send an order whose key was used before, unless it finds no order of that key
(web/trading/earlier.py).
"""

import asyncio
from collections.abc import Awaitable
from time import monotonic
from typing import Any, NamedTuple

from app.matching.commands import Place
from app.matching.words import OrderType, Outcome, Reason
from app.models import identity
from app.models.commands import PlaceOrder, UndecodableCommand, encode_command
from app.models.conversion import to_core
from web import metrics
from web.entry.expected import Expected
from web.entry.idempotency import Known, Seen
from web.gateway import Gateway
from web.market.books import Market
from web.refused import RETRY_SOON_S, Refused
from web.trading.earlier import Earlier, as_placed, earlier_order, first_state, is_known_here

CONFLICT_TIMEOUT_S = 2.0


class Placing(NamedTuple):
    """A valid order, and what Valkey knows about its key."""

    order: PlaceOrder
    market: Market
    order_id: str
    known: Awaitable[Known]
    started: float


class Sending(NamedTuple):
    """An order on its way to Kafka; `sent` is None if the engine already has the order.

    `expected` is set if the key may belong to another order: the request then waits for the engine's report.
    """

    is_repeat: bool
    sent: asyncio.Future[int] | None
    expected: Expected | None = None


def begin(gateway: Gateway, order: PlaceOrder, started: float) -> Placing:
    """Check the order and ask Valkey about its key. `started`: when its request came (monotonic). Raises Refused."""
    market = gateway.market(order.instrument)
    order_id, fingerprint = _check(order, market, gateway.secret)
    gateway.outgoing.check_room()
    gateway.outgoing.check_matching(order.instrument)
    return Placing(order, market, order_id, gateway.idempotency.ask(order_id, fingerprint, market.seq), started)


async def send(gateway: Gateway, placing: Placing) -> Sending:
    """Send the order to Kafka, unless the gateway finds an earlier order of its key; raises Refused."""
    known, order_id, market = await placing.known, placing.order_id, placing.market
    if known.seen in (Seen.REPEAT, Seen.CONFLICT) or is_known_here(gateway, order_id):
        earlier = await earlier_order(gateway, placing.order, market, order_id, known)
        if earlier is Earlier.SAME:
            return Sending(True, None)
        if earlier is Earlier.OTHER:
            raise _conflict(order_id)
    sent = gateway.outgoing.append(placing.order.instrument, encode_command(placing.order))
    if known.seen is Seen.CONFLICT or gateway.pending.is_other(order_id, placing.order):
        return Sending(False, sent, gateway.feed.expectations.begin(order_id))
    is_repeat = known.seen is Seen.REPEAT or gateway.pending.get(order_id) is not None
    # Add it even if no acknowledgement will come: the order may be in the log, and its report settles that.
    gateway.pending.add(order_id, placing.order, market.scale, is_repeat, market.seq, placing.started)
    return Sending(is_repeat, sent)


async def wait_for_kafka(gateway: Gateway, placing: Placing, sending: Sending) -> bool:
    """Wait until Kafka has the order; return whether the order is a repeat. Raises Refused."""
    is_repeat = await _wait_for_kafka(gateway, placing, sending)
    note_accepted(gateway, placing)
    return is_repeat


def note_accepted(gateway: Gateway, placing: Placing) -> None:
    """Count and log an order that Kafka has."""
    metrics.orders_received.inc()
    metrics.accepted_latency.observe(monotonic() - placing.started)
    gateway.order_log.note_accepted(placing.order, placing.order_id)


async def wait_for_match(gateway: Gateway, placing: Placing, patience_s: float) -> dict[str, Any] | None:
    """Send the order and return it as the engine left it; for a repeat, as the engine left it the first time.

    None if the engine does not answer in time. Raises Refused.
    """
    order_id, parts = placing.order_id, None
    with gateway.feed.expectations.of(order_id) as expected:
        sending = await send(gateway, placing)
        await wait_for_kafka(gateway, placing, sending)
        if sending.sent is not None:
            parts = await expected.report(await sending.sent, patience_s)
            if parts is None:
                return None
    if parts is not None and parts[0].reason is Reason.DUPLICATE_ORDER:
        raise _conflict(order_id)
    if parts is None or parts[0].outcome is Outcome.DUPLICATE:
        return await first_state(gateway, order_id)
    return as_placed(parts, order_id)


async def _wait_for_kafka(gateway: Gateway, placing: Placing, sending: Sending) -> bool:
    if sending.sent is None or sending.expected is None:
        if sending.sent is not None:
            await sending.sent
        return sending.is_repeat
    # Valkey may know a key whose order never reached the engine, so the engine decides.
    try:
        patience_s = max(0.0, placing.started + CONFLICT_TIMEOUT_S - monotonic())
        parts = await sending.expected.report(await sending.sent, patience_s)
    finally:
        gateway.feed.expectations.end(sending.expected)
    if parts is None:
        sentence = "the key is known with another order, and the engine does not answer in time; repeating is safe"
        raise Refused("outcome_unknown", sentence, RETRY_SOON_S)
    if parts[0].reason is Reason.DUPLICATE_ORDER:
        raise _conflict(placing.order_id)
    return parts[0].outcome is Outcome.DUPLICATE


def _conflict(order_id: str) -> Refused:
    return Refused(Reason.DUPLICATE_ORDER, "this key was used for another order", order_id=order_id)


def _check(order: PlaceOrder, market: Market, secret: bytes) -> tuple[str, int]:
    """Check an order against its market; return its id and fingerprint. Raises Refused with the reason."""
    try:
        core = to_core(order, market.scale, secret)
    except UndecodableCommand as error:
        raise Refused("invalid_value", str(error)) from error
    assert isinstance(core, Place), "a place message is a place command"
    listing = market.listing
    if core.quantity <= 0:
        sentence = f"quantity must be a positive multiple of {listing.lot_size}"
        raise Refused(Reason.INCORRECT_QUANTITY, sentence)
    if core.price is None and core.type in (OrderType.LIMIT, OrderType.STOP_LIMIT):
        raise Refused(Reason.UNSUPPORTED_ORDER, f"a {core.type} order needs a price")
    if core.price is not None and core.type is OrderType.STOP:
        sentence = "a stop order has no price: it trades at any once it triggers; with a limit it is a stop_limit order"
        raise Refused(Reason.UNSUPPORTED_ORDER, sentence)
    if core.price is not None and core.price <= 0:
        sentence = f"price must be a positive multiple of {listing.tick_size}"
        raise Refused(Reason.INVALID_PRICE_INCREMENT, sentence)
    return identity.id_text(core.order_id), core.fingerprint
