"""The invariants of bars and tickers (A1 to A4, A6) on random histories, against the naive definition."""

from collections import defaultdict
from functools import reduce
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.analytics import history
from app.analytics.bars import bar_of, joined
from app.analytics.intervals import INTERVALS, LENGTH_MS, Interval, open_time
from app.analytics.market import SLICE_MS, BarState, Market, Report, TickerState
from app.naive import candles as naive
from tests.analytics.markets import Run, carry, histories, naive_busts, naive_trades, times

thorough = settings(max_examples=100, deadline=None)
Bars = dict[tuple[Interval, int], BarState]


@pytest.fixture(autouse=True, scope="module")
def _small_blocks() -> Any:
    """Blocks of a few trades, so that short histories complete many."""
    with patch.object(history, "BLOCK", 4):
        yield


def _shown(run: Run, count: int | None = None) -> Bars:
    """What a reader has after these updates: the latest state of each bar."""
    found: Bars = {}
    for update in run.updates[:count]:
        if update is not None:
            found |= {(state.interval, state.open_ms): state for state in update.bars}
    return found


def _now(run: Run) -> Bars:
    """What a reader would have after an update now: the bars it has, and the open ones of the market."""
    return _shown(run) | {(state.interval, state.open_ms): state for state in run.market.bars()}


def _figures(state: BarState) -> dict[str, Any]:
    bar = state.bar._asdict() if state.bar else naive.figures([])
    close_time = state.open_ms + LENGTH_MS[state.interval] - 1
    return bar | {"close_time": close_time, "seq": state.seq, "closed": state.closed, "revision": state.revision}


def _ticker(state: TickerState) -> dict[str, Any]:
    bar = state.bar._asdict() if state.bar else naive.figures([])
    vwap = None if state.bar is None else naive.Fraction(state.bar.quote_volume, state.bar.volume)
    change = None if state.bar is None else state.bar.close - state.bar.open
    last = state.last and state.last.price
    times = {"open_time": state.open_ms, "close_time": state.time_ms}
    return bar | times | {"last": last, "vwap": vwap, "price_change": change}


@thorough
@given(histories())
def test_a_bar_is_the_fold_of_the_trades_it_names(reports: list[Report]) -> None:
    """A1, with seq, closed and revision: all bars equal those of the naive definition."""
    right = naive.bars(naive_trades(reports), naive_busts(reports), times(reports))
    found = _now(carry(reports))
    assert {(interval.value, begin): _figures(state) for (interval, begin), state in found.items()} == right


@thorough
@given(histories(most=25))
def test_each_update_has_the_bars_and_the_ticker_of_its_seq(reports: list[Report]) -> None:
    """A reader is at the naive state of the seq that it was told last, and knows from prev_seq what it missed."""
    run, seen = carry(reports), 0
    for count, update in enumerate(run.updates, 1):
        if update is None:
            continue
        assert (update.prev_seq, update.seq) == (seen, reports[count - 1].seq)
        seen = update.seq
        trades, busts = naive_trades(reports[:count]), naive_busts(reports[:count])
        shown = {(interval.value, begin): _figures(state) for (interval, begin), state in _shown(run, count).items()}
        assert shown == naive.bars(trades, busts, times(reports[:count]))
        assert _ticker(update.ticker) == naive.ticker(trades, busts, reports[count - 1].time_ms)


@thorough
@given(histories())
def test_the_bars_of_an_interval_add_up_to_all_trades(reports: list[Report]) -> None:
    """A2: volumes and numbers of trades."""
    busts = naive_busts(reports)
    left = [trade for report in reports for trade in report.trades if trade.seq not in busts]
    sums: dict[Interval, list[int]] = defaultdict(lambda: [0, 0, 0])
    for (interval, _), state in _now(carry(reports)).items():
        if state.bar is not None:
            figures = state.bar.trades, state.bar.volume, state.bar.quote_volume
            sums[interval] = [a + b for a, b in zip(sums[interval], figures, strict=True)]
    expected = [len(left), sum(t.quantity for t in left), sum(t.price * t.quantity for t in left)]
    assert all(sums[interval] == expected for interval in INTERVALS)


@thorough
@given(histories())
def test_fine_bars_fold_into_coarse_ones(reports: list[Report]) -> None:
    """A3, for each pair of intervals of which one is a part of the other."""
    found = _now(carry(reports))
    for fine in INTERVALS:
        for coarse in INTERVALS:
            if LENGTH_MS[coarse] % LENGTH_MS[fine]:
                continue
            groups: dict[int, list[BarState]] = defaultdict(list)
            for (interval, begin), state in sorted(found.items()):
                if interval is fine:
                    groups[open_time(coarse, begin)].append(state)
            for begin, states in groups.items():
                assert reduce(joined, [state.bar for state in states], None) == found[coarse, begin].bar


@thorough
@given(histories())
def test_a_closed_bar_changes_only_by_a_bust(reports: list[Report]) -> None:
    """A4: and then its revision rises by one; it never opens again."""
    run, closed = carry(reports), Bars()
    for report, update in zip(run.reports, run.updates, strict=True):
        for state in update.bars if update else ():
            key = state.interval, state.open_ms
            if key in closed:
                assert report.bust is not None and state.closed
                assert state.revision == closed[key].revision + 1
            if state.closed:
                assert state.open_ms + LENGTH_MS[state.interval] <= report.time_ms
                closed[key] = state


@thorough
@given(histories())
def test_readers_wait_for_a_slice_of_the_logs_time_at_most(reports: list[Report]) -> None:
    """Trades are held back only for reports less than a slice after the last update; busts and closings never."""
    run, shown_ms, waits = carry(reports), 0, False
    for report, update in zip(run.reports, run.updates, strict=True):
        waits = waits or bool(report.trades)
        if update is None:
            assert report.bust is None
            assert not waits or report.time_ms - shown_ms < SLICE_MS
        else:
            shown_ms, waits = report.time_ms, False
    assert run.market.waits == waits


@thorough
@given(histories(), st.data())
def test_a_restored_market_says_what_the_first_one_says(reports: list[Report], data: st.DataObject) -> None:
    """A6, from any snapshot: the state and the blocks hold everything."""
    straight = carry(reports)
    cut = data.draw(st.integers(0, len(reports)))
    before = carry(reports[:cut])
    sums = tuple(history.sum_of(before.blocks[number]) for number in sorted(before.blocks))
    again = Market(before.blocks.__getitem__, before.market.freeze(), sums)
    after = carry(reports[cut:], again, before.blocks)
    assert before.updates + after.updates == straight.updates
    assert after.market.freeze() == straight.market.freeze()
    assert after.blocks == straight.blocks


@thorough
@given(st.sampled_from(INTERVALS), st.integers(0, 2**41))
def test_a_bar_begins_where_the_definition_says(interval: Interval, time_ms: int) -> None:
    """UTC, weeks from Monday."""
    assert open_time(interval, time_ms) == naive.opened(interval.value, time_ms)


def test_an_empty_fold_is_no_bar() -> None:
    """There is nothing to show."""
    assert bar_of(()) is None
    assert joined(None, None) is None
