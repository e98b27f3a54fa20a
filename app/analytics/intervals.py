"""The intervals of bars: UTC, in milliseconds since the epoch; a week begins on Monday."""

from enum import StrEnum

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
_FIRST_MONDAY_MS = 4 * DAY_MS  # the epoch was a Thursday


class Interval(StrEnum):
    """How much time a bar covers, from the finest to the coarsest."""

    M1 = "1m"
    M3 = "3m"
    M5 = "5m"
    M15 = "15m"
    M30 = "30m"
    H1 = "1h"
    H4 = "4h"
    D1 = "1d"
    W1 = "1w"


INTERVALS = tuple(Interval)
LENGTH_MS: dict[Interval, int] = {
    Interval.M1: MINUTE_MS,
    Interval.M3: 3 * MINUTE_MS,
    Interval.M5: 5 * MINUTE_MS,
    Interval.M15: 15 * MINUTE_MS,
    Interval.M30: 30 * MINUTE_MS,
    Interval.H1: 60 * MINUTE_MS,
    Interval.H4: 240 * MINUTE_MS,
    Interval.D1: DAY_MS,
    Interval.W1: 7 * DAY_MS,
}


def open_time(interval: Interval, time_ms: int) -> int:
    """When the bar with this instant begins."""
    begin = _FIRST_MONDAY_MS if interval is Interval.W1 else 0
    return time_ms - (time_ms - begin) % LENGTH_MS[interval]


def minute_of(time_ms: int) -> int:
    """When the minute with this instant begins."""
    return time_ms - time_ms % MINUTE_MS
