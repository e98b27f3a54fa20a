"""Fees over HTTP: what fills of an instrument cost, and setting it."""

from typing import Any
from uuid import uuid4

from aiohttp import web
from msgspec import to_builtins

from app.models.commands import FeeRates, SetInstrumentFees
from app.models.http import decode_fees
from web.edge.answers import answer
from web.edge.callers import Caller, caller_of
from web.edge.reading import body_of, decoded, header_key, parameters
from web.hosting import GATEWAY
from web.rest.changing import refusal
from web.trading.carrying_out import carry_out

MAX_FEES_BYTES = 256 * 1024  # 1,000 clients with the longest names


async def list_fees(request: web.Request) -> web.StreamResponse:
    """The rates of every instrument; of the clients with rates of their own, those that the caller may see."""
    parameters(request)
    markets, caller = request.app[GATEWAY].feed.markets, caller_of(request)
    return answer([_shown(name, markets[name].fees, markets[name].fees_seq, caller) for name in sorted(markets)])


async def set_fees(request: web.Request) -> web.StreamResponse:
    """The rates that hold for all later fills; they replace all rates of the instrument."""
    parameters(request)
    gateway, instrument = request.app[GATEWAY], request.match_info["instrument"]
    fees = decoded(decode_fees, await body_of(request, MAX_FEES_BYTES), is_flat=False)
    gateway.market(instrument)
    key = header_key(request) or uuid4().hex
    command = SetInstrumentFees(instrument=instrument, command_id=key, fees=fees)
    parts = await carry_out(gateway, command, None, key)
    if parts is None:
        return answer({"instrument": instrument}, 202)
    first = parts[0]
    if first.reason is not None:
        raise refusal(first.reason)
    assert first.fees is not None, "an accepted set_fees reports its rates"
    return answer(_shown(instrument, first.fees, first.seq, caller_of(request)))


def _shown(instrument: str, fees: FeeRates, seq: int | None, caller: Caller) -> dict[str, Any]:
    clients = {name: to_builtins(rates) for name, rates in fees.clients.items() if caller.sees(name)}
    return {"instrument": instrument, "maker": fees.maker, "taker": fees.taker, "clients": clients, "seq": seq}
