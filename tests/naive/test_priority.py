"""Price and time: who trades first, what an order reports, and what never rests (R1 to R5)."""

from typing import Any

import pytest

from app.matching.commands import (
    List,
    Listing,
    Moment,
    Snapshot,
    Tick,
)
from app.matching.events import Level
from app.matching.words import (
    Liquidity,
    MarketStatus,
    Outcome,
    Reason,
    SelfTradePrevention,
    Side,
    Status,
    TimeInForce,
)
from app.naive.matching import NaiveEngine
from tests.naive.market import BUY, SELL, Market, levels, name, order, states, stop, trades, word


def test_the_first_command_is_a_valid_list() -> None:
    """Anything else is a mistake of the caller."""
    with pytest.raises(ValueError, match="valid List"):
        NaiveEngine("X").apply(Tick(), Moment(1, 1))
    with pytest.raises(ValueError, match="valid List"):
        NaiveEngine("X").apply(List(name("l"), 1, Listing("Y", "B", "Q", 1, 1)), Moment(1, 1))


def test_listing_reports_the_rules_and_an_open_market() -> None:
    """Seq starts at 1."""
    listing = Listing("X", "B", "Q", 1, 1)
    report = NaiveEngine("X").apply(List(name("l"), 1, listing), Moment(7, 70))
    assert (report.seq, report.offset, report.time_ms, report.command) == (1, 7, 70, "list")
    assert (report.listing, report.market_status, report.outcome) == (listing, MarketStatus.OPEN, Outcome.ACCEPTED)


def test_a_resting_order_is_new_and_shows_its_level() -> None:
    """The terms come along when it first appears."""
    market = Market()
    report = market.place("a", BUY, 5, 100)
    assert states(report) == [("a", Status.NEW, None, 0, 5)]
    assert levels(report) == [(BUY, 100, 5, 1)]
    assert report.orders[0].terms == order("a", BUY, 5, 100)
    assert (report.seq, report.order_id) == (2, name("a"))


@pytest.mark.parametrize("side", Side)
def test_best_price_first_then_earliest_arrival_at_the_makers_price(side: Side) -> None:
    """R1 and R2: the far price last, two orders of one price in their order, each at its own price."""
    market = Market()
    other = SELL if side == BUY else BUY
    better, worse, limit = (100, 101, 105) if side == BUY else (100, 99, 95)
    market.place("far", other, 1, worse)
    market.place("first", other, 2, better)
    market.place("second", other, 3, better)
    report = market.place("taker", side, 10, limit)
    assert trades(report) == [
        ("first", "taker", 2, better),
        ("second", "taker", 3, better),
        ("far", "taker", 1, worse),
    ]
    assert states(report)[0] == ("taker", Status.PARTIALLY_FILLED, None, 6, 4)
    assert report.orders[0].notional == 5 * better + worse
    assert [trade.seq for trade in report.trades] == [1, 2, 3]
    bids_first = sorted([(other, better, 0, 0), (other, worse, 0, 0), (side, limit, 4, 1)], key=lambda x: x[0] == SELL)
    assert sorted(levels(report)) == sorted(bids_first)


def test_levels_are_bids_from_the_highest_then_asks_from_the_lowest() -> None:
    """A snapshot shows them all; nothing else does."""
    market = Market()
    for index, (side, price) in enumerate([(SELL, 103), (BUY, 99), (SELL, 102), (BUY, 101)]):
        market.place(f"o{index}", side, 1, price)
    report = market.send(Snapshot(*market.key()))
    assert levels(report) == [(BUY, 101, 1, 1), (BUY, 99, 1, 1), (SELL, 102, 1, 1), (SELL, 103, 1, 1)]
    assert market.naive.depth(1) == ([Level(BUY, 101, 1, 1)], [Level(SELL, 102, 1, 1)])


def test_last_fill_and_liquidity_are_of_this_command_only() -> None:
    """A maker filled earlier has none when it is canceled later."""
    market = Market()
    market.place("maker", SELL, 5, 100)
    taker, maker = market.place("taker", BUY, 2, 100).orders
    assert (taker.last_price, taker.last_quantity, taker.liquidity) == (100, 2, Liquidity.TAKER)
    assert (maker.last_price, maker.last_quantity, maker.liquidity) == (100, 2, Liquidity.MAKER)
    (canceled,) = market.cancel("maker").orders
    assert (canceled.last_price, canceled.liquidity, canceled.terms) == (None, None, None)
    assert (canceled.filled, canceled.remaining, canceled.notional) == (2, 3, 200)


