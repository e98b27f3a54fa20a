"""The naive engine against cases worked out by hand, one or more for each rule, and against arithmetic."""

from collections.abc import Callable
from typing import Any

import pytest

from app.matching.commands import (
    NOT_REPRESENTABLE,
    Amend,
    Cancel,
    Command,
    EngineVersion,
    Halt,
    List,
    Listing,
    MassCancel,
    Moment,
    Place,
    Reduce,
    Replace,
    Resume,
    Snapshot,
    Tick,
)
from app.matching.events import Level, Report
from app.matching.words import (
    Liquidity,
    MarketStatus,
    OrderType,
    Outcome,
    Reason,
    SelfTradePrevention,
    Side,
    Status,
    TimeInForce,
)
from app.naive.matching import NaiveEngine, NaiveRejections
from tests.matching.streams import INSTRUMENT, commands

BUY, SELL = Side.BUY, Side.SELL


class Venue:
    """A naive engine with short words for commands; ids are the words that a case uses, padded to 16 bytes."""

    def __init__(self, **rules: Any) -> None:
        self.naive = NaiveEngine("X")
        self.offset = 0
        self.now = 1_000
        self.keys = 0
        self.list(**rules)

    def send(self, command: Command) -> Report:
        self.offset += 1
        return self.naive.apply(command, Moment(self.offset, self.now))

    def key(self) -> tuple[bytes, int]:
        self.keys += 1
        return name(f"#{self.keys}"), self.keys

    def list(self, **rules: Any) -> Report:
        return self.send(List(*self.key(), Listing("X", "B", "Q", 1, 1, **rules)))

    def place(self, word: str, side: Side, quantity: int, price: int | None = None, **terms: Any) -> Report:
        return self.send(order(word, side, quantity, price, **terms))

    def cancel(self, word: str, client: str | None = None) -> Report:
        return self.send(Cancel(*self.key(), name(word), client))

    def amend(self, word: str, price: int | None = None, quantity: int | None = None) -> Report:
        return self.send(Amend(*self.key(), name(word), None, price, quantity))

    def reduce(self, word: str, quantity: int) -> Report:
        return self.send(Reduce(*self.key(), name(word), quantity))

    def replace(self, word: str, new: Place) -> Report:
        return self.send(Replace(*self.key(), name(word), new))

    def halt(self) -> Report:
        return self.send(Halt(*self.key()))


def name(word: str) -> bytes:
    return word.encode().ljust(16, b".")


def order(word: str, side: Side, quantity: int, price: int | None = None, **terms: Any) -> Place:
    """A GTC limit order, or market without a price; the client is named like the order unless given."""
    terms.setdefault("type", OrderType.MARKET if price is None else OrderType.LIMIT)
    terms.setdefault("client_id", word)
    return Place(name(word), len(word), terms.pop("client_id"), word, side, terms.pop("type"), quantity, price, **terms)


def trades(report: Report) -> list[tuple[str, str, int, int]]:
    """Maker, taker, quantity, price."""
    return [
        (word(trade.maker_order_id), word(trade.taker_order_id), trade.quantity, trade.price) for trade in report.trades
    ]


def word(order_id: bytes) -> str:
    return order_id.decode().rstrip(".")


def states(report: Report) -> list[tuple[str, Status, Reason | None, int, int]]:
    """Order, status, reason, filled, remaining."""
    return [(word(o.order_id), o.status, o.reason, o.filled, o.remaining) for o in report.orders]


def levels(report: Report) -> list[tuple[Side, int, int, int]]:
    return [(level.side, level.price, level.quantity, level.orders) for level in report.levels]


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
    venue = Venue()
    report = venue.place("a", BUY, 5, 100)
    assert states(report) == [("a", Status.NEW, None, 0, 5)]
    assert levels(report) == [(BUY, 100, 5, 1)]
    assert report.orders[0].terms == order("a", BUY, 5, 100)
    assert (report.seq, report.order_id) == (2, name("a"))


