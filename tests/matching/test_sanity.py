"""A check that cannot fail proves nothing: each invariant (docs/EXACTNESS.md, I13) broken once, and noticed."""

from typing import Any

import pytest

from app.matching.book import Book
from app.matching.events import Level, Report
from app.matching.sanity import check, check_cheap
from app.matching.words import Reason, Side, Status
from tests.matching.scenario import LISTING, Play

MARKET = """
buy b1 2 @ 100 by ann
buy b2 3 @ 100
buy b3 1 @ 99 GTD=2000
sell s1 5 @ 110 shows=2
sell s2 1 @ 105
buy t1 1 @ 105
buy w1 1 stop 106
sell w2 1 @ 79 stop 104 by ann
"""


def market() -> tuple[Book, Report]:
    """Two bids and one more, an iceberg, a stop on each side at a tick from the last price; and the last report."""
    book, play = Book(LISTING.instrument), Play(mirrored=False)
    report = book.apply(*play.listing())
    for line in MARKET.strip().splitlines():
        report = book.apply(*play.read(line))
    check(book)
    check_cheap(book, report)
    return book, report


def part(book: Book, word: str) -> Any:
    """A part of the book by a word: an order's name, a queue's price, or an attribute."""
    if word.isdigit():
        return book.orders.bids.queues.get(-int(word)) or book.orders.asks.queues[int(word)]
    order = book.orders.by_id.get(word.encode().ljust(16))
    if order is not None:
        return order
    for name in word.split("."):
        book = getattr(book, name)
    return book


@pytest.mark.parametrize(
    ("word", "attribute", "value", "message"),
    [
        ("b1", "status", Status.CANCELED, "is open and canceled"),
        ("b1", "reason", Reason.REPLACED, "is open and None"),
        ("w1", "status", Status.CANCELED, "is open and canceled"),
        ("w1", "remaining", 0, "has 0 left"),
        ("w1", "remaining", -1, "has -1 left"),
        ("w1", "filled", -1, "-1 filled"),
        ("b1", "remaining", 0, "has 0 left"),
        ("b1", "filled", -1, "-1 filled"),
        ("b1", "price", 101, "in the wrong queue"),
        ("b1", "price", 99, "in the wrong queue"),
        ("b1", "side", Side.SELL, "in the wrong queue"),
        ("s1", "side", Side.BUY, "in the wrong queue"),
        ("b1", "shown", 0, "shows 0 of 2"),
        ("b1", "shown", -1, "shows -1 of 2"),
        ("b1", "shown", 1, "hides something"),
        ("b1", "shown", 3, "shows 3 of 2"),
        ("s1", "shown", 6, "shows 6 of 5"),
        ("s1", "shown", 3, "shows more than 2"),
        ("b1", "earlier", "b2", "linked wrongly"),
        ("b2", "earlier", None, "linked wrongly"),
        ("b2", "queue", "99", "linked wrongly"),
        ("b1", "later", None, "the last of queue 100 is wrong"),
        ("100", "last", "b1", "the last of queue 100 is wrong"),
        ("100", "last", None, "the last of queue 100 is wrong"),
        ("100", "orders", 1, "counts 1 orders"),
        ("100", "orders", 3, "counts 3 orders"),
        ("100", "quantity", 4, "totals wrongly"),
        ("100", "quantity", 6, "totals wrongly"),
        ("100", "rank", 100, "in the wrong place"),
        ("100", "rank", -99, "in the wrong place"),
        ("100", "price", 99, "in the wrong place"),
        ("100", "price", -100, "in the wrong place"),
        ("110", "rank", 109, "in the wrong place"),
        ("110", "rank", 111, "in the wrong place"),
        ("110", "price", 111, "in the wrong place"),
        ("110", "price", 109, "in the wrong place"),
        ("orders.bids", "best", -99, "best buy is wrong"),
        ("orders.bids", "best", -101, "best buy is wrong"),
        ("orders.asks", "best", 109, "best sell is wrong"),
        ("orders.asks", "best", 111, "best sell is wrong"),
        ("w1", "triggered", True, "a triggered stop waits for nothing"),
        ("w1", "queue", "110", "an order rests that is not open"),
        ("b1", "terms", "w1.terms", "rests and waits"),
        ("b2", "client_id", "ann", "counted wrongly"),
        ("journal", "last_price", 106, "waits for 106, the last price is 106"),
        ("journal", "last_price", 107, "waits for 106, the last price is 107"),
        ("journal", "last_price", 104, "waits for 104, the last price is 104"),
        ("journal", "last_price", 103, "waits for 104, the last price is 103"),
        ("journal", "trades", ["a trade"], "something happened and was not reported"),
        ("journal", "touched", {"an order": None}, "something happened and was not reported"),
        ("b2", "seq", 2, "not by number"),
        ("b2", "seq", 1, "not by number"),
        ("b3", "seq", 1, "not by number"),
        ("identities", "live_from", -1, "out of order"),
        ("identities", "live_from", 10, "out of order"),
        ("identities", "total", 8, "id records are missing"),
        ("identities", "total", 10, "id records are missing"),
        ("identities", "first_block", 1, "id records are missing"),
        ("book", "time_ms", 2_000, "an expired order is open"),
        ("book", "time_ms", 2_001, "an expired order is open"),
    ],
)
def test_a_broken_book_is_noticed(word: str, attribute: str, value: Any, message: str) -> None:
    """One value altered: the check says which."""
    book, _ = market()
    if isinstance(value, str) and value in ("b1", "b2", "99", "110", "w1.terms"):
        value = part(book, "w1").terms if value == "w1.terms" else part(book, value)
    setattr(book if word == "book" else part(book, word), attribute, value)
    with pytest.raises(AssertionError, match=message):
        check(book)


