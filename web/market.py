"""Market data over HTTP and WebSocket: books, trades, instruments."""

from aiohttp import web

from app.matching.words import Reason, Side
from app.models.http import rfc3339
from web.books import Market, recent_trades
from web.gateway import GATEWAY
from web.orders import MAX_LIMIT, answer, asked
from web.problems import Problem
from web.requests import MAX_PAGE, identifier, number, parameters

DEFAULT_TRADES = 50
DEFAULT_LEVELS = 20
MAX_LEVELS = 1_000


async def get_orderbook(request: web.Request) -> web.StreamResponse:
    """The best levels of both sides, best first."""
    given = parameters(request, "instrument", "levels")
    market = _listed(request, given)
    levels = number(given, "levels", DEFAULT_LEVELS, MAX_LEVELS)
    return answer(
        {
            "instrument": market.listing.instrument,
            "seq": market.seq,
            "time": rfc3339(market.time_ms),
            "bids": market.depth(Side.BUY, levels),
            "asks": market.depth(Side.SELL, levels),
        }
    )


async def list_trades(request: web.Request) -> web.StreamResponse:
    """Trades newest first: the recent ones of an instrument from memory, others from Postgres."""
    given = parameters(request, "instrument", "limit", "page", "cursor")
    gateway, instrument = request.app[GATEWAY], given.get("instrument")
    limit, page = number(given, "limit", DEFAULT_TRADES, MAX_LIMIT), number(given, "page", 1, MAX_PAGE)
    if instrument is not None:
        _listed(request, given)
        if "cursor" not in given:
            recent = recent_trades(gateway.feed.markets, instrument, (page - 1) * limit, limit)
            if recent is not None:
                return answer(recent)
    found = await asked(
        gateway.history.trades(instrument=instrument, limit=limit, page=page, cursor=given.get("cursor"))
    )
    if "cursor" in given:
        return answer({"trades": found.rows, "next_cursor": found.next_cursor})
    return answer(found.rows)


async def list_instruments(request: web.Request) -> web.StreamResponse:
    """Every listed instrument with its rules and status."""
    parameters(request)
    markets = request.app[GATEWAY].feed.markets
    return answer([markets[name].answer() for name in sorted(markets)])


async def trade_stream(request: web.Request) -> web.StreamResponse:
    """`/ws/trades`: one trade a text frame, of one instrument or of all."""
    given = parameters(request, "instrument")
    if "instrument" in given:
        _listed(request, given)
    return await request.app[GATEWAY].hub.serve(request, given.get("instrument"))


def _listed(request: web.Request, given: dict[str, str]) -> Market:
    if "instrument" not in given:
        raise Problem(400, "malformed_request", "the parameter instrument is required")
    instrument = identifier("instrument", given["instrument"])
    market = request.app[GATEWAY].feed.markets.get(instrument)
    if market is None:
        raise Problem(404, Reason.UNKNOWN_INSTRUMENT, f"{instrument} is not listed")
    return market
