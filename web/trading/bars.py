"""Bars of a market: what Postgres has recorded, and over it the latest updates, so that streams are never ahead."""

import asyncio

from app.analytics.intervals import Interval
from app.models.candles import Candle
from app.postgres import bars as recorded
from web.gateway import Gateway
from web.market.bars import MarketBars
from web.refused import RETRY_SOON_S, Refused
from web.trading.recorded import BEHIND, FIRST_PAUSE_S, LONGEST_PAUSE_S, PATIENCE_S, ask_history


async def newest_candles(
    gateway: Gateway,
    instrument: str,
    interval: Interval,
    from_ms: int,
    to_ms: int,
    limit: int,
    all_recorded: bool = False,
) -> recorded.Recorded:
    """The newest `limit` bars that open at or after one time and before another, newest first; raises Refused.

    `all_recorded`: wait until Postgres has everything that this gateway has, for those who ask it for more.
    """
    bars, loop, pause_s = gateway.bars.of(instrument), asyncio.get_running_loop(), FIRST_PAUSE_S
    needed = bars.seq if all_recorded else bars.first_seq - 1
    give_up = loop.time() + PATIENCE_S
    while True:
        question = recorded.candles(gateway.reader, instrument, interval, from_ms, to_ms, limit)
        found = await ask_history(question)
        if found.seq >= max(needed, bars.first_seq - 1):
            return _with_latest(found, bars, interval, from_ms, to_ms, limit)
        if loop.time() > give_up:
            raise Refused("history_behind", BEHIND, RETRY_SOON_S)
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _with_latest(
    found: recorded.Recorded, bars: MarketBars, interval: Interval, from_ms: int, to_ms: int, limit: int
) -> recorded.Recorded:
    by_time: dict[int, Candle] = {candle.open_time: candle for candle in found.candles}
    for update in bars.after(found.seq):
        for candle in update.bars:
            if candle.interval is interval and from_ms <= candle.open_time < to_ms:
                by_time[candle.open_time] = candle
    newest = [by_time[open_ms] for open_ms in sorted(by_time, reverse=True)[:limit]]
    return recorded.Recorded(max(found.seq, bars.seq), max(found.time_ms, bars.time_ms), newest)
