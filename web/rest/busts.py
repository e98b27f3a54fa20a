"""Busts over HTTP: canceling an erroneous trade."""

from uuid import uuid4

from aiohttp import web

from app.matching.words import Reason
from app.models.commands import BustTrade
from app.models.fees import instrument_of_trade
from app.models.http import decode_bust, rfc3339
from web.edge.answers import answer
from web.edge.problems import Problem
from web.edge.reading import body_of, decoded, header_key, parameters
from web.hosting import GATEWAY
from web.rest.changing import refusal
from web.trading.carrying_out import carry_out

MAX_TRADE_ID = 100


async def bust_trade(request: web.Request) -> web.StreamResponse:
    """The trade, canceled: the ledger returns its money and its fees, its orders stay as they are."""
    parameters(request)
    gateway, trade_id = request.app[GATEWAY], request.match_info["trade_id"]
    reason = decoded(decode_bust, await body_of(request)).reason
    instrument = instrument_of_trade(trade_id)
    if instrument not in gateway.feed.markets or len(trade_id) > MAX_TRADE_ID:
        raise _unknown(trade_id)
    key = header_key(request) or uuid4().hex
    command = BustTrade(instrument=instrument, command_id=key, trade_id=trade_id, reason=reason)
    parts = await carry_out(gateway, command, None, key)
    if parts is None:
        return answer({"trade_id": trade_id}, 202)
    first = parts[0]
    if first.reason is Reason.UNKNOWN_TRADE:
        raise _unknown(trade_id)
    if first.reason is Reason.TRADE_BUSTED:
        raise Problem(409, first.reason, "the trade is busted already")
    if first.reason is not None:
        raise refusal(first.reason)
    assert first.bust is not None, "an accepted bust names its trade"
    busted = {"trade_id": trade_id, "instrument": instrument, "seq": first.seq}
    return answer(busted | {"busted_at": rfc3339(first.time), "reason": first.bust.reason})


def _unknown(trade_id: str) -> Problem:
    return Problem(404, Reason.UNKNOWN_TRADE, f"no trade {trade_id[:MAX_TRADE_ID]}")
