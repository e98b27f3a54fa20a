"""Bars and tickers over HTTP (docs/ANALYTICS.md)."""

from typing import Any

from aiohttp import web
from msgspec import to_builtins

from app.analytics.intervals import LENGTH_MS, Interval, open_time
from app.matching.words import Side
from app.models.bars import TickerAnswer, candle_answer, no_ticker, ticker_data
from app.models.candles import Candle, Ticker
from app.models.filling import filled
from app.models.http import LARGEST_TIME_MS
from app.postgres import RowKey, bars, cursor_of
from web.edge.answers import answer, up_to
from web.edge.reading import MAX_LIMIT, instant, invalid, malformed, number, parameters, word
from web.gateway import Gateway
from web.hosting import GATEWAY
from web.market.books import Market
from web.rest.lists import row_of_cursor
from web.rest.market_data import listed
from web.trading.bars import newest_candles
from web.trading.recorded import ask_history

DEFAULT_CANDLES = 100
PREVIOUS = "previous"


async def list_candles(request: web.Request) -> web.StreamResponse:
    """Bars of one interval that open at `from` or later and before `to`, newest first.

    An array with the header `X-Seq`, or with `cursor` an object that has the next one. `fill=previous` adds a flat bar
    for each time without trades.
    """
    given = parameters(request, "instrument", "interval", "from", "to", "limit", "cursor", "fill")
    gateway, market = request.app[GATEWAY], listed(request, given)
    if "interval" not in given:
        raise malformed("interval", f"is required: one of {', '.join(Interval)}")
    interval, limit = word(Interval, "interval", given["interval"]), number(given, "limit", DEFAULT_CANDLES, MAX_LIMIT)
    if given.get("fill", PREVIOUS) != PREVIOUS:
        raise invalid("fill", f"can only be {PREVIOUS}")
    from_ms, to_ms = instant(given, "from") or 0, instant(given, "to")
    if to_ms is not None and to_ms <= from_ms:
        raise invalid("to", "must be after from")
    below = row_of_cursor(given["cursor"]) if given.get("cursor") else None
    until_ms = min(LARGEST_TIME_MS if to_ms is None else to_ms, LARGEST_TIME_MS if below is None else below.time_ms)
    list_ = _filled if "fill" in given else _traded
    seq, candles, goes_on = await list_(gateway, market, interval, from_ms, until_ms, limit)
    rows = [to_builtins(candle_answer(candle)) for candle in candles]
    if "cursor" not in given:
        return answer(rows, headers=up_to(seq or None))
    following = cursor_of(RowKey(candles[-1].open_time, market.listing.instrument, 0)) if goes_on else None
    return answer({"candles": rows, "next_cursor": following, "seq": seq})


async def get_ticker(request: web.Request) -> web.StreamResponse:
    """The last 24 hours of one market, or of each; with the best prices of its book."""
    given, gateway = parameters(request, "instrument"), request.app[GATEWAY]
    if "instrument" in given:
        market = listed(request, given)
        return answer((await _tickers(gateway, [market]))[0])
    markets = gateway.feed.markets
    return answer(await _tickers(gateway, [markets[name] for name in sorted(markets)]))


async def _traded(
    gateway: Gateway, market: Market, interval: Interval, from_ms: int, to_ms: int, limit: int
) -> tuple[int, list[Candle], bool]:
    """The seq, the bars that there are, newest first, and whether older ones follow."""
    found = await newest_candles(gateway, market.listing.instrument, interval, from_ms, to_ms, limit + 1)
    return found.seq, found.candles[:limit], len(found.candles) > limit


async def _filled(
    gateway: Gateway, market: Market, interval: Interval, from_ms: int, to_ms: int, limit: int
) -> tuple[int, list[Candle], bool]:
    """The same with a bar for every time, up to the log's time."""
    instrument, length = market.listing.instrument, LENGTH_MS[interval]
    time_ms = max(gateway.bars.of(instrument).time_ms, market.time_ms)
    last_ms = open_time(interval, min(to_ms - 1, time_ms))
    begin_ms = open_time(interval, from_ms + length - 1)
    first_ms = max(begin_ms, last_ms - (limit - 1) * length)
    since_ms, end_ms = max(0, first_ms), last_ms + length
    found = await newest_candles(gateway, instrument, interval, since_ms, end_ms, limit, all_recorded=True)
    previous = await ask_history(bars.candle_before(gateway.reader, instrument, interval, since_ms))
    candles = filled(found.candles, previous, interval, first_ms, last_ms, found.time_ms, market.scale)
    goes_on = previous is not None and first_ms > begin_ms
    return found.seq, candles[::-1], goes_on


async def _tickers(gateway: Gateway, markets: list[Market]) -> list[Any]:
    known: dict[str, tuple[int, Ticker]] = {}
    for market in markets:
        of_market = gateway.bars.of(market.listing.instrument)
        if of_market.ticker is not None:
            known[of_market.instrument] = of_market.seq, of_market.ticker
    quiet = [market.listing.instrument for market in markets if market.listing.instrument not in known]
    if quiet:
        known |= await ask_history(bars.tickers(gateway.reader, quiet))
    return [to_builtins(_ticker(market, known.get(market.listing.instrument))) for market in markets]


def _ticker(market: Market, known: tuple[int, Ticker] | None) -> TickerAnswer:
    seq, ticker = (None, no_ticker(market.scale)) if known is None else (known[0], ticker_data(known[1]))
    bid, ask = (next(market.book.best_first(side), None) for side in Side)
    return TickerAnswer(
        **{name: getattr(ticker, name) for name in ticker.__struct_fields__},
        instrument=market.listing.instrument,
        seq=seq,
        best_bid=None if bid is None else bid.price,
        best_ask=None if ask is None else ask.price,
        book_seq=market.seq,
    )
