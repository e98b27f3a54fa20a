"""Stops, expiries and halts (R9, R10, R12)."""

from typing import Any

from app.matching.commands import (
    Resume,
    Tick,
)
from app.matching.words import (
    MarketStatus,
    Outcome,
    Reason,
    Status,
    TimeInForce,
)
from tests.naive.market import BUY, SELL, Market, levels, order, states, stop, trade_at, trades


def test_a_stop_waits_for_its_price_and_then_takes() -> None:
    """R9: it shows no level while it waits."""
    market = Market()
    report = market.send(stop("s", BUY, 2, 105))
    assert (states(report), report.levels) == ([("s", Status.NEW, None, 0, 2)], [])
    trade_at(market, 104)
    market.place("ask", SELL, 5, 110)
    report = trade_at(market, 105)
    assert trades(report)[1:] == [("ask", "s", 2, 110)]
    assert [o.triggered for o in report.orders] == [False, False, True, False]


def test_a_stop_whose_condition_holds_triggers_at_once() -> None:
    """R9: without liquidity it expires; as a stop-limit it rests."""
    market = Market()
    trade_at(market, 100)
    report = market.send(stop("s", SELL, 2, 100))
    assert states(report) == [("s", Status.EXPIRED, Reason.INSUFFICIENT_LIQUIDITY, 0, 2)]
    report = market.send(stop("l", SELL, 2, 101, 99))
    assert (states(report), levels(report)) == ([("l", Status.NEW, None, 0, 2)], [(SELL, 99, 2, 1)])
    assert report.orders[0].triggered


def test_stops_trigger_nearest_first_then_by_arrival_and_cascade() -> None:
    """R9: 102 before both 103s; the second 103's price comes from the first's trade."""
    market = Market()
    market.send(stop("c", BUY, 1, 103))
    market.send(stop("b", BUY, 1, 103))
    market.send(stop("a", BUY, 1, 102))
    for index, price in enumerate((102, 103, 104, 105)):
        market.place(f"k{index}", SELL, 1, price)
    report = market.place("t", BUY, 1, 102)
    assert trades(report) == [("k0", "t", 1, 102), ("k1", "a", 1, 103), ("k2", "c", 1, 104), ("k3", "b", 1, 105)]


def test_a_stop_waits_until_the_order_that_moved_the_price_is_done() -> None:
    """R9: the last trade decides, not one on the way."""
    market = Market()
    market.send(stop("s", SELL, 1, 99))
    market.place("x", BUY, 1, 100)
    market.place("y", BUY, 1, 98)
    report = market.place("t", SELL, 2, 98)
    assert trades(report) == [("x", "t", 1, 100), ("y", "t", 1, 98)]
    assert states(report)[-1] == ("s", Status.EXPIRED, Reason.INSUFFICIENT_LIQUIDITY, 0, 1)


def test_a_waiting_stop_is_amended_where_it_is() -> None:
    """R6 and R9: a plain stop has no price to set."""
    market = Market()
    market.send(stop("s", BUY, 2, 105))
    market.send(stop("l", BUY, 2, 105, 106))
    assert market.amend("s", price=100).reason == Reason.UNSUPPORTED_ORDER
    assert states(market.amend("s", quantity=3)) == [("s", Status.NEW, None, 0, 3)]
    assert market.amend("l", price=107).orders[0].price == 107


def test_expiries_come_before_anything_else() -> None:
    """R10: earliest first, then number, also when the command is refused; at the very millisecond."""
    market = Market()
    gtd: dict[str, Any] = {"time_in_force": TimeInForce.GTD}
    market.place("b", BUY, 1, 100, expire_time_ms=1_010, **gtd)
    market.place("c", BUY, 1, 100, expire_time_ms=1_010, **gtd)
    market.place("a", BUY, 1, 100, expire_time_ms=1_005, **gtd)
    market.send(stop("s", BUY, 1, 200, expire_time_ms=1_009, **gtd))
    market.now = 1_004
    assert market.send(Tick()).orders == []
    market.now = 1_010
    report = market.cancel("b")
    assert [o[0] for o in states(report)] == ["a", "s", "b", "c"]
    assert {o[2] for o in states(report)} == {Reason.EXPIRE_TIME_REACHED}
    assert (report.outcome, report.reason) == (Outcome.REJECTED, Reason.TOO_LATE_TO_CANCEL)
    assert levels(report) == [(BUY, 100, 0, 0)]


def test_time_never_goes_back() -> None:
    """I1: the clock is the largest time seen."""
    market = Market()
    market.now = 500
    report = market.send(Tick())
    assert (report.time_ms, report.command, report.command_id, report.outcome) == (
        1_000,
        "tick",
        None,
        Outcome.ACCEPTED,
    )


def test_a_halted_market_only_lets_go() -> None:
    """R12: cancels, reductions and expiries go on; resume finds the same book."""
    market = Market()
    market.place("a", BUY, 5, 100)
    assert market.halt().market_status == MarketStatus.HALTED
    assert states(market.place("b", SELL, 1, 100)) == [("b", Status.REJECTED, Reason.MARKET_CLOSED, 0, 1)]
    assert market.amend("a", quantity=1).reason == Reason.MARKET_CLOSED
    assert market.amend("zz", quantity=1).reason == Reason.UNKNOWN_ORDER
    assert market.replace("a", order("n", BUY, 1, 1, client_id="a")).reason == Reason.MARKET_CLOSED
    assert market.reduce("a", 1).outcome == Outcome.ACCEPTED
    assert market.send(Resume(*market.key())).market_status == MarketStatus.OPEN
    assert trades(market.place("c", SELL, 1, 100)) == [("a", "c", 1, 100)]