@pytest.mark.parametrize("side", Side)
def test_best_price_first_then_earliest_arrival_at_the_makers_price(side: Side) -> None:
    """R1 and R2: the far price last, two orders of one price in their order, each at its own price."""
    venue = Venue()
    other = SELL if side == BUY else BUY
    better, worse, limit = (100, 101, 105) if side == BUY else (100, 99, 95)
    venue.place("far", other, 1, worse)
    venue.place("first", other, 2, better)
    venue.place("second", other, 3, better)
    report = venue.place("taker", side, 10, limit)
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
    venue = Venue()
    for index, (side, price) in enumerate([(SELL, 103), (BUY, 99), (SELL, 102), (BUY, 101)]):
        venue.place(f"o{index}", side, 1, price)
    report = venue.send(Snapshot(*venue.key()))
    assert levels(report) == [(BUY, 101, 1, 1), (BUY, 99, 1, 1), (SELL, 102, 1, 1), (SELL, 103, 1, 1)]
    assert venue.naive.depth(1) == ([Level(BUY, 101, 1, 1)], [Level(SELL, 102, 1, 1)])


def test_last_fill_and_liquidity_are_of_this_command_only() -> None:
    """A maker filled earlier has none when it is canceled later."""
    venue = Venue()
    venue.place("maker", SELL, 5, 100)
    taker, maker = venue.place("taker", BUY, 2, 100).orders
    assert (taker.last_price, taker.last_quantity, taker.liquidity) == (100, 2, Liquidity.TAKER)
    assert (maker.last_price, maker.last_quantity, maker.liquidity) == (100, 2, Liquidity.MAKER)
    (canceled,) = venue.cancel("maker").orders
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
    venue = Venue()
    venue.place("a", SELL, 2, 100)
    venue.place("b", SELL, 1, 101)
    report = venue.place("t", BUY, 4, **terms)
    assert states(report)[0] == ("t", Status.EXPIRED, reason, filled, 4 - filled)
    assert sum(trade.quantity for trade in report.trades) == filled


def test_fill_or_kill_fills_completely() -> None:
    """R4: exactly enough is enough."""
    venue = Venue()
    venue.place("a", SELL, 2, 100)
    venue.place("b", SELL, 1, 101)
    report = venue.place("t", BUY, 3, 101, time_in_force=TimeInForce.FOK)
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
    venue = Venue()
    venue.place("a", SELL, 2, 100)
    venue.place("own", SELL, 1, 100, client_id="t")
    report = venue.place("t", BUY, 3, 100, time_in_force=TimeInForce.FOK, self_trade_prevention=mode)
    assert report.orders[0].filled == filled
    assert len(report.orders) == (3 if filled else 1)


def test_fill_or_kill_reaches_beyond_own_orders_that_it_cancels() -> None:
    """R4 with cancel_oldest: the own order is out of the way."""
    venue = Venue()
    venue.place("own", SELL, 1, 100, client_id="t")
    venue.place("a", SELL, 2, 100)
    mode = SelfTradePrevention.CANCEL_OLDEST
    report = venue.place("t", BUY, 2, 100, time_in_force=TimeInForce.FOK, self_trade_prevention=mode)
    assert states(report) == [
        ("t", Status.FILLED, None, 2, 0),
        ("own", Status.CANCELED, Reason.SELF_TRADE_PREVENTED, 0, 1),
        ("a", Status.FILLED, None, 2, 0),
    ]


def test_a_post_only_order_that_would_trade_is_rejected() -> None:
    """R5: also if the order it meets is its own; one tick away it rests."""
    venue = Venue()
    venue.place("a", SELL, 1, 100, client_id="t")
    report = venue.place("t", BUY, 1, 100, post_only=True)
    assert states(report) == [("t", Status.REJECTED, Reason.POST_ONLY_WOULD_TAKE, 0, 1)]
    assert (report.outcome, report.reason, report.levels) == (Outcome.REJECTED, Reason.POST_ONLY_WOULD_TAKE, [])
    assert venue.place("t2", BUY, 1, 99, post_only=True).orders[0].status == Status.NEW


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
    venue = Venue()
    venue.place("a", BUY, 5, 100)
    venue.place("b", BUY, 5, 100)
    report = venue.amend("a", **change)
    assert states(report) == [("a", Status.NEW, None, 0, change.get("quantity", 5))]
    assert trades(venue.place("t", SELL, 1, 100))[0][0] == first


