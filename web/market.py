"""Market data over HTTP and WebSocket: books, trades, instruments."""

from aiohttp import web

from app.matching.words import Reason, Side
from app.models.http import rfc3339
from web.answers import RETRY_SOON, answer, asked
from web.books import MAX_TRADES, Market, recent_trades
from web.gateway import GATEWAY
from web.problems import Problem
from web.requests import MAX_LIMIT, MAX_PAGE, identifier, malformed, number, parameters

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
    """Trades newest first: by `page` recent ones from memory, older ones and those by `cursor` from Postgres."""
    given = parameters(request, "instrument", "limit", "page", "cursor")
    gateway = request.app[GATEWAY]
    limit, page = number(given, "limit", DEFAULT_TRADES, MAX_LIMIT), number(given, "page", 1, MAX_PAGE)
    markets = [_listed(request, given)] if "instrument" in given else gateway.feed.markets.values()
    first = (page - 1) * limit
    if "cursor" not in given and first < MAX_TRADES and gateway.feed.is_ready:
        recent = recent_trades(markets, first, limit)
        if recent is not None:
            return answer(recent)
    found = await asked(
        gateway.history.trades(instrument=given.get("instrument"), limit=limit, page=page, cursor=given.get("cursor"))
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
        raise malformed("instrument", "is required")
    instrument = identifier("instrument", given["instrument"])
    feed = request.app[GATEWAY].feed
    market = feed.markets.get(instrument)
    if market is None and not feed.is_ready:
        raise Problem(503, "not_ready", "this gateway is still reading the market", RETRY_SOON)
    if market is None:
        raise Problem(404, Reason.UNKNOWN_INSTRUMENT, f"{instrument} is not listed")
    return market
