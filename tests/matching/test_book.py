"""A book as its owner sees it: before the first command, and what it answers between commands."""

from typing import Any

import pytest

from app.matching.book import Book
from app.matching.commands import (
    Bust,
    ClientRates,
    EngineVersion,
    FeeSchedule,
    Halt,
    List,
    Listing,
    Moment,
    Place,
    Resume,
    SetFees,
    Tick,
)
from app.matching.events import Level
from app.matching.states import freeze, restore
from app.matching.words import MarketStatus, OrderType, Side, TimeInForce
from app.naive.matching import NaiveEngine

LISTING = Listing("M", "A", "B", 1, 1)
LIST = List(b"list".ljust(16), 0, LISTING)


def order(word: str, side: Side, price: int | None, **terms: Any) -> Place:
    return Place(word.encode().ljust(16), 0, word, "", side, terms.pop("type", OrderType.LIMIT), 5, price, **terms)


def test_a_book_without_a_command_is_nothing_yet() -> None:
    """It has seen no offset, has no rules, no orders, and has reported nothing."""
    book = Book("M")
    assert (book.offset, book.listed_offset, book.seq, book.trade_seq, book.time_ms) == (-1, -1, 0, 0, 0)
    assert (book.listing, book.market_status, book.engine_version) == (None, MarketStatus.OPEN, 3)
    assert (book.open_orders, book.best_bid, book.best_ask, book.next_expiry_ms) == (0, None, None, None)
    assert book.depth(10) == ([], [])


@pytest.mark.parametrize(
    "command",
    [
        Tick(),
        Halt(b"halt".ljust(16), 0),
        order("b", Side.BUY, 1),
        LIST._replace(listing=LISTING._replace(instrument="L")),
        LIST._replace(listing=LISTING._replace(instrument="N")),
        *(
            LIST._replace(listing=LISTING._replace(**rules))
            for rules in (
                {"tick_size": 0},
                {"lot_size": 0},
                {"max_fills": 0},
                {"min_price": 0},
                {"min_price": 2, "max_price": 1},
                {"min_quantity": 0},
                {"min_quantity": 2, "max_quantity": 1},
                {"max_open_orders": -1},
                {"max_open_orders_per_client": -1},
                {"id_window_count": -1},
                {"id_window_ms": -1},
            )
        ),
    ],
    ids=str,
)
def test_the_first_command_is_a_valid_list_of_this_instrument(command: Any) -> None:
    """Anything else is the caller's bug; the book stays as it was, and can be listed later."""
    book = Book("M")
    with pytest.raises(ValueError, match="M: "):
        book.apply(command, Moment(3, 50))
    assert (book.offset, book.listed_offset, book.seq, book.listing) == (-1, -1, 0, None)
    assert book.apply(LIST, Moment(4, 60)).seq == 1
    assert (book.listed_offset, book.listing) == (4, LISTING)


def test_the_narrowest_rules_are_valid() -> None:
    """One price, one quantity, one fill, no open orders, and a memory of nothing."""
    rules = {"min_price": 7, "max_price": 7, "min_quantity": 3, "max_quantity": 3, "max_fills": 1}
    none = dict.fromkeys(("max_open_orders", "max_open_orders_per_client", "id_window_count", "id_window_ms"), 0)
    narrow = LISTING._replace(**rules, **none)
    assert Book("M").apply(LIST._replace(listing=narrow), Moment(0, 0)).listing == narrow


def test_a_book_answers_what_it_has() -> None:
    """Best prices, counts, depth and the next expiry; `listed_offset` stays, `offset` is the last command's."""
    book = Book("M")
    book.apply(LIST, Moment(5, 10))
    for number, command in enumerate(
        (
            order("b1", Side.BUY, 99),
            order("b2", Side.BUY, 100, time_in_force=TimeInForce.GTD, expire_time_ms=80),
            order("s1", Side.SELL, 103, time_in_force=TimeInForce.GTD, expire_time_ms=70),
            order("s2", Side.SELL, 102),
            order("w1", Side.BUY, None, type=OrderType.STOP, stop_price=110),
        )
    ):
        book.apply(command, Moment(6 + number, 20))
    assert (book.listed_offset, book.offset, book.time_ms) == (5, 10, 20)
    assert (book.open_orders, book.best_bid, book.best_ask, book.next_expiry_ms) == (5, 100, 102, 70)
    bids, asks = book.depth(1)
    assert ([level.price for level in bids], [level.price for level in asks]) == ([100], [102])
    book.apply(Tick(), Moment(12, 70))
    assert (book.open_orders, book.next_expiry_ms, book.offset, book.time_ms) == (4, 80, 12, 70)
    book.apply(Tick(), Moment(13, 60))
    assert (book.offset, book.time_ms) == (13, 70)
    book.apply(Tick(), Moment(14, 90))
    assert (book.best_bid, book.best_ask, book.next_expiry_ms) == (99, 102, None)