def test_amend_sets_the_total_quantity() -> None:
    """R6: four filled of ten, a total of six leaves two."""
    venue = Venue()
    venue.place("a", BUY, 10, 100)
    venue.place("t", SELL, 4, 100)
    report = venue.amend("a", quantity=6)
    assert states(report) == [("a", Status.PARTIALLY_FILLED, None, 4, 2)]
    assert levels(report) == [(BUY, 100, 2, 1)]
    assert states(venue.amend("a", quantity=4)) == [("a", Status.CANCELED, Reason.CANCELED_BY_CLIENT, 4, 2)]


def test_an_amended_price_may_trade() -> None:
    """R6: as a taker, at the maker's price, and the rest goes to the back."""
    venue = Venue()
    venue.place("a", BUY, 3, 100)
    venue.place("m", SELL, 1, 102)
    report = venue.amend("a", price=105)
    assert trades(report) == [("m", "a", 1, 102)]
    assert report.orders[0].price == 105
    assert levels(report) == [(BUY, 105, 2, 1), (BUY, 100, 0, 0), (SELL, 102, 0, 0)]


def test_a_post_only_order_stays_when_its_amend_would_trade() -> None:
    """R5 and R6."""
    venue = Venue()
    venue.place("a", BUY, 3, 100, post_only=True)
    venue.place("m", SELL, 1, 102)
    report = venue.amend("a", price=102)
    assert (report.outcome, report.reason, report.orders) == (Outcome.REJECTED, Reason.POST_ONLY_WOULD_TAKE, [])
    assert states(venue.amend("a", price=101)) == [("a", Status.NEW, None, 0, 3)]


def test_reduce_keeps_the_place_and_cancels_at_nothing() -> None:
    """R6."""
    venue = Venue()
    venue.place("a", BUY, 5, 100)
    venue.place("b", BUY, 5, 100)
    assert states(venue.reduce("a", 2)) == [("a", Status.NEW, None, 0, 3)]
    assert trades(venue.place("t", SELL, 1, 100)) == [("a", "t", 1, 100)]
    assert states(venue.reduce("a", 2)) == [("a", Status.CANCELED, Reason.CANCELED_BY_CLIENT, 1, 2)]
    assert venue.reduce("b", 0).reason == Reason.INCORRECT_QUANTITY


def test_replace_is_cancel_and_a_new_order() -> None:
    """R6: the old one first, the new one with its terms; it may trade."""
    venue = Venue()
    venue.place("a", BUY, 5, 100)
    venue.place("m", SELL, 2, 101)
    new = order("b", BUY, 3, 101, client_id="a")
    report = venue.replace("a", new)
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
    venue = Venue()
    venue.place("a", BUY, 5, 100)
    venue.place("m", SELL, 2, 102)
    report = venue.replace("a", new)
    assert (report.outcome, report.reason, report.orders) == (Outcome.REJECTED, reason, [])
    assert venue.naive.orders[name("a")].status == Status.NEW
    if new.order_id == name("b"):
        assert venue.place("b", BUY, 1, 90).outcome == Outcome.ACCEPTED


def test_a_replace_does_not_meet_the_order_it_replaces() -> None:
    """R6: neither as a maker nor as a reason against post-only nor as an open order."""
    venue = Venue(max_open_orders=1)
    venue.place("a", BUY, 5, 100)
    report = venue.replace("a", order("b", SELL, 3, 99, client_id="a", post_only=True))
    assert states(report)[1] == ("b", Status.NEW, None, 0, 3)


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
    venue = Venue()
    other = SelfTradePrevention.CANCEL_BOTH if mode == SelfTradePrevention.NONE else SelfTradePrevention.NONE
    venue.place("o", SELL, 3, 100, client_id="t", self_trade_prevention=other)
    venue.place("x", SELL, 5, 100)
    assert states(venue.place("t", BUY, 4, 100, self_trade_prevention=mode)) == expected


def test_a_self_trade_is_prevented_only_when_it_is_reached() -> None:
    """R7: what comes before is traded and kept."""
    venue = Venue()
    venue.place("x", SELL, 2, 99)
    venue.place("o", SELL, 3, 100, client_id="t")
    assert states(venue.place("t", BUY, 4, 100)) == [
        ("t", Status.CANCELED, Reason.SELF_TRADE_PREVENTED, 2, 2),
        ("x", Status.FILLED, None, 2, 0),
    ]
    assert venue.place("t2", BUY, 2, 99, client_id="t").orders[0].status == Status.NEW