@pytest.mark.parametrize(
    ("terms", "reason", "filled"),
    [
        ({}, Reason.INSUFFICIENT_LIQUIDITY, 3),
        ({"time_in_force": TimeInForce.IOC}, Reason.INSUFFICIENT_LIQUIDITY, 3),
        ({"time_in_force": TimeInForce.FOK}, Reason.FOK_NOT_FILLED, 0),
        ({"price": 100, "time_in_force": TimeInForce.IOC}, Reason.IOC_REMAINDER, 2),
        ({"price": 101, "time_in_force": TimeInForce.FOK}, Reason.FOK_NOT_FILLED, 0),
    ],
)
def test_what_never_rests_ends_expired_with_its_reason(terms: dict[str, Any], reason: Reason, filled: int) -> None:
    """R3 and R4: two at 100 and one at 101 are there, four are wanted."""
    market = Market()
    market.place("a", SELL, 2, 100)
    market.place("b", SELL, 1, 101)
    report = market.place("t", BUY, 4, **terms)
    assert states(report)[0] == ("t", Status.EXPIRED, reason, filled, 4 - filled)
    assert sum(trade.quantity for trade in report.trades) == filled


def test_fill_or_kill_fills_completely() -> None:
    """R4: exactly enough is enough."""
    market = Market()
    market.place("a", SELL, 2, 100)
    market.place("b", SELL, 1, 101)
    report = market.place("t", BUY, 3, 101, time_in_force=TimeInForce.FOK)
    assert states(report)[0] == ("t", Status.FILLED, None, 3, 0)


@pytest.mark.parametrize(
    ("mode", "filled"),
    [
        (SelfTradePrevention.NONE, 3),
        (SelfTradePrevention.CANCEL_OLDEST, 0),
        (SelfTradePrevention.CANCEL_NEWEST, 0),
        (SelfTradePrevention.CANCEL_BOTH, 0),
        (SelfTradePrevention.DECREMENT_AND_CANCEL, 0),
    ],
)
def test_fill_or_kill_does_not_count_its_own_orders(mode: SelfTradePrevention, filled: int) -> None:
    """R4: of the three that rest one is the taker's own; a no leaves it alone."""
    market = Market()
    market.place("a", SELL, 2, 100)
    market.place("own", SELL, 1, 100, client_id="t")
    report = market.place("t", BUY, 3, 100, time_in_force=TimeInForce.FOK, self_trade_prevention=mode)
    assert report.orders[0].filled == filled
    assert len(report.orders) == (3 if filled else 1)


def test_fill_or_kill_reaches_beyond_own_orders_that_it_cancels() -> None:
    """R4 with cancel_oldest: the own order is out of the way."""
    market = Market()
    market.place("own", SELL, 1, 100, client_id="t")
    market.place("a", SELL, 2, 100)
    mode = SelfTradePrevention.CANCEL_OLDEST
    report = market.place("t", BUY, 2, 100, time_in_force=TimeInForce.FOK, self_trade_prevention=mode)
    assert states(report) == [
        ("t", Status.FILLED, None, 2, 0),
        ("own", Status.CANCELED, Reason.SELF_TRADE_PREVENTED, 0, 1),
        ("a", Status.FILLED, None, 2, 0),
    ]


def test_a_post_only_order_that_would_trade_is_rejected() -> None:
    """R5: also if the order it meets is its own; one tick away it rests."""
    market = Market()
    market.place("a", SELL, 1, 100, client_id="t")
    report = market.place("t", BUY, 1, 100, post_only=True)
    assert states(report) == [("t", Status.REJECTED, Reason.POST_ONLY_WOULD_TAKE, 0, 1)]
    assert (report.outcome, report.reason, report.levels) == (Outcome.REJECTED, Reason.POST_ONLY_WOULD_TAKE, [])
    assert market.place("t2", BUY, 1, 99, post_only=True).orders[0].status == Status.NEW


def test_open_orders_are_listed_in_the_order_of_execution() -> None:
    """Bids from the highest, asks from the lowest, each level's queue, then stops by number."""
    market = Market()
    for label, side, price in (("b", BUY, 99), ("a", BUY, 100), ("d", SELL, 102), ("c", SELL, 101), ("e", SELL, 102)):
        market.place(label, side, 2, price)
    market.send(stop("g", BUY, 1, 200))
    market.send(stop("f", BUY, 1, 150))
    market.amend("d", quantity=3)
    listed = market.naive.open_orders_list()
    assert [word(state.order_id) for state in listed] == ["a", "b", "c", "e", "d", "g", "f"]
    assert {(state.terms, state.last_price) for state in listed} == {(None, None)}
