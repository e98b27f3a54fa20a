"""The naive engine against arithmetic: over random streams nothing is made or lost."""

from collections.abc import Callable

import pytest

from app.matching.events import Report
from app.matching.words import (
    Side,
    Status,
)
from app.naive.matching import NaiveEngine
from tests.matching.streams import INSTRUMENT, commands
from tests.naive.market import BUY, SELL

SEEDS = range(100, 160)


def each_report(check: Callable[[Report], None], seed: int) -> NaiveEngine:
    naive = NaiveEngine(INSTRUMENT)
    for command, at in commands(seed, 200):
        check(naive.apply(command, at))
    return naive


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_made_or_lost(seed: int) -> None:
    """What the trades say each order bought or sold is what its states say; seqs are dense; quantities add up."""
    filled: dict[bytes, int] = {}
    next_seqs = [1, 1]

    def check(report: Report) -> None:
        assert report.seq == next_seqs[0]
        next_seqs[0] += report.parts
        for state in report.orders:
            if state.terms is not None:
                filled[state.order_id] = 0
        for trade in report.trades:
            assert (trade.seq, trade.quantity > 0) == (next_seqs[1], True)
            next_seqs[1] += 1
            filled[trade.maker_order_id] += trade.quantity
            filled[trade.taker_order_id] += trade.quantity
        for state in report.orders:
            assert state.quantity == state.filled + state.remaining
            assert (state.status == Status.FILLED) == (state.remaining == 0 and state.status != Status.REJECTED)
        for order_id in {state.order_id for state in report.orders}:
            latest = [state for state in report.orders if state.order_id == order_id][-1]
            assert latest.filled == filled[order_id]

    naive = each_report(check, seed)
    assert (naive.seq, naive.trade_seq) == (next_seqs[0] - 1, next_seqs[1] - 1)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_reader_follows_the_book_from_the_level_changes_alone(seed: int) -> None:
    """And it is never crossed; no change is reported that is none."""
    book: dict[tuple[Side, int], tuple[int, int]] = {}

    def check(report: Report) -> None:
        for side, price, quantity, orders in report.levels:
            assert report.command == "snapshot" or book.get((side, price), (0, 0)) != (quantity, orders)
            book[side, price] = quantity, orders
            if orders == 0:
                del book[side, price]
        bids = [price for side, price in book if side == BUY]
        asks = [price for side, price in book if side == SELL]
        assert not bids or not asks or max(bids) < min(asks)

    naive = each_report(check, seed)
    bids, asks = naive.depth(10_000)
    assert {(side, price): (quantity, orders) for side, price, quantity, orders in bids + asks} == book


@pytest.mark.parametrize("seed", SEEDS[:10])
def test_a_stream_is_the_same_for_the_same_seed(seed: int) -> None:
    """So a difference between engines is found again from its seed."""
    assert commands(seed, 100) == commands(seed, 100)
    assert commands(seed, 50) == commands(seed, 100)[:50]