def test_decrement_takes_the_smaller_from_the_larger() -> None:
    """R7: the larger maker keeps its place with less; equal ones both go."""
    venue = Venue()
    mode = SelfTradePrevention.DECREMENT_AND_CANCEL
    venue.place("o", SELL, 5, 100, client_id="t")
    report = venue.place("t1", BUY, 2, 100, client_id="t", self_trade_prevention=mode)
    assert states(report) == [
        ("t1", Status.CANCELED, Reason.SELF_TRADE_PREVENTED, 0, 2),
        ("o", Status.NEW, None, 0, 3),
    ]
    assert levels(report) == [(SELL, 100, 3, 1)]
    report = venue.place("t2", BUY, 3, 100, client_id="t", self_trade_prevention=mode)
    assert {state[1] for state in states(report)} == {Status.CANCELED}


def test_the_default_mode_is_the_listings_at_acceptance() -> None:
    """R14: a later listing changes nothing for an order that is there."""
    venue = Venue(self_trade_prevention=SelfTradePrevention.NONE)
    venue.place("a", BUY, 1, 90, client_id="t")
    venue.list()
    venue.place("o", SELL, 1, 100, client_id="t")
    assert trades(venue.amend("a", price=100)) == [("o", "a", 1, 100)]
    venue.place("o2", SELL, 1, 100, client_id="t")
    assert venue.place("b", BUY, 1, 100, client_id="t").orders[0].reason == Reason.SELF_TRADE_PREVENTED


def test_an_iceberg_shows_a_slice_and_then_goes_to_the_back() -> None:
    """R8: ten hidden behind three; the other order of the level comes between its slices."""
    venue = Venue()
    assert levels(venue.place("ice", SELL, 10, 100, display_quantity=3)) == [(SELL, 100, 3, 1)]
    venue.place("b", SELL, 2, 100)
    report = venue.place("t", BUY, 7, 100)
    assert trades(report) == [("ice", "t", 3, 100), ("b", "t", 2, 100), ("ice", "t", 2, 100)]
    assert levels(report) == [(SELL, 100, 1, 1)]
    assert states(report)[1] == ("ice", Status.PARTIALLY_FILLED, None, 5, 5)


def test_an_incoming_iceberg_trades_its_full_size() -> None:
    """R8: and shows a slice of the rest."""
    venue = Venue()
    venue.place("m", SELL, 6, 100)
    report = venue.place("ice", BUY, 10, 100, display_quantity=3)
    assert trades(report) == [("m", "ice", 6, 100)]
    assert levels(report) == [(BUY, 100, 3, 1), (SELL, 100, 0, 0)]


def test_a_smaller_iceberg_loses_its_hidden_part_first() -> None:
    """R8: ten with three shown, by six to four, still three; by two more, two."""
    venue = Venue()
    venue.place("ice", SELL, 10, 100, display_quantity=3)
    assert levels(venue.reduce("ice", 6)) == []
    assert levels(venue.reduce("ice", 2)) == [(SELL, 100, 2, 1)]


def stop(word: str, side: Side, quantity: int, stop_price: int, price: int | None = None, **terms: Any) -> Place:
    type_ = OrderType.STOP if price is None else OrderType.STOP_LIMIT
    return order(word, side, quantity, price, type=type_, stop_price=stop_price, **terms)


def trade_at(venue: Venue, price: int) -> Report:
    venue.place(f"m{venue.offset}", SELL, 1, price)
    return venue.place(f"t{venue.offset}", BUY, 1, price)


def test_a_stop_waits_for_its_price_and_then_takes() -> None:
    """R9: it shows no level while it waits."""
    venue = Venue()
    report = venue.send(stop("s", BUY, 2, 105))
    assert (states(report), report.levels) == ([("s", Status.NEW, None, 0, 2)], [])
    trade_at(venue, 104)
    venue.place("ask", SELL, 5, 110)
    report = trade_at(venue, 105)
    assert trades(report)[1:] == [("ask", "s", 2, 110)]
    assert [o.triggered for o in report.orders] == [False, False, True, False]


