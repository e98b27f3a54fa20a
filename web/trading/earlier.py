"""Finds the earlier use of a key, so that nothing is done twice and a repeat gets the first answer.

The gateway's memory and Postgres together know every order, except those whose reports are still on their way. The
engine recognises these, because it remembers the latest ids of each market. So the gateway may send a key again that
neither memory nor Postgres knows, unless its order may be older than the ids that the engine remembers.
"""

from enum import Enum
from time import time_ns
from typing import Any, NamedTuple

from app.matching.commands import Place, Replace
from app.matching.words import Outcome, Status
from app.models.commands import PlaceOrder, ReplaceOrder
from app.models.conversion import to_core
from app.models.http import changed_answer, order_answer
from app.models.reports import ExecutionReport
from app.postgres import HistoryUnavailable
from web.entry.idempotency import KEPT_S, Known, Seen
from web.gateway import Gateway
from web.market.books import Market
from web.market.log import Unreadable
from web.market.recent_orders import SeenOrder
from web.refused import RETRY_SOON_S, Refused
from web.trading.finding import find_order

OPEN = frozenset((Status.NEW, Status.PARTIALLY_FILLED))


class Earlier(Enum):
    """The earlier use of a key, as far as this gateway can tell."""

    NOTHING = "nothing that is known: send the order, the engine decides"
    SAME = "the same order"
    OTHER = "another order"


def is_known_here(gateway: Gateway, order_id: str) -> bool:
    """Whether this gateway's memory has an order with this id; if so, its key was used, even if Valkey says no."""
    return gateway.feed.orders.get(order_id) is not None or gateway.pending.get(order_id) is not None


async def earlier_order(gateway: Gateway, order: PlaceOrder, market: Market, order_id: str, known: Known) -> Earlier:
    """The earlier use of this order's key; raises Refused if the gateway cannot tell now."""
    found = gateway.feed.orders.get(order_id)
    if found is not None and found.fingerprint is not None:
        return _verdict(found.fingerprint == fingerprint_of(order, market))
    if isinstance(found, SeenOrder) and found.created_ms is not None:
        return await _compare(gateway, order, market, found.created_ms, found.change.status, known)
    since = _first_use(gateway, order_id, known)
    try:
        recorded_seq = await gateway.history.recorded_seq(order.instrument)
        accepted = await gateway.history.accepted(order_id)
    except HistoryUnavailable:
        await _require_remembered(gateway, market, since)
        return Earlier.NOTHING
    if accepted is not None:
        return await _compare(gateway, order, market, accepted.time_ms, accepted.status, known)
    is_complete = recorded_seq >= gateway.feed.orders.all_since(order.instrument) - 1
    await _require_remembered(gateway, market, _now(market) if is_complete else since)
    return Earlier.NOTHING


async def first_report(gateway: Gateway, parts: list[ExecutionReport]) -> list[ExecutionReport]:
    """The report to answer with: for a repeated command, that of the first time. Raises Refused if it is unreadable."""
    report = parts[0]
    if report.outcome is not Outcome.DUPLICATE or report.original_seq is None:
        return parts
    remembered = gateway.feed.reports.get(report.instrument, report.original_seq)
    if remembered is not None:
        return remembered
    try:
        return await gateway.log.report(report.instrument, report.original_seq)
    except Unreadable as error:
        raise _unknown() from error


async def first_state(gateway: Gateway, order_id: str) -> dict[str, Any] | None:
    """An order as its first report left it; if that state is unknown, its current state. None: an unknown order."""
    found = gateway.feed.orders.get(order_id)
    if isinstance(found, SeenOrder) and (at_first := found.answer_at_first()) is not None:
        return at_first
    try:
        accepted = await gateway.history.accepted(order_id)
    except HistoryUnavailable:
        accepted = None
    if accepted is not None and (found is None or found.created_ms in (None, accepted.time_ms)):
        return accepted.order
    current: dict[str, Any] | None = await find_order(gateway, order_id)
    return current


def as_placed(parts: list[ExecutionReport], order_id: str) -> dict[str, Any] | None:
    """A new order as the parts of its report describe it."""
    for report in parts:
        for change in report.orders:
            if change.order_id == order_id and change.terms is not None:
                return order_answer(report.instrument, change.terms, change, report.seq, report.time, report.time)
    return None


def as_left(parts: list[ExecutionReport], order: dict[str, Any]) -> dict[str, Any]:
    """The order with the changes that the parts of a report made to it."""
    for report in parts:
        for change in report.orders:
            if change.order_id == order["order_id"]:
                return changed_answer(order, change, report.seq, report.time)
    return order


def fingerprint_of(order: PlaceOrder | ReplaceOrder, market: Market) -> int:
    """The fingerprint by which the engine compares orders under one key."""
    core = to_core(order, market.scale)
    if isinstance(core, Replace):
        return core.new.fingerprint
    assert isinstance(core, Place), "it places an order"
    return core.fingerprint


class _Use(NamedTuple):
    """The time of a key's first use: the seq of its market then, and ms since the epoch."""

    seq: int
    time_ms: int


def _first_use(gateway: Gateway, order_id: str, known: Known) -> _Use:
    pending = gateway.pending.get(order_id)
    if known.time_ms or pending is None:
        return _Use(known.seq, known.time_ms)
    return _Use(pending.seq, pending.time_ms)


def _now(market: Market) -> _Use:
    return _Use(market.seq, time_ns() // 1_000_000)


def _verdict(is_the_same: bool) -> Earlier:
    return Earlier.SAME if is_the_same else Earlier.OTHER


async def _compare(
    gateway: Gateway, order: PlaceOrder, market: Market, time_ms: int, status: str, known: Known
) -> Earlier:
    """Compare the order with the one of the same id that came at `time_ms`; a finished one counts for KEPT_S only."""
    now = _now(market)
    if status not in OPEN and now.time_ms - time_ms > KEPT_S * 1000:
        await _require_remembered(gateway, market, now)
        return Earlier.NOTHING
    try:
        command = await gateway.log.placing(order, time_ms)
    except Unreadable as error:
        if known.seen in (Seen.REPEAT, Seen.CONFLICT):
            return _verdict(known.seen is Seen.REPEAT)
        raise _unknown() from error
    return _verdict(fingerprint_of(command, market) == fingerprint_of(order, market))


async def _require_remembered(gateway: Gateway, market: Market, since: _Use) -> None:
    """Raise Refused unless the engine certainly remembers every key used since then. A command may take two ids."""
    if not gateway.feed.is_ready:
        raise _unknown()
    listing, now = market.listing, _now(market)
    try:
        end = await gateway.log.end_of_orders(listing.instrument)
    except Unreadable as error:
        raise _unknown() from error
    commands = now.seq - since.seq + end - gateway.feed.reported_below(listing.instrument)
    if 2 * commands >= listing.id_window_count or now.time_ms - since.time_ms >= listing.id_window_ms:
        raise _unknown()


def _unknown() -> Refused:
    sentence = "this key was used before, and its outcome is not known at present; repeat the request later"
    return Refused("history_unavailable", sentence, RETRY_SOON_S)
