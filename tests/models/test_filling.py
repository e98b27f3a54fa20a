"""`fill=previous`: a bar for every time, flat at the close before it (app/models/filling.py)."""

from itertools import pairwise

from app.analytics.intervals import INTERVALS, LENGTH_MS, Interval, open_time
from app.models.candles import Candle, candle, update_message
from app.models.decimals import Scale
from app.models.filling import filled
from tests.analytics.markets import carry, history_of

SCALE = Scale(1_000_000, 10_000)


def bars_of(seed: int, interval: Interval) -> tuple[list[Candle], int]:
    """The bars of a market with trades, busts and quiet times, oldest first, and the log's time."""
    run, newest = carry(history_of(seed, 80)), dict[int, Candle]()
    for update in run.updates:
        for bar in update_message("X", update, SCALE).bars if update else ():
            newest |= {bar.open_time: bar} if bar.interval is interval else {}
    newest |= {state.open_ms: candle(state, SCALE) for state in run.market.bars() if state.interval is interval}
    return [newest[open_ms] for open_ms in sorted(newest)], run.market.time_ms


def test_every_time_has_a_bar_and_those_of_trades_are_as_they_were() -> None:
    """Open, high, low and close of the others are the close before them, their sums 0; nothing before the first."""
    for seed in range(6):
        for interval in INTERVALS[4:]:
            bars, time_ms = bars_of(seed, interval)
            if not any(bar.trades for bar in bars):
                continue
            length, last_ms = LENGTH_MS[interval], open_time(interval, time_ms)
            first_ms = bars[0].open_time - 3 * length
            found = filled(bars, None, interval, first_ms, last_ms, time_ms, SCALE)
            traded = [bar for bar in bars if bar.trades]
            times = [bar.open_time for bar in found]

            assert times == list(range(traded[0].open_time, last_ms + 1, length))
            assert [bar for bar in found if bar.trades] == traded
            for before, bar in pairwise(found):
                if not bar.trades:
                    assert {bar.open, bar.high, bar.low, bar.close} == {before.close}
                    assert (bar.volume, bar.quote_volume, bar.taker_buy_volume) == ("0.0000", "0.000000", "0.0000")
                    assert (bar.close_time, bar.closed) == (bar.open_time + length - 1, bar.close_time < time_ms)


def test_a_page_continues_from_the_close_before_it() -> None:
    """Whatever part of the time is asked for, its bars are those of the whole."""
    bars, time_ms = bars_of(3, Interval.H4)
    length, last_ms = LENGTH_MS[Interval.H4], open_time(Interval.H4, time_ms)
    whole = filled(bars, None, Interval.H4, bars[0].open_time, last_ms, time_ms, SCALE)
    for first_ms in range(whole[1].open_time, last_ms, 5 * length):
        end_ms = min(first_ms + 4 * length, last_ms)
        previous = next(bar for bar in reversed(bars) if bar.open_time < first_ms and bar.trades)
        part = filled(
            [bar for bar in bars if bar.open_time >= first_ms],
            previous,
            Interval.H4,
            first_ms,
            end_ms,
            time_ms,
            SCALE,
        )
        assert part == [bar for bar in whole if first_ms <= bar.open_time <= end_ms]