def test_a_stop_whose_condition_holds_triggers_at_once() -> None:
    """R9: without liquidity it expires; as a stop-limit it rests."""
    venue = Venue()
    trade_at(venue, 100)
    report = venue.send(stop("s", SELL, 2, 100))
    assert states(report) == [("s", Status.EXPIRED, Reason.INSUFFICIENT_LIQUIDITY, 0, 2)]
    report = venue.send(stop("l", SELL, 2, 101, 99))
    assert (states(report), levels(report)) == ([("l", Status.NEW, None, 0, 2)], [(SELL, 99, 2, 1)])
    assert report.orders[0].triggered


def test_stops_trigger_nearest_first_then_by_arrival_and_cascade() -> None:
    """R9: 102 before both 103s; the second 103's price comes from the first's trade."""
    venue = Venue()
    venue.send(stop("c", BUY, 1, 103))
    venue.send(stop("b", BUY, 1, 103))
    venue.send(stop("a", BUY, 1, 102))
    for index, price in enumerate((102, 103, 104, 105)):
        venue.place(f"k{index}", SELL, 1, price)
    report = venue.place("t", BUY, 1, 102)
    assert trades(report) == [("k0", "t", 1, 102), ("k1", "a", 1, 103), ("k2", "c", 1, 104), ("k3", "b", 1, 105)]


def test_a_stop_waits_until_the_order_that_moved_the_price_is_done() -> None:
    """R9: the last trade decides, not one on the way."""
    venue = Venue()
    venue.send(stop("s", SELL, 1, 99))
    venue.place("x", BUY, 1, 100)
    venue.place("y", BUY, 1, 98)
    report = venue.place("t", SELL, 2, 98)
    assert trades(report) == [("x", "t", 1, 100), ("y", "t", 1, 98)]
    assert states(report)[-1] == ("s", Status.EXPIRED, Reason.INSUFFICIENT_LIQUIDITY, 0, 1)


def test_a_waiting_stop_is_amended_where_it_is() -> None:
    """R6 and R9: a plain stop has no price to set."""
    venue = Venue()
    venue.send(stop("s", BUY, 2, 105))
    venue.send(stop("l", BUY, 2, 105, 106))
    assert venue.amend("s", price=100).reason == Reason.UNSUPPORTED_ORDER
    assert states(venue.amend("s", quantity=3)) == [("s", Status.NEW, None, 0, 3)]
    assert venue.amend("l", price=107).orders[0].price == 107


def test_expiries_come_before_anything_else() -> None:
    """R10: earliest first, then number, also when the command is refused; at the very millisecond."""
    venue = Venue()
    gtd: dict[str, Any] = {"time_in_force": TimeInForce.GTD}
    venue.place("b", BUY, 1, 100, expire_time_ms=1_010, **gtd)
    venue.place("c", BUY, 1, 100, expire_time_ms=1_010, **gtd)
    venue.place("a", BUY, 1, 100, expire_time_ms=1_005, **gtd)
    venue.send(stop("s", BUY, 1, 200, expire_time_ms=1_009, **gtd))
    venue.now = 1_004
    assert venue.send(Tick()).orders == []
    venue.now = 1_010
    report = venue.cancel("b")
    assert [o[0] for o in states(report)] == ["a", "s", "b", "c"]
    assert {o[2] for o in states(report)} == {Reason.EXPIRE_TIME_REACHED}
    assert (report.outcome, report.reason) == (Outcome.REJECTED, Reason.TOO_LATE_TO_CANCEL)
    assert levels(report) == [(BUY, 100, 0, 0)]


def test_time_never_goes_back() -> None:
    """I1: the clock is the largest time seen."""
    venue = Venue()
    venue.now = 500
    report = venue.send(Tick())
    assert (report.time_ms, report.command, report.command_id, report.outcome) == (
        1_000,
        "tick",
        None,
        Outcome.ACCEPTED,
    )


