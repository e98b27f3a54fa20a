"""What is refused: bounds, parts that do not belong together, and the checks in their order (R11, R13)."""

from typing import Any

import pytest

from app.matching.commands import (
    NOT_REPRESENTABLE,
    EngineVersion,
    List,
    Listing,
    MassCancel,
    Moment,
    Tick,
)
from app.matching.words import (
    OrderType,
    Outcome,
    Reason,
    Status,
    TimeInForce,
)
from app.naive.matching import NaiveRejections
from tests.naive.market import BUY, SELL, Market, order, states, stop


def test_fills_are_bounded_and_the_rest_never_rests_crossed() -> None:
    """R13: two fills of three; but what no longer crosses rests."""
    market = Market(max_fills=2)
    for index in range(3):
        market.place(f"m{index}", SELL, 1, 100)
    report = market.place("t", BUY, 5, 100)
    assert states(report)[0] == ("t", Status.EXPIRED, Reason.MAX_FILLS, 2, 3)
    market.place("m3", SELL, 1, 100)
    assert states(market.place("u", BUY, 5, 100))[0] == ("u", Status.PARTIALLY_FILLED, None, 2, 3)


def test_fill_or_kill_beyond_the_bound_does_nothing() -> None:
    """R4 and R13."""
    market = Market(max_fills=2)
    for index in range(3):
        market.place(f"m{index}", SELL, 1, 100)
    report = market.place("t", BUY, 3, 100, time_in_force=TimeInForce.FOK)
    assert states(report) == [("t", Status.EXPIRED, Reason.FOK_NOT_FILLED, 0, 3)]


def test_cascades_count_towards_the_bound() -> None:
    """R13: the triggered order finds no fills left, and waits for the next command."""
    market = Market(max_fills=1)
    market.send(stop("s", BUY, 1, 100))
    market.place("m0", SELL, 1, 100)
    market.place("m1", SELL, 1, 100)
    report = market.place("t", BUY, 1, 100)
    assert states(report)[-1] == ("s", Status.NEW, None, 0, 1)
    assert states(market.send(Tick())) == [("s", Status.FILLED, None, 1, 0), ("m1", Status.FILLED, None, 1, 0)]


@pytest.mark.parametrize("limits", [{"max_open_orders": 2}, {"max_open_orders_per_client": 2}])
def test_open_orders_are_bounded(limits: dict[str, int]) -> None:
    """R13: a resting order and a waiting stop are two; what cannot rest is welcome."""
    market = Market(**limits)
    market.place("a", BUY, 1, 100, client_id="t")
    market.send(stop("s", BUY, 1, 200, client_id="t"))
    assert market.place("b", BUY, 1, 100, client_id="t").reason == Reason.TOO_MANY_ORDERS
    assert market.send(stop("s2", BUY, 1, 200, client_id="t")).reason == Reason.TOO_MANY_ORDERS
    assert market.place("m", BUY, 1, client_id="t").outcome == Outcome.ACCEPTED
    assert market.place("i", BUY, 1, 1, client_id="t", time_in_force=TimeInForce.IOC).outcome == Outcome.ACCEPTED


IOC, FOK, GTD, GTC = TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTD, TimeInForce.GTC


LIMIT, MARKET, STOP, STOP_LIMIT = OrderType.LIMIT, OrderType.MARKET, OrderType.STOP, OrderType.STOP_LIMIT


