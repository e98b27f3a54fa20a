"""The gateway's books, trades and orders, begun with a snapshot: the same as from the first report on."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from app.matching.book import Book
from app.matching.events import split
from app.matching.states import freeze
from app.matching.words import Side
from app.models.checksum import book_checksum
from app.models.conversion import scale_of
from app.models.reports import ExecutionReport, report_message
from app.models.snapshots import decode_state, encode_state
from app.postgres import RowKey
from tests.matching.streams import INSTRUMENT, commands
from web.market import recent_orders as web_orders
from web.market.books import Market, recent_trades
from web.market.recent_orders import RecentOrders, completed

LOG_ID = "3d7f2b0e-0000-8000-8000-000000000000"
COMMANDS = 400
EVERYTHING = 1_000
ARCHITECTURE = Path(__file__).parents[2] / "ARCHITECTURE.md"


class View:
    """What a gateway knows of one instrument."""

    def __init__(self, market: Market, orders: RecentOrders) -> None:
        self.market, self.orders = market, orders

    def apply(self, reports: Iterable[ExecutionReport]) -> None:
        for report in reports:
            self.market.apply(report)
            self.orders.apply(report)

    def book(self) -> tuple[object, ...]:
        market = self.market
        sides = [market.depth(side, EVERYTHING) for side in Side]
        return market.seq, market.time_ms, market.checksum(), market.answer(), sides


def begun_with(book: Book) -> View:
    """What a gateway makes of the book's snapshot."""
    head, chunks = encode_state(freeze(book), LOG_ID)
    state = decode_state(head, lambda number: chunks[number], LOG_ID)
    market, orders = Market.of(state), RecentOrders()
    orders.begin(state, market.scale)
    return View(market, orders)


@pytest.mark.parametrize("seed", range(20))
def test_a_book_begun_with_a_snapshot_is_the_book(seed: int) -> None:
    """Right away and after what followed: levels, orders, status, checksum; the rest of an order from Postgres."""
    book, seen, late = Book(INSTRUMENT), View(None, RecentOrders()), []  # type: ignore[arg-type]
    for number, (command, moment) in enumerate(commands(seed, COMMANDS)):
        report = book.apply(command, moment)
        scale = scale_of(book.listing)
        parts = [report_message(part, scale) for part in split(report)]
        if seen.market is None:
            seen.market = Market(parts[0].listing)
        for view in (seen, *late):
            view.apply(parts)
        if number % 97 == 50:
            late.append(begun_with(book))
            assert late[-1].book() == seen.book()

    assert len(late) == 4
    for view in late:
        assert view.book() == seen.book()
        for order_id, order in view.orders._orders.items():
            right = seen.orders.get(order_id).answer()
            known = {name: value for name, value in order.answer().items() if value is not None}
            assert known.items() <= right.items()
            assert completed(order, right) == right
            assert completed(order, None) == order.answer()


def test_trades_and_lists_say_how_far_back_they_know() -> None:
    """Below a snapshot's number of trades, and its seq, Postgres must be asked."""
    book = Book(INSTRUMENT)
    for command, moment in commands(1, 200):
        book.apply(command, moment)
    view = begun_with(book)

    assert recent_trades([view.market]).since == RowKey(book.time_ms, INSTRUMENT, book.trade_seq + 1)
    assert view.orders.of_client("ann", [INSTRUMENT], None).since == RowKey(book.time_ms, INSTRUMENT, book.seq + 1)


def test_forgetting_old_orders_moves_the_place_below_which_postgres_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded; what it lists is always all there is from some place on."""
    monkeypatch.setattr(web_orders, "MAX_ORDERS", 20)
    monkeypatch.setattr(web_orders, "FORGOTTEN_AT_ONCE", 5)
    book, orders, accepted = Book(INSTRUMENT), RecentOrders(), []
    for command, moment in commands(3, 300):
        report = book.apply(command, moment)
        scale = scale_of(book.listing)
        for part in (report_message(part, scale) for part in split(report)):
            orders.apply(part)
            accepted += [
                (part.time, part.seq, change.client_id, change.order_id)
                for change in part.orders
                if change.terms is not None
            ]
        assert len(orders._orders) <= 26 + len(report.orders)

    recent = orders.of_client("ann", [INSTRUMENT], None)
    listed = [(row.row_key.time_ms, row.row_key.seq, "ann", row.order.change.order_id) for row in recent.newest_first()]
    assert 0 < len(listed) < 26
    assert recent.since is not None
    newer = [
        order for order in accepted if RowKey(order[0], INSTRUMENT, order[1]) >= recent.since and order[2] == "ann"
    ]
    assert [order for order in listed if RowKey(order[0], INSTRUMENT, order[1]) >= recent.since] == newer[::-1]


def test_the_documents_example_has_the_checksum_that_it_says() -> None:
    """The text and the result in ARCHITECTURE.md are those of the code."""
    text, result = re.search(r"`([0-9.:|]+#[0-9.:|]+)` has the checksum `(\d+)`", ARCHITECTURE.read_text()).groups()
    sides = [[tuple(level.split(":")) for level in side.split("|")] for side in text.split("#")]

    assert book_checksum(*sides) == int(result)