def test_the_state_of_a_book_is_all_that_it_bases_reports_on() -> None:
    """By value: rules, clock, keys, and every open order with its place, its fills and its terms."""
    book, forever = Book("M"), TimeInForce.GTC
    book.apply(LIST, Moment(5, 10))
    iceberg = order("ice", Side.SELL, 103, display_quantity=3)
    stop = order("stop", Side.BUY, None, type=OrderType.STOP, stop_price=110)
    for number, command in enumerate((iceberg, stop, order("taker", Side.BUY, 103)._replace(quantity=2))):
        book.apply(command, Moment(6 + number, 20 + number))
    mode = LISTING.self_trade_prevention
    iceberg_terms = (Side.SELL, OrderType.LIMIT, forever, None, 3, None, False, mode)
    stop_terms = (Side.BUY, OrderType.STOP, forever, 110, None, None, False, mode)
    assert freeze(book) == (
        *("M", 8, 5, 22, 4, 3, False, 1, 103, LISTING, 0, 4),
        tuple(
            (key.ljust(16), 0, number, time_ms)
            for number, (key, time_ms) in enumerate(((b"list", 10), (b"ice", 20), (b"stop", 21), (b"taker", 22)), 1)
        ),
        (),
        ((iceberg.order_id, 0, 2, "ice", 103, 3, 2, 206, 1, False, *iceberg_terms, 0),),
        ((stop.order_id, 0, 3, "stop", None, 5, 0, 0, 0, False, *stop_terms, 0),),
        *(None, 0, ()),
    )


def test_the_state_of_a_book_has_its_rates_what_each_order_owes_and_which_trades_were_busted() -> None:
    """The next fill depends on all of it, and so does the next bust."""
    book, schedule = Book("M"), FeeSchedule(-3, 7, (ClientRates("taker", 1, 5),))
    book.apply(LIST, Moment(5, 10))
    book.apply(SetFees(b"fees".ljust(16), 0, schedule), Moment(6, 10))
    book.apply(order("maker", Side.SELL, 103), Moment(7, 10))
    book.apply(order("taker", Side.BUY, 103)._replace(quantity=2), Moment(8, 10))
    book.apply(Bust(b"bust".ljust(16), 0, 1, "error"), Moment(9, 10))
    state = freeze(book)
    assert (state.fees, state.fees_seq, state.busted) == (schedule, 2, (1,))
    assert [order.fee_sum for order in state.asks] == [-3 * 2 * 103]
    assert freeze(restore(state, {})) == state


def test_a_book_asks_for_a_tick_while_triggered_stops_wait_and_the_market_is_open() -> None:
    """Whoever owns the book sends one; else nothing would happen in a quiet market."""
    book = Book("M")
    book.apply(LIST._replace(listing=LISTING._replace(max_fills=1)), Moment(0, 0))
    makers = [order(f"s{price}", Side.SELL, price)._replace(quantity=1) for price in (105, 106)]
    stop = order("stop", Side.BUY, None, type=OrderType.STOP, stop_price=105)._replace(quantity=1)
    asked = []
    for number, command in enumerate(
        (
            *makers,
            stop,
            order("taker", Side.BUY, 105)._replace(quantity=1),
            Halt(b"halt".ljust(16), 0),
            Resume(b"resume".ljust(16), 0),
            Tick(),
        ),
        1,
    ):
        book.apply(command, Moment(number, number))
        asked.append(book.waits_for_tick)
    assert asked == [False, False, False, True, False, True, False]


@pytest.mark.parametrize("engine", [Book, NaiveEngine])
def test_a_sweep_through_an_iceberg_costs_what_its_fills_cost(engine: type[Book] | type[NaiveEngine]) -> None:
    """One that shows a lot of 10^12, as only version 1 allows: slice by slice this would take a week."""
    many, market = 10**12, engine("M", 1)
    iceberg = order("ice", Side.SELL, 100)._replace(quantity=many, display_quantity=7)
    fok = order("fok", Side.BUY, 100)._replace(quantity=many - 4, time_in_force=TimeInForce.FOK)
    for number, command in enumerate((LIST, iceberg, EngineVersion(b"version".ljust(16), 0, 2))):
        market.apply(command, Moment(number, number))
    report = market.apply(fok, Moment(3, 3))
    assert [(trade.maker_order_id, trade.quantity) for trade in report.trades] == [(iceberg.order_id, many - 4)]
    assert market.depth(1) == ([], [Level(Side.SELL, 100, 3, 1)])
