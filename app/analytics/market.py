"""The bars and the ticker of one market: each report in, what it changed out.

A bar closes when a report has a time at or after its end, never by a clock. An update tells readers of a trade at once
if SLICE_MS of the log's time have passed since the update before, else with the first report after that time. It tells
them of closed and restated bars at once.
"""

from collections import deque
from functools import reduce
from typing import NamedTuple

from app.analytics.bars import Bar, Trade, bar_of, joined
from app.analytics.history import History, ReadBlock, Sum
from app.analytics.intervals import DAY_MS, INTERVALS, LENGTH_MS, MINUTE_MS, Interval, minute_of, open_time

SLICE_MS = 250
_MINUTE = Interval.M1


class Report(NamedTuple):
    """What analytics needs of an execution report; `bust` is the number of the trade that it cancels."""

    seq: int
    time_ms: int
    trades: tuple[Trade, ...] = ()
    bust: int | None = None


class BarState(NamedTuple):
    """A bar of an interval after the report `seq`, which is the last that changed or closed it.

    `bar` is None if all its trades are busted. `revision` counts the busts of its trades.
    """

    interval: Interval
    open_ms: int
    bar: Bar | None
    seq: int
    revision: int
    closed: bool = False


class TickerState(NamedTuple):
    """The bar of the running minute and the 1,439 before it; `last` is the last trade, however old."""

    open_ms: int
    time_ms: int
    bar: Bar | None
    last: Trade | None


class Update(NamedTuple):
    """What readers are told: every bar that has changed after the report `prev_seq`, as it is after `seq`."""

    seq: int
    prev_seq: int
    time_ms: int
    bars: tuple[BarState, ...]
    ticker: TickerState


class MarketState(NamedTuple):
    """Everything about a market except its complete blocks of trades; immutable."""

    seq: int
    time_ms: int
    shown_seq: int
    shown_ms: int
    changed_seq: int
    open_bars: tuple[BarState, ...]
    minutes: tuple[tuple[int, Bar], ...]
    last: Trade | None
    total: int
    tail: tuple[Trade, ...]
    busted: tuple[tuple[int, int], ...]


NEW = MarketState(0, 0, 0, 0, 0, (), (), None, 0, (), ())


_Bars = dict[tuple[Interval, int], BarState]
"""Bars by interval and opening time; the later state of a bar replaces the earlier one."""


