"""Bars for times without trades: flat, at the close before them (docs/ANALYTICS.md, `fill=previous`). Pure."""

from collections.abc import Iterable

from msgspec.structs import replace

from app.analytics.intervals import LENGTH_MS, Interval
from app.models.candles import Candle
from app.models.decimals import Scale


def filled(
    candles: Iterable[Candle],
    previous: Candle | None,
    interval: Interval,
    first_ms: int,
    last_ms: int,
    time_ms: int,
    scale: Scale,
) -> list[Candle]:
    """A bar for every time from `first_ms` to `last_ms`, oldest first, from the first that has a close before it.

    `candles`: those that there are, in any order; `previous`: the newest one with trades before them. `time_ms`: the
    log's time, which closes the filled bars.
    """
    known, found = {candle.open_time: candle for candle in candles}, list[Candle]()
    for open_ms in range(first_ms, last_ms + 1, LENGTH_MS[interval]):
        candle = known.get(open_ms)
        if candle is not None and candle.trades:
            previous = candle
            found.append(candle)
        elif previous is not None and previous.close is not None:
            flat = candle or _empty(interval, open_ms, previous.seq, time_ms, scale)
            close = previous.close
            found.append(replace(flat, open=close, high=close, low=close, close=close))
    return found


def _empty(interval: Interval, open_ms: int, seq: int, time_ms: int, scale: Scale) -> Candle:
    """A bar of no trades; its seq is that of the bar whose close it continues."""
    close_ms, nothing, no_amount = open_ms + LENGTH_MS[interval] - 1, scale.volume(0), scale.amount(0)
    return Candle(
        *(interval, open_ms, close_ms, None, None, None, None, nothing, no_amount, 0, nothing, no_amount),
        *(None, None, seq, close_ms < time_ms, 0),
    )
