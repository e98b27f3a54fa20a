"""TradingView's UDF protocol over HTTP, so that a stock chart client works with this venue (docs/ANALYTICS.md).

The protocol has its own form for refusals: status 200 and `{"s": "error", "errmsg": …}`. A client that is refused for
its API key, or sends what is no parameter, gets a problem like everybody.
"""

import time
from typing import Any

from aiohttp import web

from app.analytics.intervals import Interval
from app.models.candles import Candle
from app.models.http import LARGEST_TIME_MS
from app.models.udf import (
    NoBars,
    UdfError,
    bars,
    configuration,
    encode,
    found_symbol,
    interval_of,
    symbol_info,
    symbol_of,
)
from web.edge.answers import JSON
from web.edge.reading import malformed, number, parameters
from web.gateway import Gateway
from web.hosting import GATEWAY
from web.trading.bars import newest_candles

DEFAULT_FOUND = 30
MAX_FOUND = 1_000
MAX_UDF_TEXT = 128
MAX_BARS = 5_000
LEAST_PAGE = 100
"""Bars that we read at once, so that a market with thousands of emptied bars costs some questions, not thousands."""
LARGEST_S = LARGEST_TIME_MS // 1000


async def get_config(request: web.Request) -> web.StreamResponse:
    """What the datafeed supports: resolutions, search, the time."""
    parameters(request)
    return _answer(configuration())


async def get_symbol(request: web.Request) -> web.StreamResponse:
    """A market by its name: its price step, session and resolutions."""
    given = _texts(request, "symbol", "currencyCode", "unitId")
    market = request.app[GATEWAY].feed.markets.get(symbol_of(given.get("symbol", "")))
    return _answer(UdfError("unknown_symbol") if market is None else symbol_info(market.listing))


async def search_symbols(request: web.Request) -> web.StreamResponse:
    """The markets whose name or assets contain `query`, in any letter case, by name."""
    given = _texts(request, "query", "type", "exchange", "limit")
    most = number(given, "limit", DEFAULT_FOUND, MAX_FOUND)
    wanted, markets = given.get("query", "").upper(), request.app[GATEWAY].feed.markets
    symbols = [found_symbol(markets[name].listing) for name in sorted(markets)]
    found = [symbol for symbol in symbols if wanted in f"{symbol.full_name} {symbol.description}".upper()]
    for member in ("type", "exchange"):
        found = [symbol for symbol in found if given.get(member, "") in ("", getattr(symbol, member))]
    return _answer(found[:most])


async def get_history(request: web.Request) -> web.StreamResponse:
    """Bars of a market from `from` to before `to`, in seconds, oldest first; with `countback` so many before `to`.

    Without any: `no_data`, and when the newest bar before that time opens.
    """
    given = _texts(request, "symbol", "resolution", "from", "to", "countback", "currencyCode", "unitId")
    gateway = request.app[GATEWAY]
    name, interval = symbol_of(given.get("symbol", "")), interval_of(given.get("resolution", ""))
    to_s, from_s = number(given, "to", LARGEST_S, LARGEST_S, least=0), number(given, "from", 0, LARGEST_S, least=0)
    most = number(given, "countback", MAX_BARS, MAX_BARS)
    if "countback" in given:
        from_s = 0
    if name not in gateway.feed.markets:
        return _answer(UdfError("unknown_symbol"))
    if interval is None:
        return _answer(UdfError("unknown resolution: /udf/config has those that there are"))
    found = await _newest_traded(gateway, name, interval, from_s * 1000, to_s * 1000, most + 1)
    if len(found) > most and "countback" not in given:
        return _answer(UdfError(f"more than {MAX_BARS} bars: ask for a shorter time, or send countback"))
    if found:
        return _answer(bars(found[:most][::-1]))
    earlier = await _newest_traded(gateway, name, interval, 0, from_s * 1000, 1)
    return _answer(NoBars(earlier[0].open_time // 1000) if earlier else NoBars())


async def get_time(request: web.Request) -> web.StreamResponse:
    """This server's time, in seconds since the epoch, as plain text."""
    parameters(request)
    return web.Response(text=str(int(time.time())))


async def _newest_traded(
    gateway: Gateway, instrument: str, interval: Interval, from_ms: int, to_ms: int, limit: int
) -> list[Candle]:
    """The newest `limit` bars that have trades, newest first: the protocol has no bar for those that busts emptied."""
    traded, page = list[Candle](), max(limit, LEAST_PAGE)
    while len(traded) < limit:
        found = (await newest_candles(gateway, instrument, interval, from_ms, to_ms, page)).candles
        traded += [candle for candle in found if candle.trades]
        if len(found) < page:
            break
        to_ms = found[-1].open_time
    return traded[:limit]


def _texts(request: web.Request, *allowed: str) -> dict[str, str]:
    """The parameters, none longer than any that a client has; raises 400."""
    given = parameters(request, *allowed)
    for name, text in given.items():
        if len(text) > MAX_UDF_TEXT:
            raise malformed(name, f"has more than {MAX_UDF_TEXT} characters")
    return given


def _answer(body: Any) -> web.Response:
    return web.Response(body=encode(body), content_type=JSON)