@pytest.mark.parametrize(
    "terms",
    [
        {"type": LIMIT, "price": None},
        {"type": MARKET, "price": 100},
        {"type": STOP, "price": 100, "stop_price": 100},
        {"type": STOP, "price": None},
        {"type": STOP_LIMIT, "stop_price": 100, "price": None},
        {"type": STOP_LIMIT},
        {"stop_price": 100},
        {"type": MARKET, "price": None, "time_in_force": GTD, "expire_time_ms": 2_000},
        {"time_in_force": GTD},
        {"expire_time_ms": 2_000},
        {"post_only": True, "time_in_force": IOC},
        {"post_only": True, "time_in_force": FOK},
        {"post_only": True, "type": MARKET, "price": None},
        {"post_only": True, "type": STOP_LIMIT, "stop_price": 100},
        {"display_quantity": 1, "time_in_force": IOC},
        {"display_quantity": 1, "type": STOP_LIMIT, "stop_price": 100},
    ],
)
def test_parts_that_do_not_belong_together_are_unsupported(terms: dict[str, Any]) -> None:
    """R11."""
    report = Market().place("a", BUY, 5, **{"price": 100, **terms})
    assert (report.outcome, report.reason) == (Outcome.REJECTED, Reason.UNSUPPORTED_ORDER)
    assert report.orders[0].terms is not None


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ({"quantity": 0}, Reason.INCORRECT_QUANTITY),
        ({"quantity": NOT_REPRESENTABLE}, Reason.INCORRECT_QUANTITY),
        ({"quantity": 1}, Reason.INCORRECT_QUANTITY),
        ({"quantity": 101}, Reason.INCORRECT_QUANTITY),
        ({"display_quantity": 0}, Reason.INCORRECT_QUANTITY),
        ({"display_quantity": 11}, Reason.INCORRECT_QUANTITY),
        ({"price": 0}, Reason.INVALID_PRICE_INCREMENT),
        ({"price": NOT_REPRESENTABLE}, Reason.INVALID_PRICE_INCREMENT),
        ({"price": 49}, Reason.PRICE_BAND),
        ({"price": 151}, Reason.PRICE_BAND),
        ({"type": STOP_LIMIT, "stop_price": 0}, Reason.INVALID_PRICE_INCREMENT),
        ({"type": STOP_LIMIT, "stop_price": 151}, Reason.PRICE_BAND),
        ({"deadline_ms": 999}, Reason.STALE_ORDER),
        ({"deadline_ms": 1_000}, None),
        ({"time_in_force": GTD, "expire_time_ms": 1_000}, Reason.STALE_ORDER),
        ({"time_in_force": GTD, "expire_time_ms": 1_001}, None),
        ({"price": 50}, None),
        ({"price": 150, "quantity": 100, "display_quantity": 100}, None),
        ({"quantity": 2, "display_quantity": 1}, None),
        ({"price": 0, "quantity": 0, "deadline_ms": 0, "post_only": True}, Reason.INCORRECT_QUANTITY),
        ({"price": 0, "deadline_ms": 0}, Reason.INVALID_PRICE_INCREMENT),
        ({"price": 0, "type": STOP_LIMIT, "stop_price": 151}, Reason.INVALID_PRICE_INCREMENT),
        ({"price": 151, "deadline_ms": 0}, Reason.PRICE_BAND),
    ],
)
def test_the_checks_of_an_order_in_their_order(terms: dict[str, Any], reason: Reason | None) -> None:
    """R11: quantities 2..100, prices 50..150, the time is 1,000."""
    market = Market(min_quantity=2, max_quantity=100, min_price=50, max_price=150)
    report = market.place("a", BUY, **{"price": 100, "quantity": 10, **terms})
    assert report.reason == reason
    assert market.cancel("a").reason == (Reason.TOO_LATE_TO_CANCEL if reason else None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"quantity": NOT_REPRESENTABLE}, Reason.INCORRECT_QUANTITY),
        ({"quantity": 0, "price": 0}, None),
        ({"quantity": 1, "price": 0}, Reason.INCORRECT_QUANTITY),
        ({"quantity": 101}, Reason.INCORRECT_QUANTITY),
        ({"price": NOT_REPRESENTABLE}, Reason.INVALID_PRICE_INCREMENT),
        ({"price": 49}, Reason.PRICE_BAND),
        ({"price": 151}, Reason.PRICE_BAND),
        ({"price": 50, "quantity": 100}, None),
    ],
)
def test_the_checks_of_an_amend(change: dict[str, int], reason: Reason | None) -> None:
    """R11: quantities 2..100, prices 50..150; a refused amend changes nothing."""
    market = Market(min_quantity=2, max_quantity=100, min_price=50, max_price=150)
    market.place("a", BUY, 10, 100)
    report = market.amend("a", **change)
    assert (report.reason, len(report.orders)) == (reason, 0 if reason else 1)
    assert market.replace("zz", order("b", BUY, 10, 100)).reason == Reason.UNKNOWN_ORDER


@pytest.mark.parametrize("changes", [{"tick_size": 2}, {"base_asset": "C"}, {"max_fills": 0}, {"min_price": 0}])
def test_a_listing_keeps_its_units_and_makes_sense(changes: dict[str, Any]) -> None:
    """Anything else may change; a refused listing changes nothing."""
    market = Market()
    listing = Listing("X", "B", "Q", 1, 1)
    report = market.send(List(*market.key(), listing._replace(**changes)))
    assert (report.reason, report.listing, report.market_status) == (Reason.UNSUPPORTED_ORDER, None, None)
    assert market.naive.listing == listing


def test_only_known_engine_versions_come_into_force() -> None:
    """Versions 1 to 3 are known; the newest one is in force until another is set."""
    market = Market()
    for version in (3, 2, 1):
        report = market.send(EngineVersion(*market.key(), version))
        assert (report.outcome, report.engine_version) == (Outcome.ACCEPTED, version)
    report = market.send(EngineVersion(*market.key(), 4))
    assert (report.reason, report.engine_version) == (Reason.UNSUPPORTED_ENGINE_VERSION, 1)


def test_a_large_report_takes_several_seqs() -> None:
    """300 canceled orders and their level are 301 entries: two parts."""
    market = Market()
    for index in range(300):
        market.place(f"o{index}", BUY, 1, 100)
    report = market.send(MassCancel(*market.key()))
    assert (report.seq, report.parts) == (302, 2)
    assert market.send(Tick()).seq == 304


def test_a_partition_reports_what_belongs_to_no_instrument() -> None:
    """At most 1,024 bytes of the record, readable whatever they are, with a seq of its own."""
    rejections = NaiveRejections(3)
    report = rejections.reject(Reason.MALFORMED_COMMAND, b"\xff" + b"x" * 2_000, Moment(5, 50), 2)
    assert (report.instrument, report.seq, report.command, report.offset) == ("_partition-3", 1, "unknown", 5)
    assert (report.outcome, report.reason, report.raw) == (
        Outcome.REJECTED,
        Reason.MALFORMED_COMMAND,
        "\ufffd" + "x" * 1_023,
    )
    again = rejections.reject(Reason.UNKNOWN_INSTRUMENT, b"", Moment(6, 40), 2)
    assert (again.seq, again.time_ms) == (2, 50)
