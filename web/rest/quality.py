"""Market quality over HTTP: spread, depth, imbalance and cost of a book, and orders per trade (docs/ANALYTICS.md)."""

from collections.abc import Iterator

from aiohttp import web
from msgspec import to_builtins

from app.analytics.quality import Level, cost_of, quality_of
from app.matching.words import Side
from app.models.decimals import InvalidDecimal, units
from app.models.http import rfc3339
from app.models.quality import CostOfSize, MarketQuality, activity, cost_message, depth_messages, ratio_text
from web.edge.answers import answer
from web.edge.reading import identifier, invalid, malformed, parameters
from web.hosting import GATEWAY
from web.market.books import Market
from web.trading.recorded import ask_history, require_seqs

ACTIVITY_REPORTS = 10_000
"""Orders and trades are counted in the latest reports, so that a count costs milliseconds."""


async def get_quality(request: web.Request) -> web.StreamResponse:
    """The quality of a market after the report `seq`: equal books give equal figures.

    From the book in memory; orders and trades, of the latest 10,000 reports, are counted in Postgres.
    """
    given, gateway = parameters(request, "size"), request.app[GATEWAY]
    market = gateway.market(identifier("instrument", request.match_info["instrument"]))
    size = _size(given, market)
    found = _of_book(market, size)
    after_seq = max(0, found.seq - ACTIVITY_REPORTS)
    await require_seqs(gateway, {found.instrument: found.seq})
    counts = await ask_history(gateway.history.activity(found.instrument, after_seq, found.seq))
    found.orders_to_trades = activity(after_seq, *counts)
    return answer(to_builtins(found))


def _of_book(market: Market, size: int | None) -> MarketQuality:
    """The figures of the book as it is now."""
    scale = market.scale
    quality = quality_of(_levels(market, Side.BUY), _levels(market, Side.SELL))
    cost = None
    if size is not None:
        buy, sell = (cost_of(size, _levels(market, against)) for against in (Side.SELL, Side.BUY))
        cost = CostOfSize(
            scale.quantity(size), cost_message(buy, quality, True, scale), cost_message(sell, quality, False, scale)
        )
    bid, ask = quality.bid, quality.ask
    return MarketQuality(
        market.listing.instrument,
        market.seq,
        rfc3339(market.time_ms),
        None if bid is None else scale.price(bid),
        None if ask is None else scale.price(ask),
        None if bid is None or ask is None else scale.price(ask - bid),
        ratio_text(quality.spread_bps),
        depth_messages(quality, scale),
        ratio_text(quality.imbalance),
        cost,
        activity(market.seq, 0, 0),
    )


def _levels(market: Market, side: Side) -> Iterator[Level]:
    tick, lot = market.scale.tick_size, market.scale.lot_size
    return ((units(level.price) // tick, units(level.quantity) // lot) for level in market.book.best_first(side))


def _size(given: dict[str, str], market: Market) -> int | None:
    """The size in lots, None if it is not given; raises 400 and 422."""
    if "size" not in given:
        return None
    try:
        lots = market.scale.lots(given["size"])
    except InvalidDecimal as error:
        raise malformed("size", f"is {error}") from error
    if not lots:
        raise invalid("size", f"must be a multiple of the lot size, {market.scale.quantity(1)}, and more than 0")
    return lots
