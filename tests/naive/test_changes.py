"""Orders that change: amends, reductions, replaces and cancels (R6, R11)."""

import pytest

from app.matching.commands import (
    MassCancel,
    Place,
)
from app.matching.words import (
    Outcome,
    Reason,
    Status,
)
from tests.naive.market import BUY, SELL, Market, levels, name, order, states, stop, trades


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"quantity": 3}, "a"),
        ({"quantity": 5}, "a"),
        ({"price": 100}, "a"),
        ({}, "a"),
        ({"quantity": 6}, "b"),
        ({"price": 100, "quantity": 6}, "b"),
    ],
)
def test_amend_keeps_the_place_unless_it_asks_for_more(change: dict[str, int], first: str) -> None:
    """R6: a and b wait at 100 with five each; who is hit first tells the place."""
    market = Market()
    market.place("a", BUY, 5, 100)
    market.place("b", BUY, 5, 100)
    report = market.amend("a", **change)
    assert states(report) == [("a", Status.NEW, None, 0, change.get("quantity", 5))]
    assert trades(market.place("t", SELL, 1, 100))[0][0] == first


def test_amend_sets_the_total_quantity() -> None:
    """R6: four filled of ten, a total of six leaves two."""
    market = Market()
    market.place("a", BUY, 10, 100)
    market.place("t", SELL, 4, 100)
    report = market.amend("a", quantity=6)
    assert states(report) == [("a", Status.PARTIALLY_FILLED, None, 4, 2)]
    assert levels(report) == [(BUY, 100, 2, 1)]
    assert states(market.amend("a", quantity=4)) == [("a", Status.CANCELED, Reason.CANCELED_BY_CLIENT, 4, 2)]


def test_an_amended_price_may_trade() -> None:
    """R6: as a taker, at the maker's price, and the rest goes to the back."""
    market = Market()
    market.place("a", BUY, 3, 100)
    market.place("m", SELL, 1, 102)
    report = market.amend("a", price=105)
    assert trades(report) == [("m", "a", 1, 102)]
    assert report.orders[0].price == 105
    assert levels(report) == [(BUY, 105, 2, 1), (BUY, 100, 0, 0), (SELL, 102, 0, 0)]


def test_a_post_only_order_stays_when_its_amend_would_trade() -> None:
    """R5 and R6."""
    market = Market()
    market.place("a", BUY, 3, 100, post_only=True)
    market.place("m", SELL, 1, 102)
    report = market.amend("a", price=102)
    assert (report.outcome, report.reason, report.orders) == (Outcome.REJECTED, Reason.POST_ONLY_WOULD_TAKE, [])
    assert states(market.amend("a", price=101)) == [("a", Status.NEW, None, 0, 3)]


def test_reduce_keeps_the_place_and_cancels_at_nothing() -> None:
    """R6."""
    market = Market()
    market.place("a", BUY, 5, 100)
    market.place("b", BUY, 5, 100)
    assert states(market.reduce("a", 2)) == [("a", Status.NEW, None, 0, 3)]
    assert trades(market.place("t", SELL, 1, 100)) == [("a", "t", 1, 100)]
    assert states(market.reduce("a", 2)) == [("a", Status.CANCELED, Reason.CANCELED_BY_CLIENT, 1, 2)]
    assert market.reduce("b", 0).reason == Reason.INCORRECT_QUANTITY


def test_replace_is_cancel_and_a_new_order() -> None:
    """R6: the old one first, the new one with its terms; it may trade."""
    market = Market()
    market.place("a", BUY, 5, 100)
    market.place("m", SELL, 2, 101)
    new = order("b", BUY, 3, 101, client_id="a")
    report = market.replace("a", new)
    assert states(report) == [
        ("a", Status.CANCELED, Reason.REPLACED, 0, 5),
        ("b", Status.PARTIALLY_FILLED, None, 2, 1),
        ("m", Status.FILLED, None, 2, 0),
    ]
    assert (report.order_id, report.orders[0].terms, report.orders[1].terms) == (name("a"), None, new)


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        (order("b", BUY, 0, 101, client_id="a"), Reason.INCORRECT_QUANTITY),
        (order("b", BUY, 1, 101, client_id="b"), Reason.UNKNOWN_ORDER),
        (order("m", BUY, 1, 101, client_id="a"), Reason.DUPLICATE_ORDER),
        (order("b", BUY, 1, 102, client_id="a", post_only=True), Reason.POST_ONLY_WOULD_TAKE),
    ],
)
def test_a_refused_replace_does_nothing_at_all(new: Place, reason: Reason) -> None:
    """R6: the old order stays and the new key stays free."""
    market = Market()
    market.place("a", BUY, 5, 100)
    market.place("m", SELL, 2, 102)
    report = market.replace("a", new)
    assert (report.outcome, report.reason, report.orders) == (Outcome.REJECTED, reason, [])
    assert market.naive.orders[name("a")].status == Status.NEW
    if new.order_id == name("b"):
        assert market.place("b", BUY, 1, 90).outcome == Outcome.ACCEPTED


def test_a_replace_does_not_meet_the_order_it_replaces() -> None:
    """R6: neither as a maker nor as a reason against post-only nor as an open order."""
    market = Market(max_open_orders=1)
    market.place("a", BUY, 5, 100)
    report = market.replace("a", order("b", SELL, 3, 99, client_id="a", post_only=True))
    assert states(report)[1] == ("b", Status.NEW, None, 0, 3)


def test_only_live_orders_of_the_client_can_be_canceled() -> None:
    """R11: another's is unknown, a finished one too late."""
    market = Market()
    market.place("a", BUY, 1, 100)
    assert market.cancel("a", "b").reason == Reason.UNKNOWN_ORDER
    assert market.cancel("zz").reason == Reason.UNKNOWN_ORDER
    assert states(market.cancel("a", "a")) == [("a", Status.CANCELED, Reason.CANCELED_BY_CLIENT, 0, 1)]
    report = market.cancel("a")
    assert (report.reason, report.order_id) == (Reason.TOO_LATE_TO_CANCEL, name("a"))


def test_mass_cancel_goes_by_client_and_side() -> None:
    """In the order of numbers, waiting stops included."""
    market = Market()
    market.place("a", BUY, 1, 100, client_id="t")
    market.send(stop("s", BUY, 1, 200, client_id="t"))
    market.place("b", SELL, 1, 300, client_id="t")
    market.place("x", BUY, 1, 100)
    report = market.send(MassCancel(*market.key(), client_id="t", side=BUY))
    assert [(o[0], o[2]) for o in states(report)] == [("a", Reason.MASS_CANCELED), ("s", Reason.MASS_CANCELED)]
    assert [o[0] for o in states(market.send(MassCancel(*market.key())))] == ["b", "x"]
