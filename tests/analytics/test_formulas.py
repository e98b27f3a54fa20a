"""Market quality: every figure is what its formula gives with fractions (app/analytics/quality.py)."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from app.analytics.quality import DEPTH_WITHIN_BPS, Level, cost_of, quality_of, rounded, slippage_bps

PRICES = st.integers(1, 100_000)
LOTS = st.integers(1, 10**12)


@st.composite
def books(draw: st.DrawFn) -> tuple[list[Level], list[Level]]:
    """Bids and asks, best first, that do not cross; a side may be empty."""
    middle = draw(st.integers(2, 10**9))
    bid_prices = draw(st.sets(st.integers(max(1, middle - 20_000), middle - 1), max_size=30))
    ask_prices = draw(st.sets(st.integers(middle, middle + 20_000), max_size=30))
    bids = [(price, draw(LOTS)) for price in sorted(bid_prices, reverse=True)]
    return bids, [(price, draw(LOTS)) for price in sorted(ask_prices)]


def in_ten_thousandths(exact: Fraction) -> int:
    """Rounded half away from zero."""
    size = int(abs(exact) * 10**4 + Fraction(1, 2))
    return size if exact >= 0 else -size


@given(books())
def test_spread_depth_and_imbalance_are_those_of_the_formulas(book: tuple[list[Level], list[Level]]) -> None:
    """docs/ANALYTICS.md, over whole books of every shape, though only their best levels are read."""
    bids, asks = book
    found = quality_of(iter(bids), iter(asks))

    best = [sum(lots for _, lots in side[:10]) for side in book]
    assert found.imbalance == (in_ten_thousandths(Fraction(best[0] - best[1], sum(best))) if sum(best) else None)
    assert (found.bid, found.ask) == tuple(side[0][0] if side else None for side in book)
    if not (bids and asks):
        assert (found.twice_middle, found.spread_bps, found.depth) == (None, None, ())
        return
    middle = Fraction(bids[0][0] + asks[0][0], 2)
    assert found.spread_bps == in_ten_thousandths(10**4 * (asks[0][0] - bids[0][0]) / middle)
    for depth, within in zip(found.depth, DEPTH_WITHIN_BPS, strict=True):
        near = [sum(lots for p, lots in side if abs(p - middle) <= middle * within / 10**4) for side in book]
        assert depth == (within, *near)


@given(books(), st.integers(1, 10**13))
def test_the_cost_of_a_size_is_what_its_units_cost_one_by_one(book: tuple[list[Level], list[Level]], size: int) -> None:
    """Taken from the best level on; slippage is positive where the average is worse than the middle."""
    for is_buy, levels in ((False, book[0]), (True, book[1])):
        cost, left, paid, worst = cost_of(size, iter(levels)), size, 0, None
        for price, lots in levels:
            if left:
                worst, paid, left = price, paid + price * min(left, lots), left - min(left, lots)
        assert cost == (size - left, paid, worst)
        if book[0] and book[1]:
            middle = Fraction(book[0][0][0] + book[1][0][0], 2)
            worse = Fraction(paid, size - left) - middle
            exact = 10**4 * (worse if is_buy else -worse) / middle
            found = slippage_bps(cost, book[0][0][0] + book[1][0][0], is_buy)
            assert found == in_ten_thousandths(exact) and found >= 0


def test_levels_beyond_those_that_count_are_not_read() -> None:
    """A book of many levels costs no more than its best."""
    asks = [(1_000 + n, 1) for n in range(10_000)]
    read: list[Level] = []

    def counted() -> object:
        for level in asks:
            read.append(level)
            yield level

    assert quality_of([(999, 1)], counted()).depth[-1].ask_lots == 10  # 1,000 to 1,009: within 100 bp of 999.5
    assert len(read) == 11


def test_halves_are_rounded_away_from_zero() -> None:
    """So that a figure and its negative are equally large."""
    assert [rounded(n, 2) for n in (-3, -1, 0, 1, 3)] == [-2, -1, 0, 1, 2]