def test_a_halted_market_only_lets_go() -> None:
    """R12: cancels, reductions and expiries go on; resume finds the same book."""
    venue = Venue()
    venue.place("a", BUY, 5, 100)
    assert venue.halt().market_status == MarketStatus.HALTED
    assert states(venue.place("b", SELL, 1, 100)) == [("b", Status.REJECTED, Reason.MARKET_CLOSED, 0, 1)]
    assert venue.amend("a", quantity=1).reason == Reason.MARKET_CLOSED
    assert venue.amend("zz", quantity=1).reason == Reason.UNKNOWN_ORDER
    assert venue.replace("a", order("n", BUY, 1, 1, client_id="a")).reason == Reason.MARKET_CLOSED
    assert venue.reduce("a", 1).outcome == Outcome.ACCEPTED
    assert venue.send(Resume(*venue.key())).market_status == MarketStatus.OPEN
    assert trades(venue.place("c", SELL, 1, 100)) == [("a", "c", 1, 100)]


def test_fills_are_bounded_and_the_rest_never_rests_crossed() -> None:
    """R13: two fills of three; but what no longer crosses rests."""
    venue = Venue(max_fills=2)
    for index in range(3):
        venue.place(f"m{index}", SELL, 1, 100)
    report = venue.place("t", BUY, 5, 100)
    assert states(report)[0] == ("t", Status.EXPIRED, Reason.MAX_FILLS, 2, 3)
    venue.place("m3", SELL, 1, 100)
    assert states(venue.place("u", BUY, 5, 100))[0] == ("u", Status.PARTIALLY_FILLED, None, 2, 3)


def test_fill_or_kill_beyond_the_bound_does_nothing() -> None:
    """R4 and R13."""
    venue = Venue(max_fills=2)
    for index in range(3):
        venue.place(f"m{index}", SELL, 1, 100)
    report = venue.place("t", BUY, 3, 100, time_in_force=TimeInForce.FOK)
    assert states(report) == [("t", Status.EXPIRED, Reason.FOK_NOT_FILLED, 0, 3)]


def test_cascades_count_towards_the_bound() -> None:
    """R13: the triggered order finds no fills left, and waits for the next command."""
    venue = Venue(max_fills=1)
    venue.send(stop("s", BUY, 1, 100))
    venue.place("m0", SELL, 1, 100)
    venue.place("m1", SELL, 1, 100)
    report = venue.place("t", BUY, 1, 100)
    assert states(report)[-1] == ("s", Status.NEW, None, 0, 1)
    assert states(venue.send(Tick())) == [("s", Status.FILLED, None, 1, 0), ("m1", Status.FILLED, None, 1, 0)]


@pytest.mark.parametrize("limits", [{"max_open_orders": 2}, {"max_open_orders_per_client": 2}])
def test_open_orders_are_bounded(limits: dict[str, int]) -> None:
    """R13: a resting order and a waiting stop are two; what cannot rest is welcome."""
    venue = Venue(**limits)
    venue.place("a", BUY, 1, 100, client_id="t")
    venue.send(stop("s", BUY, 1, 200, client_id="t"))
    assert venue.place("b", BUY, 1, 100, client_id="t").reason == Reason.TOO_MANY_ORDERS
    assert venue.send(stop("s2", BUY, 1, 200, client_id="t")).reason == Reason.TOO_MANY_ORDERS
    assert venue.place("m", BUY, 1, client_id="t").outcome == Outcome.ACCEPTED
    assert venue.place("i", BUY, 1, 1, client_id="t", time_in_force=TimeInForce.IOC).outcome == Outcome.ACCEPTED


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
    report = Venue().place("a", BUY, 5, **{"price": 100, **terms})
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
    venue = Venue(min_quantity=2, max_quantity=100, min_price=50, max_price=150)
    report = venue.place("a", BUY, **{"price": 100, "quantity": 10, **terms})
    assert report.reason == reason
    assert venue.cancel("a").reason == (Reason.TOO_LATE_TO_CANCEL if reason else None)


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
    venue = Venue(min_quantity=2, max_quantity=100, min_price=50, max_price=150)
    venue.place("a", BUY, 10, 100)
    report = venue.amend("a", **change)
    assert (report.reason, len(report.orders)) == (reason, 0 if reason else 1)
    assert venue.replace("zz", order("b", BUY, 10, 100)).reason == Reason.UNKNOWN_ORDER


