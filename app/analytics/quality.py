"""Market quality: figures of a book by levels, exact in ticks and lots (docs/ANALYTICS.md). Pure.

A side of a book is its levels, best first, each a price in ticks and a quantity in lots; only as many are read as the
figures need. Ratios are ints in units of 10^-4, rounded half away from zero; None would be a division by zero.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

PER_ONE = 10_000
"""Units of a ratio in 1, and basis points in 1."""
DEPTH_WITHIN_BPS = (10, 50, 100)
"""Ascending: the last bounds how far the book is read."""
IMBALANCE_LEVELS = 10

Level = tuple[int, int]


class Depth(NamedTuple):
    """The lots on each side whose price is at most `within_bps` basis points away from the middle."""

    within_bps: int
    bid_lots: int
    ask_lots: int


class Quality(NamedTuple):
    """The figures of one book; those that need a middle are None or absent while a side is empty."""

    bid: int | None
    ask: int | None
    """The best prices, in ticks."""
    spread_bps: int | None
    """(ask - bid) in basis points of the middle."""
    depth: tuple[Depth, ...]
    imbalance: int | None
    """(bids - asks) / (bids + asks) of the lots of the ten best levels of each side."""

    @property
    def twice_middle(self) -> int | None:
        """Twice the price in the middle between best bid and best ask, in ticks."""
        return None if self.bid is None or self.ask is None else self.bid + self.ask


class Cost(NamedTuple):
    """What an order of some size would trade at once: its lots, their sum of ticks x lots, and the worst price."""

    lots: int
    notional: int
    worst: int | None


def quality_of(bids: Iterable[Level], asks: Iterable[Level]) -> Quality:
    """The figures of a book."""
    (bid, bids), (ask, asks) = _peek(bids), _peek(asks)
    middle = None if bid is None or ask is None else bid + ask
    bid_depths, bid_best = _read(bids, middle)
    ask_depths, ask_best = _read(asks, middle)
    depth = tuple(map(Depth, DEPTH_WITHIN_BPS, bid_depths, ask_depths)) if middle else ()
    spread = rounded(2 * (ask - bid) * PER_ONE * PER_ONE, middle) if middle and bid and ask else None
    best = bid_best + ask_best
    return Quality(bid, ask, spread, depth, rounded((bid_best - ask_best) * PER_ONE, best) if best else None)


def cost_of(size: int, levels: Iterable[Level]) -> Cost:
    """What an order of `size` lots would trade against these levels, best first; fewer lots if they do not suffice."""
    lots = notional = 0
    worst = None
    for price, quantity in levels:
        taken = min(quantity, size - lots)
        if not taken:
            break
        lots, notional, worst = lots + taken, notional + price * taken, price
    return Cost(lots, notional, worst)


def slippage_bps(cost: Cost, twice_middle: int, is_buy: bool) -> int | None:
    """How much worse than the middle the average price is, in basis points of the middle."""
    if not cost.lots:
        return None
    # average / middle - 1 = (2 x notional - twice_middle x lots) / (twice_middle x lots)
    higher = 2 * cost.notional - twice_middle * cost.lots
    return rounded((higher if is_buy else -higher) * PER_ONE * PER_ONE, twice_middle * cost.lots)


def rounded(numerator: int, denominator: int) -> int:
    """The quotient rounded half away from zero; the denominator is positive."""
    quotient = (2 * abs(numerator) + denominator) // (2 * denominator)
    return quotient if numerator >= 0 else -quotient


def _peek(levels: Iterable[Level]) -> tuple[int | None, Iterator[Level]]:
    """The best price, and all levels."""
    every = iter(levels)
    for best in every:
        return best[0], chain((best,), every)
    return None, every


def _read(levels: Iterable[Level], twice_middle: int | None) -> tuple[list[int], int]:
    """The lots within each of the depths, and those of the ten best levels."""
    depths, best = [0] * len(DEPTH_WITHIN_BPS), 0
    for number, (price, lots) in enumerate(levels):
        if number < IMBALANCE_LEVELS:
            best += lots
        # |price - middle| <= middle x within / 10^4, in ints
        away = 0 if twice_middle is None else abs(2 * price - twice_middle) * PER_ONE
        within = [twice_middle is not None and away <= twice_middle * bps for bps in DEPTH_WITHIN_BPS]
        depths = [depth + lots * is_within for depth, is_within in zip(depths, within, strict=True)]
        if number + 1 >= IMBALANCE_LEVELS and not within[-1]:
            break
    return depths, best
