"""Market data over HTTP: books, trades, instruments."""

from collections.abc import Awaitable
from functools import partial
from typing import Any

from aiohttp import web

from app.matching.words import Side
from app.models.http import rfc3339
from app.postgres import Page, RowKey
from web.edge.answers import answer
from web.edge.callers import Caller, caller_of
from web.edge.reading import identifier, malformed, number, parameters
from web.hosting import GATEWAY
from web.market.books import OF_THE_CLIENTS, Market, recent_trades
from web.rest.lists import answer_list, wanted
from web.trading.recorded import require

DEFAULT_TRADES = 50
DEFAULT_LEVELS = 20
MAX_LEVELS = 1_000


async def get_orderbook(request: web.Request) -> web.StreamResponse:
    """The best levels of both sides, best first; the checksum covers ten of each, whatever `levels` is."""
    given = parameters(request, "instrument", "levels")
    market = listed(request, given)
    levels = number(given, "levels", DEFAULT_LEVELS, MAX_LEVELS)
    return answer(
        {
            "instrument": market.listing.instrument,
            "seq": market.seq,
            "time": rfc3339(market.time_ms),
            "bids": market.depth(Side.BUY, levels),
            "asks": market.depth(Side.SELL, levels),
            "checksum": market.checksum(),
        }
    )


async def list_trades(request: web.Request) -> web.StreamResponse:
    """Trades newest first, by `page` or `cursor`: recent ones from memory, older ones from Postgres.

    A client sees the fees that it paid itself.
    """
    given = parameters(request, "instrument", "limit", "page", "cursor")
    gateway = request.app[GATEWAY]
    instrument = given.get("instrument")
    market = None if instrument is None else listed(request, given)
    markets = list(gateway.feed.markets.values()) if market is None else [market]

    def ask_recorded(below: RowKey | None, skip: int, limit: int) -> Awaitable[Page]:
        return gateway.history.trades(instrument=instrument, below=below, skip=skip, limit=limit)

    page, recent, shown = wanted(given, DEFAULT_TRADES), recent_trades(markets), partial(as_seen, caller_of(request))
    return await answer_list("trades", page, recent, partial(require, gateway), ask_recorded, market, shown)


async def list_instruments(request: web.Request) -> web.StreamResponse:
    """Every listed instrument with its rules and status."""
    parameters(request)
    markets = request.app[GATEWAY].feed.markets
    return answer([markets[name].answer() for name in sorted(markets)])


def as_seen(caller: Caller, trade: dict[str, Any]) -> dict[str, Any]:
    """The trade as this caller may see it: the fee of each side that it is on, and nobody's name."""
    buyer, seller, buyer_fee, seller_fee = [trade.pop(name) for name in OF_THE_CLIENTS]
    if trade.get("busted_at") is None:
        trade.pop("busted_at", None)
    if caller.sees(buyer):
        trade["buyer_fee"] = buyer_fee
    if caller.sees(seller):
        trade["seller_fee"] = seller_fee
    return trade


def listed(request: web.Request, given: dict[str, str]) -> Market:
    """The market of the parameter `instrument`, which is required; raises 400, and Refused."""
    if "instrument" not in given:
        raise malformed("instrument", "is required")
    return request.app[GATEWAY].market(identifier("instrument", given["instrument"]))