def test_open_orders_are_listed_in_the_order_of_execution() -> None:
    """Bids from the highest, asks from the lowest, each level's queue, then stops by number."""
    venue = Venue()
    for label, side, price in (("b", BUY, 99), ("a", BUY, 100), ("d", SELL, 102), ("c", SELL, 101), ("e", SELL, 102)):
        venue.place(label, side, 2, price)
    venue.send(stop("g", BUY, 1, 200))
    venue.send(stop("f", BUY, 1, 150))
    venue.amend("d", quantity=3)
    listed = venue.naive.open_orders_list()
    assert [word(state.order_id) for state in listed] == ["a", "b", "c", "e", "d", "g", "f"]
    assert {(state.terms, state.last_price) for state in listed} == {(None, None)}


def test_only_live_orders_of_the_client_can_be_canceled() -> None:
    """R11: another's is unknown, a finished one too late."""
    venue = Venue()
    venue.place("a", BUY, 1, 100)
    assert venue.cancel("a", "b").reason == Reason.UNKNOWN_ORDER
    assert venue.cancel("zz").reason == Reason.UNKNOWN_ORDER
    assert states(venue.cancel("a", "a")) == [("a", Status.CANCELED, Reason.CANCELED_BY_CLIENT, 0, 1)]
    report = venue.cancel("a")
    assert (report.reason, report.order_id) == (Reason.TOO_LATE_TO_CANCEL, name("a"))


def test_mass_cancel_goes_by_client_and_side() -> None:
    """In the order of numbers, waiting stops included."""
    venue = Venue()
    venue.place("a", BUY, 1, 100, client_id="t")
    venue.send(stop("s", BUY, 1, 200, client_id="t"))
    venue.place("b", SELL, 1, 300, client_id="t")
    venue.place("x", BUY, 1, 100)
    report = venue.send(MassCancel(*venue.key(), client_id="t", side=BUY))
    assert [(o[0], o[2]) for o in states(report)] == [("a", Reason.MASS_CANCELED), ("s", Reason.MASS_CANCELED)]
    assert [o[0] for o in states(venue.send(MassCancel(*venue.key())))] == ["b", "x"]


def test_a_repeat_is_a_duplicate_and_touches_nothing() -> None:
    """R15: whatever the market's state; another body with the key is refused."""
    venue = Venue()
    venue.place("a", BUY, 1, 100)
    venue.halt()
    report = venue.place("a", BUY, 1, 100)
    assert (report.outcome, report.original_seq, report.orders) == (Outcome.DUPLICATE, 2, [])
    assert (report.order_id, report.seq) == (name("a"), 4)
    report = venue.send(order("a", BUY, 1, 100)._replace(fingerprint=99))
    assert (report.outcome, report.reason, report.orders) == (Outcome.REJECTED, Reason.DUPLICATE_ORDER, [])


def test_a_refused_command_consumes_its_key() -> None:
    """R15: the repeat of a rejected order is a duplicate."""
    venue = Venue()
    venue.place("a", BUY, 0, 100)
    assert venue.place("a", BUY, 0, 100).outcome == Outcome.DUPLICATE


def test_commands_on_orders_are_repeated_safely() -> None:
    """R6 and R15: the second reduce changes nothing and names its order."""
    venue = Venue()
    venue.place("a", BUY, 5, 100)
    command = Reduce(*venue.key(), name("a"), 1)
    venue.send(command)
    report = venue.send(command)
    assert (report.outcome, report.original_seq, report.order_id) == (Outcome.DUPLICATE, 3, name("a"))
    assert venue.naive.orders[name("a")].remaining == 4


def test_a_key_is_forgotten_after_as_many_others_as_the_window_counts() -> None:
    """I12: with a window of two, the listing and a are pushed out by b and c."""
    venue = Venue(id_window_count=2)
    for label in "abc":
        venue.place(label, BUY, 1)
    assert venue.place("b", BUY, 1).outcome == Outcome.DUPLICATE
    assert venue.place("a", BUY, 1).outcome == Outcome.ACCEPTED
    assert venue.cancel("b").reason == Reason.UNKNOWN_ORDER