def test_what_is_just_right_is_not_noticed() -> None:
    """The edges of what may be: nothing shown beyond the display, all keys live or none, the moment before expiry."""
    book, _ = market()
    book.journal.last_price = None
    book.identities.live_from = book.identities.total
    book.time_ms = 1_999
    part(book, "s1").shown = 1
    part(book, "110").quantity = 1
    check(book)
    book.identities.live_from = 0
    part(book, "w1").filled = 1
    check(book)
    empty = Book(LISTING.instrument)
    empty.apply(*Play(mirrored=False).listing())
    check(empty)


def test_a_crossed_book_is_noticed() -> None:
    """At equal prices too, by either check."""
    for price in (100, 99):
        book, report = market()
        ask = book.orders.asks
        ask.queues[price] = ask.queues.pop(110)
        ask.best = ask.queues[price].rank = ask.queues[price].price = part(book, "s1").price = price
        with pytest.raises(AssertionError, match="crossed book"):
            check_cheap(book, report)
        with pytest.raises(AssertionError, match="crossed book"):
            check(book)


def test_an_order_that_is_missing_is_noticed() -> None:
    """It would trade, but could not be canceled."""
    book, _ = market()
    del book.orders.by_id[b"b1".ljust(16)]
    with pytest.raises(AssertionError, match="an order rests that is not open"):
        check(book)


def test_an_order_that_is_there_twice_is_noticed() -> None:
    """Under two ids."""
    book, _ = market()
    book.orders.by_id[b"other".ljust(16)] = part(book, "w2")
    with pytest.raises(AssertionError, match="not by number"):
        check(book)


def test_an_order_under_another_ones_id_is_noticed() -> None:
    """As many as there should be are not the right ones."""
    book, _ = market()
    by_id = book.orders.by_id
    by_id[b"b1".ljust(16)], by_id[b"b2".ljust(16)] = by_id[b"b2".ljust(16)], by_id[b"b1".ljust(16)]
    with pytest.raises(AssertionError, match="rests and is not open"):
        check(book)


def test_an_empty_queue_is_noticed() -> None:
    """A level without orders would be shown as one."""
    book, _ = market()
    book.orders.bids.queue_at(98)
    book.orders.bids.before.clear()
    with pytest.raises(AssertionError, match="queue 98 is empty"):
        check(book)


def test_an_expiry_that_is_forgotten_is_noticed() -> None:
    """Its order would stay open for ever."""
    book, _ = market()
    book.orders._expiries._entries.clear()
    with pytest.raises(AssertionError, match="the next expiry is wrong"):
        check(book)


def test_a_triggered_stop_that_is_forgotten_is_noticed() -> None:
    """It waits for fills that nobody gives it, or would be given them two times."""
    book, _ = market()
    stop = part(book, "w1")
    stop.triggered = True
    book.orders.wait_for_fills(stop)
    check(book)
    book.orders.some_triggered = False
    with pytest.raises(AssertionError, match="triggered stops are forgotten"):
        check(book)
    book.orders.some_triggered = True
    stop.triggered = False
    with pytest.raises(AssertionError, match="a triggered stop waits for nothing"):
        check(book)


def test_a_client_counted_wrongly_is_noticed() -> None:
    """Too many, too few, or one who has no order."""
    for change in ({"ann": 3}, {"ann": 1}, {"nobody": 1}):
        book, _ = market()
        book.orders.clients.update(change)
        with pytest.raises(AssertionError, match="counted wrongly"):
            check(book)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seq": 8}, "report 8 of 1 parts, seq 9"),
        ({"seq": 10}, "report 10 of 1 parts, seq 9"),
        ({"parts": 2}, "report 9 of 2 parts, seq 9"),
        ({"parts": 3, "seq": 9}, "report 9 of 3 parts, seq 9"),
        ({"levels": [Level(Side.BUY, 1, 1, 0)]}, "half empty"),
        ({"levels": [Level(Side.BUY, 1, 0, 1)]}, "half empty"),
        ({"levels": [Level(Side.BUY, 1, 2, 0)]}, "half empty"),
        ({"levels": [Level(Side.BUY, 1, 0, 2)]}, "half empty"),
    ],
    ids=str,
)
def test_a_report_that_cannot_be_is_noticed(changes: dict[str, Any], message: str) -> None:
    """Before it is sent."""
    book, report = market()
    with pytest.raises(AssertionError, match=message):
        check_cheap(book, report._replace(**changes))


def test_a_report_that_can_be_is_let_through() -> None:
    """Of several parts, of levels that are gone, small or large, with a seq to match."""
    book, report = market()
    levels = [Level(Side.BUY, 1, 0, 0), Level(Side.BUY, 1, 1, 1), Level(Side.SELL, 1, 9, 1), Level(Side.SELL, 1, 9, 9)]
    check_cheap(book, report._replace(seq=report.seq - 1, parts=2, levels=levels))
    check_cheap(book, report._replace(seq=report.seq - 4, parts=5))


@pytest.mark.parametrize("side", ["bids", "asks"])
def test_a_level_that_was_not_reported_is_noticed(side: str) -> None:
    """On either side."""
    book, report = market()
    getattr(book.orders, side).before[1] = (1, 1)
    with pytest.raises(AssertionError, match="not reported"):
        check_cheap(book, report)
