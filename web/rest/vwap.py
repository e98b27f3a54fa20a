"""The volume-weighted average price over HTTP, of any span of time (docs/ANALYTICS.md)."""

from aiohttp import web
from msgspec import to_builtins

from app.models.http import LARGEST_TIME_MS, rfc3339
from app.models.vwap import Vwap, lots_and_notional
from app.postgres.sums import MAX_SUMMED_TRADES, TooManyTrades, trade_sums
from web.edge.answers import answer
from web.edge.reading import instant, invalid, parameters
from web.hosting import GATEWAY
from web.rest.market_data import listed
from web.trading.recorded import ask_history, require_seqs


async def get_vwap(request: web.Request) -> web.StreamResponse:
    """The average price of the trades from `from` to before `to`, weighted by quantity, without busted ones.

    The sums in the answer are exact, and their quotient is rounded once. At most 1,000,000 trades: 422 beyond.
    """
    given, gateway = parameters(request, "instrument", "from", "to"), request.app[GATEWAY]
    market = listed(request, given)
    instrument, seq, scale = market.listing.instrument, market.seq, market.scale
    from_ms, to_ms = instant(given, "from"), instant(given, "to")
    if from_ms is not None and to_ms is not None and to_ms <= from_ms:
        raise invalid("to", "must be after from")
    await require_seqs(gateway, {instrument: seq})
    span = from_ms or 0, LARGEST_TIME_MS if to_ms is None else to_ms
    try:
        trades, volume, quote_volume = await ask_history(trade_sums(gateway.reader, instrument, seq, *span))
    except TooManyTrades as error:
        sentence = f"must be nearer to from: the span has more than {MAX_SUMMED_TRADES:,} trades"
        raise invalid("to", sentence) from error
    lots, notional = lots_and_notional(volume, quote_volume, scale)
    found = Vwap(
        instrument,
        seq,
        None if from_ms is None else rfc3339(from_ms),
        None if to_ms is None else rfc3339(to_ms),
        trades,
        scale.volume(lots),
        scale.amount(notional),
        scale.average_price(notional, lots) if lots else None,
    )
    return answer(to_builtins(found))
