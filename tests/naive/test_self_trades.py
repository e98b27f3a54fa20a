"""Self-trades and icebergs (R7, R8, R14)."""

from typing import Any

import pytest

from app.matching.words import (
    Reason,
    SelfTradePrevention,
    Status,
)
from tests.naive.market import BUY, SELL, Market, levels, states, trades


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        (
            SelfTradePrevention.NONE,
            [
                ("t", Status.FILLED, None, 4, 0),
                ("o", Status.FILLED, None, 3, 0),
                ("x", Status.PARTIALLY_FILLED, None, 1, 4),
            ],
        ),
        (
            SelfTradePrevention.CANCEL_OLDEST,
            [
                ("t", Status.FILLED, None, 4, 0),
                ("o", Status.CANCELED, Reason.SELF_TRADE_PREVENTED, 0, 3),
                ("x", Status.PARTIALLY_FILLED, None, 4, 1),
            ],
        ),
        (SelfTradePrevention.CANCEL_NEWEST, [("t", Status.CANCELED, Reason.SELF_TRADE_PREVENTED, 0, 4)]),
        (
            SelfTradePrevention.CANCEL_BOTH,
            [
                ("t", Status.CANCELED, Reason.SELF_TRADE_PREVENTED, 0, 4),
                ("o", Status.CANCELED, Reason.SELF_TRADE_PREVENTED, 0, 3),
            ],
        ),
        (
            SelfTradePrevention.DECREMENT_AND_CANCEL,
            [
                ("t", Status.FILLED, None, 1, 0),
                ("o", Status.CANCELED, Reason.SELF_TRADE_PREVENTED, 0, 3),
                ("x", Status.PARTIALLY_FILLED, None, 1, 4),
            ],
        ),
    ],
)
def test_the_takers_mode_decides_a_self_trade(mode: SelfTradePrevention, expected: list[Any]) -> None:
    """R7: own three at 100 before another's five; four are wanted. The maker's mode is of no account."""
    market = Market()
    other = SelfTradePrevention.CANCEL_BOTH if mode == SelfTradePrevention.NONE else SelfTradePrevention.NONE
    market.place("o", SELL, 3, 100, client_id="t", self_trade_prevention=other)
    market.place("x", SELL, 5, 100)
    assert states(market.place("t", BUY, 4, 100, self_trade_prevention=mode)) == expected


def test_a_self_trade_is_prevented_only_when_it_is_reached() -> None:
    """R7: what comes before is traded and kept."""
    market = Market()
    market.place("x", SELL, 2, 99)
    market.place("o", SELL, 3, 100, client_id="t")
    assert states(market.place("t", BUY, 4, 100)) == [
        ("t", Status.CANCELED, Reason.SELF_TRADE_PREVENTED, 2, 2),
        ("x", Status.FILLED, None, 2, 0),
    ]
    assert market.place("t2", BUY, 2, 99, client_id="t").orders[0].status == Status.NEW


def test_decrement_takes_the_smaller_from_the_larger() -> None:
    """R7: the larger maker keeps its place with less; equal ones both go."""
    market = Market()
    mode = SelfTradePrevention.DECREMENT_AND_CANCEL
    market.place("o", SELL, 5, 100, client_id="t")
    report = market.place("t1", BUY, 2, 100, client_id="t", self_trade_prevention=mode)
    assert states(report) == [
        ("t1", Status.CANCELED, Reason.SELF_TRADE_PREVENTED, 0, 2),
        ("o", Status.NEW, None, 0, 3),
    ]
    assert levels(report) == [(SELL, 100, 3, 1)]
    report = market.place("t2", BUY, 3, 100, client_id="t", self_trade_prevention=mode)
    assert {state[1] for state in states(report)} == {Status.CANCELED}


def test_the_default_mode_is_the_listings_at_acceptance() -> None:
    """R14: a later listing changes nothing for an order that is there."""
    market = Market(self_trade_prevention=SelfTradePrevention.NONE)
    market.place("a", BUY, 1, 90, client_id="t")
    market.list()
    market.place("o", SELL, 1, 100, client_id="t")
    assert trades(market.amend("a", price=100)) == [("o", "a", 1, 100)]
    market.place("o2", SELL, 1, 100, client_id="t")
    assert market.place("b", BUY, 1, 100, client_id="t").orders[0].reason == Reason.SELF_TRADE_PREVENTED


def test_an_iceberg_shows_a_slice_and_then_goes_to_the_back() -> None:
    """R8: ten hidden behind three; the other order of the level comes between its slices."""
    market = Market()
    assert levels(market.place("ice", SELL, 10, 100, display_quantity=3)) == [(SELL, 100, 3, 1)]
    market.place("b", SELL, 2, 100)
    report = market.place("t", BUY, 7, 100)
    assert trades(report) == [("ice", "t", 3, 100), ("b", "t", 2, 100), ("ice", "t", 2, 100)]
    assert levels(report) == [(SELL, 100, 1, 1)]
    assert states(report)[1] == ("ice", Status.PARTIALLY_FILLED, None, 5, 5)


def test_an_incoming_iceberg_trades_its_full_size() -> None:
    """R8: and shows a slice of the rest."""
    market = Market()
    market.place("m", SELL, 6, 100)
    report = market.place("ice", BUY, 10, 100, display_quantity=3)
    assert trades(report) == [("m", "ice", 6, 100)]
    assert levels(report) == [(BUY, 100, 3, 1), (SELL, 100, 0, 0)]


def test_a_smaller_iceberg_loses_its_hidden_part_first() -> None:
    """R8: ten with three shown, by six to four, still three; by two more, two."""
    market = Market()
    market.place("ice", SELL, 10, 100, display_quantity=3)
    assert levels(market.reduce("ice", 6)) == []
    assert levels(market.reduce("ice", 2)) == [(SELL, 100, 2, 1)]