def test_a_key_is_forgotten_after_the_time_of_the_window() -> None:
    """I12: exactly W later it is still known."""
    venue = Venue(id_window_ms=10)
    venue.place("a", BUY, 1)
    venue.now = 1_010
    assert venue.place("a", BUY, 1).outcome == Outcome.DUPLICATE
    venue.now = 1_011
    assert venue.place("a", BUY, 1).outcome == Outcome.ACCEPTED


def test_the_id_of_an_open_order_is_never_forgotten() -> None:
    """I12: it answers with its accepting seq; expired in the same command it is free again."""
    venue = Venue(id_window_count=0)
    terms = {"time_in_force": GTD, "expire_time_ms": 1_005}
    venue.place("a", BUY, 1, 100, **terms)
    venue.place("b", BUY, 1)
    report = venue.place("a", BUY, 1, 100, **terms)
    assert (report.outcome, report.original_seq) == (Outcome.DUPLICATE, 2)
    venue.now = 1_005
    report = venue.place("a", BUY, 2, 100)
    assert states(report) == [("a", Status.EXPIRED, Reason.EXPIRE_TIME_REACHED, 0, 1), ("a", Status.NEW, None, 0, 2)]


def test_a_larger_window_holds_only_for_the_future() -> None:
    """I12: a had left the window when the listing came and does not come back; b was its last."""
    venue = Venue(id_window_count=1)
    venue.place("a", BUY, 1)
    venue.place("b", BUY, 1)
    venue.list(id_window_count=100)
    assert venue.place("b", BUY, 1).outcome == Outcome.DUPLICATE
    assert venue.place("a", BUY, 1).outcome == Outcome.ACCEPTED
    assert venue.place("a", BUY, 1).outcome == Outcome.DUPLICATE


def test_a_new_order_of_a_replace_consumes_its_key() -> None:
    """R6 and R15: with the seq of the replace."""
    venue = Venue()
    venue.place("a", BUY, 1, 100)
    new = order("n", BUY, 1, 100, client_id="a")
    report = venue.replace("a", new)
    assert (venue.send(new).outcome, venue.send(new).original_seq) == (Outcome.DUPLICATE, report.seq)


def test_a_command_that_names_its_own_key_finds_it() -> None:
    """The key is consumed before anything is looked up."""
    venue = Venue()
    venue.place("a", BUY, 1, 100)
    assert venue.send(Cancel(name("k"), 1, name("k"))).reason == Reason.TOO_LATE_TO_CANCEL
    replace = Replace(name("r"), 1, name("a"), order("r", BUY, 1, 100, client_id="a"))
    assert venue.send(replace).reason == Reason.DUPLICATE_ORDER


@pytest.mark.parametrize("changes", [{"tick_size": 2}, {"base_asset": "C"}, {"max_fills": 0}, {"min_price": 0}])
def test_a_listing_keeps_its_units_and_makes_sense(changes: dict[str, Any]) -> None:
    """Anything else may change; a refused listing changes nothing."""
    venue = Venue()
    listing = Listing("X", "B", "Q", 1, 1)
    report = venue.send(List(*venue.key(), listing._replace(**changes)))
    assert (report.reason, report.listing, report.market_status) == (Reason.UNSUPPORTED_ORDER, None, None)
    assert venue.naive.listing == listing


def test_only_known_engine_versions_come_into_force() -> None:
    """Versions 1 and 2 are known; the newest one is in force until another is set."""
    venue = Venue()
    for version in (2, 1):
        report = venue.send(EngineVersion(*venue.key(), version))
        assert (report.outcome, report.engine_version) == (Outcome.ACCEPTED, version)
    report = venue.send(EngineVersion(*venue.key(), 3))
    assert (report.reason, report.engine_version) == (Reason.UNSUPPORTED_ENGINE_VERSION, 1)


def test_a_large_report_takes_several_seqs() -> None:
    """300 canceled orders and their level are 301 entries: two parts."""
    venue = Venue()
    for index in range(300):
        venue.place(f"o{index}", BUY, 1, 100)
    report = venue.send(MassCancel(*venue.key()))
    assert (report.seq, report.parts) == (302, 2)
    assert venue.send(Tick()).seq == 304


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