class Market:
    """Give it every report once, in order of `seq`. `read` returns a complete block that `history.fresh` lacks."""

    def __init__(self, read: ReadBlock, state: MarketState = NEW, sums: tuple[Sum, ...] = ()) -> None:
        self.seq, self.time_ms = state.seq, state.time_ms
        self.shown_seq, self._shown_ms, self._changed_seq = state.shown_seq, state.shown_ms, state.changed_seq
        self.history = History(read, sums, state.tail, dict(state.busted))
        self._open = {found.interval: found for found in state.open_bars}
        self._unfolded: list[Trade] = []
        """The latest trades, all of the running minute, which `_open` lacks: folding many at once costs less."""
        self._minutes = deque(state.minutes)
        """The closed minutes of the ticker that have trades."""
        self._last = state.last
        self._past = self._past_minutes()

    def freeze(self) -> MarketState:
        """The state now."""
        self._fold()
        history = self.history
        return MarketState(
            self.seq,
            self.time_ms,
            self.shown_seq,
            self._shown_ms,
            self._changed_seq,
            tuple(self._open.values()),
            tuple(self._minutes),
            self._last,
            history.total,
            tuple(history.tail),
            tuple(history.busted.items()),
        )

    @property
    def size(self) -> int:
        """How many entries a state has."""
        return len(self.history.tail) + len(self._minutes) + len(self.history.busted)

    @property
    def waits(self) -> bool:
        """Whether a trade has changed bars of which readers are not told yet."""
        return self._changed_seq > self.shown_seq

    @property
    def next_close_ms(self) -> int | None:
        """When the next open bar ends; None without one."""
        return min((found.open_ms + LENGTH_MS[found.interval] for found in self.bars()), default=None)

    def apply(self, report: Report) -> Update | None:
        """Take in the next report; returns what readers are told, None if that is nothing yet."""
        seq, time_ms = report.seq, max(self.time_ms, report.time_ms)
        is_new_minute = minute_of(time_ms) != minute_of(self.time_ms)
        told = self._close(seq, time_ms) if is_new_minute else {}
        self.seq, self.time_ms = seq, time_ms
        for trade in report.trades:
            self.history.append(trade)
            self._unfolded.append(trade)
            self._last, self._changed_seq = trade, seq
        if report.bust is not None:
            told |= self._bust(report.bust, seq)
        is_due = self.waits and time_ms - self._shown_ms >= SLICE_MS
        if told or is_due or report.bust is not None or (is_new_minute and self.history.total):
            return self._update(told)
        return None

    def ticker(self) -> TickerState:
        """The rolling 24 hours now."""
        self._fold()
        open_minute = self._open.get(_MINUTE)
        bar = joined(self._past, open_minute.bar if open_minute else None)
        return TickerState(_window(self.time_ms), self.time_ms, bar, self._last)

    def bars(self) -> tuple[BarState, ...]:
        """The open bars now, from the finest to the coarsest."""
        self._fold()
        return tuple(self._open[interval] for interval in INTERVALS if interval in self._open)

    def _update(self, told: _Bars) -> Update:
        told |= {(found.interval, found.open_ms): found for found in self.bars() if found.seq > self.shown_seq}
        update = Update(self.seq, self.shown_seq, self.time_ms, tuple(told.values()), self.ticker())
        self.shown_seq, self._shown_ms = self.seq, self.time_ms
        return update

    def _close(self, seq: int, time_ms: int) -> _Bars:
        """Close the bars that have ended by this time, and move the ticker's window."""
        closed: _Bars = {}
        for found in self.bars():
            if found.open_ms + LENGTH_MS[found.interval] <= time_ms:
                del self._open[found.interval]
                closed[found.interval, found.open_ms] = found._replace(seq=seq, closed=True)
                if found.interval is _MINUTE and found.bar is not None:
                    self._minutes.append((found.open_ms, found.bar))
        begin = _window(time_ms)
        while self._minutes and self._minutes[0][0] < begin:
            self._minutes.popleft()
        self._past = self._past_minutes()
        return closed

    def _fold(self) -> None:
        """Let the open bars include every trade."""
        bar, self._unfolded = bar_of(self._unfolded), []
        if bar is None:
            return
        for interval in INTERVALS:
            found = self._open.get(interval)
            if found is None:
                open_ms = open_time(interval, self.time_ms)
                self._open[interval] = BarState(interval, open_ms, bar, self._changed_seq, 0)
            else:
                self._open[interval] = found._replace(bar=joined(found.bar, bar), seq=self._changed_seq)

    def _bust(self, number: int, seq: int) -> _Bars:
        """Take a trade out; returns the closed bars that it was in."""
        self._fold()
        trade = self.history.bust(number)
        restated: _Bars = {}
        for interval in INTERVALS:
            start_ms = open_time(interval, trade.time_ms)
            end_ms = start_ms + LENGTH_MS[interval]
            bar = self.history.fold(start_ms, end_ms)
            found = self._open.get(interval)
            if found is not None and found.open_ms == start_ms:
                self._open[interval] = found._replace(bar=bar, seq=seq, revision=found.revision + 1)
            else:
                revision = self.history.busts(start_ms, end_ms)
                restated[interval, start_ms] = BarState(interval, start_ms, bar, seq, revision, closed=True)
        self._restate_minute(minute_of(trade.time_ms))
        if self._last is not None and self._last.seq == number:
            self._last = self.history.last()
        return restated

    def _restate_minute(self, minute_ms: int) -> None:
        bar = self.history.fold(minute_ms, minute_ms + MINUTE_MS)
        kept = ((open_ms, bar if open_ms == minute_ms else old) for open_ms, old in self._minutes)
        self._minutes = deque((open_ms, bar) for open_ms, bar in kept if bar is not None)
        self._past = self._past_minutes()

    def _past_minutes(self) -> Bar | None:
        bars: list[Bar | None] = [bar for _, bar in self._minutes]
        return reduce(joined, bars, None)


def _window(time_ms: int) -> int:
    """When the rolling 24 hours begin: 1,440 minutes, of which the running one is the last."""
    return minute_of(time_ms) + MINUTE_MS - DAY_MS
